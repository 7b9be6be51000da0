"""Kerazoo: from a name, to a trained model, to a verified artifact on an edge device.

    >>> import zoo
    >>> zoo.list_models("bert-t*")
    ['bert-tiny']

Everything public is found here and imported on first use, so that ``import zoo`` costs
milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test holds it against _EXPORTS
    from zoo.api import describe as describe
    from zoo.api import list_datasets as list_datasets
    from zoo.api import list_formats as list_formats
    from zoo.api import list_models as list_models
    from zoo.api import list_recipes as list_recipes
    from zoo.api import load_model as load_model
    from zoo.api import register as register
    from zoo.choosing import choose as choose
    from zoo.evaluating import evaluate as evaluate
    from zoo.explaining import explain as explain
    from zoo_export.benchmarking import bench as bench
    from zoo_export.encoders import encoders as encoders
    from zoo_export.exporting import export as export
    from zoo_models.build import get_model as get_model
    from zoo_models.finetuning import merge_lora as merge_lora
    from zoo_models.quantization import quantization_aware as quantization_aware
    from zoo_models.sizing.size import size as size
    from zoo_models.weights.opening import load_tokenizer as load_tokenizer
    from zoo_models.weights.saving import save_pretrained as save_pretrained
    from zoo_recipes.distributed.cluster import Workers as Workers
    from zoo_recipes.evaluation.results import Evaluation as Evaluation
    from zoo_recipes.own_data.report import inspect_data as inspect_data
    from zoo_recipes.recipe import Recipe as Recipe
    from zoo_recipes.reporting.card import card as card
    from zoo_recipes.reporting.comparing import list_runs as list_runs
    from zoo_recipes.reporting.report import report as report
    from zoo_recipes.run import Run as Run
    from zoo_recipes.run import load_run as load_run
    from zoo_recipes.training.crossing import CrossValidation as CrossValidation
    from zoo_recipes.training.crossing import cross_validate as cross_validate
    from zoo_recipes.training.reproducing import reproduce as reproduce
    from zoo_recipes.training.training import resume as resume
    from zoo_recipes.training.training import train as train
    from zoo_recipes.tuning.study import tune as tune
    from zoo_registry import ModelSpec as ModelSpec
    from zoo_registry import TensorSpec as TensorSpec
    from zoo_registry import UsageError as UsageError
    from zoo_registry import ZooError as ZooError
    from zoo_runtime.bundle import Bundle as Bundle
    from zoo_runtime.bundle import load_bundle as load_bundle
    from zoo_runtime.verification import verify as verify

_EXPORTS = {
    "Bundle": "zoo_runtime.bundle:Bundle",
    "CrossValidation": "zoo_recipes.training.crossing:CrossValidation",
    "Evaluation": "zoo_recipes.evaluation.results:Evaluation",
    "ModelSpec": "zoo_registry:ModelSpec",
    "Recipe": "zoo_recipes.recipe:Recipe",
    "Run": "zoo_recipes.run:Run",
    "TensorSpec": "zoo_registry:TensorSpec",
    "UsageError": "zoo_registry:UsageError",
    "Workers": "zoo_recipes.distributed.cluster:Workers",
    "ZooError": "zoo_registry:ZooError",
    "bench": "zoo_export.benchmarking:bench",
    "card": "zoo_recipes.reporting.card:card",
    "choose": "zoo.choosing:choose",
    "cross_validate": "zoo_recipes.training.crossing:cross_validate",
    "describe": "zoo.api:describe",
    "encoders": "zoo_export.encoders:encoders",
    "evaluate": "zoo.evaluating:evaluate",
    "explain": "zoo.explaining:explain",
    "export": "zoo_export.exporting:export",
    "get_model": "zoo_models.build:get_model",
    "inspect_data": "zoo_recipes.own_data.report:inspect_data",
    "list_datasets": "zoo.api:list_datasets",
    "list_formats": "zoo.api:list_formats",
    "list_models": "zoo.api:list_models",
    "list_recipes": "zoo.api:list_recipes",
    "list_runs": "zoo_recipes.reporting.comparing:list_runs",
    "load_bundle": "zoo_runtime.bundle:load_bundle",
    "load_model": "zoo.api:load_model",
    "load_run": "zoo_recipes.run:load_run",
    "load_tokenizer": "zoo_models.weights.opening:load_tokenizer",
    "merge_lora": "zoo_models.finetuning:merge_lora",
    "quantization_aware": "zoo_models.quantization:quantization_aware",
    "register": "zoo.api:register",
    "report": "zoo_recipes.reporting.report:report",
    "reproduce": "zoo_recipes.training.reproducing:reproduce",
    "resume": "zoo_recipes.training.training:resume",
    "save_pretrained": "zoo_models.weights.saving:save_pretrained",
    "size": "zoo_models.sizing.size:size",
    "train": "zoo_recipes.training.training:train",
    "tune": "zoo_recipes.tuning.study:tune",
    "verify": "zoo_runtime.verification:verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("kerazoo")
    if name in _EXPORTS:
        from zoo_registry import load_target

        return load_target(_EXPORTS[name])
    raise AttributeError(f"module 'zoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_EXPORTS, "__version__"]
