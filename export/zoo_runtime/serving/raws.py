"""What a model is asked about, in place of tensors: texts, files and rows, and what it predicts."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.answers.prediction import answer, as_plain, as_texts, prepare, preprocessor_of
from zoo_runtime.serving.bodies import as_json
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.trained import Trained

# The input and the output that stand for what is before and behind the tensors.
RAW, PREDICTION = "raw", "prediction"
FILE, ROW, TEXT = "file", "row", "text"
# What a step takes; others take numbers.
_KINDS = {"image": FILE, "audio": FILE, "table": ROW, "tokenize": TEXT, "lookup": TEXT}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Raw inputs that were made ready.

    Args:
        raws: As they came.
        arrays: The model's inputs by name.
        ends: Where each row's real tokens end, if it has tokens.
    """

    raws: Sequence[Any]
    arrays: Arrays
    ends: Array | None


class RawInputs:
    """The steps before a model, and what its outputs mean.

    Args:
        trained: The run or bundle.
    """

    def __init__(self, trained: Trained) -> None:
        self._trained, self._assets = trained, trained.assets
        self._preprocessor = preprocessor_of(trained, self._assets)
        kinds = (_KINDS.get(str(step["step"])) for step in trained.preprocessing)
        self.kind = next((kind for kind in kinds if kind is not None), None)

    def prepare(self, values: Array) -> Prepared:
        """Return the model's inputs for raw ones.

        Args:
            values: (rows,), or (rows, parts) where an input has several, such as a question and a
                text: texts, image or audio files, or rows of a table as JSON. Bytes are a file or
                a text in UTF-8; a file that is text is in base64.

        Raises:
            UsageError: A model that takes numbers, or what its steps do not take.
        """
        if self.kind is None:
            raise UsageError(
                f"'{self._trained.name}' has no step that makes its inputs of texts or files: give "
                "them as tensors."
            )
        if values.ndim not in {1, 2} or 0 in values.shape:
            raise UsageError(f"Input '{RAW}' has the shape {list(values.shape)}: give [rows].")
        parts = values.reshape(len(values), -1).tolist()
        raws = [self._one(row) for row in parts]
        raws = as_texts(self._trained, raws)
        arrays, ends = prepare(self._preprocessor, raws)
        return Prepared(raws, arrays, ends)

    def predictions(self, prepared: Prepared, outputs: Arrays) -> Array:
        """Return what the outputs mean: bytes (rows,), each a JSON object.

        Args:
            prepared: What the model was run on.
            outputs: What it gave.
        """
        found = answer(self._trained, self._assets, outputs, raws=prepared.raws, ends=prepared.ends)
        return np.array([as_json(as_plain(row)) for row in found], object)

    def _one(self, parts: Sequence[str | bytes]) -> Any:
        if self.kind == FILE:
            return _file(parts[0])
        texts = [_text(part) for part in parts]
        if self.kind == ROW:
            return _row(texts[0])
        return texts[0] if len(texts) == 1 else tuple(texts)


def _file(given: str | bytes) -> bytes:
    try:
        return given if isinstance(given, bytes) else base64.b64decode(given, validate=True)
    except ValueError as error:
        raise UsageError(f"Input '{RAW}' is not a file in base64: {error}.") from error


def _text(given: str | bytes) -> str:
    try:
        return given if isinstance(given, str) else given.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"Input '{RAW}' is not text in UTF-8: {error}.") from error


def _row(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Input '{RAW}' is not JSON, as rows of a table are: {error}.") from error
