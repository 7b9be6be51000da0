"""What a family's tensors are called elsewhere, as data, and the one engine that reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Kind = Literal["plain", "linear", "conv", "depthwise", "pointwise", "one"]
HEAD = re.compile(r"(head_\w+|logits|\w+_logits)(/|$)")
# What a snapshot of timm, whose configuration names an architecture and no model type, is of.
TIMM = "timm"
# How transformers calls one that it has saved.
WRAPPED = "timm_wrapper"
# Builder arguments that change no weight's shape, in every family.
SETTINGS = frozenset({"activation", "epsilon", "mean", "rope_scaling", "std", "theta"})
# From a tensor in our axes, the model and the snapshot's configuration to the tensor that fits.
Fit = Callable[[Any, Any, Mapping[str, Any]], Any]
# BERT has it for classes of whole texts; models of hidden tokens and of sentences learn none.
POOLER = re.compile("pooled_output(/|$)")
# Words of TensorFlow that transformers reads too, whatever the family.
SPELLINGS = (
    (re.compile(r"LayerNorm\.gamma$"), "LayerNorm.weight"),
    (re.compile(r"LayerNorm\.beta$"), "LayerNorm.bias"),
)
_NUMBER = re.compile(r"\d+")
_LETTER = re.compile(r"\{\w\}")
# Axes of PyTorch's tensor in the order of Keras' variable.
AXES = {"linear": (1, 0), "conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1)}


@dataclass(frozen=True)
class Weight:
    """One weight under both names.

    Args:
        ours: Path of the Keras variable; ``{i}`` stands for a number, such as a block's.
        theirs: Name of the tensor, with the same letters.
        kind: How PyTorch stores it: ``"linear"``, ``"conv"`` and ``"depthwise"`` kernels have
            other axes, ``"pointwise"`` is a dense layer's as a 1x1 convolution, ``"one"`` has a
            leading axis of size 1 more.
        part: Which part of how many along the tensor's first axis it is; ``None`` is all of it.
        fit: Makes of a tensor for images of another size that of this model's.
    """

    ours: str
    theirs: str
    kind: Kind = "plain"
    part: tuple[int, int] | None = None
    fit: Fit | None = None

    def to_ours(self, array: Any) -> Any:
        """Return a tensor as Keras stores it; one of another rank as it is."""
        if self.part is not None:
            number, parts = self.part
            size = array.shape[0] // parts
            array = array[number * size : (number + 1) * size]
        if self.kind == "pointwise" and array.ndim == 4:
            return array[:, :, 0, 0].transpose()
        axes = AXES.get(self.kind)
        if axes is not None and array.ndim == len(axes):
            return array.transpose(axes)
        return array[0] if self.kind == "one" and array.shape[0] == 1 else array

    def our_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that :meth:`to_ours` gives a tensor."""
        if self.part is not None and shape:
            shape = (shape[0] // self.part[1], *shape[1:])
        if self.kind == "pointwise" and len(shape) == 4:
            return shape[1::-1]
        axes = AXES.get(self.kind)
        if axes is not None and len(shape) == len(axes):
            return tuple(shape[axis] for axis in axes)
        return shape[1:] if self.kind == "one" and shape[:1] == (1,) else shape

    def to_theirs(self, array: Any) -> Any:
        """Return a variable's value as PyTorch stores it."""
        if self.kind == "pointwise":
            return array.transpose()[:, :, None, None]
        axes = AXES.get(self.kind)
        if axes is not None:
            return array.transpose([axes.index(axis) for axis in range(len(axes))])
        return array[None] if self.kind == "one" else array


@dataclass(frozen=True)
class Head:
    """A task's model in Hugging Face's words.

    Args:
        architecture: Name of its class.
        layers: What the names of the head's own tensors begin with.
    """

    architecture: str
    layers: tuple[str, ...] = ()


def nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further values."""
    del values
    return {}


def anything(config: Mapping[str, Any]) -> bool:
    """Return that every configuration is read."""
    del config
    return True


@dataclass(frozen=True)
class Converter:
    """A family in Hugging Face's names.

    Args:
        model_type: Of ``config.json``.
        weights: Every weight of every head.
        heads: By task.
        sizes: Key of ``config.json`` by builder argument.
        words: The builder's word for a word of ``config.json``, by builder argument.
        fixed: What ``config.json`` must say for our graph to be right.
        defaults: What transformers takes where ``config.json`` lacks a key, if not our default.
        settings: Builder arguments beside :data:`SETTINGS` that change no weight's shape: a named
            model, too, takes the snapshot's.
        own: Builder arguments that a named model keeps, as weights are fitted to them.
        harmless: Further keys of ``config.json`` that change no output.
        graph: Builder arguments for which Hugging Face has our default and no other value.
        read: Builder arguments that follow from several keys of ``config.json``.
        write: The way back, from all builder arguments.
        prefix: What the names begin with in a model that has a head.
        ignored: Regular expression of tensors that are not weights.
        tied: Tensors of a head of tokens by the one that replaces them here and must be equal.
        accepts: Whether a configuration of the model type is this converter's, where a family has
            several of them.
        unbuilt: Regular expression of tensors of layers that ours leaves out; they are reported.
        aliases: Keys of ``config.json`` by another word that transformers takes for them.
    """

    model_type: str
    weights: tuple[Weight, ...]
    heads: Mapping[str, Head]
    sizes: Mapping[str, str]
    prefix: str
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    graph: tuple[str, ...] = ()
    read: Callable[[Mapping[str, Any]], dict[str, Any]] = nothing
    write: Callable[[Mapping[str, Any]], dict[str, Any]] = nothing
    ignored: str = r"$^"
    tied: Mapping[str, str] = field(default_factory=dict)
    accepts: Callable[[Mapping[str, Any]], bool] = anything
    unbuilt: str = r"$^"
    aliases: Mapping[str, str] = field(default_factory=dict)

    def plain_name(self, tensor: str) -> str:
        """Return a tensor's name without the prefix that a model with a head gives it."""
        for pattern, word in SPELLINGS:
            tensor = pattern.sub(word, tensor)
        return tensor.removeprefix(self.prefix)

    def matches(self, path: str) -> list[tuple[str, Weight]]:
        """Return the names that a Keras variable may have, without prefix, by kind of head."""
        return self._by_ours.filled(path)

    def owners(self, tensor: str) -> list[str]:
        """Return the paths of the variables that a tensor, named without its prefix, may fill."""
        return [path for path, _ in self._by_theirs.filled(tensor)]

    def knows(self, tensor: str) -> bool:
        """Return whether a tensor, named without its prefix, is a weight of some head."""
        return bool(self.owners(tensor))

    def is_ignored(self, tensor: str) -> bool:
        """Return whether a tensor, named without its prefix, is not a weight."""
        return self._ignored.fullmatch(tensor) is not None

    def is_unbuilt(self, tensor: str) -> bool:
        """Return whether a tensor, named without its prefix, is of a layer that ours leaves out."""
        return self._unbuilt.fullmatch(tensor) is not None

    @cached_property
    def _by_ours(self) -> _Names:
        return _Names(tuple((weight.ours, weight.theirs, weight) for weight in self.weights))

    @cached_property
    def _by_theirs(self) -> _Names:
        return _Names(tuple((weight.theirs, weight.ours, weight) for weight in self.weights))

    @cached_property
    def _ignored(self) -> re.Pattern[str]:
        return re.compile(self.ignored)

    @cached_property
    def _unbuilt(self) -> re.Pattern[str]:
        return re.compile(self.unbuilt)


class _Names:
    """Weights by their name without its numbers: a file may have 300,000 names."""

    def __init__(self, weights: tuple[tuple[str, str, Weight], ...]) -> None:
        self._weights: dict[str, list[tuple[re.Pattern[str], str, Weight]]] = {}
        for pattern, other, weight in weights:
            expression = re.sub(r"\\{(\w)\\}", r"(?P<\1>\\d+)", re.escape(pattern))
            shape = _NUMBER.sub("0", _LETTER.sub("0", pattern))
            self._weights.setdefault(shape, []).append((re.compile(expression), other, weight))

    def filled(self, name: str) -> list[tuple[str, Weight]]:
        """Return the other names, the numbers of ``name`` in place of the pattern's letters."""
        weights = self._weights.get(_NUMBER.sub("0", name), ())
        found = [(pattern.fullmatch(name), other, weight) for pattern, other, weight in weights]
        return [
            (other.format(**match.groupdict()), weight) for match, other, weight in found if match
        ]


def kind_of(config: Mapping[str, Any]) -> str | None:
    """Return the model type that a configuration gives, or timm for one that has timm's keys.

    Example:
        >>> kind_of({"model_type": "vit"}), kind_of({"architecture": "resnet18"})
        ('vit', 'timm')
    """
    kind = config.get("model_type")
    return TIMM if kind in {None, WRAPPED} and "architecture" in config else kind


def dialects(converters: Converter | Sequence[Converter]) -> Sequence[Converter]:
    """Return the converters of a family, which may be one alone."""
    return (converters,) if isinstance(converters, Converter) else converters


def chosen(
    several: Sequence[Converter], config: Mapping[str, Any], tensors: Iterable[str]
) -> Converter:
    """Return the converter that reads a snapshot.

    Args:
        several: Those of the family.
        config: Its configuration; empty for a file alone.
        tensors: The names of its tensors, which decide where no configuration names a type.
    """
    kind = kind_of(config)
    if kind is not None:
        found = [converter for converter in several if converter.model_type == kind]
        accepted = [converter for converter in found if converter.accepts(config)]
        return (accepted or found or several)[0]
    names = list(tensors)
    counts = [sum(c.knows(c.plain_name(name)) for name in names) for c in several]
    return several[counts.index(max(counts))]


def layer(ours: str, theirs: str, kind: Kind = "linear") -> tuple[Weight, Weight]:
    """Return the weights of a dense or convolutional layer with kernel and bias."""
    return Weight(f"{ours}/kernel", f"{theirs}.weight", kind), Weight(
        f"{ours}/bias", f"{theirs}.bias"
    )


def norm(ours: str, theirs: str) -> tuple[Weight, Weight]:
    """Return the weights of a layer normalization."""
    return Weight(f"{ours}/gamma", f"{theirs}.weight"), Weight(f"{ours}/beta", f"{theirs}.bias")


def conv_norm(ours: str, theirs: str, number: str = "", kind: Kind = "conv") -> tuple[Weight, ...]:
    """Return the weights of what :func:`zoo_models.layers.conv_norm` names ``ours``."""
    normalization = f"{ours}_norm{number}"
    return (
        Weight(f"{ours}_conv{number}/kernel", f"{theirs}.convolution.weight", kind),
        *norm(normalization, f"{theirs}.normalization"),
        Weight(f"{normalization}/moving_mean", f"{theirs}.normalization.running_mean"),
        Weight(f"{normalization}/moving_variance", f"{theirs}.normalization.running_var"),
    )
