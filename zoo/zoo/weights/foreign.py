"""From a snapshot's tensors to a model's weights."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.weights.converter import HEAD, Converter, Head, Row, kind_of
from zoo.weights.snapshot import Snapshot
from zoo.weights.tensors import opened, tensor_files
from zoo_registry import ModelSpec, UsageError
from zoo_registry.hashing import sha256


@dataclass(frozen=True)
class Report:
    """What was loaded and what was not.

    Args:
        source: What the user asked for.
        sha256: Of every file, by name.
        loaded: How many variables were filled.
        fresh: Variables of the head that start fresh.
        missing: Other variables that no tensor was found for.
        unexpected: Tensors that belong to no weight of the family.
        misshapen: Variables with the shape they have and the one that was found.
    """

    source: str
    sha256: Mapping[str, str]
    loaded: int
    fresh: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
        }
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def checked(report: Report, spec: ModelSpec, *, strict: bool) -> Report:
    """Return a report, and warn of a head that starts fresh.

    Args:
        report: What was loaded.
        spec: The model.
        strict: Whether all else that was not loaded is an error.

    Raises:
        UsageError: With ``strict``, everything that is missing, left over or misshapen.
    """
    if strict and str(report):
        raise UsageError(
            f"weights='{report.source}' do not fit model '{spec.name}': {report}. "
            "strict=False loads what fits."
        )
    if report.fresh:
        warnings.warn(
            f"The head of '{spec.name}' starts fresh, as '{report.source}' has none for it: "
            f"{', '.join(report.fresh)}.",
            UserWarning,
            stacklevel=3,
        )
    return report


@dataclass(frozen=True)
class ForeignCheckpoint:
    """Weights under the names that a converter knows.

    Args:
        spec: The model that is to take them.
        source: What the user asked for.
        snapshot: Where they are.
        converter: The family's table.
    """

    spec: ModelSpec
    source: str
    snapshot: Snapshot
    converter: Converter

    @property
    def folder(self) -> Path:
        """Where the weights are, and their tokenizer beside them."""
        path = self.snapshot.path
        return path.parent if path.is_file() else path

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the builder arguments that the configuration asks for.

        A family's name takes every size from it; a named size must agree with it.

        Args:
            given: Defaults and overrides together.
            overrides: What the user said.

        Raises:
            UsageError: Another family, or sizes that differ, all of them.
        """
        config = self.snapshot.config
        if not config:
            return {}
        self._check_family(config)
        wanted = self._arguments(config)
        if self.spec.name != self.spec.family:
            known = {**builder_defaults(self.spec), **given}
            differ = [
                f"{name} is {value!r} there and {known[name]!r} here"
                for name, value in wanted.items()
                if name not in {*self.converter.settings, *self.converter.own}
                and not _same(value, known.get(name))
            ]
            wanted = {k: v for k, v in wanted.items() if k not in self.converter.own}
            if differ:
                raise UsageError(
                    f"weights='{self.source}' do not fit model '{self.spec.name}': "
                    f"{'; '.join(differ)}. Model '{self.spec.family}' takes any size."
                )
        labels = self.snapshot.labels
        if labels and "num_classes" in builder_defaults(self.spec):
            wanted["num_classes"] = len(labels)
        return {name: value for name, value in wanted.items() if name not in overrides}

    def load(self, model: Any, *, strict: bool) -> Report:
        """Fill the model's variables, one tensor in memory at a time.

        Raises:
            UsageError: With ``strict``, everything that is missing, left over or misshapen.
        """
        converter = self.converter
        places = tensor_files(self.snapshot.files)
        names = {converter.plain_name(name): name for name in places}
        report: dict[str, list[str]] = {"fresh": [], "missing": [], "misshapen": []}
        loaded = 0
        head = converter.heads.get(model.zoo_spec.defaults.get("task"), Head(""))
        for variable in model.weights:
            found = [(name, row) for name, row in converter.matches(variable.path) if name in names]
            own = [match for match in found if match[0].startswith(head.layers)]
            loaded += self._fill(model, variable, (own or found)[:1], names, places, report)
        unexpected = [
            names[plain]
            for plain in names
            if not converter.knows(plain) and not re.fullmatch(converter.ignored, plain)
        ]
        hashes = {name: sha256(path) for name, path in self.snapshot.files.items()}
        lists = {key: tuple(value) for key, value in report.items()}
        result = Report(self.source, hashes, loaded, unexpected=tuple(sorted(unexpected)), **lists)
        return checked(result, self.spec, strict=strict)

    def _fill(  # one step of `load`
        self,
        model: Any,
        variable: Any,
        found: list[tuple[str, Row]],
        names: Mapping[str, str],
        places: Mapping[str, Path],
        report: dict[str, list[str]],
    ) -> int:
        import numpy as np

        head = HEAD.match(variable.path)
        if not found:
            if not variable.path.startswith("seed_generator") and "seed_gen" not in variable.path:
                report["fresh" if head else "missing"].append(variable.path)
            return 0
        ((plain, row),) = found
        name = names[plain]
        with opened(places[name]) as file:
            array = row.to_ours(file.get_tensor(name))
        if row.fit is not None:
            array = row.fit(array, model, self.snapshot.config)
        if array.shape != tuple(variable.shape):
            shapes = f"{variable.path} {tuple(variable.shape)} and not {array.shape}"
            report["fresh" if head else "misshapen"].append(shapes)
            return 0
        variable.assign(np.ascontiguousarray(array, dtype="float32"))
        return 1

    def _check_family(self, config: Mapping[str, Any]) -> None:
        theirs = kind_of(config)
        if theirs != self.converter.model_type:
            raise UsageError(
                f"weights='{self.source}' are of a '{theirs}' model; '{self.spec.name}' is of "
                f"family '{self.spec.family}', which reads '{self.converter.model_type}'."
            )
        for key, value in self.converter.fixed.items():
            if config.get(key, value) != value:
                raise UsageError(
                    f"weights='{self.source}': {CONFIG_SAYS} {key}={config[key]!r}; "
                    f"only {value!r} is built."
                )

    def _arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {}
        config = {**self.converter.defaults, **config}
        for name, key in self.converter.sizes.items():
            value = config.get(key)
            if value is None:
                continue
            words = self.converter.words.get(name)
            if words is not None and value not in words:
                raise UsageError(
                    f"weights='{self.source}': {CONFIG_SAYS} {key}={value!r}, "
                    f"which is not one of: {', '.join(words)}."
                )
            value = words[value] if words else value
            wanted[name] = tuple(value) if isinstance(value, list) else value
        try:
            return wanted | self.converter.read(config)
        except UsageError as error:
            raise UsageError(f"weights='{self.source}': {error}") from error


CONFIG_SAYS = "config.json says"


def builder_defaults(spec: ModelSpec) -> dict[str, Any]:
    """Return the builder's arguments that have a default."""
    import inspect

    parameters = inspect.signature(spec.load_builder()).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _same(theirs: Any, ours: Any) -> bool:
    # An argument left at None follows from the others.
    return ours is None or theirs == ours
