"""What a family's tensors are called elsewhere, as data, and the one engine that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["plain", "linear"]
HEAD = re.compile(r"(head_\w+|logits|\w+_logits)/")


@dataclass(frozen=True)
class Row:
    """One weight under both names.

    Args:
        ours: Path of the Keras variable, ``{i}`` for a block's number.
        theirs: Name of the tensor.
        kind: ``"linear"`` stores the transposed kernel, as PyTorch does.
    """

    ours: str
    theirs: str
    kind: Kind = "plain"


@dataclass(frozen=True)
class Converter:
    """A family in Hugging Face's names.

    Args:
        model_type: Of ``config.json``.
        rows: Every weight of every head.
        sizes: Key of ``config.json`` by builder argument.
        words: The builder's word for a word of ``config.json``, by builder argument.
        fixed: What ``config.json`` must say, where it says anything, for our graph to be right.
        prefixes: What names may begin with, depending on the head that was saved.
        ignored: Regular expression of tensors that are no weights.
    """

    model_type: str
    rows: tuple[Row, ...]
    sizes: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ("",)
    ignored: str = r"$^"

    def plain_name(self, tensor: str) -> str:
        """Return a tensor's name without the prefix of the head it was saved with."""
        prefix = max((p for p in self.prefixes if tensor.startswith(p)), key=len)
        return tensor[len(prefix) :]

    def theirs(self, path: str) -> list[str]:
        """Return the names that a Keras variable may have, without prefix, by kind of head."""
        return [name for row in self.rows if (name := _filled(row.ours, row.theirs, path))]

    def knows(self, tensor: str) -> bool:
        """Return whether a tensor, named without its prefix, is a weight of some head."""
        return any(_filled(row.theirs, row.ours, tensor) for row in self.rows)

    def kind(self, tensor: str) -> Kind:
        """Return how a tensor, named without its prefix, is stored."""
        return next(row.kind for row in self.rows if _filled(row.theirs, row.ours, tensor))


def layer(ours: str, theirs: str) -> tuple[Row, Row]:
    """Return the rows of a dense layer with kernel and bias."""
    return Row(f"{ours}/kernel", f"{theirs}.weight", "linear"), Row(
        f"{ours}/bias", f"{theirs}.bias"
    )


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
    """Return the rows of a layer normalization."""
    return Row(f"{ours}/gamma", f"{theirs}.weight"), Row(f"{ours}/beta", f"{theirs}.bias")


def _filled(pattern: str, other: str, name: str) -> str | None:
    """Return ``other`` with the block's number that ``name`` has where ``pattern`` has ``{i}``."""
    found = re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(\d+)"), name)
    if not found:
        return None
    return other.replace("{i}", found[1]) if found.groups() else other
