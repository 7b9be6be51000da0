"""Recipes on data sets that are not available here, on mocked examples; the page of all recipes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow_datasets as tfds

import zoo_registry
from zoo_models.saved import fed
from zoo_recipes.catalog import RECIPES
from zoo_recipes.compiling.components import compile_arguments
from zoo_recipes.configs import TokenizerConfig
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.document import PAGE, page
from zoo_recipes.tasks.objectives import label_feature, make_assets
from zoo_recipes.training.checks import check_targets
from zoo_recipes.training.execution import make_run_tokenizer, make_sources, read_examples
from zoo_recipes.training.fitting import build
from zoo_recipes.training.recording import data_info

# Small enough to be tried in a second or two; what they do is the same.
SMALL = {
    # TensorFlow crashes in the gradient of a 1x1 convolution of 8 channels with a stride (oneDNN).
    "centernet-resnet18": {
        "backbone_sizes": {"num_blocks": [1] * 4, "bottleneck": False, "filters": [16] * 4}
    },
    "resnet20": {"depth": 8},
    "resnet56": {"depth": 8},
    "resnet50": {"num_blocks": [1, 1, 1, 1]},
    "vit-small-patch16-224": {"num_layers": 1, "hidden_dim": 32, "num_heads": 2},
}
SMALL_TEXT = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2}
BOX = [0.1, 0.2, 0.6, 0.7]
WORDS = ["in", "the", "old", "town", "they", "say", "that", "nobody", "knows", "who", "built"]
# The hub's own data sets need its library and the network, to name their features even: others with
# the same ones stand in for them.
LIKE = {"huggingface:wikitext/wikitext-103-raw-v1": "wiki40b/en"}
NAMES = [
    name
    for name in RECIPES
    if zoo_registry.recipes.get(name).dataset.name not in zoo_registry.datasets
]


def small(recipe):
    name = recipe.model.name
    overrides = dict(recipe.model.overrides) | SMALL.get(name, {})
    if recipe.tokenizer:
        known = SMALL_TEXT if "lstm" not in name else {}
        overrides = {k: v for k, v in overrides.items() if k != "vocab_size"} | known
    tokenizer = recipe.tokenizer
    if tokenizer:
        kind = "wordpiece" if tokenizer.kind == "pretrained" else tokenizer.kind
        tokenizer = TokenizerConfig(kind=kind, vocab_size=300)
    model = replace(recipe.model, weights=None, overrides=overrides)
    return replace(recipe, model=model, tokenizer=tokenizer)


def noise(feature, rng):
    """Return the pixels of a picture, or the samples of a sound, at random."""
    if isinstance(feature, tfds.features.Audio):
        return rng.integers(-(2**15), 2**15, 15_000)
    return rng.integers(256, size=[size or 40 for size in feature.shape]).astype("uint8")


def examples():
    """Texts of words, where the mocked ones would be letters by chance."""
    rng = np.random.default_rng(0)

    def text(count=150):
        return " ".join(rng.choice(WORDS, count))

    def value(name, feature):
        if isinstance(feature, tfds.features.Text):
            return text()
        if isinstance(feature, tfds.features.ClassLabel):
            return int(rng.integers(feature.num_classes))
        if name == "answers":
            return {"text": ["nobody"], "answer_start": [0]}
        if name == "objects":
            parts = feature.feature.items()
            return {key: [BOX] if key == "bbox" else [value(key, part)] for key, part in parts}
        if isinstance(feature, tfds.features.Sequence):
            return [value(name, feature.feature) if name != "tokens" else "old" for _ in range(9)]
        if isinstance(feature, tfds.features.Image | tfds.features.Audio):
            return noise(feature, rng)
        return "0" if feature.get_tensor_spec().dtype == "string" else 0

    def as_dataset(self, *_, **__):
        import tensorflow as tf

        rows = [
            {name: value(name, feature) for name, feature in self.info.features.items()}
            for _ in range(5)
        ]
        return tf.data.Dataset.from_generator(
            lambda: iter(rows), output_signature=self.info.features.get_tensor_spec()
        )

    return as_dataset


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_step_on_examples_of_the_same_features(name, tmp_path):
    recipe = small(zoo_registry.recipes.get(name))
    spec = zoo_registry.models.get(recipe.model.name)
    task = recipe.model.task or spec.tasks[0]
    label = label_feature(recipe, task)
    (tmp_path / "assets").mkdir()
    with tfds.testing.mock_data(num_examples=5, as_dataset_fn=examples()):
        name = recipe.dataset.name
        builder = open_dataset(LIKE.get(name, name), data_dir=tmp_path, download=True)
        found = read_examples(recipe, builder, label)
    labels, _ = data_info(recipe, builder, label, found)
    tokenizer = make_run_tokenizer(recipe, found["train"], tmp_path)
    model = build(recipe, task, labels, tokenizer, make_assets(recipe, found["train"], tmp_path))
    sources, _ = make_sources(recipe, task, found, tmp_path, model)
    check_targets(recipe, model, sources)
    arguments = compile_arguments(recipe.compile, 100, model.output_names)
    model.compile(**arguments, run_eagerly=True)
    inputs, targets = sources["train"].take(np.arange(2))
    results = model.train_on_batch(fed(model, inputs), targets, return_dict=True)
    assert math.isfinite(results["loss"])
    assert results["loss"] > 0
    if labels:
        assert model.outputs[0].shape[-1] == len(labels)
    if recipe.expected:
        known = {*results, "f1", "bits_per_character", "rmse"}
        assert recipe.expected.metric in known


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m zoo_recipes.document"
