"""This process and the others that train with it, through ``tf.distribute``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.distributed.cluster import Member, meet
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.objectives import SEVERAL_OUTPUTS
from zoo_recipes.training.recording import versions
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import resuming

# Added to the seed of each rank's dropout; odd, so that no two of them are the same.
_STRIDE = 0x9E3779B1


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
        asked: Whether this process was told to stop.
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
            where: The place to go on at.
        """
        self.same("The place to go on at", str(where).encode())
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
