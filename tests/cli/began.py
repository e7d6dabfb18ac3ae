"""`atelier` in a folder and with streams of its own, for what a nursery forks: FOLDER OUT ERR ARGUMENT…"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    folder, out, err, *arguments = sys.argv[1:]
    os.chdir(folder)
    for number, name in ((1, out), (2, err)):
        with Path(name).open("wb") as stream:
            os.dup2(stream.fileno(), number)
    sys.argv = ["atelier", *arguments]

    # Not before: what it says while it is imported belongs to these streams, too.
    from atelier.cli.main import main

    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # The interpreter would tidy up all that the nursery has imported, which takes twice as long as a command.
        os._exit(int(end.code or 0))
