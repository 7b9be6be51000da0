"""From a recipe to a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_recipes.configs import BadRecords
from zoo_recipes.datasets.loading import Examples, open_dataset, read_split
from zoo_recipes.evaluation import label_feature, make_source, measure
from zoo_recipes.own_data.choosing import on_own_data
from zoo_recipes.own_data.preparing import show_own_data
from zoo_recipes.provenance import data_info, first_info, now
from zoo_recipes.recipe import Recipe, as_recipe
from zoo_recipes.run import (
    HISTORY,
    INFO,
    MODEL,
    Run,
    check_free,
    load_run,
    new_folder,
    write,
    write_json,
)
from zoo_recipes.sources import Rows, Source
from zoo_registry import UsageError
from zoo_registry.build import check_overrides, open_weights, read_tokenizer

Shapes = Mapping[str, tuple[int | None, ...]]
# 256 answers cannot show a drop of half a percent and 1,024 can: as many as stay small.
NUM_EXAMPLES, MAX_EXAMPLES = 256, 1024
MAX_EXAMPLE_BYTES = 8_000_000
NUM_CALIBRATION = 128


def train(
    recipe: str | Path | Recipe,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    force: bool = False,
    data_dir: str | Path | None = None,
    download: bool = False,
    verbose: bool = True,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    on_bad_record: BadRecords | None = None,
) -> Run:
    """Train a recipe's model and leave all that came of it in a folder.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        out: The folder; ``runs/<recipe>`` by default.
        seed: In place of the recipe's.
        force: Whether a run that is there is replaced.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether a dataset that is not prepared may be downloaded.
        verbose: Whether progress is shown.
        data: Own data, a file or a folder, in place of the recipe's.
        columns: Of own data: role to column, such as ``{"text": "review"}``.
        on_bad_record: Of own data: ``error``, or ``report`` to leave bad records out.

    Returns:
        The complete run. A training that is interrupted or fails leaves a run that says so.

    Raises:
        UsageError: A recipe that cannot work, or a folder that is there already.
        ZooError: Data that cannot be had, a loss that is no number, a disk that is full.
    """
    recipe = on_own_data(resolve_recipe(recipe), data, columns=columns, on_bad_record=on_bad_record)
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    spec = zoo_registry.models.get(recipe.model.name)
    task = recipe.model.task or (spec.tasks[0] if spec.tasks else "")
    folder = Path(out) if out is not None else Path("runs") / recipe.name
    # What cannot work is refused before anything is written, or replaced.
    check_free(folder, force=force)
    check_overrides(spec, recipe.model.overrides)
    if recipe.model.weights is not None:
        open_weights(spec, recipe.model.weights)
    builder = open_dataset(
        recipe.dataset.name, **recipe.dataset.reading, data_dir=data_dir, download=download
    )
    if verbose:
        show_own_data(builder)
    new_folder(folder)
    info = first_info(recipe, task)
    write_json(folder / INFO, info)
    write(folder / "recipe.toml", lambda path: path.write_text(recipe.to_toml(), encoding="utf-8"))
    try:
        _train(recipe, builder, folder, info, verbose=verbose)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        info["status"] = "interrupted" if stopped else "failed"
        info["error"] = None if stopped else f"{type(error).__name__}: {error}"
        info["finished"] = now()
        write_json(folder / INFO, info)
        raise
    return load_run(folder)


def resolve_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Return the recipe that a registered name, a path ending in ``.toml`` or a recipe means."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Path) or recipe.endswith(".toml"):
        return as_recipe(Path(recipe), Path(recipe).stem)
    registered: Recipe = zoo_registry.recipes.get(recipe)
    return registered


def _train(
    recipe: Recipe, builder: Any, folder: Path, info: dict[str, Any], *, verbose: bool
) -> None:
    from zoo_recipes.augmentation import text_marks
    from zoo_recipes.fitting import build, fit, model_info, save_model

    task = info["task"]
    label = label_feature(recipe, task)
    examples = _read(recipe, builder, label)
    info |= data_info(recipe, builder, label, examples)
    tokenizer = _make_tokenizer(recipe, examples["train"], folder)
    model = build(recipe, task, info["labels"], tokenizer)
    sources = _sources(recipe, task, examples, folder, model)
    info["model"] = model_info(recipe, model)
    write_json(folder / INFO, info)
    history: dict[str, list[float]] = {}
    try:
        fit(model, recipe, sources, history, marks=text_marks(tokenizer), verbose=verbose)
    finally:
        write_json(folder / HISTORY, history)
    info["metrics"] = measure(model, recipe, sources["test"])
    write(folder / MODEL, lambda path: save_model(model, path))
    _save_rows(sources["test"], held_out_rows(sources["test"]), folder / "examples.npz")
    _save_rows(sources["train"], _typical(sources["train"]), folder / "calibration.npz")
    _save_curves(recipe, history, info, folder)
    info |= {"status": "complete", "finished": now()}
    write_json(folder / INFO, info)


def _read(recipe: Recipe, builder: Any, label: str | None) -> dict[str, Examples]:
    dataset = recipe.dataset
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        part: read_split(
            builder, split, input=dataset.input, label=label, steps=recipe.preprocessing
        )
        for part, split in splits.items()
        if split is not None
    }


def _make_tokenizer(recipe: Recipe, examples: Examples, folder: Path) -> Any:
    from zoo_recipes.vocabulary import make_tokenizer

    if recipe.tokenizer is None:
        return None
    if recipe.tokenizer.kind == "pretrained":
        spec = zoo_registry.models.get(recipe.model.name)
        tokenizer = read_tokenizer(spec, str(recipe.model.weights))
    else:
        # The sides of a pair share their tokens.
        is_pairs = examples.labels is not None and examples.labels.dtype.kind == "U"
        targets = examples.labels.tolist() if is_pairs else []
        tokenizer = make_tokenizer(recipe.tokenizer, [*examples.raws, *targets])
    text = tokenizer.to_str(pretty=True)
    names = {step["tokenizer"] for step in recipe.preprocessing if "tokenizer" in step}
    for name in names or {"tokenizer.json"}:
        write(folder / "assets" / name, lambda path: path.write_text(text, encoding="utf-8"))
    return tokenizer


def _sources(
    recipe: Recipe, task: str, examples: dict[str, Examples], folder: Path, model: Any
) -> dict[str, Source]:
    from zoo_export.preprocess import Preprocessor

    wanted = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    preprocessor = Preprocessor(recipe.preprocessing, folder / "assets", list(wanted))
    sources = {
        part: make_source(found, preprocessor, task, recipe.dataset.target_length)
        for part, found in examples.items()
    }
    made = {name: array.shape[1:] for name, array in sources["train"].take([0])[0].items()}
    if not _fits(made, wanted):
        raise UsageError(
            f"Recipe '{recipe.name}': preprocessing makes {_listed(made, wanted)}, "
            f"but model '{recipe.model.name}' takes {_listed(wanted, made)}."
        )
    return sources


def _fits(made: Shapes, wanted: Shapes) -> bool:
    return set(made) == set(wanted) and all(
        len(made[name]) == len(shape)
        and all(size in (None, got) for got, size in zip(made[name], shape, strict=True))
        for name, shape in wanted.items()
    )


def _listed(shapes: Shapes, others: Shapes) -> str:
    # Shapes are of interest only where the names agree.
    with_shapes = set(shapes) == set(others)
    return ", ".join(f"{n} {shapes[n]}" if with_shapes else n for n in sorted(shapes))


def held_out_rows(test: Source) -> Any:
    """Return the numbers of the test examples that a run keeps for its exports: the first ones."""
    import numpy as np

    row_bytes = sum(array.nbytes for array in test.take(np.arange(1))[0].values())
    count = max(NUM_EXAMPLES, min(MAX_EXAMPLES, MAX_EXAMPLE_BYTES // row_bytes))
    return np.arange(min(count, len(test)))


def _typical(source: Source) -> Any:
    """Return the numbers of examples, evenly over the classes or, without them, over the split."""
    import numpy as np

    targets = source.targets if isinstance(source, Rows) else None
    by_class = np.arange(len(source))
    if targets is not None and targets.ndim == 1 and targets.dtype.kind in "iu":
        by_class = np.argsort(targets, kind="stable")
    count = min(NUM_CALIBRATION, len(source))
    return np.sort(by_class[np.linspace(0, len(source) - 1, count).astype(int)])


def _save_rows(source: Source, numbers: Any, path: Path) -> None:
    import numpy as np

    inputs, targets = source.take(numbers)
    arrays = {f"x/{name}": array for name, array in inputs.items()}
    write(path, lambda part: np.savez_compressed(part, y=targets, **arrays))


def _save_curves(
    recipe: Recipe, history: dict[str, list[float]], info: dict[str, Any], folder: Path
) -> None:
    from zoo_recipes.curves import draw_curves

    results = "  ".join(f"{name} {value:.4f}" for name, value in info["metrics"].items())
    title = f"{recipe.name}, seed {recipe.seed}: test {results}"
    write(folder / "curves.png", lambda path: draw_curves(history, title, path))
