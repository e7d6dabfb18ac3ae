"""`python -m atelier.cli` is `atelier`."""

from atelier.cli.main import main

if __name__ == "__main__":
    main()
