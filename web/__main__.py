"""The web role: `python -m web`."""

from atelier.kernel import garbage


def main() -> None:
    """Serve until told to stop."""
    garbage.hold()
    from web.serving import serve  # noqa: PLC0415 - nothing is looked at while it is imported

    serve()


if __name__ == "__main__":
    main()
