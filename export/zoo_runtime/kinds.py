"""Kinds of samples, and which of them a file is held against; Keras is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo_runtime.tensors import Array

GIVEN, EXAMPLE, DRAWN, BESIDE, EDGE = "given", "example", "drawn", "beside", "edge"


@dataclass(frozen=True, eq=False)
class Trial:
    """One sample batch.

    Args:
        kind: :data:`GIVEN` for real rows and what is made of them, :data:`EXAMPLE` for those that
            agreement is counted on, :data:`DRAWN`, :data:`BESIDE` for drawn rows beside enough
            real ones, or :data:`EDGE` for a row of unusual numbers.
        inputs: By name.
        expected: What Keras gives for them.
        unsteady: Where whole numbers among that move with the last bit of weights and inputs: ties,
            which no file can be told by.
    """

    kind: str
    inputs: dict[str, Array]
    expected: dict[str, Array]
    unsteady: Mapping[str, Array] = field(default_factory=dict)

    @property
    def group(self) -> str | None:
        """The kind whose rows tell how far each column moves; edges are on no such scale."""
        return group_of(self.kind)


def group_of(kind: str) -> str | None:
    """Return the kind whose rows tell how far columns move; edges are on no such scale.

    Example:
        >>> [group_of(kind) for kind in ("example", "drawn", "edge")]
        ['given', 'drawn', None]
    """
    return {EDGE: None, EXAMPLE: GIVEN}.get(kind, kind)


def is_judged(kind: str, *, is_scheme: bool) -> bool:
    """Return whether a file is held against samples of a kind.

    Schemes are made for the numbers that inputs usually have: where there are enough real ones,
    they are held against those, and never against edges.

    Example:
        >>> [is_judged(kind, is_scheme=True) for kind in ("given", "drawn", "beside", "edge")]
        [True, True, False, False]
    """
    return not is_scheme or kind in {GIVEN, EXAMPLE, DRAWN}
