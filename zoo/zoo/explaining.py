"""Explanations of runs and of bundles through one function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_models.backend import check_backend
from zoo_registry import UsageError
from zoo_system.errors import taken
from zoo_system.untouched import untouched

if TYPE_CHECKING:
    from zoo_recipes.explanation.result import Explanation
    from zoo_recipes.run import Run
    from zoo_runtime.bundle import Bundle


@untouched()
def explain(
    source: Run | Bundle | str | Path,
    x: Any,
    method: str = "occlusion",
    *,
    label: str | None = None,
    word: str | None = None,
    runtime: str | None = None,
    patches: int = 64,
    superpixels: bool = False,
    baseline: str = "black",
    words: bool = False,
    typical: str | Path | None = None,
    names: Sequence[str] | None = None,
    steps: int = 64,
    samples: int | None = None,
    layer: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
) -> Explanation:
    """Attribute a prediction to the parts of its input, and measure whether that is true.

    Args:
        source: A run, a bundle, or the folder of one.
        x: Path of an image or an audio file, a text, a tuple of two or of question and text,
            or an array.
        method: ``integrated-gradients`` and ``grad-cam`` look inside a run's Keras model;
            ``occlusion``, ``shap`` and ``lime`` need predictions alone, of a run or of a bundle.
        label: The class, or the token of a language model; the most probable one by default.
        word: Of a model that tags words: that whose tag is explained; ``the#2`` is the second of
            several.
        runtime: Format of a bundle; the first one whose runtime is installed by default.
        patches: Of an image or audio clip: about how many it is cut into.
        superpixels: Whether these follow the colours, or are a grid.
        baseline: What replaces a patch: ``black``, ``white``, ``mean`` or ``blur``.
        words: Whether the tokens of a word are taken away together.
        typical: Rows of a table, whose mean replaces a column: ``.npy`` or ``.npz``.
        names: Of the columns of a table.
        steps: Points on the way of integrated gradients.
        samples: Predictions of LIME, 1000 by default, and of SHAP, by default 2048 and two for
            each feature.
        layer: Of Grad-CAM; the last convolution by default.
        seed: Of all that is drawn.
        out: Folder to write the page, the plots and the values into.
        force: Whether an explanation that is there is replaced.

    Returns:
        Values of the features and curves of faithfulness; a notebook shows its page.

    Raises:
        UsageError: Not a run or a bundle, an unknown method or class, or a method that does not
            suit this model or input.
        ZooError: A library that the method needs is not installed.

    Example:
        >>> explain("runs/none", "digit.png", "lyme")
        Traceback (most recent call last):
        zoo_system.errors.UsageError: There is no method 'lyme'. Did you mean 'lime'? There are: ...
    """
    check_backend()
    from zoo_recipes.explanation.explaining import Effort, explain_trained, find_method
    from zoo_recipes.explanation.reading import Segmentation
    from zoo_recipes.run import open_trained

    find_method(method)
    if out is not None:
        check_free(Path(out), force=force)
    explanation = explain_trained(
        open_trained(source),
        x,
        method,
        runtime=runtime,
        label=label,
        word=word,
        segmentation=Segmentation(
            patches=patches,
            superpixels=superpixels,
            baseline=baseline,
            words=words,
            typical=typical,
            names=names,
        ),
        effort=Effort(steps=steps, samples=samples, layer=layer, seed=seed),
    )
    if out is not None:
        save(explanation, Path(out), force=force)
    return explanation


def check_free(out: Path, *, force: bool) -> None:
    """Refuse a folder that an explanation may not be written to.

    Raises:
        UsageError: It exists and ``force`` is not set, or it holds something else.
    """
    from zoo_recipes.explanation.result import INFO

    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / INFO).is_file():
        raise UsageError(
            f"'{out}' is not an explanation ({INFO} is missing): it will not be replaced."
        )
    if not force:
        raise taken(out)


def save(explanation: Explanation, out: Path, *, force: bool) -> None:
    """Write an explanation atomically; with ``force`` it replaces one that is there.

    Raises:
        UsageError: The folder exists, as for :func:`check_free`.
        ZooError: The disk is full or cannot be written.
    """
    from zoo_runtime.files import put_in_place, work_folder

    with work_folder(out) as work:
        finished = work / "finished"
        finished.mkdir()
        explanation.write(finished)
        put_in_place(finished, out, work, force=force, check=check_free)
