"""What a run and a bundle have in common: a trained model with its assets."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoo_registry import UsageError
from zoo_runtime.answers.prediction import (
    Described,
    Prediction,
    answer,
    as_texts,
    prepare,
    preprocessor_of,
)
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Tensor

if TYPE_CHECKING:
    from zoo_runtime.generation.by_runtime import Generator
    from zoo_runtime.run_info import RunInfo

# What computes a run; a bundle has its formats.
KERAS = "keras"


class Trained(Described, Protocol):
    """A trained model: a run, in Keras, or a bundle, in the runtime of one of its formats.

    ``str()`` of it is where it is, as messages name it.
    """

    @property
    def kind(self) -> str:
        """``run`` or ``bundle``."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def assets(self) -> Path:
        """Folder with the files that the steps name."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What the model gives."""

    @property
    def training(self) -> RunInfo | None:
        """What is known of its training; ``None`` for a bundle that was not made from a run."""

    @property
    def sha256(self) -> str:
        """Of a run's model, or of a bundle's manifest, which has those of its files."""

    def runtime(self, wanted: str | None = None) -> str:
        """Return what computes: ``keras``, or a format of a bundle, its first by default.

        Raises:
            UsageError: It does not run there.
        """

    def runner(self, runtime: str | None = None) -> Runner:
        """Return the model ready to run; it is loaded once."""

    def text_generator(self, runtime: str | None = None) -> Generator:
        """Return what generates texts with a language model or a seq2seq model.

        Raises:
            UsageError: A model of another task, or one without a tokenizer.
        """

    def predict(
        self, x: Any, runtime: str | None = None, top_k: int | None = None
    ) -> list[Prediction]:
        """Preprocess raw inputs, run them and interpret the outputs."""


def title(trained: Trained) -> str:
    """Return what a sentence calls a trained model in its beginning: ``Run 'runs/mine'``."""
    return f"{trained.kind.capitalize()} '{trained}'"


def check_keras(run: Path, wanted: str | None) -> None:
    """Refuse another runtime for a run than Keras.

    Args:
        run: Its folder.
        wanted: What it is to run in.

    Raises:
        UsageError: A format.
    """
    if wanted not in (None, KERAS):
        folder = shlex.quote(str(run))
        raise UsageError(
            f"Run '{run}' runs in Keras: export it (zoo export {folder} --to {wanted}) and use the "
            "bundle."
        )


def predictions(
    trained: Trained,
    runner: Runner,
    x: Any,
    *,
    top_k: int | None = None,
    generator: Callable[[], Generator],
) -> list[Prediction]:
    """Return the predictions of a trained model for raw inputs.

    Args:
        trained: The model.
        runner: It, loaded.
        x: As :meth:`zoo_runtime.bundle.Bundle.predict` takes it.
        top_k: How many of the most probable answers to list.
        generator: Makes the text generator of a seq2seq model.

    Raises:
        UsageError: An input that preprocessing cannot take.
    """
    raws: Sequence[Any] = as_texts(trained, x if isinstance(x, list) else [x])
    if trained.task == "seq2seq" and raws and isinstance(raws[0], str):
        return [Prediction({}, text=made.text) for made in generator().complete(raws)]
    assets = trained.assets
    arrays, ends = prepare(preprocessor_of(trained, assets), raws)
    return answer(trained, assets, runner.run(arrays), raws=raws, ends=ends, top_k=top_k)


def as_lines(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return what is known of a run or a bundle in a few lines.

    Example:
        >>> print(as_lines("Run 'a'", [("recipe", "digits-cnn")]))
        Run 'a'
          recipe   digits-cnn
    """
    return "\n".join([title, *(f"  {name:<8} {value}" for name, value in facts)])


def as_table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return the same as HTML, for notebooks."""
    from html import escape

    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"
