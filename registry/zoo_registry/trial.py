"""Plugins tried in a process of their own: whatever one does when it is imported harms nobody.

A name that is asked for is imported here, inside :func:`guarded`. What nobody asked for by name,
as in a filtered listing or in ``zoo plugins``, is imported in a child process, which says what it
found as plain data.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zoo_registry.plugins import LOCAL_OWNER, OURS, PluginEntry
from zoo_registry.specs import Origin
from zoo_system import processes
from zoo_system.errors import PluginError, UsageError, ZooError, printable
from zoo_system.processes import signal_name

# Seconds that the import of one entry point may take, which may be that of TensorFlow.
TIME_LIMIT = 20.0
LIMIT_VARIABLE = "ZOO_PLUGIN_SECONDS"
# How much longer it may take to build what an entry point stands for, and to import one that was
# asked for by name, without which the request fails.
BUILD_FACTOR, NAMED_FACTOR = 10, 3
_CHILD = "zoo_registry.trial_child"
_LOG_BYTES = 4000
_LONGEST_REASON, _LONGEST_TRACEBACK = 300, 20_000
# Plugins whose code ran in this process, in the order in which it did.
_RAN_HERE: dict[str, None] = {}


@dataclass(frozen=True)
class Outcome:
    """What became of one entry point in the child.

    Args:
        facts: What it stands for as plain data: a model, a table of models or a recipe.
        reason: What went wrong, in a line; empty if nothing did.
        traceback: What is known about where it went wrong.
    """

    facts: Any = None
    reason: str = ""
    traceback: str = ""


def try_plugins(entries: Sequence[PluginEntry], *, build: bool = False) -> list[Outcome]:
    """Import entry points in a child process and say what they stand for.

    All share one child as long as it lives; one that fails after another distribution was
    imported is tried again alone, so that no plugin is blamed for another.

    Args:
        entries: What to import.
        build: Whether what they stand for is tried too, as by building a model.

    Returns:
        An outcome for each, in order.
    """
    found: dict[int, Outcome] = {}
    waiting = list(range(len(entries)))
    while waiting:
        found |= _one_child(entries, waiting, build)
        first = entries[waiting[0]].distribution
        for at in [at for at in waiting if at in found and found[at].reason]:
            if entries[at].distribution != first:
                found |= _one_child(entries, [at], build)
        waiting = [at for at in waiting if at not in found]
    return [found[at] for at in range(len(entries))]


@contextlib.contextmanager
def guarded(owner: str, *, seconds: float | None = None) -> Iterator[None]:
    """Run a plugin's code here and keep standard output, the working folder and Ctrl-C as they are.

    What it prints goes to standard error. What would end the process, an exception that is not a
    Ctrl-C of the user's or a call of ``os._exit``, becomes a RuntimeError. A crash, which nothing
    can stop, says in which file it was.

    Args:
        owner: Whose code it is.
        seconds: How long it may take; ``None`` for as long as it likes. Beyond it, a TimeoutError.
    """
    folder, streams = Path.cwd(), (sys.stdout, sys.stderr)
    _RAN_HERE[owner] = None
    with _noted_interrupts() as pressed, _stdout_as_stderr(), _exits_raised(), _crashes_told():
        try:
            with _within(seconds):
                yield
        except Exception:
            raise
        except _TooLongError:
            raise TimeoutError(
                f"it took longer than {seconds:g} s ({LIMIT_VARIABLE} sets another limit)"
            ) from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed.is_set():
                raise
            raise RuntimeError(f"{one_line(error)} would have ended this program") from error
        finally:
            sys.stdout, sys.stderr = streams
            os.chdir(folder)


def seconds_by_name() -> float:
    """Return how long the import of an entry point that was asked for by name may take."""
    return NAMED_FACTOR * _time_limit()


def end_within_limit(code: int) -> None:
    """End this process with an exit code even if a plugin that ran in it keeps it from ending.

    Python waits for threads and for what is registered with ``atexit``, which may never end. To be
    called when all else is done.
    """
    if _RAN_HERE:
        threading.Thread(target=_end, args=(code, _time_limit()), daemon=True).start()


@contextlib.contextmanager
def running(origin: Origin | None, what: str) -> Iterator[None]:
    """Run code of whoever brings a name; what a plugin's raises becomes a message that names it.

    Args:
        origin: Whose code it is: ours, and what this process registered itself, runs as it is.
        what: What failed, as the message begins.

    Raises:
        PluginError: A plugin's code raised something, were it what ends a process.
    """
    if origin is None or origin.distribution in {*OURS, LOCAL_OWNER}:
        yield
        return
    try:
        with guarded(origin.distribution):
            yield
    except ZooError:
        raise
    except Exception as error:
        raise PluginError(
            f"{what} of '{origin.distribution}' {origin.version} failed: {one_line(error)}"
        ) from error


def one_line(error: BaseException) -> str:
    """Return type and message of an error, even if its own ``__str__`` fails.

    Example:
        >>> one_line(ValueError("no such size"))
        'ValueError: no such size'
    """
    message = str(traceback.TracebackException(type(error), error, None)).strip()
    first = printable(message.splitlines()[0])[:_LONGEST_REASON] if message else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def where(error: BaseException) -> str:
    """Return the traceback of an error that any terminal can show, its beginning cut if long."""
    text = printable("".join(traceback.format_exception(error)))
    return text if len(text) <= _LONGEST_TRACEBACK else f"[...]{text[-_LONGEST_TRACEBACK:]}"


class _TooLongError(BaseException):
    """Raised by the clock; no plugin that passes over exceptions passes over it."""


@contextlib.contextmanager
def _exits_raised() -> Iterator[None]:
    """Raise where the main thread calls ``os._exit``; others, and children, end as they want."""
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> Any:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and os.getpid() == process:
            raise SystemExit(f"os._exit({status})")
        leave(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


@contextlib.contextmanager
def _crashes_told() -> Iterator[None]:
    if faulthandler.is_enabled():
        yield
        return
    with contextlib.suppress(OSError, ValueError):  # there is no standard error
        faulthandler.enable(2)
    try:
        yield
    finally:
        faulthandler.disable()


@contextlib.contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    """Raise once a time is over, where that can be: a clock that somebody else has set stays."""
    can_be = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if seconds is None or not can_be or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _too_long(number: int, frame: Any) -> None:
    raise _TooLongError


def _end(code: int, seconds: float) -> None:
    time.sleep(seconds)
    others = [t for t in threading.enumerate() if t.is_alive() and not t.daemon]
    names = [f"'{printable(t.name)}'" for t in others if t is not threading.main_thread()]
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a plugin may have closed them
        sys.stdout.flush()
        warning = f"This process would not end for {seconds:g} s"
        warning += f", in which {', '.join(names)} went on running" if names else ""
        owners = " or ".join(f"'{owner}'" for owner in _RAN_HERE)
        print(f"warning: {warning}: it was ended. It ran plugin {owners}.", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
    os._exit(code)


def _time_limit() -> float:
    value = os.environ.get(LIMIT_VARIABLE)
    if not value:
        return TIME_LIMIT
    with contextlib.suppress(ValueError):
        if 0 < float(value) < threading.TIMEOUT_MAX:
            return float(value)
    raise UsageError(f"{LIMIT_VARIABLE}='{value}' is not a number of seconds above 0.")


@contextlib.contextmanager
def _noted_interrupts() -> Iterator[threading.Event]:
    """Note whether Ctrl-C was pressed: a plugin may raise KeyboardInterrupt itself."""
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread hears of Ctrl-C, and only where a function is called for it.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed
        return

    def note(number: int, frame: Any) -> None:
        pressed.set()
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    try:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, AttributeError, ValueError):  # no such streams, as in a window's process
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@dataclass
class _Child:
    """A running child: its process, the pipe that it answers through, what it prints."""

    process: subprocess.Popen[bytes]
    replies: int
    log: IO[bytes]
    pending: bytes = b""

    def answer(self, seconds: float) -> dict[str, Any]:
        """Return the next line that it writes, or why there was none within the time."""
        end = time.monotonic() + seconds
        while b"\n" not in self.pending:
            if not select.select([self.replies], [], [], max(0.0, end - time.monotonic()))[0]:
                return self._failed(f"it took longer than {seconds:g} s")
            piece = os.read(self.replies, 1 << 16)
            if not piece:
                return self._failed(self._how_it_ended())
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failed(self, reason: str) -> dict[str, Any]:
        self.log.seek(0)
        words = printable(self.log.read()[-_LOG_BYTES:].decode(errors="replace"))
        return {"reason": reason, "traceback": words, "ended": True}

    def _how_it_ended(self) -> str:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed the files of its process"
        how = f"with exit code {code}" if code >= 0 else f"by {signal_name(-code)}"
        return f"it ended its process {how}"


def _one_child(
    entries: Sequence[PluginEntry], indices: Sequence[int], build: bool
) -> dict[int, Outcome]:
    """Return the outcomes of one child by index: of all, or of those up to one that ended it."""
    tasks = [(entries[at].group, entries[at].name, entries[at].target) for at in indices]
    limit = _time_limit()
    found = {}
    with _started({"tasks": tasks, "build": build}) as child:
        for at in indices:
            answer = child.answer(limit)
            if answer.pop("imported", False):
                answer = child.answer(limit * BUILD_FACTOR)
            ended = answer.pop("ended", False)
            found[at] = Outcome(**answer)
            if ended:
                break
    return found


@contextlib.contextmanager
def _started(request: Mapping[str, Any]) -> Iterator[_Child]:
    replies, written = os.pipe()
    with tempfile.TemporaryFile() as log:
        process = processes.start(
            _CHILD,
            str(written),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(written,),
            # What it starts itself ends with it.
            start_new_session=True,
        )
        os.close(written)
        try:
            asked: Any = process.stdin
            with contextlib.suppress(BrokenPipeError), asked:
                asked.write(json.dumps(request).encode())
            yield _Child(process, replies, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(replies)
