"""Export of Keras models to verified files, and the runtime that needs no Keras.

Everything is loaded on first use: reading a bundle imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo_registry import load_target

if TYPE_CHECKING:
    from zoo_export.benchmarking import bench as bench
    from zoo_export.benchmarking import measure as measure
    from zoo_export.budget import Budget as Budget
    from zoo_export.budget import BudgetError as BudgetError
    from zoo_export.budget_search import export_within as export_within
    from zoo_export.encoders import encoders as encoders
    from zoo_export.exporting import export as export
    from zoo_runtime.answers.prediction import Prediction as Prediction
    from zoo_runtime.bundle import Bundle as Bundle
    from zoo_runtime.bundle import load_bundle as load_bundle
    from zoo_runtime.errors import BundleError as BundleError
    from zoo_runtime.errors import ExportError as ExportError
    from zoo_runtime.errors import MissingRuntimeError as MissingRuntimeError
    from zoo_runtime.errors import VerificationError as VerificationError
    from zoo_runtime.formats import Format as Format
    from zoo_runtime.verification import verify as verify

_HOMES = {
    "Budget": "budget",
    "BudgetError": "budget",
    "Bundle": "bundle",
    "BundleError": "errors",
    "ExportError": "errors",
    "Format": "formats",
    "MissingRuntimeError": "errors",
    "Prediction": "prediction",
    "VerificationError": "errors",
    "bench": "benchmarking",
    "encoders": "encoders",
    "export": "exporting",
    "export_within": "budget_search",
    "load_bundle": "bundle",
    "measure": "benchmarking",
    "verify": "verification",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the table is the list


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return load_target(f"{__name__}.{_HOMES[name]}:{name}")


def __dir__() -> list[str]:
    return __all__
