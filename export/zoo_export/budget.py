"""What an artifact may cost, and the report of what was tried to keep to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo_export.card.page import table
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError

HEADER = ("FORMAT", "SIZE kB", "LATENCY ms", "ACCURACY", "DROP", "RESULT")
RIGHT = (1, 2, 3, 4)
_DOUBT = 0.05
_SHOWN_LAYERS = 8


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an artifact may cost.

    Args:
        max_drop: Accuracy that may be lost, as a share of all examples: 0.005 is half a percent.
        max_mb: Largest size in MB (1,000,000 bytes).
        max_ms: Longest median of one run at batch 1, on this machine.

    Raises:
        UsageError: A number that nothing can keep, or a share over 1.
    """

    max_drop: float
    max_mb: float | None = None
    max_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < 1:
            raise UsageError(f"max_drop={self.max_drop:g} is no share from 0 to 1: 0.005 is 0.5 %.")
        for name in ("max_mb", "max_ms"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value:g} must be above 0.")

    def misses(self, candidate: Candidate) -> str:
        """Return what a candidate has too much of; empty if it keeps the budget."""
        limits = (
            ("drop", candidate.drop, self.max_drop, "{:.2%}"),
            ("MB", candidate.bytes / 1e6, self.max_mb, "{:.3g}"),
            ("ms", candidate.ms, self.max_ms, "{:.3g}"),
        )
        return ", ".join(
            f"{name} {form.format(value)} > {form.format(limit)}"
            for name, value, limit, form in limits
            if limit is not None and value > limit
        )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One artifact that was tried.

    Args:
        format: Format and scheme.
        bytes: Size of its files.
        ms: Median milliseconds of one run.
        accuracy: Share of the held-out examples that it answers rightly.
        drop: How much less that is than with Keras.
    """

    format: str
    bytes: int
    ms: float
    accuracy: float
    drop: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was tried.

    Args:
        budget: The budget.
        examples: Held-out examples that accuracy was measured on.
        keras_accuracy: What Keras answers rightly of them.
        candidates: What was tried, smallest first.
        failures: What could not be made at all, with the reason.
        layer_errors: For formats whose plain int8 missed the budget: what each layer alone costs
            in int8, as a share of the outputs, worst first.
        kept: The format that was chosen.
    """

    budget: Budget
    examples: int
    keras_accuracy: float
    candidates: tuple[Candidate, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    layer_errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kept: str | None = None

    def rows(self) -> list[list[str]]:
        """Return the cells of a table under :data:`HEADER`, smallest artifact first."""
        tried = [
            [
                row.format,
                f"{row.bytes / 1000:,.1f}",
                f"{row.ms:.3f}",
                f"{row.accuracy:.4f}",
                f"{row.drop:.2%}",
                "kept" if row.format == self.kept else self.budget.misses(row) or "within",
            ]
            for row in self.candidates
        ]
        return tried + [[name, "", "", "", "", text] for name, text in self.failures.items()]

    def notes(self) -> list[str]:
        """Return what to know about the figures: what so many examples can show, and the layers."""
        seen = visible_drop(self.examples)
        lines = [
            f"Drops are against Keras' {self.keras_accuracy:.4f} on {self.examples} held-out "
            f"examples: one answer is {1 / self.examples:.2%}, and a true drop of {seen:.2%} "
            "would be seen 19 times out of 20."
        ]
        if self.budget.max_drop < seen:
            needed = math.ceil(math.log(_DOUBT) / math.log1p(-max(self.budget.max_drop, 1e-6)))
            lines.append(
                f"A drop of {self.budget.max_drop:.2%} is finer than they can show: that takes "
                f"{needed:,} examples."
            )
        for name, errors in self.layer_errors.items():
            worst = list(errors.items())[:_SHOWN_LAYERS]
            shown = ", ".join(f"{layer} {error:.2%}" for layer, error in worst)
            more = f" and {len(errors) - len(worst)} more" if len(errors) > len(worst) else ""
            lines.append(f"Cost of each layer alone in int8 ({name}): {shown}{more}.")
        return lines

    def __str__(self) -> str:
        return "\n".join([table(HEADER, self.rows(), right=RIGHT), *self.notes()])


class BudgetError(ExportError):
    """No artifact keeps the budget; nothing was written.

    Args:
        name: The run's name.
        report: All that was tried.
    """

    def __init__(self, name: str, report: Report) -> None:
        super().__init__(
            f"No artifact of '{name}' keeps the budget. Nothing was written.\n{report}"
        )
        self.report = report


def visible_drop(examples: int) -> float:
    """Return the smallest drop that so many examples show at least once, 19 times out of 20.

    Example:
        >>> round(visible_drop(256), 4), round(visible_drop(1024), 4)
        (0.0116, 0.0029)
    """
    return 1 - float(_DOUBT ** (1 / examples))
