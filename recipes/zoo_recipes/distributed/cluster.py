"""The processes that train together: their addresses, and what they agree on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.distributed import LOCAL
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.objectives import SEVERAL_OUTPUTS
from zoo_recipes.training.recording import versions
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import resuming

TF_CONFIG = "TF_CONFIG"
SECONDS = 120.0
_PORTS = range(20_000, 32_000)
_GO = "go"
_PAUSE = 0.2
# Added to the seed of each rank's dropout; odd, so that no two of them are the same.
_STRIDE = 0x9E3779B1


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
        if not isinstance(self.number, int) or self.number < 0:
            raise UsageError(f"workers={self.number!r} must be a whole number from 1 on.")


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
    """Collect the calls of the others and answer all of them together."""
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
    """Return addresses on this machine with free ports.

    They are below the ports of outgoing connections: until the workers listen, which takes them
    seconds, no connection is given one of them.

    Raises:
        ZooError: There are not so many.
    """
    found: list[str] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(f"127.0.0.1:{port}")
        if len(found) == number:
            return found
    raise ZooError(f"{number:,} workers need a port each, and only {len(found):,} are free here.")


class LostError(ZooError):
    """Another worker is gone: all have to start again from the last checkpoint."""


class Ranks:
    """All processes of a training, seen from one of them.

    Each holds the whole state of the training: weights, optimizer and metrics change in the same
    way everywhere, because what they change by is added up over all ranks first.

    Args:
        member: This process.
        strategy: A ``tf.distribute.MultiWorkerMirroredStrategy`` with one device a process.

    Attributes:
        asked: Whether this process was asked to stop.
        agreed: Whether any of them was: all know it after the same step.
    """

    def __init__(self, member: Member, strategy: Any) -> None:
        import tensorflow as tf

        self.rank = member.rank
        self.size = member.size
        self.strategy = strategy
        self.asked = False
        self.agreed = False
        # Arrays of the same shapes everywhere, so that all ranks trace at the same time.
        self._sum = tf.function(self._add_up, autograph=False)

    def sum(self, values: Sequence[Any]) -> list[Any]:
        """Return each array added up over all ranks; a rank that comes early waits."""
        import tensorflow as tf

        return list(self._sum([tf.convert_to_tensor(value) for value in values]))

    def _add_up(self, tensors: list[Any]) -> Any:
        import tensorflow as tf

        def on_replica(given: list[Any]) -> Any:
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", [tf.identity(tensor) for tensor in given])

        return self.strategy.run(on_replica, args=(tensors,))

    def same(self, what: str, value: bytes) -> None:
        """Wait for all ranks and make sure that they have the same.

        Args:
            what: Named in the message.
            value: Of this rank.

        Raises:
            ZooError: Which ranks have another value than rank 0.
        """
        digests = np.zeros(self.size, np.int64)
        digests[self.rank] = int.from_bytes(hashlib.sha256(value).digest()[:7], "big")
        found = self.sum([digests])[0].numpy()
        others = [str(rank) for rank in range(self.size) if found[rank] != found[0]]
        if others:
            raise ZooError(
                f"{what}: worker {', '.join(others)} of {self.size} has not the same as worker 0. "
                "All workers need the same versions, data and run folder."
            )

    def meet_versions(self) -> None:
        """Wait until worker 0 has made the folder of the run; all must have the same software."""
        self.same("Versions", json.dumps(versions()).encode())

    def meet_at_the_end(self) -> None:
        """Wait until worker 0 has written the run: who leaves early is taken for lost."""
        self.same("The end", b"")

    def add_up(self, variables: Sequence[Any]) -> None:
        """Give each variable the sum of what it is on all ranks."""
        for variable, total in zip(variables, self.sum([v.value for v in variables]), strict=True):
            variable.assign(total)

    def begin(self, model: Any, variables: Sequence[Any], where: object) -> None:
        """Make sure that all begin with the same state, then give each its own dropout.

        Args:
            model: Built and restored.
            variables: All that training changes.
            where: The position to go on at.
        """
        self.same("The position to go on at", str(where).encode())
        digest = hashlib.sha256()
        for variable in variables:
            digest.update(variable.numpy().tobytes())
        self.same("The weights to begin with", digest.digest())
        for variable in model.variables:
            if variable.name == "seed_generator_state":
                seed, count = (int(number) for number in variable.numpy())
                variable.assign(np.array([(seed + self.rank * _STRIDE) % 2**32, count], "uint32"))


def join(member: Member, seconds: float) -> Ranks:
    """Meet the others and connect to them.

    Args:
        member: This process.
        seconds: How long all are waited for.

    Raises:
        UsageError: Keras was imported before, or this process has several GPUs.
        ZooError: One of them did not come up.
    """
    if "keras" in sys.modules:
        raise UsageError(
            "TensorFlow connects workers only before Keras is imported: call zoo.train first, in a "
            "fresh process, or use `zoo train`."
        )
    meet(member, seconds)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) > 1:
        raise UsageError(
            f"Worker {member.rank} sees {len(gpus)} GPUs and trains on one: start a worker for "
            "each of them, with CUDA_VISIBLE_DEVICES=0, 1 and so on."
        )
    return Ranks(member, tf.distribute.MultiWorkerMirroredStrategy())


def check_recipe(recipe: Recipe, size: int) -> None:
    """Refuse what several workers would train otherwise than one.

    Args:
        recipe: To be trained.
        size: How many workers there are.

    Raises:
        UsageError: The setting and what to write in its place.
    """
    if recipe.fit.batch_size < size:
        raise UsageError(
            f"fit.batch_size = {recipe.fit.batch_size} is of all {size} workers together: it needs "
            f"{size} examples or more."
        )
    if recipe.compile.jit_compile is True:
        raise UsageError(
            "compile.jit_compile = true: XLA cannot add up gradients between workers. Set "
            "compile.jit_compile=false."
        )
    reduction = recipe.compile.loss.arguments.get("reduction", "mean")
    if reduction not in ("mean", "sum_over_batch_size"):
        raise UsageError(
            f'compile.loss.reduction = "{reduction}": several workers can train a mean only. '
            "Leave it out."
        )
    if recipe.contrastive is not None:
        raise UsageError(
            "contrastive: every example is compared with all others of a batch, of which each "
            "worker has a part only. Train it with one."
        )
    if recipe.model.task in SEVERAL_OUTPUTS:
        raise UsageError(
            f'model.task = "{recipe.model.task}": several workers can train one output only, and '
            "this task has several. Train it with one."
        )


@contextmanager
def telling_of_loss(folder: Path, ranks: Ranks | None) -> Iterator[None]:
    """Turn TensorFlow's errors of a broken connection into one that says what to do."""
    if ranks is None:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        raise LostError(
            f"Another worker is gone. Start all {ranks.size} again, each with `{resuming(folder)}`."
        ) from error
