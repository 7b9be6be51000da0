"""``zoo explain``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import names_of, path_of
from zoo.cli.output import (
    as_json,
    as_options,
    console,
    next_step,
    print_fields,
    print_json,
    print_table,
)
from zoo.cli.predicting import read_input

if TYPE_CHECKING:
    from zoo_recipes.explanation.result import Explanation
    from zoo_runtime.trained import Trained

_ROWS = 10
_NAME_LENGTH = 32
# Options of what an input is made of, which are those of every method that takes features away.
_FEATURES = ("patches", "superpixels", "baseline", "words", "typical")


@click.command()
@click.argument(
    "source",
    metavar="RUN|BUNDLE",
    type=click.Path(path_type=Path),
    shell_complete=names_of("run", "bundle"),
)
@click.argument("raw", metavar="INPUT")
@click.option(
    "--method",
    default="occlusion",
    show_default=True,
    help="integrated-gradients or grad-cam (runs), occlusion, shap or lime (runs and bundles).",
)
@click.option("--class", "label", help="Class, token or text of the answer [the most probable].")
@click.option("--question", help="What is asked about the text INPUT.")
@click.option("--second", help="Of a model of pairs: the second text.")
@click.option("--word", help="Of a tagger: whose tag; the#2 is the second one.")
@click.option("--runtime", help="Of a bundle: tflite, onnx or saved_model [its first].")
@click.option(
    "--patches", type=click.IntRange(min=1), help="Of an image or audio clip, about so many [64]."
)
@click.option("--superpixels", is_flag=True, help="Patches that follow the colours.")
@click.option("--baseline", help="What replaces a patch: black, white, mean or blur [black].")
@click.option("--words", is_flag=True, help="Take whole words away, not single tokens.")
@click.option(
    "--typical",
    type=click.Path(path_type=Path),
    help="Rows of a table, .npy or .npz; their mean replaces a column [the run's own].",
)
@click.option("--names", metavar="A,B,...", help="Of the columns of a table.")
@click.option("--steps", type=click.IntRange(min=1), help="Of integrated gradients [64].")
@click.option(
    "--samples", type=click.IntRange(min=10), help="Of lime [1000] and shap [2048 and 2 a feature]."
)
@click.option("--layer", help="Of grad-cam [the last convolution].")
@click.option("--seed", type=int, help="Of all that is drawn [0].")
@click.option("--out", type=click.Path(path_type=Path), help="[RUN/explanations/INPUT-METHOD]")
@click.option("--force", is_flag=True, help="Replace an explanation that is there.")
@as_json
def explain(
    *,
    source: Path,
    raw: str,
    method: str,
    question: str | None,
    second: str | None,
    label: str | None,
    word: str | None,
    runtime: str | None,
    names: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show which parts of an input a prediction depends on: a page with plots, and a table.

    INPUT is an image or audio file, a text, a .txt file or a .npy file. Of a bundle, the exported
    file itself is explained; the folder is then explanations/BUNDLE-FORMAT-INPUT-METHOD.
    """
    from zoo.explaining import explain as explain_source
    from zoo_recipes.explanation.result import PAGE
    from zoo_recipes.run import open_trained

    trained = open_trained(source)
    folder = out or _folder(trained, runtime, raw, method, question, second, word, label)
    given = read_input(raw, trained.preprocessing)
    texts = tuple(text for text in (question, given, second) if text is not None)
    explanation = explain_source(
        trained,
        texts if len(texts) > 1 else given,
        method,
        label=label,
        word=word,
        runtime=runtime,
        names=None if names is None else names.split(","),
        out=folder,
        force=force,
        **{name: value for name, value in options.items() if value is not None},
    )
    if as_json:
        print_json({**explanation.to_dict(), "folder": str(folder)})
        return
    _print(explanation)
    click.echo(f"\n{folder / PAGE} shows it.")
    other = "shap" if method != "shap" else "occlusion"
    chosen: dict[str, Any] = {"question": question, "second": second, "word": word, "class": label}
    chosen |= {"runtime": runtime, "names": names}
    # Both take the same features away.
    chosen |= {name: options[name] for name in _FEATURES} | {"method": other}
    next_step(f"zoo explain {shlex.join([str(source), raw])}{as_options(chosen)}")


def _folder(
    trained: Trained, runtime: str | None, raw: str, method: str, *chosen: str | None
) -> Path:
    path = path_of(raw)
    given = path.stem if path is not None and path.is_file() else raw
    name = "-".join([_slug(given), method, *(_slug(words) for words in chosen if words)])
    if trained.kind == "run":
        return trained.path / "explanations" / name
    # A bundle is sealed: nothing is added to its folder.
    used = trained.runtime(runtime).replace(":", "-")
    return Path("explanations") / f"{trained.name}-{used}-{name}"


def _slug(words: str) -> str:
    return re.sub(r"[^\w.-]+", "-", words)[:_NAME_LENGTH].strip("-.") or "text"


def _print(explanation: Explanation) -> None:
    from zoo_recipes.explanation.result import facts, verdict

    measured = explanation.faithfulness
    print_fields(
        {
            "class": f"{explanation.answer} ({explanation.score:.4f})",
            "predicted": "" if explanation.best == explanation.target.label else explanation.best,
            "computed by": explanation.computes,
            explanation.method: ", ".join(facts(explanation)),
        }
    )
    if explanation.features.kind == "text":
        console().print(_coloured(explanation))
    click.echo()
    print_table(
        ("FEATURE", "ATTRIBUTION"),
        [(name, f"{value:+.4g}") for name, value in explanation.ranked[:_ROWS]],
        right=("ATTRIBUTION",),
    )
    click.echo()
    print_fields(
        {
            "deletion area": f"{measured.deletion_area:.4f} (random {measured.random_area:.4f})",
            "insertion area": f"{measured.insertion_area:.4f} (random {measured.random_area:.4f})",
        }
    )
    click.echo(verdict(explanation))


def _coloured(explanation: Explanation) -> Any:
    from rich.text import Text

    from zoo_recipes.explanation.result import AGAINST, FOR
    from zoo_recipes.explanation.target import pieces

    found = pieces(explanation.features, explanation.values)
    largest = max(abs(value) for _, value in found if value is not None) or 1.0
    text = Text("\n")
    for piece, value in found:
        if value is None:
            text.append(piece)
            continue
        strength = abs(value) / largest
        colour = FOR if value > 0 else AGAINST
        mixed = ",".join(str(round(255 + (part - 255) * strength)) for part in colour)
        text.append(piece, f"{'white' if strength > 0.6 else 'black'} on rgb({mixed})")
    return text
