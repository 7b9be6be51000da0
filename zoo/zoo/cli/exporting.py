"""``zoo export`` and ``zoo verify``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import zoo_registry
from zoo.cli.options import SIDES, names_of, path_of
from zoo.cli.output import (
    PROVIDER_HELP,
    as_json,
    next_step,
    print_json,
    print_table,
    progress,
    size,
)
from zoo_models.build import get_model
from zoo_models.sizing import image_shape
from zoo_registry import UsageError

if TYPE_CHECKING:
    from zoo_export.budget import BudgetReport
    from zoo_runtime.bundle import Bundle


# What stands for an input in a command, by the step of preprocessing that takes it.
_GIVEN = {
    "image": "IMAGE.png",
    "audio": "CLIP.wav",
    "table": "ROWS.csv",
    "lookup": """'["USER", "ITEM"]'""",
    "tokenize": "'Some text'",
}


class _Percent(click.ParamType[float]):
    """A fraction in percent: ``0.5%``; a bare number could be meant either way."""

    name = "percent"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the fraction that a word means."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+\.?\d*)\s*%", value)
        if found is None:
            self.fail(f"'{value}' is not a percentage, such as 0.5%.", param, ctx)
        return float(found[1]) / 100


# Of each option of an export: what the command line takes, and what it says of it.
_OPTIONS: Mapping[str, tuple[Any, str]] = {
    "sequence_length": (int, "Static length of text inputs in TFLite."),
    "image_size": (SIDES, "Height and width of images: 224 or 224x320."),
    "batch_sizes": (str, "Batches of LiteRT files, such as 1,8, or dynamic for any, slower [1]."),
    "rnn": (str, "Recurrent layers of LiteRT files: loop or unroll [what suits]."),
    "optimize": (
        str,
        "onnxruntime: an ONNX file with ONNX Runtime's own operators [standard ones].",
    ),
    "train_batch": (int, "Rows of one step of training on the device [8]."),
    "max_length": (
        int,
        "Tokens of a text at most, for tflite and litertlm [up to 1024].",
    ),
    "prefill_lengths": (str, "Tokens that tflite and litertlm read at once [16,128]."),
    "cache_dtype": (
        str,
        "Of keys and values that a language model keeps: float16, int8 [float32].",
    ),
}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of :class:`zoo_export.options.ExportOptions`."""
    for name, (kind, text) in reversed(list(_OPTIONS.items())):
        command = click.option(_flag(name), type=kind, help=text)(command)
    return command


@click.command()
@click.argument("source", metavar="RUN|NAME|FILE", shell_complete=names_of("run", "model"))
@click.option(
    "--to",
    "wanted",
    shell_complete=names_of("format"),
    help="FORMAT[:SCHEME] with commas, such as tflite,onnx:int8 [all built in].",
)
@click.option(
    "--target",
    help="Where the bundle is to run (browser, microcontroller); it brings its own formats.",
)
@click.option("--train", is_flag=True, help="A LiteRT file that trains its head: tflite:train.")
@click.option("--out", type=click.Path(path_type=Path), help="Bundle folder [bundles/NAME].")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--zip", "zipped", is_flag=True, help="Write the bundle as one file too, OUT.zip.")
@click.option("--task", shell_complete=names_of("task"), help="Head of a model given by name.")
@click.option(
    "--weights", help="Weights of a model given by name: a file, a snapshot, hf://..., pretrained."
)
@click.option("--no-cache", is_flag=True, help="Convert again, though nothing has changed.")
@export_options
@click.option(
    "--max-drop",
    type=_Percent(),
    help="Keep the smallest scheme that loses at most so much, as 0.5%.",
)
@click.option("--max-mb", type=float, help="With --max-drop: largest size in MB.")
@click.option("--max-ms", type=float, help="With --max-drop: longest run at batch 1 here, in ms.")
@as_json
def export(
    *,
    source: str,
    wanted: str | None,
    target: str | None,
    train: bool,
    out: Path | None,
    force: bool,
    zipped: bool,
    task: str | None,
    weights: str | None,
    no_cache: bool,
    max_drop: float | None,
    max_mb: float | None,
    max_ms: float | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Export a run, a model by name or a .keras file to a bundle of verified files."""
    from zoo_export.exporting import choose_formats, default_folder
    from zoo_export.exporting import export as export_model
    from zoo_runtime.errors import ExportError
    from zoo_runtime.zipped import check_zip

    if any(limit is not None for limit in (max_drop, max_mb, max_ms)):
        others = {"--train": train, "--zip": zipped, "--task": task, "--weights": weights}
        others |= {_flag(name): value is not None for name, value in chosen.items()}
        _refuse_with_budget({**others, "--sequence-length": False})
        _export_within_budget(
            source,
            wanted=wanted,
            target=target,
            max_drop=max_drop,
            max_mb=max_mb,
            max_ms=max_ms,
            as_json=as_json,
            out=out,
            force=force,
            sequence_length=chosen["sequence_length"],
        )
        return
    words = [*(wanted.split(",") if wanted else ()), *(["tflite:train"] if train else ())] or None
    to = [row.name for row in choose_formats(words, target)]
    options: dict[str, Any] = {
        "to": to,
        "target": target,
        "out": out,
        "force": force,
        # A model by name without weights is drawn anew each time: nothing to find again.
        "cached": not no_cache and (weights is not None or path_of(source) is not None),
        "task": task,
        **chosen,
        "batch_sizes": _numbers(chosen["batch_sizes"]),
        "prefill_lengths": _numbers(chosen["prefill_lengths"]),
    }
    given = _model_or_run(source, task, weights, chosen["image_size"])
    if path_of(source) is None:  # it is built for the size
        options |= {"image_size": None, "name": source.rpartition("/")[2]}
    archive = Path(f"{out or default_folder(given, options.get('name'))}.zip") if zipped else None
    if archive is not None:
        check_zip(archive, force=force)
    failures: dict[str, str] = {}
    with progress(to, failures) as on_event:
        bundle = export_model(given, keep_going=True, on_event=on_event, **options)
    if archive is not None:
        bundle.to_zip(archive, force=force)
    if as_json:
        print_json({"bundle": str(bundle.path), "failures": failures, **asdict(bundle.manifest)})
    else:
        print_artifacts(bundle)
        print_targets(bundle)
        if archive is not None:
            click.echo(f"{archive}: {size(archive.stat().st_size)}")
    if failures:
        rows = [f"  {name}: {message}." for name, message in failures.items()]
        count = f"{len(failures)} of {len(to)} formats failed"
        raise ExportError("\n".join([f"{count}; '{bundle.path}' holds the others.", *rows]))
    if not as_json:
        next_step(_after(bundle.path, target))


def _export_within_budget(
    source: str,
    *,
    wanted: str | None,
    target: str | None,
    max_drop: float | None,
    max_mb: float | None,
    max_ms: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Try schemes on a run, show what each costs, and write the bundle that keeps the budget."""
    from zoo_export.budget import FORMATS, Budget, candidates, export_within

    if max_drop is None:
        raise UsageError("--max-mb and --max-ms need --max-drop: how much accuracy may be lost?")
    if target is not None:
        raise UsageError(f"--max-drop chooses one format, and target '{target}' needs its own.")
    if path_of(source) is None:
        raise UsageError(
            f"--max-drop is measured on a run's held-out examples, and '{source}' is not a run "
            "folder."
        )
    budget = Budget(max_drop=max_drop, max_mb=max_mb, max_ms=max_ms)
    to = [word.strip() for word in wanted.split(",")] if wanted else list(FORMATS)
    with progress([row.name for row in candidates(to)]) as on_event:
        bundle, report = export_within(source, budget, to=to, on_event=on_event, **options)
    if as_json:
        print_json({"bundle": str(bundle.path), **asdict(report)})
    else:
        _print_search(bundle, report)


def _print_search(bundle: Bundle, report: BudgetReport) -> None:
    from zoo_export.budget import HEADER, RIGHT

    print_table(HEADER, report.rows(), right=[HEADER[index] for index in RIGHT])
    click.echo()
    for note in report.notes():
        click.echo(note)
    kept = bundle.artifacts[0]
    click.echo(f"Kept: {bundle.path / kept.path}")
    next_step(f"zoo verify {shlex.quote(str(bundle.path))}")


def _refuse_with_budget(others: Mapping[str, object]) -> None:
    for option in (name for name, given in others.items() if given):
        raise UsageError(f"{option} does not go with a budget: leave it or --max-drop out.")


def _model_or_run(
    source: str, task: str | None, weights: str | None, image_size: tuple[int, int] | None
) -> Any:
    from zoo_export.making import children

    if path_of(source) is None:
        children.begin()
        sizes: dict[str, Any] = {}
        if image_size is not None:
            sizes["input_shape"] = image_shape(zoo_registry.models.get(source), *image_size)
        return get_model(source, task=task, weights=weights, **sizes)
    is_file = Path(source).is_file()
    refused = {"--weights": weights, **({} if is_file else {"--task": task})}
    for option in (option for option, value in refused.items() if value):
        kind = "a file of a model" if is_file else "a run"
        raise UsageError(f"{option} is for a model given by name; '{source}' is {kind}.")
    return Path(source)


def _numbers(text: str | None) -> list[int] | str | None:
    words = text.split(",") if text else []
    is_list = bool(words) and all(re.fullmatch("[0-9]{1,9}", word.strip()) for word in words)
    return [int(word) for word in words] if is_list else text


def _after(bundle: Path, target: str | None) -> str:
    from zoo_export import targets

    if target is None:
        return f"zoo verify {shlex.quote(str(bundle))}"
    return targets.find(target).next_step.format(folder=shlex.quote(str(bundle / target)))


def print_artifacts(bundle: Bundle, latencies: Mapping[str, float] | None = None) -> None:
    """Print a row a format: where it is, how large, how near to Keras, and how fast."""
    from zoo_export.card.notes import notes, verification_notes

    rows = []
    scored = ["ACCURACY"] if any(a.verification.accuracy for a in bundle.artifacts) else []
    timed = ["LATENCY ms"] if latencies else []
    for artifact in bundle.artifacts:
        figures = artifact.verification
        row = [
            artifact.format,
            size(artifact.bytes),
            f"{figures.max_abs_diff:.1e}",
            f"{figures.top1_agreement:.1%}" if figures.top1_agreement is not None else "-",
        ]
        if scored:
            row.append(f"{figures.accuracy:.4f}" if figures.accuracy is not None else "-")
        if latencies:
            row.append(f"{latencies[artifact.format]:.2f}")
        rows.append([*row, str(bundle.path / artifact.path)])
    numbers = ["SIZE", "DIFFERENCE", "SAME ANSWER", *scored, *timed]
    print_table(["FORMAT", *numbers, "PATH"], rows, right=numbers)
    for artifact in bundle.artifacts:
        for note in [*verification_notes(artifact.verification), *notes(artifact.facts)]:
            click.echo(f"{artifact.format}: {note}")


def print_targets(bundle: Bundle) -> None:
    """Print a line for every target of the bundle: its folder and metrics."""
    for name, facts in bundle.manifest.targets.items():
        figures = [f"{k.replace('_', ' ')} {v:,}" for k, v in facts.items() if isinstance(v, int)]
        click.echo(f"{name}: {', '.join([str(bundle.path / name), *figures])}")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), shell_complete=names_of("bundle"))
@click.option("--runtime", help="One format to verify [all].")
@click.option("--provider", help=PROVIDER_HELP)
@as_json
def verify(bundle: Path, runtime: str | None, provider: str | None, as_json: bool) -> None:
    """Check a bundle's hashes, then run every file again and compare with what Keras gave."""
    from zoo_export.card.notes import verification_notes
    from zoo_runtime.bundle import load_bundle
    from zoo_runtime.bundle import verify as verify_bundle
    from zoo_runtime.generation.files import GENERATING

    loaded = load_bundle(bundle)
    results = verify_bundle(loaded, runtime=runtime, provider=provider)
    if as_json:
        print_json([asdict(result) for result in results])
        return
    print_table(
        ("FORMAT", "BATCHES", "DIFFERENCE", "ALLOWED", "RESULT"),
        [
            (
                result.format,
                ", ".join(map(str, result.batches)),
                f"{result.max_abs_diff:.1e}",
                f"{max(row.allowed for row in result.comparisons):.1e}",
                "equal",
            )
            for result in results
        ],
        right=("DIFFERENCE", "ALLOWED"),
    )
    for result in results:
        for note in verification_notes(result):
            click.echo(f"{result.format}: {note}")
    click.echo(f"{len(loaded.manifest.files)} files have the recorded sha256.")
    path, is_writer = shlex.quote(str(bundle)), loaded.manifest.task in GENERATING
    steps = {step["step"] for step in loaded.manifest.preprocessing}
    given = next((word for step, word in _GIVEN.items() if step in steps), "INPUT.npy")
    next_step(f'zoo generate {path} "Once upon"' if is_writer else f"zoo predict {path} {given}")
