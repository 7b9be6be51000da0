"""Files that Keras wrote, by themselves or in the folder of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_models.calling import accepted_overrides, check_overrides, load_builder
from zoo_models.weights.assets import Assets, run_assets
from zoo_models.weights.converter import HEAD, POOLER
from zoo_models.weights.keras_file import Listing, as_array, holds_floats, listing_of, opened
from zoo_models.weights.loading import Classes, LoadReport, as_floats, checked
from zoo_registry import ModelSpec, UsageError
from zoo_runtime.run_info import RunInfo, read_run_info
from zoo_runtime.tokenizing import open_tokenizer
from zoo_system.durable import sha256
from zoo_system.folders import ASSETS, INFO, TOKENIZER


@dataclass(frozen=True)
class NativeFile:
    """A ``.keras`` or ``.weights.h5`` file.

    Args:
        spec: The model that is to take the weights.
        path: The file.
    """

    spec: ModelSpec
    path: Path

    @property
    def folder(self) -> Path:
        """Where the weights are, and what belongs to them."""
        return self.path.parent

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes of the weights' head; a file alone does not have them."""
        return None

    @property
    def task(self) -> str | None:
        """The head that the weights have; a file alone does not have it."""
        return None

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return no builder arguments: the file fits the model as it was asked for, or not."""
        del given, overrides
        return {}

    def load(self, model: Any, *, strict: bool, labels: Sequence[str] | None = None) -> LoadReport:
        """Load every weight by the names of the layers; another head starts fresh.

        Nothing of the file but its names and arrays is read: no model is built from it.

        Args:
            model: From the builder, with its spec.
            strict: Whether what does not fit is an error.
            labels: Names of the model's classes: the head's rows are taken by name.

        Raises:
            UsageError: The file is damaged; with ``strict``, everything that is missing, left
                over or of another shape.
        """
        hashes = {self.path.name: sha256(self.path)}
        with opened(self.path) as held:
            other_head = self.task not in {None, model.zoo_spec.defaults.get("task")}
            plan = _Plan(model, held, Classes(self.labels, labels), other_head=other_head)
            report = checked(
                LoadReport(
                    source=str(self.path),
                    sha256=hashes,
                    loaded=len(plan.filled),
                    assets=self.assets(model, plan.has_own_head, labels),
                    **plan.lists(),
                ),
                self.spec,
                strict=strict,
            )
            plan.fill(str(self.path), strict=strict)
        return report

    def assets(self, model: Any, has_own_head: bool, labels: Sequence[str] | None) -> Assets | None:
        """Return what the weights come with; a file alone comes with nothing."""
        del model, has_own_head, labels
        return None


@dataclass(frozen=True)
class RunFolder(NativeFile):
    """The folder of a complete run, which says how its model was built.

    Args:
        spec: The model that is to take the weights.
        path: The ``.keras`` file in it.
    """

    @property
    def folder(self) -> Path:
        """Where the tokenizer is."""
        return self.path.parent / ASSETS

    @property
    def labels(self) -> list[str] | None:
        """Names of the run's classes."""
        return None if self._info.labels is None else list(self._info.labels)

    @property
    def task(self) -> str | None:
        """The run's task."""
        return self._info.task

    @cached_property
    def _info(self) -> RunInfo:
        return read_run_info(self.path.parent)

    def arguments(self, given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the builder arguments of the run's model, but for its head's.

        Raises:
            UsageError: The run is of another model.
        """
        recipe = self._info.recipe
        try:
            known = recipe["model"]
            name, theirs = known["name"], dict(known.get("overrides", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"'{self.path.parent / INFO}' is damaged: it does not say what model the run is of."
            ) from error
        if name != self.spec.name:
            raise UsageError(
                f"weights='{self.path.parent}' are of model '{name}', not of '{self.spec.name}'."
            )
        wanted = {**self._vocab_size(), **check_overrides(self.spec, theirs)}
        if self.labels and "num_classes" in accepted_overrides(load_builder(self.spec)):
            wanted.setdefault("num_classes", len(self.labels))
        return {key: value for key, value in wanted.items() if key not in overrides}

    def assets(self, model: Any, has_own_head: bool, labels: Sequence[str] | None) -> Assets:
        """Return the run's own steps and files, and its classes if its head was taken."""
        known = labels or (self.labels if has_own_head else None)
        return run_assets(self._info.preprocessing, self.folder, model, known)

    def _vocab_size(self) -> dict[str, int]:
        file = self.folder / TOKENIZER
        takes_it = "vocab_size" in accepted_overrides(load_builder(self.spec))
        if not takes_it or not file.is_file():
            return {}
        return {"vocab_size": open_tokenizer(file).get_vocab_size()}


# What changes no output, or follows from the shapes of weights.
_OF_TRAINING = re.compile(
    r"name|dtype|trainable|units|filters|input_dim|output_dim|batch_shape|(batch_)?input_shape|"
    r"(lora|quantization)_\w+|gptq_\w+|\w*dropout|rate|seed|momentum|synchronized|"
    r"\w*_(initializer|regularizer|constraint)|regularizer|stddev|"
    r"module|registered_name|build_config|shared_object_id|inbound_nodes|(input|output)_layers"
)
# With these, one variable stands for another.
_ORDERING = ("center", "scale", "use_bias")


def _kind_of_head(names: Iterable[str]) -> str | None:
    """Return what a head gives classes to, read from its layers; nothing where there is none."""
    layers = {name.partition("/")[0] for name in names}
    if "logits" not in layers:
        return None
    if "head_norm" in layers:
        return "tokens of the vocabulary"
    pooled = "pooled_output" in layers and "next_sentence_logits" not in layers
    return "texts" if pooled or "head_dense" in layers else "steps"


def _computed(settings: Any) -> Any:
    """Return the settings of a layer, and of those inside of it, that its outputs depend on."""
    if isinstance(settings, Mapping):
        kept = {k: v for k, v in settings.items() if not _OF_TRAINING.fullmatch(k)}
        return {key: _computed(value) for key, value in kept.items()}
    return [_computed(value) for value in settings] if isinstance(settings, list) else settings


class _Plan:
    """Which array goes where, found from names and shapes before anything is read."""

    def __init__(self, model: Any, file: Listing, classes: Classes, *, other_head: bool) -> None:
        self._model, self._classes = model, classes
        listing = listing_of(model)
        depth = min(listing.depth, file.depth)
        self._theirs, self._ours = file.by_name(depth), listing.by_name(depth)
        kinds = {_kind_of_head(self._theirs), _kind_of_head(self._ours)} - {None}
        self._other_head = other_head or len(kinds) > 1
        self.filled: list[tuple[Any, Any]] = []
        self._report: dict[str, list[str]] = {"fresh": [], "missing": [], "misshapen": []}
        self._settings: dict[str, str] = {}
        for name, variable in self._ours.items():
            self._place(name, variable)
        self._compare(file, listing)

    def _compare(self, theirs: Listing, ours: Listing) -> None:
        """Note layers of one name, and weights of one shape, that compute something else."""
        placed = {variable.path.partition("/")[0] for variable, _ in self.filled}
        for name in placed & theirs.layers.keys() & ours.layers.keys():
            if HEAD.match(name):
                continue
            (kind, all_theirs), (own_kind, all_own) = theirs.layers[name], ours.layers[name]
            other, own = _computed(all_theirs), _computed(all_own)
            differ = sorted(key for key in own.keys() & other.keys() if other[key] != own[key])
            if kind != own_kind:
                self._report["misshapen"].append(f"{name}, a {own_kind} and not a {kind}")
            elif any(key in _ORDERING for key in differ):
                self._report["misshapen"].append(f"{name} with other {', '.join(differ)}")
            elif differ:
                changes = (f"{key}={other[key]!r} and not {own[key]!r}" for key in differ)
                self._settings[name] = f"{name} {', '.join(changes)}"

    @property
    def has_own_head(self) -> bool:
        """Whether the model's head was found, so that the weights' classes are its own."""
        return not any(HEAD.match(path) for path in self._report["fresh"])

    def lists(self) -> dict[str, Any]:
        """Return what the report lists."""
        left = [name for name in self._theirs if name not in self._ours or self._is_other(name)]
        unused = [name for name in left if HEAD.match(name) or POOLER.match(name)]
        lists = {key: tuple(value) for key, value in self._report.items()}
        has_classes = any(self._classes.is_by_name(variable.path) for variable, _ in self.filled)
        return lists | {
            "unexpected": tuple(name for name in left if name not in unused),
            "unused": tuple(unused),
            "fresh_classes": self._classes.fresh if has_classes else (),
            "settings": tuple(self._settings[name] for name in sorted(self._settings)),
            "by_order": self._classes.is_by_order(variable.path for variable, _ in self.filled),
        }

    def fill(self, source: str, *, strict: bool) -> None:
        """Assign every array that was placed."""
        import keras

        for variable, value in self.filled:
            array = as_floats(as_array(value), variable.path, source, strict=strict)
            if self._classes.is_by_name(variable.path):
                array = self._classes.taken(array, variable)
            variable.assign(array)
        for layer in self._model._flatten_layers(include_self=False):
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # its constants follow from its variables

    def _is_other(self, name: str) -> bool:
        # A class of a text and that of a word have weights of one shape and nothing in common.
        return self._other_head and HEAD.match(name) is not None

    def _place(self, name: str, variable: Any) -> None:
        found = None if self._is_other(name) else self._theirs.get(name)
        head = HEAD.match(variable.path)
        if found is None:
            is_fresh = head or POOLER.match(variable.path)
            self._report["fresh" if is_fresh else "missing"].append(variable.path)
            return
        shape, wanted = tuple(found.shape), tuple(variable.shape)
        by_name = self._classes.is_by_name(variable.path)
        if not holds_floats(found) and variable.dtype.startswith(("float", "bfloat")):
            entry = f"{variable.path} as {found.dtype}, as quantized weights are"
            self._report["misshapen"].append(entry)
        elif self._classes.fit(shape, wanted) if by_name else shape == wanted:
            self.filled.append((variable, found))
        elif head:
            self._report["fresh"].append(variable.path)
        else:
            self._report["misshapen"].append(f"{variable.path} {wanted} and not {shape}")
