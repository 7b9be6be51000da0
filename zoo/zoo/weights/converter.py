"""What a family's tensors are called elsewhere, as data, and the one engine that reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["plain", "linear", "conv", "depthwise", "one"]
HEAD = re.compile(r"(head_\w+|logits|\w+_logits)/")
# Axes of PyTorch's tensor in the order of Keras' variable.
AXES = {"linear": (1, 0), "conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1)}


@dataclass(frozen=True)
class Row:
    """One weight under both names.

    Args:
        ours: Path of the Keras variable; ``{i}`` stands for a number, such as a block's.
        theirs: Name of the tensor, with the same letters.
        kind: How PyTorch stores it: ``"linear"``, ``"conv"`` and ``"depthwise"`` kernels have
            other axes, ``"one"`` has a leading axis of size 1 more.
    """

    ours: str
    theirs: str
    kind: Kind = "plain"

    def to_ours(self, array: Any) -> Any:
        """Return a tensor as Keras stores it; one of another rank as it is."""
        axes = AXES.get(self.kind)
        if axes is not None and array.ndim == len(axes):
            return array.transpose(axes)
        return array[0] if self.kind == "one" and array.shape[0] == 1 else array

    def to_theirs(self, array: Any) -> Any:
        """Return a variable's value as PyTorch stores it."""
        axes = AXES.get(self.kind)
        if axes is not None:
            return array.transpose([axes.index(axis) for axis in range(len(axes))])
        return array[None] if self.kind == "one" else array


@dataclass(frozen=True)
class Head:
    """A task's model in Hugging Face's words.

    Args:
        architecture: Name of its class.
        layers: What the names of the head's own tensors begin with.
    """

    architecture: str
    layers: tuple[str, ...] = ()


def nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further values."""
    del values
    return {}


@dataclass(frozen=True)
class Converter:
    """A family in Hugging Face's names.

    Args:
        model_type: Of ``config.json``.
        rows: Every weight of every head.
        heads: By task.
        sizes: Key of ``config.json`` by builder argument.
        words: The builder's word for a word of ``config.json``, by builder argument.
        fixed: What ``config.json`` must say, where it says anything, for our graph to be right.
        graph: Builder arguments for which Hugging Face has our default and no other value.
        read: Builder arguments that follow from several keys of ``config.json``.
        write: The way back, from all builder arguments.
        prefix: What the names begin with in a model that has a head.
        ignored: Regular expression of tensors that are no weights.
    """

    model_type: str
    rows: tuple[Row, ...]
    heads: Mapping[str, Head]
    sizes: Mapping[str, str]
    prefix: str
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    graph: tuple[str, ...] = ()
    read: Callable[[Mapping[str, Any]], dict[str, Any]] = nothing
    write: Callable[[Mapping[str, Any]], dict[str, Any]] = nothing
    ignored: str = r"$^"

    def plain_name(self, tensor: str) -> str:
        """Return a tensor's name without the prefix that a model with a head gives it."""
        return tensor.removeprefix(self.prefix)

    def matches(self, path: str) -> list[tuple[str, Row]]:
        """Return the names that a Keras variable may have, without prefix, by kind of head."""
        found = [(_filled(row.ours, row.theirs, path), row) for row in self.rows]
        return [(name, row) for name, row in found if name]

    def knows(self, tensor: str) -> bool:
        """Return whether a tensor, named without its prefix, is a weight of some head."""
        return any(_filled(row.theirs, row.ours, tensor) for row in self.rows)


def layer(ours: str, theirs: str, kind: Kind = "linear") -> tuple[Row, Row]:
    """Return the rows of a dense or convolutional layer with kernel and bias."""
    return Row(f"{ours}/kernel", f"{theirs}.weight", kind), Row(f"{ours}/bias", f"{theirs}.bias")


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
    """Return the rows of a layer normalization."""
    return Row(f"{ours}/gamma", f"{theirs}.weight"), Row(f"{ours}/beta", f"{theirs}.bias")


def conv_norm(ours: str, theirs: str, number: str = "", kind: Kind = "conv") -> tuple[Row, ...]:
    """Return the rows of what :func:`zoo.layers.conv_norm` names ``ours``."""
    normalization = f"{ours}_norm{number}"
    return (
        Row(f"{ours}_conv{number}/kernel", f"{theirs}.convolution.weight", kind),
        *norm(normalization, f"{theirs}.normalization"),
        Row(f"{normalization}/moving_mean", f"{theirs}.normalization.running_mean"),
        Row(f"{normalization}/moving_variance", f"{theirs}.normalization.running_var"),
    )


def _filled(pattern: str, other: str, name: str) -> str | None:
    """Return ``other`` with the numbers that ``name`` has where ``pattern`` has ``{i}``."""
    expression = re.sub(r"\\{(\w)\\}", r"(?P<\1>\\d+)", re.escape(pattern))
    found = re.fullmatch(expression, name)
    return other.format(**found.groupdict()) if found else None
