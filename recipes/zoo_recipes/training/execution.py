"""One training, from its data to its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import zoo_registry
from zoo_recipes.arrays.sources import ArraySource, Shapes, fit
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.distributed.cluster import Ranks, telling_of_loss
from zoo_recipes.evaluation.measuring import measure
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import CURVES, MODEL, OnEpoch, Record, StoppedError, asset_of, open_trained
from zoo_recipes.tasks.boxes import Scenes
from zoo_recipes.tasks.objectives import UNLABELLED, label_feature, make_assets, make_source
from zoo_recipes.trackers.tracking import Made, tracked
from zoo_recipes.training.checkpoints import Checkpoint
from zoo_recipes.training.checks import (
    are_classes,
    check_classes,
    check_targets,
    count_shared,
    count_truncated,
    flat,
)
from zoo_recipes.training.recording import Meter, data_info, devices, metered, now
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RECIPE, DatasetInfo, RunInfo, TeacherInfo
from zoo_runtime.tokenizing import open_tokenizer, trust
from zoo_runtime.trained import Trained
from zoo_system import folders
from zoo_system.durable import sha256, write, write_text

# 256 predictions cannot show a drop of half a percent and 1,024 can: as many as stay small.
NUM_EXAMPLES, MAX_EXAMPLES = 256, 1024
MAX_EXAMPLE_BYTES = 8_000_000
NUM_CALIBRATION = 128


def carry_out(
    recipe: Recipe,
    builder: Any,
    record: Record,
    trackers: Mapping[str, Made],
    *,
    ranks: Ranks | None,
    on_epoch: OnEpoch | None,
    **options: Any,
) -> None:
    """Train, measure, and write all that a complete run has.

    Args:
        recipe: The recipe.
        builder: Of its data, prepared.
        record: Of the run; added to.
        trackers: What else follows it, by name.
        ranks: The processes that train together, of which this is one.
        on_epoch: Called with the index and the metrics of each epoch.
        options: As :func:`trained` takes them.
    """
    folder = record.folder
    with watched(record, trackers, ranks=ranks, on_epoch=on_epoch) as (meter, report_epoch):
        if not (folder / RECIPE).exists():
            _write_recipe(recipe, folder)
        if ranks:
            ranks.meet_versions()
        options |= {"ranks": ranks, "on_epoch": report_epoch, "on_step": meter.write_if_due}
        model, sources, history = trained(recipe, builder, record, **options)
        record.note(metrics=measure(model, recipe, sources["test"]))
        _save(model, sources, record)
        _save_curves(recipe, history, record)
        record.note(status="complete", finished=now())
        meter.read()
        record.write()
        shutil.rmtree(folder / folders.CHECKPOINTS, ignore_errors=True)
        if ranks:
            ranks.meet_at_the_end()


def trained(
    recipe: Recipe,
    builder: Any,
    record: Record,
    *,
    ranks: Ranks | None,
    checkpoint: Checkpoint | None,
    **options: Any,
) -> tuple[Any, dict[str, ArraySource], dict[str, list[float]]]:
    """Return the trained model, the examples by part and the metrics of each epoch.

    Args:
        recipe: The recipe.
        builder: Of its data, prepared.
        record: Of the run, or of a temporary one; added to.
        ranks: The processes that train together, of which this is one.
        checkpoint: Where to go on.
        options: As :func:`zoo_recipes.training.fitting.fit` takes them.
    """
    from zoo_recipes.augmentation.changes import text_marks
    from zoo_recipes.training.fitting import build, fit, model_info

    folder, before = record.folder, record.info
    task = before.task or ""
    label = label_feature(recipe, task)
    examples = read_examples(recipe, builder, label)
    check_classes(recipe, examples["train"].labels)
    labels, dataset = data_info(recipe, builder, label, examples)
    check_same_data(folder, before.dataset, dataset)
    if ranks:
        ranks.same("The data", str(dataset.fingerprint).encode())
    # Custom data may have moved since the run began.
    record.note(
        labels=labels, dataset=dataset, shared=count_shared(examples), recipe=recipe.to_dict()
    )
    tokenizer = make_run_tokenizer(recipe, examples["train"], folder)
    sizes = make_assets(recipe, examples["train"], folder)
    model = build(recipe, task, labels, tokenizer, sizes)
    sources, truncated = make_sources(recipe, task, examples, folder, model)
    check_targets(recipe, model, sources)
    record.note(model=model_info(recipe, model), truncated=truncated, devices=devices())
    teacher = open_trained(recipe.distillation.teacher) if recipe.distillation else None
    if teacher is not None:
        _check_same_teacher(folder, before, teacher)
        if ranks:
            ranks.same("The teacher", teacher.sha256.encode())
        record.note(teacher=TeacherInfo(sha256=teacher.sha256))
    _write_recipe(recipe, folder)
    record.write()
    history = fit(
        model,
        recipe,
        sources,
        folder,
        labels=labels,
        teacher=teacher,
        marks=text_marks(tokenizer),
        checkpoint=checkpoint,
        ranks=ranks,
        **options,
    )
    return model, sources, history


def _write_recipe(recipe: Recipe, folder: Path) -> None:
    text = recipe.to_toml()
    write_text(folder / RECIPE, text)


def check_same_data(folder: Path, before: DatasetInfo, found: DatasetInfo) -> None:
    """Refuse to go on with other data than those that a run began with.

    Args:
        folder: Of the run.
        before: What is recorded of its data.
        found: What is known of those that are there.

    Raises:
        ZooError: They are others, or prepared by another rule.
    """
    known = before.fingerprint
    if known is not None and known != found.fingerprint:
        if found.own is not None and before.version != found.version:
            raise ZooError(
                f"Run '{folder}' was begun by a Kerazoo that prepared your own data by another "
                f"rule ({before.version}, now {found.version}), which may split or order them "
                "otherwise: train from the start with --force."
            )
        raise ZooError(
            f"Dataset '{found.name}' is not the one that run '{folder}' began with: fingerprint "
            f"{str(found.fingerprint)[:12]}, not {known[:12]}. Bring the data back, or train from "
            "the start with --force."
        )


def _check_same_teacher(folder: Path, before: RunInfo, teacher: Trained) -> None:
    known = before.teacher.sha256 if before.teacher else None
    if known not in (None, teacher.sha256):
        raise ZooError(
            f"Teacher '{teacher}' is not the one that run '{folder}' began with: sha256 "
            f"{teacher.sha256[:12]}, not {known[:12]}. Bring the teacher back, or train from the "
            "start with --force."
        )


def _save(model: Any, sources: Mapping[str, ArraySource], record: Record) -> None:
    from zoo_recipes.training.fitting import save_model

    folder = record.folder
    write(folder / MODEL, lambda path: save_model(model, path))
    record.note(model=replace(record.info.model, sha256=sha256(folder / MODEL)))
    save_rows(sources["test"], held_out_rows(sources["test"]), folder / "examples.npz")
    save_rows(sources["train"], typical_rows(sources["train"]), folder / "calibration.npz")


def _save_curves(recipe: Recipe, history: dict[str, list[float]], record: Record) -> None:
    from zoo_recipes.reporting.report import draw_curves

    results = "  ".join(f"{name} {value:.4f}" for name, value in record.info.metrics.items())
    title = f"{recipe.name}, seed {recipe.seed}: test {results}"
    write(record.folder / CURVES, lambda path: draw_curves(history, title, path))


@contextmanager
def watched(
    record: Record,
    trackers: Mapping[str, Made],
    *,
    ranks: Ranks | None,
    on_epoch: OnEpoch | None,
) -> Iterator[tuple[Meter, OnEpoch | None]]:
    """Record how a training ends and what it costs; yield the meter and the report of epochs."""
    with (
        tracked(trackers, record, on_epoch) as (update, report_epoch),
        _recorded(record),
        telling_of_loss(record.folder, ranks),
        metered(record, update) as meter,
    ):
        yield meter, report_epoch


@contextmanager
def _recorded(record: Record) -> Iterator[None]:
    """Write in the end what became of the training."""
    record.write()
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | StoppedError)
        record.note(
            status="interrupted" if stopped else "failed",
            error=None if stopped else f"{type(error).__name__}: {error}",
            finished=now(),
        )
        record.write()
        raise


def read_examples(recipe: Recipe, builder: Any, label: str | None) -> dict[str, Examples]:
    """Return the examples of ``train``, ``validation`` and ``test``, as far as there are such.

    Args:
        recipe: Names the splits.
        builder: A prepared ``tfds.core.DatasetBuilder``.
        label: Feature that is the class, or ``None``.
    """
    dataset = recipe.dataset
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        part: read_split(
            builder, split, input=dataset.input, label=label, steps=recipe.preprocessing
        )
        for part, split in splits.items()
        if split is not None
    }


def make_run_tokenizer(recipe: Recipe, examples: Examples, folder: Path) -> Any:
    """Make the recipe's tokenizer from the training split and write it into the run's assets.

    Returns:
        A ``tokenizers.Tokenizer``, or ``None`` where the recipe has none.
    """
    from zoo_recipes.arrays.vocabulary import make_tokenizer

    if recipe.tokenizer is None:
        return None
    names = {step["tokenizer"] for step in recipe.preprocessing if "tokenizer" in step}
    names = names or {folders.TOKENIZER}
    known = asset_of(recipe.model.weights, min(names))
    if known is not None:
        # The rows of the weights are those of its tokens, whatever words the texts have.
        tokenizer = open_tokenizer(known)
        tokenizer.no_truncation()
        tokenizer.no_padding()
    elif recipe.tokenizer.kind == "pretrained":
        from zoo_models.weights.opening import open_weights
        from zoo_models.weights.tokenizer import read_tokenizer

        spec = zoo_registry.models.get(recipe.model.name)
        tokenizer = read_tokenizer(open_weights(spec, str(recipe.model.weights)).folder)
    else:
        # The sides of a pair share their tokens.
        tokenizer = make_tokenizer(recipe.tokenizer, list(_texts(examples)))
    text = tokenizer.to_str(pretty=True)
    trust(text)
    for name in names:
        write_text(folder / folders.ASSETS / name, text)
    return tokenizer


def _texts(examples: Examples) -> Iterator[str]:
    yield from flat(examples.raws)
    # The sides of a pair share their tokens.
    if getattr(getattr(examples.labels, "dtype", None), "kind", "") == "U":
        yield from examples.labels.tolist()


def make_sources(
    recipe: Recipe, task: str, examples: dict[str, Examples], folder: Path, model: Any
) -> tuple[dict[str, ArraySource], dict[str, int]]:
    """Return prepared examples by part, and how many texts or audio clips of each were truncated.

    Args:
        recipe: Its preprocessing is applied.
        task: The model's head.
        examples: By part.
        folder: Of the run, with the assets.
        model: It must take what is made.

    Raises:
        UsageError: Other inputs or shapes than the model takes.
    """
    from zoo_runtime.preprocess import Preprocessor

    wanted = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    preprocessor = Preprocessor(recipe.preprocessing, folder / folders.ASSETS, list(wanted))
    sources = {
        part: make_source(found, preprocessor, task, recipe) for part, found in examples.items()
    }
    made = {name: array.shape[1:] for name, array in sources["train"].take([0])[0].items()}
    if not fit(made, wanted):
        raise UsageError(
            f"Recipe '{recipe.name}': preprocessing makes {_inputs(made, wanted)}, "
            f"but model '{recipe.model.name}' takes {_inputs(wanted, made)}."
        )
    # A language model is given all of a text, window by window.
    return sources, {} if task in UNLABELLED else count_truncated(recipe, preprocessor, examples)


def _inputs(shapes: Shapes, others: Shapes) -> str:
    # Shapes are of interest only where the names agree.
    with_shapes = set(shapes) == set(others)
    return ", ".join(f"{n} {shapes[n]}" if with_shapes else n for n in sorted(shapes))


def held_out_rows(test: ArraySource) -> Any:
    """Return the indices of the test examples that a run saves for its exports: the first ones."""
    row_bytes = sum(array.nbytes for array in test.take(np.arange(1))[0].values())
    count = max(NUM_EXAMPLES, min(MAX_EXAMPLES, MAX_EXAMPLE_BYTES // row_bytes))
    return np.arange(min(count, len(test)))


def typical_rows(source: ArraySource) -> Any:
    """Return the indices of examples, evenly over the classes or, without them, over the split."""
    targets = source.targets
    by_class = np.arange(len(source))
    if are_classes(targets):
        by_class = np.argsort(targets, kind="stable")
    count = min(NUM_CALIBRATION, len(source))
    return np.sort(by_class[np.linspace(0, len(source) - 1, count).astype(int)])


def save_rows(source: ArraySource, indices: Any, path: Path) -> None:
    """Write some examples: inputs as ``x/NAME``, targets as ``y``, or as ``y/NAME`` if several."""
    inputs, targets = source.take(indices)
    if isinstance(source, Scenes):
        targets = {}  # maps are larger than images, and no export reads them
    arrays = {f"x/{name}": array for name, array in inputs.items()}
    several = targets if isinstance(targets, dict) else {"": targets}
    right = {f"y/{name}".rstrip("/"): array for name, array in several.items()}
    write(path, lambda part: np.savez_compressed(part, **right, **arrays))
