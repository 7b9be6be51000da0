"""The process of the command ``zoo``, and ``python -m zoo.cli`` where that is not on the path."""

import sys

from zoo.cli import INTERRUPTED


def run() -> None:
    """Be the process of the command line: Ctrl-C is one line at any time, and it does end.

    What takes long to import is imported here, where an interruption is heard.
    """
    try:
        from zoo.cli.main import main
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
        # Nothing of a plugin's has run where what guards it was never imported.
        if trial := sys.modules.get("zoo_registry.trial"):
            # Words in place of a number are those of a failure.
            trial.end_within_limit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    run()
