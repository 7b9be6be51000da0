"""The process of the command ``zoo``, and ``python -m zoo.cli`` where that is not on the path."""

import sys

from zoo.cli import INTERRUPTED


def run() -> None:
    """Be the process of the command line: Ctrl-C is one line at any time, and it does end.

    What takes long to import is imported here, where an interruption is heard.
    """
    try:
        from zoo.cli.main import main
        from zoo_registry.trial import end_within_limit
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)
    code: str | int | None = 1
    try:
        main()
        code = 0
    except SystemExit as done:
        code = done.code
        raise
    finally:
        # Words in place of a number are those of a failure.
        end_within_limit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    run()
