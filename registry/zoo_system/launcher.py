"""Where every child process of ours begins: ``python -m zoo_system.launcher KIND NAME ...``.

The guard comes first, so that a child whose parent ends while it still imports its libraries ends
too; then it becomes the module or the program that was asked for.
"""

from __future__ import annotations

import os
import runpy
import sys

from zoo_system.fast_keras import fast_keras
from zoo_system.processes import PATH_OF_PROGRAM, PROGRAM, end_with_parent


def main(kind: str, name: str, *arguments: str) -> None:
    """Become a module's main part, or a program that is not ours."""
    end_with_parent()
    if kind == PROGRAM:
        os.environ["PYTHONPATH"] = os.environ.pop(PATH_OF_PROGRAM)
        # It is the same process, so what the kernel knows of it stays.
        os.execv(name, [name, *arguments])
    sys.argv[:] = [name, *arguments]
    fast_keras()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
