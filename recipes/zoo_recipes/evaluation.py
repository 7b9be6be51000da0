"""Metrics of a model on a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.answers import Answers, answer_metrics
from zoo_recipes.datasets.loading import Examples, open_dataset, read_split
from zoo_recipes.objectives import label_feature, make_source
from zoo_recipes.own_data.choosing import on_own_data
from zoo_recipes.own_data.files import is_path
from zoo_recipes.pairs import Pairs, decoded_metrics
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import Run, load_run
from zoo_recipes.sources import Source, Windows, fed
from zoo_recipes.tagging import Tags, tag_metrics
from zoo_registry import UsageError, ZooError

BATCH_SIZE = 256
# What is known of an output only once it is words again.
MEASURED: tuple[tuple[type, Callable[[Any, Any], dict[str, float]]], ...] = (
    (Pairs, decoded_metrics),
    (Tags, tag_metrics),
    (Answers, answer_metrics),
)


def evaluate(
    run: Run | str | Path,
    *,
    split: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    other_data: bool = False,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Return the metrics of a run's model, computed anew from its folder and the dataset.

    Args:
        run: A run or its folder.
        split: In slicing syntax; the recipe's test split by default.
        data_dir: Where prepared datasets are.
        download: Whether a dataset that is not prepared may be downloaded.
        other_data: Whether data that differ from those of the run are measured all the same.
        data: Other own data than those of the run, or the same in another place.
        columns: Of ``data``, where they are not those of the run.

    Returns:
        Loss and metrics by name; ``bits_per_character`` too for language models.

    Raises:
        UsageError: No complete run, or no such split.
        ZooError: The data are not those that the run was trained and tested with.
    """
    run = run if isinstance(run, Run) else load_run(run)
    recipe = run.recipe
    name = recipe.dataset.name
    if data is not None:
        recipe = on_own_data(recipe, data, columns=columns)
    elif is_path(name) and not Path(name).exists():
        raise UsageError(
            f"There are no data at '{name}': if they are elsewhere now, say where with --data "
            "(data=)."
        )
    dataset = recipe.dataset
    builder = open_dataset(dataset.name, **dataset.reading, data_dir=data_dir, download=download)
    if data is not None:
        _check_labels(run, builder, dataset.label)
    chosen = split or dataset.test
    examples = read_split(
        builder,
        chosen,
        input=dataset.input,
        label=label_feature(recipe, run.info["task"]),
        steps=recipe.preprocessing,
    )
    if data is None and not other_data:
        _check_same(run, chosen, examples.sha256)
    model = run.model()
    given = Given(
        recipe,
        run.info["task"],
        run.info["preprocessing"],
        run.assets,
        [tensor.name for tensor in model.inputs],
    )
    return measure(model, recipe, given.source(examples))


@dataclass(frozen=True)
class Given:
    """What turns the examples of a data set into what a trained model takes.

    Args:
        recipe: The recipe that the model was trained with.
        task: The model's head.
        preprocessing: The recipe's steps.
        assets: Folder with the files that the steps name.
        inputs: Names of the model's inputs.
    """

    recipe: Recipe
    task: str
    preprocessing: Sequence[Mapping[str, Any]]
    assets: Path
    inputs: Sequence[str]

    def source(self, examples: Examples) -> Source:
        """Return examples as the model takes them."""
        from zoo_export.preprocess import Preprocessor

        preprocessor = Preprocessor(self.preprocessing, self.assets, list(self.inputs))
        return make_source(examples, preprocessor, self.task, self.recipe)

    def read(self, dataset: str, split: str | None, **options: Any) -> tuple[dict[str, Any], Any]:
        """Return inputs by name and targets of a data set that has the recipe's features.

        Args:
            dataset: Its name.
            split: In slicing syntax; the recipe's test split by default.
            options: ``data_dir`` and ``download``, as :func:`evaluate` takes them.

        Raises:
            UsageError: No such data set or split, or other features.
        """
        wanted = self.recipe.dataset
        examples = read_split(
            open_dataset(dataset, **wanted.reading, **options),
            split or wanted.test,
            input=wanted.input,
            label=label_feature(self.recipe, self.task),
            steps=self.preprocessing,
        )
        source = self.source(examples)
        # Windows of text are taken by number: a slice would not do.
        return source.take(np.arange(len(source)))


def measure(model: Any, recipe: Recipe, source: Source) -> dict[str, float]:
    """Return loss and metrics of a model on examples.

    Args:
        model: Ends in logits.
        recipe: Names loss and metrics.
        source: The examples.
    """
    from zoo_recipes.components import make_loss, make_metrics, use_xla

    if isinstance(source, Windows):
        return _measure_language(model, source)
    compiled = recipe.compile
    model.compile(
        loss=make_loss(compiled.loss),
        metrics=make_metrics(compiled, model.output_names),
        jit_compile=use_xla(compiled.jit_compile),
    )
    inputs, targets = source.take(np.arange(len(source)))
    results = model.evaluate(
        fed(model, inputs), targets, batch_size=BATCH_SIZE, verbose=0, return_dict=True
    )
    measured = {name: float(value) for name, value in results.items()}
    return measured | next((m(model, source) for k, m in MEASURED if isinstance(source, k)), {})


def _measure_language(model: Any, source: Windows) -> dict[str, float]:
    # Every token of the stream once, the shorter last window too.
    places = np.arange(len(source.stream) - 1)
    nats, hits = 0.0, 0
    for rows in np.array_split(places, range(0, len(places), source.length * 16)[1:]):
        padded = np.resize(rows, (-(-len(rows) // source.length), source.length))
        logits = np.asarray(model(source.stream[padded], training=False), np.float64)
        logits = logits.reshape(-1, logits.shape[-1])[: len(rows)]
        targets = source.stream[rows + 1]
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = logits[np.arange(len(rows)), targets]
        nats += float((np.log(np.exp(logits).sum(axis=-1)) - chosen).sum())
        hits += int((logits.argmax(axis=-1) == targets).sum())
    return {
        "loss": nats / len(places),
        "accuracy": hits / len(places),
        "bits_per_character": nats / math.log(2) / source.characters,
    }


def _check_labels(run: Run, builder: Any, label: str) -> None:
    features = builder.info.features
    names = list(getattr(features[label], "names", None) or []) if label in features else []
    known = run.info["labels"] or []
    if names != known:
        raise UsageError(
            f"The classes of '{builder.info.full_name}' are {', '.join(names) or 'none'}; those of "
            f"run '{run.path}' are {', '.join(known) or 'none'}."
        )


def _check_same(run: Run, split: str, sha256: str) -> None:
    for known in run.info["dataset"]["splits"].values():
        if known["split"] == split and known["sha256"] != sha256:
            raise ZooError(
                f"Split '{split}' of dataset '{run.info['dataset']['name']}' on this machine "
                f"differs from the one that run '{run.path}' had: sha256 {sha256[:12]}, not "
                f"{known['sha256'][:12]}. Another version of the package it is made from, or of "
                "Python, gives other data: --other-data (other_data=True) measures all the same."
            )
