"""Processes of ours: they end with the one that started them, and say why they ended."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PARENT = "KERAZOO_PARENT"
_LAUNCHER = "zoo_system.launcher"
MODULE, PROGRAM = "module", "program"
# What PYTHONPATH is for a program that is not ours.
PATH_OF_PROGRAM = "KERAZOO_PATH_OF_PROGRAM"
_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1
FULL_DISK = "No space left on device"
_LOG_LINES = 12


def start(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """Start the main part of a module in a process that ends with this one.

    Args:
        module: A module with a main part.
        arguments: Its arguments.
        environment: What is added to this process' own.
        options: For :class:`subprocess.Popen`.
    """
    return _started(MODULE, module, *arguments, environment=environment, **options)


def _started(
    *words: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        # -P: a script called onnx.py in the user's folder must not be what is imported.
        [sys.executable, "-P", "-m", _LAUNCHER, *words],
        env={
            **os.environ,
            # The parent may have found modules in ways that a new process does not know.
            "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
            **(environment or {}),
            _PARENT: str(os.getpid()),
        },
        **{"stdin": subprocess.DEVNULL, **options},
    )


def run(
    module: str,
    *arguments: str,
    time_limit: float,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> subprocess.CompletedProcess[str]:
    """Run the main part of a module to its end and return what it printed.

    Args:
        module: As for :func:`start`.
        arguments: Its arguments.
        time_limit: Seconds after which it is killed.
        environment: What is added to this process' own.
        meanwhile: Called here once it has started.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: It took too long.
    """
    words = (MODULE, module, *arguments)
    return _finished(*words, time_limit=time_limit, environment=environment, meanwhile=meanwhile)


def _finished(
    *words: str,
    time_limit: float,
    environment: Mapping[str, str] | None,
    meanwhile: Callable[[], object] = lambda: None,
) -> subprocess.CompletedProcess[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    text: dict[str, Any] = {"text": True, "errors": "replace"}
    with _started(*words, environment=environment, **pipes, **text) as process:
        try:
            meanwhile()
            out, err = process.communicate(timeout=time_limit)
        except BaseException:  # Ctrl-C too
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_program(command: Sequence[str], time_limit: float) -> subprocess.CompletedProcess[str]:
    r"""Run a program that is not ours to its end, as :func:`run` runs modules.

    On Linux the kernel ends it with this process, however that ends.

    Args:
        command: The program, by path or as it is found on the ``PATH``, and its arguments.
        time_limit: Seconds after which it is killed.

    Raises:
        OSError: There is no such program.
        subprocess.TimeoutExpired: It took too long.

    Example:
        >>> run_program([sys.executable, "-c", "print(1)"], time_limit=60).stdout
        '1\n'
    """
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    theirs = {PATH_OF_PROGRAM: os.environ.get("PYTHONPATH", "")}
    words = (PROGRAM, program, *command[1:])
    return _finished(*words, time_limit=time_limit, environment=theirs)


def start_logged(
    module: str, *arguments: str, log: IO[bytes], **options: Any
) -> subprocess.Popen[Any]:
    """Start a module as :func:`start` does, with quiet libraries, no GPU, and a file for its words.

    Args:
        module: A module with a main part.
        arguments: Its arguments.
        log: Open file for what it prints.
        options: For :class:`subprocess.Popen`, such as pipes in place of the log.
    """
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    streams = {"stdout": log, "stderr": log, **options}
    return start(module, *arguments, environment=environment, **streams)


def how_it_ended(process: subprocess.Popen[Any], printed: bytes, what: str) -> str:
    """Return why a process ended before its work was done, with its last words.

    Args:
        process: One that ended.
        printed: What it printed.
        what: How the message calls it.
    """
    code = process.returncode
    lines = printed.decode(errors="replace").splitlines()
    tail = "\n  ".join(lines[-_LOG_LINES:])
    last_words = f". Its last words:\n  {tail}" if tail else ""
    if code == errno.ENOSPC or FULL_DISK in tail:
        return f"the disk is full{last_words}"
    if code >= 0:
        return f"{what} exited with code {code}{last_words}"
    name = signal_name(-code)
    memory = ", most often for lack of memory" if -code == signal.SIGKILL else ""
    return f"{what} was killed by {name}{memory}{last_words}"


def signal_name(number: int) -> str:
    """Return what a signal is called; those for real time have a number alone.

    Example:
        >>> signal_name(9), signal_name(35)
        ('SIGKILL', 'signal 35')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_with_parent() -> None:
    """End this process when the one that started it has ended: nobody waits for it.

    Nothing happens in a process that was not started here.
    """
    if _PARENT not in os.environ:
        return
    parent = int(os.environ.pop(_PARENT))
    if sys.platform == "win32":  # its parent may be the launcher of a virtual environment
        return
    if sys.platform == "linux":
        # By the kernel: code of a library that never lets Python run would outlive it otherwise.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    if os.getppid() != parent:  # it has ended meanwhile
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def limit_memory(most: int) -> None:
    """Let this process have so many bytes of its own, and leave no image of them if it crashes.

    Where the system's memory runs out all the same, this process is the first to go.

    Args:
        most: Bytes.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    with contextlib.suppress(OSError, ValueError):  # a tighter limit stands already
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM do as Ctrl-C does, so that what is unfinished is cleaned up.

    A program that hears it by itself goes on doing so.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def own_stdout() -> IO[str]:
    """Return standard output for our own lines; what libraries print goes to standard error."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def free_memory() -> None:
    """Collect what nothing holds, and give its memory back to the system."""
    gc.collect()
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):  # glibc keeps freed weights for itself
            library.malloc_trim(0)
