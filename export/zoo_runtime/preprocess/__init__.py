"""From a raw input to the arrays a model takes: one code for training, evaluation and the device.

Steps are plain data, kept in recipes, runs and bundles. Only NumPy is needed, and Pillow,
tokenizers, or soundfile and soxr for the steps that say so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean
from zoo_runtime.preprocess.steps import (
    STEPS,
    Arrays,
    ArrayStep,
    LookupStep,
    Step,
    TableStep,
    TokenizeStep,
    as_numbers,
    check_text,
)
from zoo_runtime.preprocess.tables import Column, load_columns
from zoo_runtime.preprocess.texts import load_tokenizer


class Preprocessor:
    """Steps made ready to run.

    Args:
        steps: Plain data, such as ``{"step": "image", "size": [28, 28], "channels": 1}``. Without
            steps a raw input is an array, or a mapping of input name to array, as the model
            takes it.
        assets: Folder with the files that steps name.
        inputs: Names of the model's inputs; a bare array needs one where there are no steps.

    Raises:
        UsageError: A step or key that does not exist, with the closest one, or a wrong value.

    Example:
        >>> steps = [{"step": "image", "size": [4, 4], "channels": 1}]
        >>> Preprocessor(steps).batch([np.zeros((8, 8), np.uint8)])["image"].shape
        (1, 4, 4, 1)
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]],
        assets: Path | None = None,
        inputs: Sequence[str] = (),
    ) -> None:
        if isinstance(steps, str) or not isinstance(steps, Sequence):
            raise UsageError(f"Preprocessing is {repr(steps)[:60]}: it must be a list of steps.")
        self.steps = tuple(as_step(step) for step in steps)
        self.assets = assets
        self.inputs = tuple(inputs)
        self._tokenizers: dict[str, Any] = {}
        self._vocabularies: dict[str, Mapping[str, int]] = {}
        self._columns: dict[str, tuple[Column, ...]] = {}

    def batch(self, raws: Sequence[Any]) -> Arrays:
        """Return the model inputs by name, batch first, for a list of raw inputs.

        Raises:
            UsageError: A raw input that a step cannot take.
        """
        if len(raws) == 0:
            raise UsageError("There is no input to prepare: the list is empty.")
        if not self.steps:
            return _pass_through(raws, self.inputs)
        arrays: Arrays = {}
        for step in self.steps:
            arrays |= self._apply(step, raws, arrays)
        return arrays

    @property
    def tokenize_step(self) -> TokenizeStep | None:
        """The step that makes tokens of texts, if there is one."""
        return next((step for step in self.steps if isinstance(step, TokenizeStep)), None)

    def tokenizer(self, name: str = "tokenizer.json") -> Any:
        """Return the ``tokenizers.Tokenizer`` of one asset, read once.

        Raises:
            UsageError: There is no such file, or it is not a tokenizer.
        """
        if name not in self._tokenizers:
            self._tokenizers[name] = load_tokenizer(self.assets, name)
        return self._tokenizers[name]

    def vocabulary(self, name: str) -> Mapping[str, int]:
        """Return the indices of the words of one asset, from 1 on, read once.

        Raises:
            UsageError: There is no such file, or it is not a list of words.
        """
        if name not in self._vocabularies:
            self._vocabularies[name] = load_vocabulary(self.assets, name)
        return self._vocabularies[name]

    def columns(self, name: str) -> tuple[Column, ...]:
        """Return the columns of a table that one asset describes, read once.

        Raises:
            UsageError: There is no such file, or it describes none.
        """
        if name not in self._columns:
            self._columns[name] = load_columns(self.assets, name)
        return self._columns[name]

    def _apply(self, step: Step, raws: Sequence[Any], arrays: Arrays) -> Arrays:
        if isinstance(step, TokenizeStep):
            return step.batch(raws, self.tokenizer(step.tokenizer))
        if isinstance(step, LookupStep):
            return step.batch(raws, self.vocabulary(step.vocabulary))
        if isinstance(step, TableStep):
            return step.batch(raws, self.columns(step.columns))
        if isinstance(step, ArrayStep) and step.source is not None:
            if step.source not in arrays:
                hint = did_you_mean(step.source, arrays)
                raise UsageError(f"Step 'array': no earlier step makes '{step.source}'.{hint}")
            return step.batch(list(arrays.pop(step.source)))
        return step.batch(raws)


def as_step(data: Mapping[str, Any]) -> Step:
    """Return the step that plain data describe.

    Raises:
        UsageError: An unknown step or key, a key left out, or a wrong value.

    Example:
        >>> as_step({"step": "array", "input": "x", "shape": [2, 3]})
        ArrayStep(input='x', shape=(2, 3), dtype='float32', scale=1.0, source=None)
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"A step is {repr(data)[:60]}: it must be an object with the key 'step'.")
    values = dict(data)
    name = str(values.pop("step", None))
    if name not in STEPS:
        hint = did_you_mean(name, STEPS)
        raise UsageError(f"There is no step '{name}'.{hint} There are: {', '.join(STEPS)}.")
    known = {field.name: field for field in fields(STEPS[name])}
    for key, value in values.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise UsageError(f"Step '{name}' has no '{key}'.{hint} It has: {', '.join(known)}.")
        check_text(name, known[key], value)
    for key, field in known.items():
        if field.default is MISSING and key not in values:
            raise UsageError(f"Step '{name}' needs '{key}'.")
    make: Callable[..., Step] = STEPS[name]
    return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _pass_through(raws: Sequence[Any], inputs: Sequence[str]) -> Arrays:
    rows = [raw if isinstance(raw, Mapping) else _named(raw, inputs) for raw in raws]
    names = list(rows[0])
    for index, row in enumerate(rows):
        if sorted(row) != sorted(names) or (inputs and sorted(row) != sorted(inputs)):
            wanted = ", ".join(sorted(inputs or names))
            raise UsageError(f"Input {index} has {', '.join(sorted(row))}; wanted: {wanted}.")
    try:
        return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in names}
    except ValueError as error:
        raise UsageError(f"The inputs cannot be put into one batch: {error}") from error


def _named(raw: Any, inputs: Sequence[str]) -> Mapping[str, Any]:
    if len(inputs) != 1:
        wanted = ", ".join(inputs) or "its inputs"
        raise UsageError(
            f"No preprocessing is recorded for this model: give a mapping of {wanted} to arrays, "
            f"not a {type(raw).__name__}."
        )
    return {inputs[0]: as_numbers(raw, 0)}


def load_vocabulary(assets: Path | None, name: str) -> Mapping[str, int]:
    """Return the indices of the words that a file of the assets lists, from 1 on.

    Raises:
        UsageError: There is no such file, or it is not a list of words.
    """
    path = None if assets is None else Path(assets) / name
    if path is None or not path.is_file():
        raise UsageError(f"Step 'lookup' needs the file '{name}' among the assets: {assets}.")
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not a vocabulary: {error}") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"'{path}' is not a vocabulary: it must be a JSON list of words.")
    indices = {word: index for index, word in enumerate(words, 1)}
    if len(indices) < len(words):
        raise UsageError(f"'{path}' is not a vocabulary: it has a word twice.")
    return indices
