"""What is known about a model before anything is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from zoo_system.errors import UsageError, did_you_mean

REGRESSION, CLASSIFICATION = "regression", "classification"
# Any number of classes an example: each logit is a yes or a no.
MULTI_LABEL = "multi-label"
# Tasks whose classes are those of parts of an example.
_OF_PARTS = ("token-classification",)

# What a spec's fields hold, beside its builder and its inputs.
_TEXTS = ("name", "family", "summary", "paper", "license")
_TEXTS_OR_NONE = ("weights", "converter", "deprecated_by", "removed_in")
_LISTS = ("tasks", "tags", "aliases", "exports")
_MAPPINGS = ("defaults", "reduced")
_COUNTS = ("num_params", "macs")
# A number of this size is nobody's count, and a float cannot hold it.
_MOST = 10**18


def is_regression(task: str | None) -> bool:
    """Return whether a task predicts a number.

    Example:
        >>> [is_regression(task) for task in ("regression", "image-regression", None)]
        [True, True, False]
    """
    return task is not None and f"-{task}".endswith(f"-{REGRESSION}")


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one model input.

    Args:
        name: The name the tensor keeps in every exported format.
        shape: Sizes without the batch; ``None`` is a size known only when data arrive.
        dtype: A NumPy dtype name.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in ("batch", *self.shape))
        return f"{self.name}: {self.dtype}[{sizes}]"


@dataclass(frozen=True)
class Origin:
    """The distribution that a name came from."""

    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A named model: how to build it and what to expect, as data.

    Args:
        name: Public name, lower case, ``-`` between words.
        builder: ``"package.module:function"``, imported only when the model is built, or the
            function itself. It takes keyword arguments and returns a ``keras.Model``.
        family: The architecture the name belongs to; defaults to the name.
        tasks: Heads the builder offers, the default first; empty if it takes no ``task``.
        defaults: Literal arguments of the builder.
        inputs: What the model takes with the defaults.
        num_params: Trainable parameters with the defaults and the default task; a test checks it.
        summary: One line.
        paper: Where the architecture is described.
        license: Licence of the code and, where there are any, of the weights.
        tags: Words to search by.
        aliases: Other names for a built-in model; a plugin has a second entry point instead.
        weights: Where pretrained weights are, such as ``"hf://org/name"``; ``"pretrained"`` means
            it. ``None`` if there are none.
        converter: ``"package.module:NAME"`` of the table that names this family's tensors in
            foreign files.
        macs: Multiply-adds of one example at the default sizes, 128 tokens for texts; counted from
            the graph.
        reduced: Overrides that make the same architecture small enough to train and to export
            within seconds; tests use them.
        exports: ``FORMAT[:SCHEME]`` that the model is known to export to, each of which `zoo check`
            tries; empty if it says nothing, and the built-in formats are tried.
        deprecated_by: The name to use instead; building still works and warns.
        removed_in: The version of its package that will not have a deprecated name any more.
        origin: Filled in by the registry.

    Raises:
        UsageError: A builder string that is not ``"module:function"``, or fields of other types.

    Example:
        >>> mlp = "zoo_models.builders.mlp:mlp"
        >>> spec = ModelSpec(name="tiny-mlp", builder=mlp, tasks=("features",))
        >>> ModelSpec.from_dict(spec.to_dict()) == spec
        True
    """

    name: str
    builder: str | Callable[..., Any]
    family: str = ""
    tasks: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    num_params: int | None = None
    summary: str = ""
    paper: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    weights: str | None = None
    converter: str | None = None
    macs: int | None = None
    reduced: Mapping[str, Any] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    deprecated_by: str | None = None
    removed_in: str | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if isinstance(self.builder, str) and self.builder.count(":") != 1:
            raise UsageError(
                f"Model '{self.name}': builder '{self.builder}' is not 'package.module:function'."
            )
        for key in (*_LISTS, "inputs"):
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))
        wrong = list(_mistakes(self))
        if wrong:
            raise UsageError(f"Model '{self.name}': {'; '.join(wrong)}.")
        if not self.family:
            object.__setattr__(self, "family", self.name.rpartition("/")[2])

    def load_builder(self) -> Callable[..., Any]:
        """Import the builder and return it."""
        if callable(self.builder):
            return self.builder
        builder: Callable[..., Any] = load_target(self.builder)
        return builder

    def head_of(self, task: str) -> str | None:
        """Return which of the spec's heads a task is trained with; ``None`` if there is none.

        A regression uses the head for classes with one logit a number, and several classes an
        example the head for one class, so that a model that classifies images has the tasks
        ``image-regression`` and ``multi-label`` too.

        Example:
            >>> spec = ModelSpec(name="a", builder="b:c", tasks=("image-classification",))
            >>> spec.head_of("image-regression"), spec.head_of("text-regression")
            ('image-classification', None)
            >>> spec.head_of("multi-label")
            'image-classification'
        """
        if task in self.tasks:
            return task
        if task == MULTI_LABEL:
            heads = [head for head in self.tasks if head.endswith(CLASSIFICATION)]
            return next((head for head in heads if head not in _OF_PARTS), None)
        head = task.removesuffix(REGRESSION) + CLASSIFICATION
        return head if is_regression(task) and head in self.tasks else None

    @property
    def target(self) -> str:
        """The builder as ``"module:function"``."""
        if isinstance(self.builder, str):
            return self.builder
        return f"{self.builder.__module__}:{self.builder.__qualname__}"

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain JSON types."""
        data = asdict(replace(self, builder=self.target))
        for key in _LISTS:
            data[key] = list(data[key])
        for key in _MAPPINGS:
            data[key] = _plain(data[key])
        data["inputs"] = [{**spec, "shape": list(spec["shape"])} for spec in data["inputs"]]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Return the spec that :meth:`to_dict` wrote.

        Raises:
            UsageError: A key that no spec has.
        """
        known = {f.name for f in fields(cls)}
        for key in data:
            if key not in known:
                raise UsageError(f"A model spec has no '{key}'.{did_you_mean(key, known)}")
        values = dict(data)
        if isinstance(values.get("inputs"), (list, tuple)):
            values["inputs"] = tuple(_read_input(spec) for spec in values["inputs"])
        if values.get("origin"):
            values["origin"] = Origin(**values["origin"])
        return cls(**values)


def _read_input(value: Any) -> Any:
    try:
        return TensorSpec(value["name"], tuple(value["shape"]), value["dtype"])
    except (TypeError, KeyError, IndexError):  # what it is instead is reported with other mistakes
        return value


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A named function or class of which nothing is known before it is called, as a tracker's.

    Args:
        name: The public name.
        function: What is called.
        summary: One line.
        origin: Filled in by the registry.
    """

    name: str
    function: Callable[..., Any]
    summary: str = ""
    origin: Origin | None = None


def as_function(value: object, name: str) -> FunctionSpec:
    """Return ``value``, a function or a class, as a spec with the first line of its docstring.

    Args:
        value: What an entry point holds.
        name: Its public name.

    Raises:
        TypeError: Anything else.

    Example:
        >>> as_function(len, "size").summary
        'Return the number of items in a container.'
    """
    if not callable(value):
        raise TypeError(f"it is a {type(value).__name__}, not a function or a class")
    summary = (value.__doc__ or "").strip().partition("\n")[0]
    return FunctionSpec(name=name, function=value, summary=summary)


def _mistakes(spec: ModelSpec) -> Iterator[str]:
    """Say of each field that holds another type than it is declared with."""
    wanted: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
        (_TEXTS, _is_text, "a text"),
        (_TEXTS_OR_NONE, lambda value: value is None or _is_text(value), "a text or None"),
        (_LISTS, lambda value: _is_tuple_of(value, _is_text), "a list of texts"),
        (_MAPPINGS, _is_arguments, "a mapping of names to values"),
        (_COUNTS, _is_count, "a whole number from 0 on, or None"),
        (("inputs",), lambda value: _is_tuple_of(value, _is_input), "a list of TensorSpec"),
        (("builder",), lambda value: _is_text(value) or callable(value), "'module:function'"),
    )
    for keys, is_right, what in wanted:
        for key in keys:
            value = getattr(spec, key)
            if not is_right(value):
                yield f"{key} is {repr(value)[:60]}, not {what}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_tuple_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple) and all(map(is_right, value))


def _is_arguments(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _MOST)


def _is_input(value: Any) -> bool:
    return (
        isinstance(value, TensorSpec)
        and _is_text(value.name)
        and _is_text(value.dtype)
        and _is_tuple_of(value.shape, _is_count)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def as_model_spec(value: object, name: str) -> ModelSpec:
    """Return ``value`` as a spec: a spec, its plain data, or a function that makes a model.

    Args:
        value: What an entry point or :func:`zoo.register` holds.
        name: The public name it was registered under.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(value, Mapping):
        value = ModelSpec.from_dict({"name": name, **value})
    if isinstance(value, ModelSpec):
        return value if value.name == name else replace(value, name=name)
    if callable(value) and not isinstance(value, type):
        summary = (value.__doc__ or "").strip().partition("\n")[0]
        return ModelSpec(name=name, builder=value, summary=summary)
    raise TypeError(
        f"model '{name}' is a {type(value).__name__}: "
        "it must be a ModelSpec or a function that returns a keras.Model"
    )


def load_target(target: str) -> Any:
    """Import ``"package.module:attribute"`` and return the attribute.

    Example:
        >>> load_target("math:pi")
        3.141592653589793
    """
    module, _, attribute = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value
