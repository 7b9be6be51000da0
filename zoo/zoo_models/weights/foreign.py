"""From a snapshot's tensors to a model's weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_models.calling import check_overrides, load_builder
from zoo_models.weights.assets import Assets, sentences, snapshot_assets
from zoo_models.weights.configuration import Settings, read_settings, same
from zoo_models.weights.converter import HEAD, POOLER, SETTINGS, Converter, Weight, chosen, kind_of
from zoo_models.weights.loading import Classes, LoadReport, as_floats, checked
from zoo_models.weights.snapshot import Snapshot, Tensors
from zoo_registry import ModelSpec, UsageError, models
from zoo_system.durable import sha256

# What the names of models end with whose head has a row a class.
_CLASSES = "Classification"
_FEW_BLOCKS = 200
# Whose heads give a logit to every token of the vocabulary.
_OF_TOKENS = {"causal-lm", "masked-lm", "pretraining"}
GIVE = "Give what differs as arguments of the builder."


@dataclass(frozen=True)
class ForeignCheckpoint:
    """Weights under the names that a converter knows.

    Args:
        spec: The model that is to take them.
        source: What the user asked for.
        snapshot: Where they are.
        converters: The family's tables, of which one is for this snapshot.
    """

    spec: ModelSpec
    source: str
    snapshot: Snapshot
    converters: Sequence[Converter]

    @cached_property
    def converter(self) -> Converter:
        """The table for this snapshot; without a type of model the names of tensors decide."""
        config = self.snapshot.config
        if kind_of(config) is not None:
            return chosen(self.converters, config, ())
        with self.snapshot.opened() as tensors:
            return chosen(self.converters, config, tensors.names())

    @property
    def folder(self) -> Path:
        """Where the weights are, and their tokenizer beside them."""
        return self.snapshot.folder

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes of the weights' head."""
        return self.snapshot.labels

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the builder arguments that the configuration asks for.

        A family's name takes every size from it; a named size must agree with it, and takes only
        what changes no shape, such as the epsilon of its normalizations.

        Args:
            given: Defaults and overrides together.
            overrides: What the user passed.

        Raises:
            UsageError: Another family, or sizes that differ, all of them.
        """
        if not self.snapshot.config:
            return {}
        self._check_family()
        wanted = dict(self._settings.arguments)
        known = {**builder_defaults(self.spec), **given}
        named = self.spec.name != self.spec.family
        kept = self.converter.own if named else ()
        wanted = {k: v for k, v in wanted.items() if k not in kept}
        if named:
            self._check_sizes(wanted, known)
        further = {
            "num_classes": len(self.labels or ()) or None,
            "input_shape": self._input_shape(known.get("input_shape")),
            **sentences(self.snapshot, known.get("task")),
        }
        more = {k: v for k, v in further.items() if v is not None and k in known and k not in kept}
        arguments = {k: v for k, v in {**more, **wanted}.items() if k not in overrides}
        self._check_blocks(arguments)
        try:
            return check_overrides(self.spec, arguments)
        except UsageError as error:
            raise UsageError(
                f"weights='{self.source}': config.json does not fit: {error}"
            ) from error

    def load(self, model: Any, *, strict: bool, labels: Sequence[str] | None = None) -> LoadReport:
        """Fill the model's variables, one tensor in memory at a time.

        Args:
            model: From the builder, with its spec.
            strict: Whether what does not fit is an error.
            labels: Names of the model's classes: the head's rows are taken by name.

        Raises:
            UsageError: With ``strict``, everything that is missing, left over or misshapen.
        """
        self._warn_of_lost_head(model)
        hashes = {name: sha256(path) for name, path in self.snapshot.files.items()}
        with self.snapshot.opened() as tensors:
            plan = _Plan(self, model, tensors, Classes(self.labels, labels))
            report = checked(
                LoadReport(
                    source=self.source,
                    sha256=hashes,
                    loaded=len(plan.filled),
                    unread=self._settings.unread,
                    model_type=self.converter.model_type,
                    assets=self.assets(model, plan.has_own_head, labels),
                    **plan.lists(),
                ),
                self.spec,
                strict=strict,
            )
            plan.fill(strict=strict)
        return report

    def head_layers(self, model: Any) -> tuple[str, ...] | None:
        """Return what the tensors of a model's head begin with, nothing for a model without one.

        Classes of texts and those of words stand under one name: of another task than the model's
        none is taken.
        """
        heads = self.converter.heads
        wanted = heads.get(model.zoo_spec.defaults.get("task"))
        theirs = (self.snapshot.own_config.get("architectures") or [None])[0]
        if wanted is None or not wanted.layers:
            return None
        others = {head.architecture for head in heads.values()} - {wanted.architecture}
        kinds = {wanted.architecture.endswith(_CLASSES), str(theirs).endswith(_CLASSES)}
        return () if theirs in others and kinds == {True} else wanted.layers

    def _warn_of_lost_head(self, model: Any) -> None:
        """Say that the weights have a head where the model has none: its labels go with it."""
        heads, task = self.converter.heads, model.zoo_spec.defaults.get("task")
        theirs = (self.snapshot.own_config.get("architectures") or [None])[0]
        lost = [name for name, head in heads.items() if head.architecture == theirs and head.layers]
        if lost and task in heads and not heads[task].layers:
            warnings.warn(
                f"weights='{self.source}' have a head, which task '{task}' leaves out, and its "
                f"labels: task='{lost[0]}' (--task {lost[0]}) takes it along.",
                stacklevel=5,
            )

    def assets(self, model: Any, has_own_head: bool, labels: Sequence[str] | None) -> Assets:
        """Return what the weights come with, as far as it goes with a model."""
        return snapshot_assets(
            self.snapshot, model, labels or (self.labels if has_own_head else None)
        )

    @cached_property
    def _settings(self) -> Settings:
        if not self.snapshot.config:
            return Settings({}, {})
        return read_settings(self.converter, self.snapshot.config, self.source)

    def _check_family(self) -> None:
        theirs = kind_of(self.snapshot.config)
        # The first snapshots were written before the key was.
        if theirs not in {None, self.converter.model_type}:
            read = dict.fromkeys(f"'{converter.model_type}'" for converter in self.converters)
            raise UsageError(
                f"weights='{self.source}' are of a '{theirs}' model; '{self.spec.name}' is of "
                f"family '{self.spec.family}', which reads {', '.join(read)}."
            )

    def _check_blocks(self, arguments: Mapping[str, Any]) -> None:
        """Refuse more blocks than there are tensors before any is built."""
        count = arguments.get("num_layers", 0)
        if not isinstance(count, int) or count <= _FEW_BLOCKS:
            return
        with self.snapshot.opened() as tensors:
            held = len(tensors.names())
        if count > held:
            raise UsageError(
                f"weights='{self.source}': config.json says {count:,} blocks; there are {held:,} "
                "tensors."
            )

    def _input_shape(self, known: Any) -> tuple[Any, ...] | None:
        """Return the shape of images, with the size and the channels that the snapshot gives."""
        channels = self.snapshot.config.get("num_channels")
        if not isinstance(known, tuple) or len(known) != 3:
            return None
        images = self.snapshot.images
        size = (images.size if images else None) or known[:2]
        return (*size, channels if isinstance(channels, int) else known[-1])

    def _check_sizes(self, wanted: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        free = {*SETTINGS, *self.converter.settings}
        differ = [
            f"{name} is {value!r} there and {known[name]!r} here"
            for name, value in wanted.items()
            # What is left at None follows from the others.
            if name not in free and known.get(name) is not None and not same(value, known[name])
        ]
        if differ:
            family = self.spec.family
            any_size = f"Model '{family}' takes any size (in a recipe `--set model.name={family}`)."
            hint = any_size if family in models else GIVE
            raise UsageError(
                f"weights='{self.source}' do not fit model '{self.spec.name}': "
                f"{'; '.join(differ)}. {hint}"
            )


class _Plan:
    """Which tensor goes where, found from names and shapes before anything is read."""

    def __init__(
        self, checkpoint: ForeignCheckpoint, model: Any, tensors: Tensors, classes: Classes
    ) -> None:
        self._converter = converter = checkpoint.converter
        self._config, self._source = checkpoint.snapshot.config, checkpoint.source
        self._head_layers = checkpoint.head_layers(model)
        self._model, self._tensors, self._classes = model, tensors, classes
        self._names = {converter.plain_name(name): name for name in tensors.names()}
        # Of two equal tensors some writers keep the other one.
        for copy, original in converter.tied.items():
            if copy in self._names and original not in self._names and self._shares:
                self._names[original] = self._names.pop(copy)
        self.filled: list[tuple[Any, str, Weight]] = []
        self._fitted: dict[str, str] = {}
        self._report: dict[str, list[str]] = {"fresh": [], "missing": [], "misshapen": []}
        self._used: set[str] = set()
        for variable in model.weights:
            if "seed_gen" not in variable.path:
                self._place(variable)
        self._sort_pooler()

    @property
    def has_own_head(self) -> bool:
        """Whether the model's head was found whole, so that the weights' classes are its own."""
        return not any(HEAD.match(path) for path in self._report["fresh"])

    def lists(self) -> dict[str, Any]:
        """Return what the report lists."""
        left: dict[str, list[str]] = {"unexpected": [], "unused": [], "unbuilt": [], "untied": []}
        for plain, name in sorted(self._names.items()):
            if plain not in self._used and not self._converter.is_ignored(plain):
                left[self._kind_of_left(plain)].append(name)
        by_name = any(self._classes.is_by_name(variable.path) for variable, _, _ in self.filled)
        fresh_classes = self._classes.fresh if by_name else ()
        lists = {key: tuple(value) for key, value in {**self._report, **left}.items()}
        by_order = self._classes.is_by_order(variable.path for variable, _, _ in self.filled)
        more = {"fresh_classes": fresh_classes, "by_order": by_order, "fitted": self._fitted}
        return {**lists, **more}

    def fill(self, *, strict: bool) -> None:
        """Assign every tensor that was placed."""
        for variable, name, weight in self.filled:
            array = as_floats(self._read(name, weight), name, self._source, strict=strict)
            if self._classes.is_by_name(variable.path):
                array = self._classes.taken(array, variable)
            variable.assign(array)

    def _read(self, name: str, weight: Weight) -> Any:
        array = weight.to_ours(self._tensors.read(name))
        return array if weight.fit is None else weight.fit(array, self._model, self._config)

    def _shape(self, path: str, name: str, weight: Weight) -> tuple[int, ...]:
        """Return the shape of what a tensor becomes, and note one that is fitted to images."""
        shape = weight.our_shape(self._tensors.shape(name))
        if weight.fit is None:
            return shape
        plain = weight.to_ours(self._tensors.read(name))
        fitted = weight.fit(plain, self._model, self._config)
        if fitted is not plain:
            self._fitted[path] = f"{len(plain)} to {len(fitted)}"
        return tuple(fitted.shape)

    def _place(self, variable: Any) -> None:
        head = HEAD.match(variable.path)
        found = [pair for pair in self._candidates(variable.path, head) if pair[0] in self._names]
        if not found:
            self._report["fresh" if head else "missing"].append(variable.path)
            return
        plain, weight = found[0]
        self._used.add(plain)
        name = self._names[plain]
        shape, wanted = self._shape(variable.path, name, weight), tuple(variable.shape)
        by_name = self._classes.is_by_name(variable.path)
        if self._classes.fit(shape, wanted) if by_name else shape == wanted:
            self.filled.append((variable, name, weight))
        else:
            shapes = f"{variable.path} {wanted} and not {shape}"
            # Of a head for as many classes of other names the shapes say nothing.
            entry = variable.path if by_name else shapes
            is_fresh = head and (by_name or not self._has_known_classes(wanted))
            self._report["fresh" if is_fresh else "misshapen"].append(entry)

    def _has_known_classes(self, wanted: Sequence[int]) -> bool:
        """Return whether a head has as many classes as the configuration says: it should fit."""
        known = self._classes.theirs
        return known is not None and len(known) == wanted[-1]

    def _candidates(self, path: str, head: Any) -> list[tuple[str, Weight]]:
        """Return the names a variable may have; in the head, those of the task's own layers."""
        matches = self._converter.matches(path)
        if self._head_layers is None:
            return matches
        own = [pair for pair in matches if pair[0].startswith(self._head_layers)]
        return own if head else [*own, *matches]

    @property
    def _shares(self) -> bool:
        """Whether a head of tokens is the embedding, as it always is in most families."""
        return bool(self._model.zoo_spec.defaults.get("tied", True))

    @property
    def _is_tied(self) -> bool:
        """Whether this model has such a head."""
        return self._shares and self._model.zoo_spec.defaults.get("task") in _OF_TOKENS

    def _is_copy(self, plain: str) -> bool:
        """Return whether a tensor that is left has the values of the one that replaces it."""
        import numpy as np

        name, original = self._names[plain], self._names.get(self._converter.tied[plain])
        if original is None or self._tensors.shape(name) != self._tensors.shape(original):
            return False
        return np.array_equal(self._tensors.read(name), self._tensors.read(original))

    def _kind_of_left(self, plain: str) -> str:
        if plain in self._converter.tied:
            return "unused" if not self._is_tied or self._is_copy(plain) else "untied"
        if self._converter.is_unbuilt(plain):
            return "unbuilt"
        owners = self._converter.owners(plain)
        is_head = any(HEAD.match(path) or POOLER.match(path) for path in owners)
        return "unused" if is_head else "unexpected"

    def _sort_pooler(self) -> None:
        """Call the pooler fresh where the weights have none at all, as those of many tasks."""
        pooler = [path for path in self._report["missing"] if POOLER.match(path)]
        placed = any(POOLER.match(variable.path) for variable, _, _ in self.filled)
        if pooler and not placed and not any(map(POOLER.match, self._report["misshapen"])):
            self._report["missing"] = [p for p in self._report["missing"] if p not in pooler]
            self._report["fresh"] += pooler


def builder_defaults(spec: ModelSpec) -> dict[str, Any]:
    """Return the builder's arguments that have a default."""
    import inspect

    parameters = inspect.signature(load_builder(spec)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
