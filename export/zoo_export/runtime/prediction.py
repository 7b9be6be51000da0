"""From raw inputs to what the outputs mean: labels and probabilities, or the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.manifest import Manifest
from zoo_export.preprocess import Preprocessor, as_step
from zoo_export.preprocess.steps import TokenizeStep
from zoo_export.preprocess.texts import load_tokenizer
from zoo_export.tensors import Array, Arrays

TOP_K = 5
_MASK = "padding_mask"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says about one raw input.

    Args:
        outputs: The raw outputs by name, without the batch.
        label: Most probable class, or next token; ``None`` where the task has none.
        index: Its position among the logits.
        probability: Its probability.
        probabilities: Those of all classes or tokens, in the order of the logits.
        top: The most probable ones with their probabilities, best first.
    """

    outputs: Mapping[str, Array]
    label: str | None = None
    index: int | None = None
    probability: float | None = None
    probabilities: Array | None = None
    top: tuple[tuple[str, float], ...] = ()


def prepare(manifest: Manifest, assets: Path, raws: Sequence[Any]) -> tuple[Arrays, Array | None]:
    """Return the model's inputs, and where each row's real tokens end if it has tokens.

    Args:
        manifest: The bundle's manifest.
        assets: Its folder of assets.
        raws: Raw inputs.
    """
    names = [tensor.name for tensor in manifest.inputs]
    # The mask tells where a text ends, also for models that do not take it.
    steps = [
        {**step, _MASK: True} if step.get("step") == "tokenize" else step
        for step in manifest.preprocessing
    ]
    arrays = Preprocessor(steps, assets, names).batch(raws)
    mask = arrays.get(_MASK)
    ends = None if mask is None else np.maximum(mask.sum(axis=1) - 1, 0)
    if _MASK not in names:
        arrays.pop(_MASK, None)
    return arrays, ends


def answer(
    manifest: Manifest,
    assets: Path,
    outputs: Arrays,
    ends: Array | None = None,
    top_k: int | None = None,
) -> list[Prediction]:
    """Return what the outputs of a batch mean, row by row.

    Args:
        manifest: The bundle's manifest; its task decides.
        assets: Its folder of assets, where a tokenizer may be.
        outputs: Raw outputs by name.
        ends: Position of each row's last real token.
        top_k: How many answers to list.
    """
    rows = [
        {name: array[i] for name, array in outputs.items()}
        for i in range(len(next(iter(outputs.values()))))
    ]
    logits = outputs.get("logits")
    task = manifest.task or ""
    if logits is None or not (task.endswith("classification") or task == "causal-lm"):
        return [Prediction(row) for row in rows]
    if task == "causal-lm":
        last = np.full(len(logits), logits.shape[1] - 1) if ends is None else ends
        logits = logits[np.arange(len(logits)), last]
        name = _token_names(manifest, assets)
    elif logits.ndim != 2:  # a label for each token: the caller joins them to spans
        return [Prediction(row) for row in rows]
    else:
        name = _label_names(manifest)
    table = probabilities(logits)
    return [_prediction(row, p, name, top_k or TOP_K) for row, p in zip(rows, table, strict=True)]


def probabilities(logits: Array) -> Array:
    """Return probabilities of logits (batch, classes); one logit alone means no or yes.

    Example:
        >>> probabilities(np.array([[2.0, 2.0]])).tolist()
        [[0.5, 0.5]]
        >>> probabilities(np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _prediction(row: Arrays, p: Array, name: Any, top_k: int) -> Prediction:
    order = np.argsort(-p, kind="stable")[:top_k]
    best = int(order[0])
    top = tuple((name(int(i)), float(p[i])) for i in order)
    return Prediction(row, name(best), best, float(p[best]), p, top)


def _label_names(manifest: Manifest) -> Any:
    labels = manifest.labels
    return lambda index: labels[index] if labels is not None else str(index)


def _token_names(manifest: Manifest, assets: Path) -> Any:
    steps = [as_step(step) for step in manifest.preprocessing]
    files = [step.tokenizer for step in steps if isinstance(step, TokenizeStep)]
    if not files:
        return str
    tokenizer = load_tokenizer(assets, files[0])
    return lambda index: tokenizer.decode([index], skip_special_tokens=False)
