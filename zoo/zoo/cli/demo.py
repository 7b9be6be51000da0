"""``zoo demo``: the whole road on real digits, in about a minute."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.exporting import print_artifacts
from zoo.cli.output import next_step, print_table, progress

if TYPE_CHECKING:
    from zoo_recipes.run import Run
    from zoo_runtime.answers.prediction import Prediction
    from zoo_runtime.bundle import Bundle

RECIPE = "digits-cnn"
SHOWN = 8


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--force", is_flag=True, help="Replace what an earlier demo wrote.")
def demo(out: Path, force: bool) -> None:
    """Train digits-cnn, export it to every format, verify, and predict in every runtime."""
    from PIL import Image

    from zoo_export.benchmarking import measure
    from zoo_export.exporting import export
    from zoo_recipes.training.training import train
    from zoo_runtime.formats import FORMATS

    click.echo(f"1. Train {RECIPE} on 1,437 handwritten digits that scikit-learn ships.")
    run = train(RECIPE, out=out / "run", force=force)
    accuracy = run.metrics["accuracy"]
    click.echo(f"   accuracy on 360 digits it has never seen: {accuracy:.4f}\n")

    click.echo("2. Export, and run every file in its own runtime beside the Keras model.")
    with progress(sorted(FORMATS)) as on_event:
        bundle = export(run.path, out=out / "bundle", force=force, on_event=on_event)
    print_artifacts(bundle, measure(bundle))

    click.echo(f"\n3. Predict {SHOWN} of them from the files alone, in every runtime.")
    digits, labels = _test_digits(run)
    predictions = {a.format: bundle.predict(digits, runtime=a.format) for a in bundle.artifacts}
    _print_predictions(bundle, labels, predictions)
    plot = out / "predictions.png"
    _draw(plot, digits, labels, predictions)
    click.echo(f"\n{plot} shows them.")
    Image.fromarray(digits[0]).save(out / "digit.png")
    next_step(shlex.join(["zoo", "predict", str(bundle.path), str(out / "digit.png")]))


def _test_digits(run: Run) -> tuple[list[Any], list[str]]:
    """Return digits of the test split as 8x8 grey images, and what they are."""
    import numpy as np

    with np.load(run.path / "examples.npz", allow_pickle=False) as examples:
        digits = examples["x/image"][:SHOWN, ..., 0].astype("uint8")
        return list(digits), [(run.info.labels or ())[i] for i in examples["y"][:SHOWN]]


def _print_predictions(
    bundle: Bundle, labels: list[str], predictions: dict[str, list[Prediction]]
) -> None:
    rows = [
        (label, *(f"{p[i].label} ({p[i].probability:.3f})" for p in predictions.values()))
        for i, label in enumerate(labels)
    ]
    print_table(("DIGIT", *(a.format for a in bundle.artifacts)), rows)


def _draw(
    path: Path,
    digits: list[Any],
    labels: list[str],
    predictions: dict[str, list[Prediction]],
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * len(digits), 2.6), layout="constrained")
    for axis, digit, label, found in zip(
        figure.subplots(1, len(digits)),
        digits,
        labels,
        zip(*predictions.values(), strict=True),
        strict=True,
    ):
        axis.imshow(digit, cmap="gray_r")
        axis.set_axis_off()
        right = all(prediction.label == label for prediction in found)
        text = "\n".join(
            f"{name}: {prediction.label}"
            for name, prediction in zip(predictions, found, strict=True)
        )
        axis.set_title(text, fontsize=9, color="darkgreen" if right else "darkred")
    figure.savefig(path, dpi=120)
