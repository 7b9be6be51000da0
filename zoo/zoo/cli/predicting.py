"""``zoo predict``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import as_columns, column, names_of, path_of
from zoo.cli.output import (
    PROVIDER_HELP,
    as_json,
    as_options,
    console,
    next_step,
    print_json,
    print_table,
    refuse,
)
from zoo_models.backend import check_backend
from zoo_registry import UsageError

_TOP_K = 3
# Told apart by people who see few colours: https://jfly.uni-koeln.de/color/.
_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
# Ends of files that hold one input: what reads tables is not imported for them.
_OF_ONE = (".png", ".jpg", ".jpeg", ".wav", ".npy", ".txt")
# Inputs that are predicted together.
_AT_ONCE = 32

if TYPE_CHECKING:
    from zoo_runtime.answers.boxes import Box
    from zoo_runtime.answers.prediction import Prediction


@click.command()
@click.argument(
    "source",
    metavar="RUN|BUNDLE",
    type=click.Path(path_type=Path),
    shell_complete=names_of("run", "bundle"),
)
@click.argument("raw", metavar="INPUT")
@click.option("--runtime", help="Of a bundle: tflite, onnx or saved_model [its first].")
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Answers to list [3; of boxes, those of score .3]."
)
@click.option(
    "--text", "is_text", is_flag=True, help="INPUT is a text, even if a file or folder is so named."
)
@click.option("--question", help="What is asked about the text INPUT.")
@click.option("--second", help="Of a model of pairs: the second text.")
@column
@click.option("--threads", type=click.IntRange(min=1), help="Threads to use.")
@click.option("--provider", help=PROVIDER_HELP)
@click.option(
    "--save", type=click.Path(path_type=Path), help="Draw boxes into the image, into this file."
)
@as_json
def predict(
    *,
    source: Path,
    raw: str,
    save: Path | None,
    runtime: str | None,
    top_k: int | None,
    is_text: bool,
    question: str | None,
    second: str | None,
    columns: tuple[str, ...],
    threads: int | None,
    provider: str | None,
    as_json: bool,
) -> None:
    """Predict with a run or a bundle.

    INPUT is an image or audio file, a text, a .txt or a .npy file.

    Of ratings it is a JSON list of user and item, such as '["7", "31"]', of a row of a table a JSON
    object such as '{"age": 31, "colour": "red"}', of tagged words a JSON list of them. A folder, or
    a table (CSV, TSV, JSON, JSONL, Parquet), is predicted file by file or row by row.
    """
    from zoo.predicting import opened
    from zoo_runtime.bundle import Bundle

    trained = opened(source)
    options: dict[str, Any] = {"runtime": runtime}
    if trained.kind == "run":
        check_backend()
        refuse({"threads": threads, "provider": provider}, "for a bundle")
    else:
        options |= {"threads": threads, "provider": provider}
    # An image has as many objects as there are.
    options["top_k"] = top_k or (None if trained.task == "object-detection" else _TOP_K)
    if is_text and not takes_text(trained.preprocessing):
        raise UsageError(f"--text is for models that read texts, and '{source}' does not.")
    if not is_text and _is_many(raw, trained.preprocessing):
        if save is not None:
            raise UsageError("--save draws into one image: give one, and not a folder.")
        named = as_columns(columns) or {}
        _predict_all(trained, Path(raw), named, question=question, as_json=as_json, options=options)
        return
    given = raw if is_text else read_input(raw, trained.preprocessing)
    texts = tuple(text for text in (question, given, second) if text is not None)
    (prediction,) = trained.predict([texts if len(texts) > 1 else given], **options)
    if save is not None:
        _save(given, prediction, save)
    if as_json:
        from zoo_runtime.answers.prediction import as_plain

        print_json(as_plain(prediction))
        return
    _print(prediction)
    if not isinstance(trained, Bundle):
        next_step(f"zoo export {shlex.quote(str(source))}")
        return
    used = trained.runtime(runtime)
    others = [artifact.format for artifact in trained.artifacts if artifact.format != used]
    if others:
        chosen = {"text": is_text, "question": question, "second": second, "runtime": others[0]}
        next_step(f"zoo predict {shlex.join([str(source), raw])}{as_options(chosen)}")


def _is_many(word: str, preprocessing: Sequence[Mapping[str, Any]]) -> bool:
    path = path_of(word)
    if path is None or not preprocessing:
        return False
    if word.lower().endswith(_OF_ONE) and not path.is_dir():
        return False
    from zoo_recipes.custom_data.raw_inputs import is_many

    return is_many(path)


def _predict_all(
    trained: Any,
    path: Path,
    columns: Mapping[str, str],
    *,
    question: str | None,
    as_json: bool,
    options: Mapping[str, Any],
) -> None:
    from zoo_recipes.custom_data.raw_inputs import raw_inputs

    found = raw_inputs(path, trained.preprocessing, columns)
    raws = [raw if question is None else (question, raw) for _, raw in found]
    made: list[Prediction] = []
    for start in range(0, len(raws), _AT_ONCE):
        made += trained.predict(raws[start : start + _AT_ONCE], **options)
    locations = [where for where, _ in found]
    if as_json:
        rows = zip(locations, made, strict=True)
        from zoo_runtime.answers.prediction import as_plain

        print_json([{"location": where, **as_plain(row)} for where, row in rows])
        return
    shown = [(where, *_in_short(row)) for where, row in zip(locations, made, strict=True)]
    print_table(("LOCATION", "PREDICTION", "PROBABILITY"), shown, right=("PROBABILITY",))


def _in_short(found: Prediction) -> tuple[str, str]:
    """Return what was found in one line, and its probability where there is one."""
    text = found.text
    if found.spans is not None:
        spans = (f"{span.text} ({span.label or '-'})" for span in found.spans)
        text = ", ".join(spans) or "(none)"
    elif found.boxes is not None:
        text = ", ".join(f"{box.label} {box.score:.2f}" for box in found.boxes) or "(none)"
    elif found.value is not None:
        text = f"{found.value:g}"
    elif found.labels is not None:
        text = ", ".join(found.labels) or "(none)"
    if text is None and found.label is not None:
        return found.label, f"{found.probability:.4f}"
    arrays = (f"{name}{list(array.shape)}" for name, array in found.outputs.items())
    return ", ".join(arrays) if text is None else text, ""


def _save(given: Any, prediction: Prediction, path: Path) -> None:
    if prediction.boxes is None:
        raise UsageError("--save draws boxes, and this model finds none: leave it out.")
    try:
        _draw_boxes(given, prediction.boxes, path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--save {path}: the image cannot be written: {error}") from error


def _draw_boxes(given: Any, boxes: Sequence[Box], path: Path) -> None:
    """Write an image with boxes and their labels; small images are enlarged.

    Args:
        given: Path, Pillow image or array.
        boxes: In its pixels.
        path: The file, of any format that Pillow writes.
    """
    from PIL import Image, ImageDraw

    from zoo_runtime.preprocess.pixels import as_pillow, grey_or_rgb

    image = grey_or_rgb(as_pillow(given), "RGB")
    times = max(1, -(-400 // max(image.size)))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    line = max(1, max(image.size) // 300)
    labels = sorted({box.label for box in boxes})
    colors = {label: _COLORS[at % len(_COLORS)] for at, label in enumerate(labels)}
    for box in reversed(boxes):  # the most probable on top
        left, top, right, bottom = (
            times * side for side in (box.left, box.top, box.right, box.bottom)
        )
        draw.rectangle((left, top, right, bottom), outline=colors[box.label], width=line)
        text = f"{box.label} {box.score:.2f}"
        size = max(10, max(image.size) // 40)
        above = (left, max(0.0, top - 1.2 * size))
        draw.rectangle(draw.textbbox(above, text, font_size=size), fill=colors[box.label])
        draw.text(above, text, fill="black", font_size=size)
    image.save(path)


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
    elif prediction.labels is not None:
        print_table(
            ("LABEL", "PROBABILITY", "APPLIES"),
            [
                (label, f"{probability:.4f}", "yes" if label in prediction.labels else "no")
                for label, probability in prediction.top
            ],
            right=("PROBABILITY",),
        )
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


def takes_text(preprocessing: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the input that steps prepare is a text."""
    return any(step["step"] == "tokenize" for step in preprocessing)


def read_input(word: str, preprocessing: Sequence[Mapping[str, Any]]) -> Any:
    """Return what the word on the command line stands for: an array, a path or a text.

    Args:
        word: As it was typed.
        preprocessing: The steps of the model that it is for.

    Raises:
        UsageError: A file that is not there or cannot be read, where the model takes no text.
    """
    path, steps = path_of(word), {step["step"] for step in preprocessing}
    if path is not None and path.suffix == ".npy" and path.is_file():
        return _read_array(path)
    if "lookup" in steps:
        return _read_words(word)
    if "table" in steps:
        return _read_row(word)
    if takes_text(preprocessing):
        return _text_or_words(word)
    return _file_or_numbers(word, steps)


def _text_or_words(word: str) -> Any:
    if word.lstrip().startswith("["):
        return _list_of_words(word)
    return _read_text(Path(word)) if word.endswith(".txt") else word


def _file_or_numbers(word: str, steps: Collection[str]) -> Any:
    path, kinds = path_of(word), {"audio": "an audio file", "image": "an image"}
    taken = next((what for step, what in kinds.items() if step in steps), None)
    if taken is None and word.lstrip().startswith("["):
        return _read_numbers(word)
    if path is None or not path.is_file():
        what = taken or "numbers, such as '[0.5, 2]',"
        raise UsageError(f"There is no file '{word}': this model takes {what} or a .npy file.")
    return path


def _read_numbers(word: str) -> Any:
    import numpy as np

    try:
        return np.asarray(json.loads(word), np.float32)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"'{word}' is not JSON of numbers: this model takes some such as '[0.5, 2]', or a "
            f".npy file ({error})."
        ) from error


def _read_row(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError as error:
        raise UsageError(
            f"'{word}' is neither a table nor JSON: this model takes a row such as "
            f'\'{{"age": 31, "colour": "red"}}\', or the file of a table ({error}).'
        ) from error


def _list_of_words(word: str) -> Any:
    """Return the words of a JSON list; the text itself where it is none."""
    try:
        words = json.loads(word)
    except ValueError:
        return word
    return words if words and all(isinstance(each, str) for each in words) else word


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
            f"'{word}' is not JSON: this model takes a list of user and item, such as "
            f'\'["7", "31"]\' ({error}).'
        ) from error
    return tuple(words) if isinstance(words, list) else words


def _read_array(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError) as error:
        raise UsageError(f"'{path}' cannot be read as a .npy array: {error}") from error
