"""From a recipe's data to what its model takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_recipes.arrays.shapes import Shapes, fit
from zoo_recipes.arrays.sources import Source
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import asset_of
from zoo_recipes.tasks.objectives import UNLABELLED, make_source
from zoo_recipes.training.checks import count_cut
from zoo_registry import UsageError
from zoo_runtime.tokenizing import open_tokenizer, trust
from zoo_system import folders
from zoo_system.durable import write_text


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


def _flat(raws: Sequence[Any]) -> Iterator[Any]:
    for raw in raws:
        yield from raw if isinstance(raw, tuple) else (raw,)


def _texts(examples: Examples) -> Iterator[str]:
    yield from _flat(examples.raws)
    # The sides of a pair share their tokens.
    if getattr(getattr(examples.labels, "dtype", None), "kind", "") == "U":
        yield from examples.labels.tolist()


def make_sources(
    recipe: Recipe, task: str, examples: dict[str, Examples], folder: Path, model: Any
) -> tuple[dict[str, Source], dict[str, int]]:
    """Return prepared examples by part, and how many texts or sounds of each were cut.

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
            f"Recipe '{recipe.name}': preprocessing makes {_listed(made, wanted)}, "
            f"but model '{recipe.model.name}' takes {_listed(wanted, made)}."
        )
    # A language model is given all of a text, window by window.
    return sources, {} if task in UNLABELLED else count_cut(recipe, preprocessor, examples)


def _listed(shapes: Shapes, others: Shapes) -> str:
    # Shapes are of interest only where the names agree.
    with_shapes = set(shapes) == set(others)
    return ", ".join(f"{n} {shapes[n]}" if with_shapes else n for n in sorted(shapes))
