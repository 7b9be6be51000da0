"""``zoo predict``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.listing import as_json
from zoo.cli.output import (
    PROVIDER_HELP,
    as_options,
    console,
    next_step,
    print_json,
    print_table,
)
from zoo_registry import UsageError

_TOP_K = 3

if TYPE_CHECKING:
    from zoo_export.runtime.boxes import Box
    from zoo_export.runtime.prediction import Prediction


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("raw", metavar="INPUT")
@click.option("--runtime", help="tflite, onnx or saved_model [the bundle's first].")
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Answers to list [3; of boxes, those of score .3]."
)
@click.option("--question", help="What is asked about the text INPUT.")
@click.option("--second", help="Of a model of pairs: the second text.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Let a language model write so many tokens."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads to use.")
@click.option("--provider", help=PROVIDER_HELP)
@click.option(
    "--save", type=click.Path(path_type=Path), help="Draw boxes into the picture, into this file."
)
@as_json
def predict(
    *,
    bundle: Path,
    raw: str,
    save: Path | None,
    runtime: str | None,
    top_k: int | None,
    question: str | None,
    second: str | None,
    max_tokens: int | None,
    threads: int | None,
    provider: str | None,
    as_json: bool,
) -> None:
    """Predict with a bundle: INPUT is an image or sound file, a text, a .txt or a .npy file.

    Of ratings it is a JSON list of user and item, such as '["7", "31"]'.
    """
    from zoo_export.bundle import load_bundle

    loaded = load_bundle(bundle)
    given = read_input(raw, loaded.manifest.preprocessing)
    texts = tuple(text for text in (question, given, second) if text is not None)
    # Things in a picture are as many as there are.
    usual = None if loaded.manifest.task == "object-detection" else _TOP_K
    (prediction,) = loaded.predict(
        [texts if len(texts) > 1 else given],
        runtime=runtime,
        top_k=top_k or usual,
        threads=threads,
        provider=provider,
        max_tokens=max_tokens,
    )
    if save is not None:
        _save(given, prediction, save)
    if as_json:
        print_json(_as_json(prediction))
        return
    _print(prediction)
    used = loaded.artifact(runtime).format
    others = [artifact.format for artifact in loaded.artifacts if artifact.format != used]
    if others:
        chosen = {"question": question, "second": second, "runtime": others[0]}
        next_step(f"zoo predict {shlex.join([str(bundle), raw])}{as_options(chosen)}")


def _save(picture: Any, prediction: Prediction, path: Path) -> None:
    from zoo.cli.box_picture import draw_boxes

    if prediction.boxes is None:
        raise UsageError("--save draws boxes, and this model finds none: leave it out.")
    try:
        draw_boxes(picture, prediction.boxes, path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--save {path}: the picture cannot be written: {error}") from error


def _print(prediction: Prediction) -> None:
    if prediction.text is not None:
        click.echo(prediction.text)
    elif prediction.spans == ():
        click.echo("There is no entity in it.")
    elif prediction.spans is not None:
        print_table(
            ("TEXT", "LABEL", "FROM", "TO", "SCORE"),
            [
                (span.text, span.label or "-", str(span.start), str(span.end), f"{span.score:.4f}")
                for span in prediction.spans
            ],
            right=("FROM", "TO", "SCORE"),
        )
    elif prediction.boxes is not None:
        _print_boxes(prediction.boxes)
    elif prediction.value is not None:
        click.echo(f"{prediction.value:g}")
    elif prediction.top:
        print_table(
            ("LABEL", "PROBABILITY"),
            [(label, f"{probability:.4f}") for label, probability in prediction.top],
            right=("PROBABILITY",),
        )
    else:
        for name, array in prediction.outputs.items():
            console().print(f"{name}: {array.dtype}{list(array.shape)}\n{array}")


def _print_boxes(boxes: Sequence[Box]) -> None:
    if not boxes:
        click.echo("There is nothing in it that is known.")
        return
    sides = ("LEFT", "TOP", "RIGHT", "BOTTOM")
    print_table(
        ("LABEL", "SCORE", *sides),
        [
            (
                box.label,
                f"{box.score:.4f}",
                *(f"{x:.1f}" for x in (box.left, box.top, box.right, box.bottom)),
            )
            for box in boxes
        ],
        right=("SCORE", *sides),
    )


def _as_json(prediction: Prediction) -> dict[str, Any]:
    if prediction.text is not None:
        return {"text": prediction.text}
    if prediction.spans is not None:
        return {"spans": [asdict(span) for span in prediction.spans]}
    if prediction.boxes is not None:
        return {"boxes": [asdict(box) for box in prediction.boxes]}
    if prediction.value is not None:
        return {"value": prediction.value}
    if prediction.label is None:
        return {name: array.tolist() for name, array in prediction.outputs.items()}
    return {
        "label": prediction.label,
        "index": prediction.index,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": p} for label, p in prediction.top],
        **({"labels": prediction.labels} if prediction.labels else {}),
    }


def read_input(word: str, preprocessing: Sequence[Mapping[str, Any]]) -> Any:
    """Return what the word on the command line stands for: an array, a path or a text.

    Args:
        word: As it was typed.
        preprocessing: The steps of the model that it is for.

    Raises:
        UsageError: A file that is not there or cannot be read, where the model takes no text.
    """
    path = Path(word)
    takes_text = any(step["step"] == "tokenize" for step in preprocessing)
    if path.suffix == ".npy" and path.is_file():
        return _read_array(path)
    if any(step["step"] == "lookup" for step in preprocessing):
        return _read_words(word)
    if takes_text:
        return _read_text(path) if path.suffix == ".txt" else word
    if not path.is_file():
        takes_sound = any(step["step"] == "audio" for step in preprocessing)
        what = "a sound" if takes_sound else "an image"
        raise UsageError(f"There is no file '{word}': this model takes {what} or a .npy file.")
    return path


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"'{path}' cannot be read as a text in UTF-8: {error}") from error


def _read_words(word: str) -> Any:
    try:
        words = json.loads(word)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"'{word}' is no JSON: this model takes a list of user and item, such as "
            f'\'["7", "31"]\' ({error}).'
        ) from error
    return tuple(words) if isinstance(words, list) else words


def _read_array(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError) as error:
        raise UsageError(f"'{path}' cannot be read as a .npy array: {error}") from error
