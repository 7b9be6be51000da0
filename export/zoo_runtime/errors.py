"""What can go wrong between a model and a prediction on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo_registry import UsageError, ZooError
from zoo_runtime.verification import Comparison, Verification


@dataclass(frozen=True)
class Blame:
    """An operator that a format cannot hold, and the layer it comes from where it is known."""

    operator: str
    layer: str | None = None

    def __str__(self) -> str:
        return self.operator + (f" (layer '{self.layer}')" if self.layer else "")


class ExportError(ZooError):
    """An export that failed; nothing was written.

    Args:
        message: Model, format and cause.
        blames: The operators at fault.
        comparisons: All outputs against Keras, where one of them is too far from it.
    """

    def __init__(
        self,
        message: str,
        blames: Sequence[Blame] = (),
        comparisons: Sequence[Comparison] = (),
    ) -> None:
        super().__init__(message)
        self.blames = tuple(blames)
        self.comparisons = tuple(comparisons)


class VerificationError(ZooError):
    """Artifacts that no longer give what the Keras model gave.

    Args:
        message: Which artifacts, and by how much.
        verifications: Of every artifact, passed and failed.
    """

    def __init__(self, message: str, verifications: Sequence[Verification] = ()) -> None:
        super().__init__(message)
        self.verifications = tuple(verifications)


class BundleError(ZooError):
    """A bundle that is incomplete, changed, or not to be trusted."""


class MissingPackageError(ZooError, ImportError):
    """A package that a format or a kind of input needs is not installed, or cannot be imported."""


class MissingRuntimeError(MissingPackageError, UsageError):
    """The package that runs a format is not installed."""
