"""Names, specs, plugins and errors of Kerazoo; it imports neither TensorFlow, Keras nor NumPy.

Six registries hold all that has a name. Built-in names come from a data table, those of
plugins from entry points, both through the same look-up; trackers and launchers, ours too, from
entry points alone.
"""

from typing import Any

from zoo_registry.meanings import other_meanings
from zoo_registry.plugins import PluginProblem
from zoo_registry.registry import Registry
from zoo_registry.specs import FunctionSpec, ModelSpec, Origin, TensorSpec, load_target
from zoo_system.errors import (
    DuplicateNameError,
    PluginError,
    UnknownNameError,
    UsageError,
    ZooError,
    closest,
    did_you_mean,
)

__all__ = [
    "REGISTRIES",
    "DuplicateNameError",
    "FunctionSpec",
    "ModelSpec",
    "Origin",
    "PluginError",
    "PluginProblem",
    "Registry",
    "TensorSpec",
    "UnknownNameError",
    "UsageError",
    "ZooError",
    "closest",
    "datasets",
    "did_you_mean",
    "formats",
    "launchers",
    "load_target",
    "meaning_of",
    "models",
    "recipes",
    "trackers",
]

models: Registry[ModelSpec] = Registry(
    "model",
    group="zoo.models",
    catalogs="zoo.catalogs",
    builtin="zoo_models.catalog:MODELS",
    coerce="zoo_registry.specs:as_model_spec",
    verify="zoo_models.build:get_model",
)
recipes: Registry[Any] = Registry(
    "recipe",
    group="zoo.recipes",
    builtin="zoo_recipes.catalog:RECIPES",
    coerce="zoo_recipes.recipe:as_recipe",
)
# TFDS names its builders with underscores.
datasets: Registry[Any] = Registry(
    "dataset",
    group="zoo.datasets",
    builtin="zoo_recipes.datasets.catalog:DATASETS",
    coerce="zoo_recipes.datasets.catalog:as_dataset",
    verify="zoo_recipes.datasets.loading:check_builder",
    separator="_",
)
# `saved_model` is TensorFlow's own word, and onnxruntime-genai is a package.
formats: Registry[Any] = Registry(
    "format",
    group="zoo.formats",
    builtin="zoo_runtime.formats:FORMATS",
    coerce="zoo_runtime.formats:as_format",
    verify="zoo_runtime.formats:check_format",
    separator="_-",
)
_FUNCTION = "zoo_registry.specs:as_function"
trackers: Registry[FunctionSpec] = Registry("tracker", group="zoo.trackers", coerce=_FUNCTION)
launchers: Registry[FunctionSpec] = Registry("launcher", group="zoo.launchers", coerce=_FUNCTION)
REGISTRIES: tuple[Registry[Any], ...] = (models, recipes, datasets, formats, trackers, launchers)
for _registry in REGISTRIES:
    _registry.beside = REGISTRIES


def meaning_of(word: str, wanted: str) -> str:
    """Return sentences on what a word is, with a leading space each; empty if it is nothing here.

    Args:
        word: What was given.
        wanted: The kind that it is not: ``model``, ``recipe``, ``run`` or another one.

    Example:
        >>> meaning_of("digits-cnn", "model")
        " 'digits-cnn' is a recipe: `zoo train digits-cnn`."
        >>> meaning_of("resnet56", "recipe")
        " 'resnet56' is a model: `zoo show resnet56`. Recipes with it: cifar10-resnet56."
    """
    return other_meanings(word, wanted, REGISTRIES)
