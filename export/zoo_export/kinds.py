"""Kinds of samples, and which of them a file is held against; Keras is not needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from zoo_export.tensors import Array

GIVEN, EXAMPLE, DRAWN, EDGE = "given", "example", "drawn", "edge"


@dataclass(frozen=True, eq=False)
class Trial:
    """One sample batch.

    Args:
        kind: :data:`GIVEN` for real rows and what is made of them, :data:`EXAMPLE` for those that
            agreement is counted on, :data:`DRAWN`, or :data:`EDGE` for a row of unusual
            numbers, for files that compute as Keras does.
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


def is_judged(kind: str, kinds: Collection[str], *, is_scheme: bool) -> bool:
    """Return whether a file is held against samples of a kind, as :meth:`Trials.for_file` says.

    Example:
        >>> [is_judged(kind, ["given", "drawn"], is_scheme=True) for kind in ("given", "drawn")]
        [True, False]
    """
    return not is_scheme or kind in {GIVEN, EXAMPLE} or (kind == DRAWN and GIVEN not in kinds)
