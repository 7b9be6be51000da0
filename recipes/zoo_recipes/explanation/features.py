"""One input and its parts, any of which can be taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo_recipes.explanation.target import Array, Arrays


@dataclass(frozen=True, eq=False)
class Features:
    """A prepared input and its parts.

    Args:
        kind: What the input is.
        inputs: What the model takes, one row each: (1, ...) by name.
        blank: Those of them that the features are parts of, with every feature taken away.
        name: Of the input whose elements the features are made of.
        members: int; the feature that each element of it belongs to, with its first axes as shape.
            Elements of feature -1 are never taken away.
        names: Of the features.
        spans: Where each feature begins and ends: in a text in characters, in a sound in samples.
        text: The text.
        sample_rate: Of a sound, in Hz.
    """

    kind: Literal["image", "text", "sound", "table"]
    inputs: Arrays
    blank: Arrays
    name: str
    members: Array
    names: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] = ()
    text: str = ""
    sample_rate: int = 0

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.names)

    def keep(self, present: Array) -> Arrays:
        """Return inputs that have only some of the features.

        Args:
            present: bool (rows, features).

        Returns:
            Arrays (rows, ...) by name.

        Example:
            >>> from zoo_recipes.explanation.cutting import columns
            >>> row = {"features": np.array([[1.0, 2.0, 3.0]])}
            >>> columns(row, "features", np.zeros((1, 3))).keep(np.array([[True, False, True]]))
            {'features': array([[1., 0., 3.]])}
        """
        # The last column is of feature -1.
        kept = np.column_stack([present, np.ones(len(present), bool)])[:, self.members]
        rows = {name: np.repeat(array, len(present), 0) for name, array in self.inputs.items()}
        for name, blank in self.blank.items():
            where = kept.reshape(kept.shape + (1,) * (blank.ndim - kept.ndim))
            rows[name] = np.where(where, rows[name], blank)
        return rows

    def sums(self, elements: Array) -> Array:
        """Return the sum over each feature, float (features,), of values of the elements."""
        by_member = elements.reshape(*self.members.shape, -1).sum(axis=-1)
        inside = self.members >= 0
        counted = np.bincount(self.members[inside], by_member[inside], minlength=len(self))
        return np.asarray(counted)

    def spread(self, values: Array) -> Array:
        """Return values of features, float (features,), as values of the elements."""
        return np.asarray(np.append(values, 0)[self.members])


def pieces(features: Features, values: Array) -> list[tuple[str, float | None]]:
    """Return a text in pieces with their values; ``None`` is between the tokens.

    Tokens that share a character, as bytes of one do, are one piece.

    Args:
        features: Of a text.
        values: Of the features.

    Example:
        >>> spans = ((0, 1), (2, 3))
        >>> two = Features("text", {}, {}, "", np.array([0, 1]), ("a", "b"), spans, "a b")
        >>> pieces(two, np.array([2.0, -1.0]))
        [('a', 2.0), (' ', None), ('b', -1.0)]
    """
    merged: list[tuple[int, int, float]] = []
    for (start, end), value in zip(features.spans, values.tolist(), strict=True):
        if merged and start < merged[-1][1]:
            first, last, before = merged.pop()
            merged.append((first, max(last, end), before + value))
        else:
            merged.append((start, end, value))
    found: list[tuple[str, float | None]] = []
    at = 0
    for start, end, value in merged:
        found += [(features.text[at:start], None), (features.text[start:end], value)]
        at = end
    found.append((features.text[at:], None))
    return [(text, value) for text, value in found if text]
