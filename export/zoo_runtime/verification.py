"""The verification of an artifact against the Keras model, and how messages report it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo_runtime.formats import find


@dataclass(frozen=True)
class Comparison:
    """One output of one sample batch against Keras.

    Args:
        output: Name of the output.
        shape: Shape that both gave.
        max_abs_diff: Largest absolute difference.
        allowed: Allowed difference at the position nearest to its limit.
        column: Index of that position in the last axis, where each column is compared by its own
            spread.
        column_diff: Difference there; ``max_abs_diff`` where all is on one scale.
    """

    output: str
    shape: tuple[int, ...]
    max_abs_diff: float
    allowed: float
    column: int | None = None
    column_diff: float | None = None

    @property
    def nearest_diff(self) -> float:
        """The difference that is compared with ``allowed``."""
        return self.max_abs_diff if self.column_diff is None else self.column_diff

    @property
    def ok(self) -> bool:
        """Whether the difference is allowed."""
        return self.nearest_diff <= self.allowed


@dataclass(frozen=True)
class Fit:
    """How much of an output's columns is kept, over all samples: the worst column.

    Args:
        output: Name of the output.
        column: Index in the last axis; ``None`` for an output that is one column.
        difference: Root mean square difference from Keras in that column.
        deviation: Standard deviation of what Keras gives in it.
        allowed: Difference that is allowed; 0 for a column that is one number in the file.
        columns: How many columns there are.
        constant: How many of them Keras gives the same number for every sample.
        values: How many values of the worst column were compared.
        answers: Different rows that the file gives.
        keras_answers: Different rows that Keras gives for the same samples; 1 where it gives one
            answer for all of them, which verifies nothing.
        centred: Whether the mean of each row was subtracted, as softmax does.
        label: The worst column's class, where classes have names.
        axis: What ``column`` counts along: the last axis, or the first after the batch of an
            output of three.
    """

    output: str
    column: int | None
    difference: float
    deviation: float
    allowed: float
    columns: int = 1
    constant: int = 0
    values: int = 0
    answers: int = 0
    keras_answers: int = 0
    centred: bool = False
    label: str | None = None
    axis: int = -1

    @property
    def ok(self) -> bool:
        """Whether samples that Keras distinguishes are distinguished, in every column."""
        is_kept = self.constant == self.columns or self.difference <= self.allowed
        return is_kept and not self.is_one_answer

    @property
    def beyond(self) -> float:
        """The difference as a multiple of what is allowed."""
        return self.difference / self.allowed if self.allowed else math.inf

    @property
    def is_one_answer(self) -> bool:
        """Whether the file gives one answer for samples to which Keras gives several."""
        return self.answers == 1 < self.keras_answers

    @property
    def is_informative(self) -> bool:
        """Whether what Keras gives depends on the inputs."""
        return self.keras_answers != 1


@dataclass(frozen=True)
class Verification:
    """How near an artifact is to the Keras model.

    Args:
        format: The artifact's format.
        tolerance: Allowed difference: of a float32 file as a fraction of the spread of each column
            over the samples, of others as a fraction of the largest value of an output.
        comparisons: One for each sample batch and output.
        examples: Real examples compared by their largest logit, 0 where there are none.
        top1_agreement: Fraction of them with the same answer as Keras.
        accuracy: Fraction of them whose answer is right, where that is known.
        keras_accuracy: The same of Keras.
        fits: What is kept of each output's columns; none in bundles of earlier versions.
        perplexity: Of a language model on the examples' own tokens.
        keras_perplexity: The same of Keras.
        max_loss: By how much the one may be above the other, as a fraction.
        perturbed: Whether a file of the same model with perturbed weights was compared too, because
            Keras gives one answer for all samples with its own.
    """

    format: str
    tolerance: float
    comparisons: tuple[Comparison, ...]
    examples: int = 0
    top1_agreement: float | None = None
    accuracy: float | None = None
    keras_accuracy: float | None = None
    fits: tuple[Fit, ...] = ()
    perplexity: float | None = None
    keras_perplexity: float | None = None
    max_loss: float = 0.0
    perturbed: bool = False

    @property
    def max_abs_diff(self) -> float:
        """Largest absolute difference of all outputs and batches."""
        return max((row.max_abs_diff for row in self.comparisons), default=math.inf)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that were compared."""
        return tuple(sorted({row.shape[0] for row in self.comparisons if row.shape}))

    @property
    def ok(self) -> bool:
        """Whether every difference is allowed.

        Where the perplexity on real text is known, it says what a language model's columns are
        worth together: most of a vocabulary's are hardly ever the answer.
        """
        if not all(row.ok for row in self.comparisons):
            return False
        if self.perplexity is None:
            return all(fit.ok for fit in self.fits)
        return self.is_fluent and not any(fit.is_one_answer for fit in self.fits)

    @property
    def is_fluent(self) -> bool:
        """Whether the perplexity is known, and near enough to that of Keras."""
        if self.perplexity is None or self.keras_perplexity is None:
            return False
        return self.perplexity <= self.keras_perplexity * (1 + self.max_loss)

    @property
    def uninformative(self) -> tuple[str, ...]:
        """Outputs for which Keras gives one answer whatever the inputs."""
        return tuple(dict.fromkeys(fit.output for fit in self.fits if not fit.is_informative))


def worst(rows: Sequence[Comparison]) -> str:
    """Return one line about the comparison that is furthest beyond what is allowed.

    Example:
        >>> worst([Comparison("logits", (1, 2), 0.5, 1e-5)])
        "output 'logits' of shape [1, 2] differs from Keras by 0.5 where 1e-05 is allowed"
    """
    row = max(rows, key=lambda row: row.nearest_diff / (row.allowed or 1e-300))
    where = "" if row.column is None else f" in column {row.column}"
    return (
        f"output '{row.output}' of shape {list(row.shape)} differs from Keras by "
        f"{row.nearest_diff:.3g}{where} where {row.allowed:.3g} is allowed"
    )


def worst_fit(fits: Sequence[Fit]) -> str:
    """Return one line about the output of which least is kept.

    Example:
        >>> worst_fit([Fit("boxes", 4, 0.5, 0.3, 0.1, columns=5, answers=9, keras_answers=64)])
        "column 4 of output 'boxes' differs from Keras by 0.5 (root mean square) where it varies \
by 0.3 over the samples and 0.1 is allowed; 9 different answers, Keras gives 64"
    """
    one = next((fit for fit in fits if fit.is_one_answer), None)
    if one is not None:
        return (
            f"output '{one.output}' is the same for different samples: it gives one answer where "
            f"Keras gives {one.keras_answers:,}"
        )
    fit = max((fit for fit in fits if not fit.ok), key=lambda fit: fit.beyond)
    what = column_name(fit)
    if fit.allowed == 0:
        text = (
            f"{what} is one number for all samples, and in Keras it varies by {fit.deviation:.3g}"
        )
    else:
        text = (
            f"{what} differs from Keras by {fit.difference:.3g} (root mean square) where it varies "
            f"by {fit.deviation:.3g} over the samples and {fit.allowed:.3g} is allowed"
        )
    if fit.answers < fit.keras_answers:
        text += f"; {fit.answers:,} different answers, Keras gives {fit.keras_answers:,}"
    return text


def column_name(fit: Fit) -> str:
    """Return how messages call the worst column.

    Example:
        >>> column_name(Fit("logits", 3, 0.1, 1.0, 0.2, label="cat", centred=True))
        "column 3 ('cat') of output 'logits', less the mean of its row,"
    """
    label = f" ('{fit.label}')" if fit.label is not None else ""
    what = "column" if fit.axis == -1 else "row"
    column = "" if fit.column is None else f"{what} {fit.column}{label} of "
    return f"{column}output '{fit.output}'" + (", less the mean of its row," if fit.centred else "")


def why(verification: Verification) -> str:
    """Return one line about why a verification failed."""
    is_scheme = find(verification.format).scheme is not None
    if verification.perplexity is not None and not verification.is_fluent:
        return (
            f"its perplexity on the examples is {verification.perplexity:.2f} and that of Keras "
            f"{verification.keras_perplexity:.2f}, where {verification.max_loss:.0%} more is "
            "allowed"
        )
    by_fits = is_scheme or any(fit.is_one_answer for fit in verification.fits)
    if by_fits and not all(fit.ok for fit in verification.fits):
        return worst_fit(verification.fits)
    if not all(row.ok for row in verification.comparisons):
        return worst(verification.comparisons)
    return worst_fit(verification.fits)


def largest_share(verification: Verification) -> float:
    """Return the largest difference in the unit of the tolerance.

    Integers and booleans must be equal: any difference of theirs is infinite.

    Example:
        >>> row = Comparison("logits", (1, 2), max_abs_diff=0.5, allowed=0.2)
        >>> largest_share(Verification("tflite:int8", tolerance=0.1, comparisons=(row,)))
        0.25
    """
    found = [
        row.nearest_diff / row.allowed * verification.tolerance if row.allowed else math.inf
        for row in verification.comparisons
        if row.nearest_diff
    ]
    return max(found, default=0.0)
