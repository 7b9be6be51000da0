"""Files that Keras wrote."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.weights.foreign import Report
from zoo_registry import ModelSpec, UsageError
from zoo_registry.hashing import sha256


@dataclass(frozen=True)
class NativeFile:
    """A ``.keras`` or ``.weights.h5`` file."""

    spec: ModelSpec
    path: Path

    @property
    def folder(self) -> Path:
        """Where the weights are."""
        return self.path.parent

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return no builder arguments: the file fits the model as it was asked for, or not."""
        del given, overrides
        return {}

    def load(self, model: Any, *, strict: bool) -> Report:
        """Load every weight.

        Raises:
            UsageError: The file is damaged or of another model.
        """
        del strict
        try:
            with warnings.catch_warnings():
                # Keras 3.15 warns of a container that holds the layers a second time.
                warnings.filterwarnings(
                    "ignore", "Skipping nested container at '_operations_by_depth"
                )
                model.load_weights(self.path)
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"weights='{self.path}' do not fit model '{self.spec.name}': {error}"
            ) from error
        return Report(str(self.path), {self.path.name: sha256(self.path)}, len(model.weights))
