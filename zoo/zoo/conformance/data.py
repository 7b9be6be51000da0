"""What data sets and recipes promise: data are prepared and read, recipes trained for two steps."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import zoo_registry
from zoo.conformance.checks import Check, FaultError
from zoo_recipes.datasets.catalog import DatasetSpec
from zoo_recipes.datasets.loading import check_builder
from zoo_recipes.recipe import Recipe
from zoo_registry.trial import one_line
from zoo_system.quiet import quiet_logger

# Examples of each split that are prepared, and those of them that are compared.
PREPARED, COMPARED = 256, 16
STEPS, BATCH = 2, 16
DUMMY = "dummy_data"
_CATALOG = "tensorflow.org/datasets/catalog"
LAZY_DATASET = (
    "let it name a DatasetSpec whose builder is the text 'package.module:Class', in a module "
    "that does not import tensorflow-datasets."
)
LAZY_RECIPE = "let it name the path of the TOML file, in a module that imports nothing else."


@dataclass
class DatasetSubject:
    """A data set that is examined.

    Args:
        spec: The data set.
        work: A folder for what is prepared.
    """

    spec: DatasetSpec
    work: Path

    @cached_property
    def builder(self) -> Any:
        """Its builder, with a few examples of each split prepared."""
        return prepared(self.spec, self.work / "first")


def prepared(spec: DatasetSpec, folder: Path) -> Any:
    """Return the builder of a data set once a few examples of each split are prepared.

    What it would download is taken from the folder ``dummy_data`` beside its module, as in the
    tests of tensorflow-datasets.
    """
    import tensorflow_datasets as tfds

    builder = spec.load_builder()(data_dir=folder)
    settings = tfds.download.DownloadConfig(max_examples_per_split=PREPARED)
    tfds.disable_progress_bar()
    try:
        with _downloads_replaced(spec), redirect_stdout(StringIO()), quiet_logger("absl"):
            builder.download_and_prepare(download_config=settings)
    finally:
        tfds.enable_progress_bar()
    return builder


@contextmanager
def _downloads_replaced(spec: DatasetSpec) -> Iterator[None]:
    import tensorflow_datasets as tfds

    folder = Path(inspect.getfile(spec.load_builder())).parent / DUMMY

    def local(manager: Any, asked: Any) -> Any:
        if isinstance(asked, Mapping):
            return {key: local(manager, value) for key, value in asked.items()}
        if isinstance(asked, (list, tuple)):
            return [local(manager, value) for value in asked]
        if not folder.is_dir():
            raise FaultError(
                f"Dataset '{spec.name}' downloads {asked}: put a few examples of the same form "
                f"into '{folder}', from which it is prepared here."
            )
        named = folder / str(asked).rpartition("/")[2]
        return named if named.exists() else folder

    with ExitStack() as stack:
        for way in ("download", "extract", "download_and_extract"):
            stack.enter_context(mock.patch.object(tfds.download.DownloadManager, way, local))
        yield


def _data_license(subject: DatasetSubject) -> str:
    if not subject.spec.license.strip():
        raise FaultError(
            f"Dataset '{subject.spec.name}' states no licence: let its entry point be a "
            "DatasetSpec with license='CC-BY-4.0', or whichever the data are under."
        )
    return subject.spec.license


def _data_documentation(subject: DatasetSubject) -> str:
    if not subject.spec.summary.strip():
        raise FaultError(
            f"Dataset '{subject.spec.name}' has no summary: set it in the DatasetSpec to one line "
            "with the number of examples and what each is."
        )
    return subject.spec.summary


def _data_build(subject: DatasetSubject) -> str:
    check_builder(subject.spec)
    return str(subject.spec.load_builder().__name__)


def _data_source(subject: DatasetSubject) -> str:
    info = subject.spec.load_builder()(data_dir=subject.work / "unprepared").info
    said = (str(text or "") for text in (info.homepage, info.citation))
    # Where a builder says none, tensorflow-datasets gives the page of its own catalog.
    found = next((text for text in said if text and _CATALOG not in text), "")
    if not found:
        raise FaultError(
            f"Dataset '{subject.spec.name}' does not say where its data come from: give "
            "homepage='https://...' or citation='...' to the DatasetInfo in _info."
        )
    return found.strip().partition("\n")[0]


def _prepare(subject: DatasetSubject) -> str:
    name = subject.spec.name
    try:
        splits = subject.builder.info.splits
    except FaultError:
        raise
    except Exception as error:
        raise FaultError(
            f"Dataset '{name}' cannot be prepared: {one_line(error)} Correct _split_generators "
            "and _generate_examples, or what _info says of the examples."
        ) from error
    if "train" not in splits:
        raise FaultError(
            f"Dataset '{name}' has no split 'train', which recipes train on: it has "
            f"{', '.join(splits)}. Rename it in _split_generators."
        )
    return ", ".join(f"{split.num_examples} of {name}" for name, split in splits.items())


def _read(subject: DatasetSubject) -> str:
    import numpy as np

    seen = []
    for split, examples in _some(subject.builder).items():
        for example in examples:
            for name, value in example.items():
                is_float = getattr(getattr(value, "dtype", None), "kind", "") == "f"
                if is_float and not np.isfinite(value).all():
                    raise FaultError(
                        f"Feature '{name}' of split '{split}' holds NaN or infinite values: "
                        "leave such examples out in _generate_examples."
                    )
        seen.append(f"{len(examples)} of {split}")
    labels = [f for f in subject.builder.info.features.values() if hasattr(f, "num_classes")]
    if any(label.num_classes is not None and label.num_classes < 2 for label in labels):
        raise FaultError("A label of fewer than two classes says nothing: correct _info.")
    return ", ".join(seen)


def _data_determinism(subject: DatasetSubject) -> str:
    import keras

    again = prepared(subject.spec, subject.work / "second")
    first, second = _some(subject.builder), _some(again)
    for split, examples in first.items():
        for one, other in zip(examples, second.get(split, []), strict=True):
            same = keras.tree.map_structure(_equal_values, one, other)
            if not all(keras.tree.flatten(same)):
                raise FaultError(
                    f"Prepared twice, dataset '{subject.spec.name}' has other examples in split "
                    f"'{split}': draw with numpy.random.default_rng(0), and sort what a folder "
                    "or a set lists."
                )
    return f"the same {', '.join(first)} twice"


def _equal_values(one: Any, other: Any) -> bool:
    import numpy as np

    return np.array_equal(one, other)


def _some(builder: Any) -> dict[str, list[Any]]:
    """Return the first examples of each split, decoded."""
    import tensorflow_datasets as tfds

    return {
        split: list(tfds.as_numpy(builder.as_dataset(split=split).take(COMPARED)))
        for split in builder.info.splits
    }


DATASET_CHECKS = (
    Check("license", _data_license),
    Check("documentation", _data_documentation),
    Check("build", _data_build),
    Check("source", _data_source, ("build",)),
    Check("prepare", _prepare, ("build",)),
    Check("read", _read, ("prepare",)),
    Check("determinism", _data_determinism, ("read",)),
)


@dataclass
class RecipeSubject:
    """A recipe that is examined, or a tracker that follows one.

    Args:
        recipe: The recipe.
        work: A folder for data and runs.
    """

    recipe: Recipe
    work: Path
    metrics: Mapping[str, float] = field(default_factory=dict, init=False)


def two_steps(recipe: Recipe, work: Path, trackers: Sequence[str] = ()) -> Any:
    """Train a recipe for two steps on a few examples and return the run."""
    from zoo_recipes.datasets.loading import open_dataset
    from zoo_recipes.training.training import train

    name, data = recipe.dataset.name, None
    if name in zoo_registry.datasets:
        data = work / "data"
        prepared(zoo_registry.datasets.get(name), data)
    builder = open_dataset(name, data_dir=data, **recipe.dataset.reading)
    batch = min(recipe.fit.batch_size, BATCH)
    splits: dict[str, Any] = {
        part: _cut(builder, split, STEPS * batch)
        for part in ("train", "validation", "test")
        if (split := getattr(recipe.dataset, part)) is not None
    }
    short = replace(
        recipe,
        dataset=replace(recipe.dataset, **splits),
        fit=replace(recipe.fit, epochs=1, batch_size=batch),
    )
    return train(short, out=work / "run", data_dir=data, verbose=False, trackers=trackers)


def _cut(builder: Any, split: str, most: int) -> str:
    """Return the beginning of a split as a split."""
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    read = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    first = read[0] if isinstance(read, (list, tuple)) else read
    start = first.from_ or 0
    end = first.to if first.to is not None else splits[first.splitname].num_examples
    return f"{first.splitname}[{start}:{min(end, start + most)}]"


def _recipe_license(subject: RecipeSubject) -> str:
    if not subject.recipe.license.strip():
        raise FaultError(
            f"Recipe '{subject.recipe.name}' states no licence: write license = \"CC-BY-4.0\", or "
            "whichever the data and so the trained weights are under."
        )
    return subject.recipe.license


def _recipe_documentation(subject: RecipeSubject) -> str:
    if not subject.recipe.summary.strip():
        raise FaultError(f"Write summary = \"...\" into recipe '{subject.recipe.name}': one line.")
    return subject.recipe.summary


def _recipe_parts(subject: RecipeSubject) -> str:
    from zoo_recipes.custom_data.files import is_path

    recipe = subject.recipe
    if is_path(recipe.dataset.name):
        raise FaultError(
            f"Recipe '{recipe.name}' trains on the path '{recipe.dataset.name}', which others do "
            "not have: register a data set, and name that."
        )
    return f"{recipe.model.name} on {recipe.dataset.name}"


def _recipe_training(subject: RecipeSubject) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how little is trained on here
        run = two_steps(subject.recipe, subject.work)
    subject.metrics = run.info["metrics"]
    losses = {name: value for name, value in subject.metrics.items() if "loss" in name}
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise FaultError(
            f"After two steps {wrong[0]} is {losses[wrong[0]]}: lower compile.optimizer."
            "learning_rate, or scale the inputs in [[preprocessing]]."
        )
    return ", ".join(f"{name} {value:.3g}" for name, value in list(subject.metrics.items())[:3])


def _recipe_metric(subject: RecipeSubject) -> str:
    expected = subject.recipe.expected
    if expected is None:
        return "not declared"
    if expected.metric not in subject.metrics:
        raise FaultError(
            f"Recipe '{subject.recipe.name}' expects '{expected.metric}', which its training does "
            f"not measure: it has {', '.join(subject.metrics)}."
        )
    return expected.metric


RECIPE_CHECKS = (
    Check("license", _recipe_license),
    Check("documentation", _recipe_documentation),
    Check("parts", _recipe_parts),
    Check("train", _recipe_training, ("parts",)),
    Check("metric", _recipe_metric, ("train",)),
)
