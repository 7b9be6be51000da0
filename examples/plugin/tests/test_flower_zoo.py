"""What the plugin promises, held against the installed package."""

import math

import zoo
from zoo_registry import datasets, models, recipes


def test_names_come_from_this_package() -> None:
    assert models.origin("gated-mlp").distribution == "flower-zoo"
    assert "iris_flowers" in datasets.names()
    assert "iris-gated-mlp" in recipes.names()


def test_the_model_is_what_its_spec_says() -> None:
    spec = zoo.describe("gated-mlp")
    model = zoo.get_model("gated-mlp")
    assert sum(math.prod(w.shape) for w in model.trainable_variables) == spec.num_params
    assert [tensor.name for tensor in model.inputs] == [tensor.name for tensor in spec.inputs]
    assert zoo.get_model("gated-mlp", num_classes=5).output_shape == (None, 5)


def test_the_recipe_keeps_its_promise(tmp_path) -> None:
    recipe = recipes.get("iris-gated-mlp")
    run = zoo.train(recipe, out=tmp_path / "run", data_dir=tmp_path / "data", verbose=False)
    accuracy = run.info["metrics"]["accuracy"]
    assert abs(accuracy - recipe.expected.value) <= recipe.expected.tolerance
