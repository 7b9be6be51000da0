"""What ``run.json`` and ``history.json`` of a run may hold, which may come from elsewhere.

Every key may be missing; what is there has these types. Keys that are not listed are not read.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, FiniteFloat, TypeAdapter, ValidationError

# Of a key that is not there.
_MISSING: Any = None


@dataclass(frozen=True)
class _Split:
    split: str = _MISSING
    examples: int = _MISSING
    sha256: str = _MISSING


@dataclass(frozen=True)
class _Dataset:
    name: str = _MISSING
    version: str | None = _MISSING
    fingerprint: str | None = _MISSING
    splits: dict[str, _Split] = _MISSING
    own: dict[str, Any] | None = _MISSING


@dataclass(frozen=True)
class _Source:
    source: str | None = _MISSING


@dataclass(frozen=True)
class _Model:
    name: str = _MISSING
    num_params: int | None = _MISSING
    num_trained: int | None = _MISSING
    precision: str | None = _MISSING
    weights: _Source | None = _MISSING
    sha256: str | None = _MISSING


@dataclass(frozen=True)
class _Energy:
    kwh: FiniteFloat = _MISSING
    kwh_by_part: dict[str, FiniteFloat] = _MISSING
    kg_co2eq: FiniteFloat = _MISSING
    seconds: FiniteFloat = _MISSING
    country: str = _MISSING
    found_by: str = _MISSING


@dataclass(frozen=True)
class _Cost:
    seconds: FiniteFloat | None = _MISSING
    cpu_seconds: FiniteFloat | None = _MISSING
    peak_memory_mb: FiniteFloat | None = _MISSING
    energy: _Energy | None = _MISSING


@dataclass(frozen=True)
class _Device:
    type: str = _MISSING
    name: str = _MISSING


@dataclass(frozen=True)
class _Expected:
    metric: str | None = _MISSING


@dataclass(frozen=True)
class _MLflow:
    uri: str = _MISSING
    run_id: str = _MISSING


@dataclass(frozen=True)
class _Tracker:
    argument: str
    note: dict[str, Any]


@dataclass(frozen=True)
class _Info:
    status: str = _MISSING
    recipe: dict[str, Any] = _MISSING
    task: str | None = _MISSING
    model: _Model = _MISSING
    labels: list[str] | None = _MISSING
    preprocessing: list[dict[str, Any]] = _MISSING
    decoding: dict[str, Any] | None = _MISSING
    seed: int | None = _MISSING
    versions: dict[str, str] = _MISSING
    dataset: _Dataset = _MISSING
    metrics: dict[str, FiniteFloat] = _MISSING
    expected: _Expected | None = _MISSING
    license: str | None = _MISSING
    error: str | None = _MISSING
    started: AwareDatetime | None = _MISSING
    finished: AwareDatetime | None = _MISSING
    workers: int = _MISSING
    shared: dict[str, int] = _MISSING
    truncated: dict[str, int] = _MISSING
    devices: list[_Device] = _MISSING
    cost: _Cost | None = _MISSING
    resumed: list[str] = _MISSING
    teacher: dict[str, Any] | None = _MISSING
    mlflow: _MLflow | None = _MISSING
    trackers: dict[str, _Tracker] = _MISSING


def mistake_in(text: str) -> str | None:
    """Return what is wrong with the text of a ``run.json``, or ``None``.

    Example:
        >>> mistake_in('{"seed": 0, "metrics": {"loss": "low"}}')
        "metrics.loss cannot be 'low'"
    """
    try:
        _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        if mistake["type"] == "json_invalid":
            return mistake["msg"]
        key = ".".join(map(str, mistake["loc"]))
        return f"{key} cannot be {reprlib.repr(mistake['input'])}"
    return None


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the metrics of each epoch that a ``history.json`` holds.

    Raises:
        ValueError: It is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error
    history: dict[str, list[float]] = _history_adapter().validate_python(found, strict=True)
    if len({len(values) for values in history.values()}) > 1:
        raise ValueError("it has more epochs of one metric than of another")
    return history


@cache
def _adapter() -> TypeAdapter[_Info]:
    return TypeAdapter(_Info)


@cache
def _history_adapter() -> TypeAdapter[dict[str, list[float]]]:
    return TypeAdapter(dict[str, list[float]])
