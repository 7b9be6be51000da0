"""Files that Keras wrote, by themselves or in the folder of a run."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.weights.converter import HEAD
from zoo.weights.foreign import Report, checked
from zoo.weights.snapshot import read_json
from zoo_registry import ModelSpec, UsageError
from zoo_registry.build import accepted_overrides, check_overrides
from zoo_registry.folders import ASSETS, INFO, TOKENIZER
from zoo_registry.hashing import sha256
from zoo_registry.tokenizing import open_tokenizer

# BERT has it for classes of whole texts; models of hidden tokens and of sentences learn none.
POOLER = re.compile("pooled_output/")


@dataclass(frozen=True)
class NativeFile:
    """A ``.keras`` or ``.weights.h5`` file.

    Args:
        spec: The model that is to take the weights.
        path: The file.
    """

    spec: ModelSpec
    path: Path

    @property
    def folder(self) -> Path:
        """Where the weights are, and what belongs to them."""
        return self.path.parent

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return no builder arguments: the file fits the model as it was asked for, or not."""
        del given, overrides
        return {}

    def load(self, model: Any, *, strict: bool) -> Report:
        """Load every weight; those of another head than the file's start fresh.

        Raises:
            UsageError: The file is damaged or of another model.
        """
        try:
            with warnings.catch_warnings():
                # Keras 3.15 warns of a container that holds the layers a second time.
                warnings.filterwarnings(
                    "ignore", "Skipping nested container at '_operations_by_depth"
                )
                model.load_weights(self.path)
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            # Files of weights alone do not say what a weight is called.
            report = self._by_name(model) if zipfile.is_zipfile(self.path) else None
            if report is None or not report.loaded:
                raise UsageError(
                    f"weights='{self.path}' do not fit model '{self.spec.name}': {error}"
                ) from error
            return checked(report, self.spec, strict=strict)
        return Report(str(self.path), self._hashes(), len(model.weights))

    def _by_name(self, model: Any) -> Report:
        """Fill the weights that the file's model has under the same names."""
        import keras

        theirs = keras.models.load_model(self.path, compile=False, safe_mode=True)
        saved = {variable.path: variable for variable in theirs.weights}
        lists: dict[str, list[str]] = {"fresh": [], "missing": [], "misshapen": []}
        loaded = 0
        for variable in model.weights:
            found = saved.get(variable.path)
            if found is not None and found.shape == variable.shape:
                variable.assign(found)
                loaded += 1
            elif HEAD.match(variable.path) or (found is None and POOLER.match(variable.path)):
                lists["fresh"].append(variable.path)
            elif found is None:
                lists["missing"].append(variable.path)
            else:
                shapes = f"{variable.path} {tuple(variable.shape)} and not {tuple(found.shape)}"
                lists["misshapen"].append(shapes)
        named = {key: tuple(paths) for key, paths in lists.items()}
        return Report(str(self.path), self._hashes(), loaded, **named)

    def _hashes(self) -> dict[str, str]:
        return {self.path.name: sha256(self.path)}


@dataclass(frozen=True)
class RunFolder(NativeFile):
    """The folder of a complete run, which says how its model was built.

    Args:
        spec: The model that is to take the weights.
        path: The ``.keras`` file in it.
    """

    @property
    def folder(self) -> Path:
        """Where the tokenizer is."""
        return self.path.parent / ASSETS

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the builder arguments of the run's model, but for its head's.

        Raises:
            UsageError: The run is of another model.
        """
        known = read_json(self.path.parent / INFO)["recipe"]["model"]
        name = known["name"]
        if name != self.spec.name:
            raise UsageError(
                f"weights='{self.path.parent}' are of model '{name}', not of '{self.spec.name}'."
            )
        wanted = {
            **self._vocab_size(),
            **check_overrides(self.spec, known.get("overrides", {})),
        }
        theirs = {*overrides, "num_classes"}
        return {key: value for key, value in wanted.items() if key not in theirs}

    def _vocab_size(self) -> dict[str, int]:
        file = self.folder / TOKENIZER
        takes_it = "vocab_size" in accepted_overrides(self.spec.load_builder())
        if not takes_it or not file.is_file():
            return {}
        return {"vocab_size": open_tokenizer(file).get_vocab_size()}
