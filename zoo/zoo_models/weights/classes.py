"""Rows of a head, taken by the names of their classes and not by their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# The layers whose last axis is the classes.
_CLASSES = re.compile(r"(logits|heatmap|head_heatmap)(_logits)?/")


@dataclass(frozen=True)
class Classes:
    """The classes of the weights and those that are asked for.

    Args:
        theirs: Names in the order of the weights' head, if they are known.
        ours: Names in the order of the model's head, if the caller gave any.
    """

    theirs: Sequence[str] | None
    ours: Sequence[str] | None

    @property
    def differ(self) -> bool:
        """Whether rows are to be taken by name: both are known, and not the same."""
        known = self.theirs is not None and self.ours is not None
        return known and list(self.theirs or ()) != list(self.ours or ())

    def is_by_order(self, paths: Iterable[str]) -> bool:
        """Return whether a head was filled whose classes nothing names, though ours have names."""
        return self.theirs is None and self.ours is not None and any(map(_CLASSES.match, paths))

    @property
    def fresh(self) -> tuple[str, ...]:
        """The classes that the weights have no row for, where they have some for others."""
        shared = self._shared()
        missing = tuple(name for name in self.ours or () if name not in shared)
        return missing if self.differ and len(missing) < len(self.ours or ()) else ()

    def is_by_name(self, path: str) -> bool:
        """Return whether a variable's values are to be taken by name."""
        return self.differ and _CLASSES.match(path) is not None

    def fit(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        """Return whether values can be taken by name: some are shared, and shapes go together."""
        shared = self._shared()
        sizes = (len(self.theirs or ()), len(self.ours or ()))
        return bool(shared) and shape[:-1] == wanted[:-1] and sizes == (shape[-1], wanted[-1])

    def taken(self, array: Any, variable: Any) -> Any:
        """Return a variable's values with those of its classes that ``array`` has.

        Args:
            array: The weights' values, classes last, that :meth:`fit`.
            variable: The model's own, which keeps its values for the other classes.
        """
        import numpy as np

        shared = self._shared()
        values = np.array(variable.value)
        for source, target in shared.values():
            values[..., target] = array[..., source]
        return values

    def _shared(self) -> dict[str, tuple[int, int]]:
        """Return the rows of the classes that both have, by name; ambiguous names are left out."""
        theirs, ours = list(self.theirs or ()), list(self.ours or ())
        return {
            name: (theirs.index(name), ours.index(name))
            for name in ours
            if theirs.count(name) == ours.count(name) == 1
        }
