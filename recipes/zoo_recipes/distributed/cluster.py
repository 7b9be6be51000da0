"""Who trains together: what ``TF_CONFIG`` says, and the meeting before anything else is done."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from zoo_registry import UsageError, ZooError

TF_CONFIG = "TF_CONFIG"
LOCAL = "local"
SECONDS = 120.0
_GO = "go"
_PAUSE = 0.2


@dataclass(frozen=True)
class Workers:
    """How many processes train together, and who looks after them.

    Args:
        number: Processes, each with a GPU of its own where there are GPUs; 0 is as many as the
            run had before, and 1 for a new one.
        launcher: ``local`` starts them on this machine, ``ray`` where Ray finds room, and plugins
            bring others (``zoo launchers``).
        seconds: How long they are waited for until all are up.
        restarts: How often all start again from the last checkpoint when one of them is lost.

    Example:
        >>> Workers(2, restarts=1).launcher
        'local'
    """

    number: int = 0
    launcher: str = LOCAL
    seconds: float = SECONDS
    restarts: int = 3

    def __post_init__(self) -> None:
        if self.number < 0:
            raise UsageError(f"workers={self.number} must be 1 or more.")


@dataclass(frozen=True)
class Member:
    """This process among those that train together.

    Args:
        rank: From 0 on; 0 writes the run.
        addresses: ``host:port`` of each.
    """

    rank: int
    addresses: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.addresses)


def this_member(environment: Mapping[str, str] = os.environ) -> Member | None:
    """Return what ``TF_CONFIG`` says of this process, ``None`` where it trains alone.

    Raises:
        UsageError: A ``TF_CONFIG`` that is damaged or has other tasks than workers.

    Example:
        >>> cluster = '{"worker": ["a:1", "b:1"]}'
        >>> task = '{"type": "worker", "index": 1}'
        >>> this_member({"TF_CONFIG": f'{{"cluster": {cluster}, "task": {task}}}'}).rank
        1
    """
    text = environment.get(TF_CONFIG)
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster = dict(config.get("cluster", {}))
        names = [(kind, i) for kind in sorted(cluster) for i in range(len(cluster[kind]))]
        addresses = tuple(str(cluster[kind][index]) for kind, index in names)
        task = (config["task"]["type"], int(config["task"]["index"])) if names else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{TF_CONFIG} is damaged: {error!r} in {text}") from error
    if not set(cluster) <= {"chief", "worker"} or (names and task not in names):
        raise UsageError(
            f"{TF_CONFIG} must have tasks of the types chief and worker, and this one among them; "
            f"it is {text}"
        )
    return Member(names.index(task), addresses) if task and len(names) > 1 else None


def meet(member: Member, seconds: float) -> None:
    """Wait until all are up; it is TensorFlow that would wait for ever.

    Worker 0 listens where TensorFlow will listen after it, and the others call.

    Args:
        member: This process.
        seconds: How long worker 0 waits for the others, and they for it.

    Raises:
        ZooError: Which of them did not come.
    """
    until = time.monotonic() + seconds
    message = _hear(member, until) if member.rank == 0 else _call(member, until)
    if message != _GO:
        raise ZooError(
            f"{message} within {seconds:g} s. Every worker runs the same command with its own "
            "index in TF_CONFIG: look at what it says, or wait longer with --worker-timeout."
        )


def _hear(member: Member, until: float) -> str:
    """Collect the calls of the others and answer all of them at once."""
    callers: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        server = stack.enter_context(_listening(int(member.addresses[0].rpartition(":")[2])))
        while len(callers) < member.size - 1 and (left := until - time.monotonic()) > 0:
            server.settimeout(left)
            with suppress(OSError, ValueError):
                caller = stack.enter_context(server.accept()[0])
                caller.settimeout(max(left, _PAUSE))
                rank = int(caller.recv(16))
                callers |= {rank: caller} if 0 < rank < member.size else {}
        missing = [
            f"{r} ({member.addresses[r]})" for r in range(1, member.size) if r not in callers
        ]
        who = f"worker{'s' * (len(missing) > 1)} {', '.join(missing)}"
        message = f"Training did not begin: {who} did not come up" if missing else _GO
        for caller in callers.values():
            with suppress(OSError):
                caller.sendall(message.encode())
    return message


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise ZooError(
            f"Worker 0 cannot listen on port {port}, which {TF_CONFIG} gives it: {error}"
        ) from error
    with server:
        yield server


def _call(member: Member, until: float) -> str:
    """Call worker 0 until it answers; once it has heard us, it is the one that waits."""
    host, _, port = member.addresses[0].rpartition(":")
    while time.monotonic() < until:
        with (
            suppress(OSError),
            socket.create_connection((host, int(port)), timeout=_PAUSE * 5) as line,
        ):
            line.sendall(str(member.rank).encode())
            line.settimeout(None)
            if message := line.recv(4096).decode():
                return message
        time.sleep(_PAUSE)
    return f"Training did not begin: worker 0 ({member.addresses[0]}) did not come up"


def free_addresses(number: int) -> list[str]:
    """Return addresses on this machine with ports that nobody has."""
    with ExitStack() as stack:
        servers: list[Any] = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
