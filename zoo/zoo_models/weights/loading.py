"""What all checkpoints do alike: take a head's rows by class, check values, report."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_registry import ModelSpec, UsageError

_SHOWN = 12
_WIDEST = 60
# The layers whose last axis is the classes.
_CLASSES = re.compile(r"(logits|heatmap|head_heatmap)(_logits)?/")


@dataclass(frozen=True)
class LoadReport:
    """What was loaded and what was not.

    Args:
        source: What the user asked for.
        sha256: Of every file, by name.
        loaded: How many variables were filled.
        fresh: Variables of the head that start fresh.
        fresh_classes: Classes of the head that start fresh where others were found by name.
        missing: Other variables that no tensor was found for.
        unexpected: Tensors that are left over: this model has no weight for them.
        misshapen: Variables with the shape they have and the one that was found.
        untied: Tensors of a head of its own, where the model's is the embedding.
        by_order: Whether the head's rows went to classes in their order, as nothing names those of
            the weights.
        unused: Tensors of another task's head.
        unbuilt: Tensors of layers that ours leaves out of the family.
        settings: Layers that were saved with other settings than the model's have.
        unread: Keys of the configuration, with their values, that nothing here reads.
        model_type: Of the converter that read them; that of transformers, or timm.
        fitted: How many rows of learned positions became how many, by variable, as images are of
            another size here.
        assets: Labels, tokenizer and preprocessing that the weights come with.
    """

    source: str
    sha256: Mapping[str, str]
    loaded: int
    fresh: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    fresh_classes: tuple[str, ...] = ()
    untied: tuple[str, ...] = ()
    by_order: bool = False
    unused: tuple[str, ...] = ()
    unbuilt: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    unread: Mapping[str, Any] = field(default_factory=dict)
    model_type: str | None = None
    fitted: Mapping[str, str] = field(default_factory=dict)
    assets: Any = None

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "left over": self.unexpected,
            "of another shape": self.misshapen,
            "not the embedding, which is the head here": self.untied,
        }
        return "; ".join(f"{what}: {listed(names)}" for what, names in parts.items() if names)


def listed(names: Sequence[str]) -> str:
    """Return names with commas, the first of many.

    Example:
        >>> listed(["a", "b"]), listed([str(number) for number in range(100)])[-12:]
        ('a, b', ' and 88 more')
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def checked(report: LoadReport, spec: ModelSpec, *, strict: bool) -> LoadReport:
    """Return a report, and warn of everything that starts fresh or is not taken.

    Args:
        report: What was loaded.
        spec: The model.
        strict: Whether all but another head that was not loaded is an error.

    Raises:
        UsageError: With ``strict``, everything that is missing, left over or misshapen.
    """
    if strict and str(report):
        raise UsageError(
            f"weights='{report.source}' do not fit model '{spec.name}': {report}. "
            "strict=False loads what fits."
        )
    for text in _notes(report, spec):
        warnings.warn(text, UserWarning, stacklevel=4)
    return report


def as_floats(array: Any, name: str, source: str, *, strict: bool) -> Any:
    """Return a weight as it is computed with; NaN in it would be in every prediction.

    Args:
        array: The weight.
        name: What it is called there.
        source: What the user asked for.
        strict: Whether NaN and infinite values are an error; else a warning reports them.

    Raises:
        UsageError: With ``strict``, NaN or infinite values, or such as float32 cannot hold.
    """
    import numpy as np

    if array.dtype.kind in "iub":
        return array
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype="float32")
    count = values.size - int(np.isfinite(values).sum())
    if count:
        problem = (
            f"weights='{source}': {name} holds NaN or infinite values, {count:,} of "
            f"{values.size:,}, as after a training that diverged"
        )
        if strict:
            raise UsageError(f"{problem}. strict=False loads them.")
        warnings.warn(f"{problem}.", UserWarning, stacklevel=4)
    return values


def _notes(report: LoadReport, spec: ModelSpec) -> list[str]:
    source = report.source
    body = (*report.missing, *report.misshapen)
    notes = {
        f"The head of '{spec.name}' starts fresh, as '{source}' has none for it": report.fresh,
        f"These classes of '{spec.name}' start fresh, as '{source}' has none of their name": (
            report.fresh_classes
        ),
        f"These weights of '{spec.name}' start fresh, as '{source}' has none for them": body,
        f"'{source}' has weights that '{spec.name}' has no variable for": report.unexpected,
        f"'{source}' has a head of its own, where that of '{spec.name}' is the embedding": (
            report.untied
        ),
        f"'{source}' has a layer that '{spec.name}' is built without": report.unbuilt,
        f"Layers of '{source}' were saved with other settings than '{spec.name}' has": (
            report.settings
        ),
        f"Positions of '{source}' were scaled to the size of the images of '{spec.name}'": [
            f"{path}, rows: {change}" for path, change in report.fitted.items()
        ],
        f"{source}: nothing here reads these keys of config.json": [
            f"{key}={value!r}"[:_WIDEST] for key, value in report.unread.items()
        ],
        f"'{source}' asks for what no bundle does": (report.assets.notes if report.assets else ()),
    }
    found = [f"{text}: {listed(list(names))}." for text, names in notes.items() if names]
    if report.by_order:
        found.append(
            f"'{source}' does not name its classes: the rows of its head went to those of "
            f"'{spec.name}' in their order."
        )
    return found


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
