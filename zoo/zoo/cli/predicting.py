"""``zoo predict``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.listing import as_json
from zoo.cli.output import console, next_step, print_json, print_table
from zoo_registry import UsageError

if TYPE_CHECKING:
    from zoo_export.bundle import Bundle
    from zoo_export.runtime.prediction import Prediction


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("raw", metavar="INPUT")
@click.option("--runtime", help="tflite, onnx or saved_model [the bundle's first].")
@click.option("--top-k", type=click.IntRange(min=1), default=3, show_default=True)
@as_json
def predict(bundle: Path, raw: str, runtime: str | None, top_k: int, as_json: bool) -> None:
    """Predict with a bundle: INPUT is an image file, a text, a .txt file or a .npy file."""
    from zoo_export.bundle import load_bundle

    loaded = load_bundle(bundle)
    (prediction,) = loaded.predict([read_input(raw, loaded)], runtime=runtime, top_k=top_k)
    if as_json:
        print_json(_as_json(prediction))
        return
    if prediction.top:
        print_table(
            ("LABEL", "PROBABILITY"),
            [(label, f"{probability:.4f}") for label, probability in prediction.top],
            right=("PROBABILITY",),
        )
    else:
        for name, array in prediction.outputs.items():
            console().print(f"{name}: {array.dtype}{list(array.shape)}\n{array}")
    used = loaded.artifact(runtime).format
    others = [artifact.format for artifact in loaded.artifacts if artifact.format != used]
    if others:
        next_step(f"zoo predict {bundle} {shlex.quote(raw)} --runtime {others[0]}")


def _as_json(prediction: Prediction) -> dict[str, Any]:
    if prediction.label is None:
        return {name: array.tolist() for name, array in prediction.outputs.items()}
    return {
        "label": prediction.label,
        "index": prediction.index,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": p} for label, p in prediction.top],
    }


def read_input(word: str, bundle: Bundle) -> Any:
    """Return what the word on the command line stands for: an array, an image path or a text.

    Raises:
        UsageError: A file that is not there or cannot be read, where the model takes no text.
    """
    path = Path(word)
    takes_text = any(step["step"] == "tokenize" for step in bundle.manifest.preprocessing)
    if path.suffix == ".npy" and path.is_file():
        return _read_array(path)
    if takes_text:
        return path.read_text(encoding="utf-8") if path.suffix == ".txt" else word
    if not path.is_file():
        raise UsageError(f"There is no file '{word}': this bundle takes an image or a .npy file.")
    return path


def _read_array(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UsageError(f"'{path}' cannot be read as a .npy array: {error}") from error
