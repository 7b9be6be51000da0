"""Which recipes fit custom data, the best first: by size, colours, length, language and amount."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zoo_registry
from zoo_recipes.custom_data.arrays import ARRAYS, SEVERAL
from zoo_recipes.custom_data.audio import FILE
from zoo_recipes.custom_data.choosing import learned, recipes_for
from zoo_recipes.custom_data.content import Content
from zoo_registry import UsageError
from zoo_registry.specs import is_regression

# Of the side of an image in pixels: recipes that see less than half of the smaller ones of both
# make something else of it.
SMALL_SIDE = 48
# Characters of a token, of a tokenizer that was made from such texts.
LATIN, OTHER, IDEOGRAPHS = 4.2, 3.0, 1.0
# More of the letters than that are not of the Latin alphabet, or not English.
FOREIGN = 0.3
# Parameters that an example teaches, very roughly: with fewer examples, larger models only
# remember them.
TAUGHT = 20
# More examples than that teach all weights of a model from elsewhere better than its head alone.
ENOUGH_FOR_ALL = 200
# So many texts teach a language that a model has not seen before.
ENOUGH_TEXTS = 20_000
ENGLISH = {"the", "a", "of", "and", "to", "in", "is", "it", "was", "for", "that", "on", "with"}
# What no other recipe may fit better than.
UNFIT = 100.0
# Audio clips whose rate is looked at.
SAMPLED = 20


def recipes_that_take(content: Content) -> list[str]:
    """Return the recipes that train on data as they are, those that fit them best first.

    A recipe does not fit that makes coloured images grey or sees next to nothing of them, that
    cuts most texts while another does not, or whose weights know another language.

    Args:
        content: What was read.
    """
    if not content.examples:
        return recipes_for(content.kind)
    known = {name: zoo_registry.recipes.peek(name) for name in recipes_for(content.kind)}
    taking = {name: recipe for name, recipe in known.items() if _takes_arrays(recipe, content)}
    costs = {name: _cost(recipe, content) for name, recipe in taking.items()}
    ranked = sorted((name for name in costs if costs[name] < math.inf), key=costs.__getitem__)
    fitting = [name for name in ranked if costs[name] < UNFIT]
    return fitting or ranked


def _cost(recipe: Any, content: Content) -> float:
    """Return what a recipe loses of data, and what it wastes on them; 0 where it fits exactly."""
    steps = {step.get("step"): step for step in recipe.preprocessing}
    cost = _too_large(recipe, 0 if "tokenize" in steps else len(content.examples))
    if "image" in steps:
        cost += _cost_of_images(steps["image"], content)
    # A language model reads all of a text, window by window.
    if "tokenize" in steps and content.kind.label is not None:
        cost += _cost_of_texts(recipe, steps["tokenize"], content)
    if "audio" in steps:
        cost += _cost_of_audio(steps["audio"], content)
    # Data with classes are there to be classified.
    is_beside = recipe.contrastive is not None or learned(recipe) == "causal-lm"
    if is_beside and content.kind.label is not None and learned(recipe) != content.kind.tasks[0]:
        cost += UNFIT / 2
    return cost


def _too_large(recipe: Any, count: int) -> float:
    """Return how far a model is too large to be trained on so few examples, or in little time.

    Args:
        recipe: Models whose weights come from elsewhere need few examples.
        count: Of examples; 0 where what they teach is another matter.
    """
    spec = zoo_registry.models.get(recipe.model.name)
    known = max(spec.num_params or 0, 1)
    size = 0.2 * max(0.0, math.log10(known / 1e6))
    if not count:
        return size
    if recipe.model.weights is not None:
        is_head = recipe.model.trainable == "head"
        return size + (0.3 if is_head is (count > ENOUGH_FOR_ALL) else 0.0)
    if {"hidden_dims", "filters", "num_layers"} & set(recipe.model.overrides):
        return 0.0  # the recipe has another size than its model, and a small one
    few_steps = 4.0 if recipe.fit.batch_size > count / 4 else 0.0
    return 2 * max(0.0, math.log10(known / (TAUGHT * count))) + few_steps


@dataclass(frozen=True)
class _Images:
    """Side of the middle one, in pixels, and whether there are colours."""

    side: float
    coloured: bool


def _images(content: Content) -> _Images:
    sizes = [example.size for example in content.examples]
    if content.kind in (ARRAYS, SEVERAL):
        shape = content.features["x"].shape
        return _Images(math.sqrt(shape[0] * shape[1]), len(shape) == 3 and shape[2] > 1)
    sides = [math.sqrt(size[0] * size[1]) for size in sizes]
    return _Images(statistics.median(sides), content.features["image"].shape[-1] == 3)


def _cost_of_images(step: Any, content: Content) -> float:
    found = _images(content)
    side = math.sqrt(math.prod(step["size"]))
    if found.coloured and step.get("channels", 3) == 1:
        return math.inf
    if side < min(found.side, SMALL_SIDE) / 2:
        return math.inf
    change = math.log2(found.side / side)
    grey_as_coloured = 0.5 if not found.coloured and step.get("channels", 3) == 3 else 0.0
    # What is enlarged much costs time and says nothing more.
    return float(2 * change if change > 0 else change**2 / 2) + grey_as_coloured


def _cost_of_texts(recipe: Any, step: Any, content: Content) -> float:
    texts = [_text(content, example) for example in _some(content)]
    tokens = [_tokens(recipe, text) for text in texts]
    length = int(step["length"])
    lost = sum(max(0.0, 1 - length / count) for count in tokens if count) / len(tokens)
    cut = sum(count > length for count in tokens) / len(tokens)
    longest = sorted(tokens)[int(0.95 * (len(tokens) - 1))]
    cost = 6 * lost + 0.5 * max(0.0, math.log2(length / max(longest, 1)))
    cost += _strange(recipe, texts, len(content.examples))
    return float(cost) + (UNFIT if cut > 0.5 else 0.0)


def _strange(recipe: Any, texts: Sequence[str], count: int) -> float:
    """Return how far a recipe does not know the language of texts, or has to learn it of few."""
    if recipe.model.weights is None:
        return float(2 * max(0.0, math.log10(ENOUGH_TEXTS / count)))
    letters = [c for text in texts for c in text if c.isalpha()]
    foreign = sum(not c.isascii() for c in letters)
    if foreign > FOREIGN * len(letters):
        return UNFIT
    # The weights that recipes start from know English.
    words = [word for text in texts for word in text.lower().split()]
    return 0.0 if sum(word in ENGLISH for word in words) > len(words) / 20 else UNFIT / 2


def _tokens(recipe: Any, text: str) -> float:
    tokenizer = recipe.tokenizer
    if tokenizer is not None and tokenizer.kind == "char":
        return len(text)
    if is_ideographic(text):
        return float(len(text) / IDEOGRAPHS)
    return len(text) / (LATIN if text.isascii() else OTHER)


def is_ideographic(text: str) -> bool:
    """Return whether most of a text is written without spaces: Chinese, Japanese or Thai.

    Example:
        >>> is_ideographic("今天天气很好"), is_ideographic("a fine day")
        (True, False)
    """
    wide = sum("\u0e00" <= c <= "\u0e7f" or "\u3040" <= c <= "\u9fff" for c in text)
    return wide > len(text) / 2


def _text(content: Content, example: Any) -> str:
    names = content.kind.input
    found = [example.values[name] for name in ((names,) if isinstance(names, str) else names)]
    return " ".join(" ".join(value) if isinstance(value, list) else str(value) for value in found)


def _some(content: Content) -> Sequence[Any]:
    # A thousand of them tell how long the others are.
    return content.examples[:: max(1, len(content.examples) // 1000)]


def _cost_of_audio(step: Any, content: Content) -> float:
    from zoo_runtime.preprocess.audio import read_audio

    count = len(content.examples)
    few = random.Random(0).sample(list(content.examples), min(SAMPLED, count))
    rates = [read_audio(example.values["audio"]()[FILE])[1] for example in few]
    change = math.log2(statistics.median(rates) / step["sample_rate"])
    seconds = step["length"] / step["sample_rate"]
    lost = sum(max(0.0, 1 - seconds / max(e.size[0], 1e-9)) for e in content.examples)
    return float((2 * change if change > 0 else -change) + 6 * lost / len(content.examples))


def _takes_arrays(recipe: Any, content: Content) -> bool:
    """Return whether a recipe takes the shape and the targets of arrays, or data that are none.

    Arrays may be images, or rows of as many numbers as a recipe says, and have classes or not.
    """
    if content.kind not in (ARRAYS, SEVERAL):
        return True
    shape, target = content.features["x"].shape, content.features[str(content.kind.label)]
    # Several classes are a sequence of them.
    classes = getattr(getattr(target, "feature", target), "num_classes", 0)
    if is_regression(learned(recipe)):
        fits = not classes and target.shape == ()
    else:
        # One logit separates two classes; where nothing is set, there are as many as classes.
        fits = 0 < classes <= max(recipe.model.overrides.get("num_classes", classes), 2)
    if not fits:
        return False
    if _reads(recipe, "image"):
        return _are_images([example.values["x"] for example in content.examples])
    return _reads(recipe, "array", shape)


def _are_images(arrays: Sequence[Any]) -> bool:
    from zoo_runtime.preprocess.pixels import as_pillow, is_white_1

    try:
        for array in arrays:
            as_pillow(array)
    except UsageError:
        return False
    return not is_white_1(arrays)


def _reads(recipe: Any, step: str, shape: Sequence[int] | None = None) -> bool:
    """Return whether a recipe's preprocessing begins with a step, of a shape where one is given."""
    first = recipe.preprocessing[0] if recipe.preprocessing else {}
    return first.get("step") == step and shape in (None, tuple(first.get("shape", ())))
