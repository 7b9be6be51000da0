"""A recipe: everything that decides how a model is trained, as data."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import zoo_registry
from zoo_recipes.augmentation.mixing import MIXES
from zoo_recipes.configs import (
    STRICT,
    CompileConfig,
    Component,
    ContrastiveConfig,
    DatasetConfig,
    DistillationConfig,
    Expected,
    FitConfig,
    MaskingConfig,
    ModelConfig,
    Seed,
    TokenizerConfig,
    TuneConfig,
)
from zoo_recipes.validation import validated
from zoo_registry import UsageError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training that can be repeated. It is written as TOML and checked in one pass.

    Args:
        name: Lower case, ``-`` between words.
        summary: One line.
        license: Licence of the data, and so of what is learned from them.
        seed: Decides initial weights, dropout and the order of the examples.
        model: Which model.
        dataset: Which data.
        preprocessing: Steps of :class:`zoo_runtime.preprocess.Preprocessor`.
        tokenizer: For texts.
        augmentation: Random changes of training examples only: Keras image layers, ``mix_up`` and
            ``cut_mix``, of which each batch has one; ``token_dropout`` and ``token_crop`` for
            texts; ``time_shift`` and ``white_noise`` for audio clips.
        masking: Which tokens are masked, where masked tokens are learned.
        compile: Optimizer, loss, metrics.
        fit: Epochs, batch size.
        distillation: A trained model to learn from beside the data.
        contrastive: Whether embeddings are learned from which examples belong together.
        expected: The promised result.
        tune: What :func:`zoo.tune` may change.

    Example:
        >>> data = {"model": {"name": "mlp"}, "dataset": {"name": "digits"}}
        >>> recipe = as_recipe(data, "digits-mlp")
        >>> Recipe.from_toml(recipe.to_toml()) == recipe
        True
    """

    __pydantic_config__: ClassVar = STRICT
    name: str
    summary: str = ""
    license: str = ""
    seed: Seed = 0
    model: ModelConfig
    dataset: DatasetConfig
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    tokenizer: TokenizerConfig | None = None
    augmentation: tuple[Component, ...] = ()
    masking: MaskingConfig | None = None
    compile: CompileConfig = field(default_factory=CompileConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    distillation: DistillationConfig | None = None
    contrastive: ContrastiveConfig | None = None
    expected: Expected | None = None
    tune: TuneConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as TOML-shaped plain data; what is ``None`` is left out."""
        data: dict[str, Any] = plain(self, flat=Component)
        return data

    def to_toml(self) -> str:
        """Return the recipe as TOML.

        Raises:
            UsageError: An argument of the model, or the like, that TOML cannot hold.
        """
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            return tomlkit.dumps(self.to_dict())
        except TOMLKitError as error:
            raise UsageError(f"Recipe '{self.name}' cannot be written as TOML: {error}") from error

    @classmethod
    def from_toml(cls, text: str, name: str | None = None) -> Recipe:
        """Return the recipe that TOML describes.

        Args:
            text: TOML.
            name: Used where the text has none.

        Raises:
            UsageError: No TOML, or a recipe with mistakes, all of them listed.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            where = f"'{name}'" if name else "The recipe"
            raise UsageError(f"{where} is not valid TOML: {error}") from error
        return as_recipe(data, name or "recipe")


@runtime_checkable
class _Readable(Protocol):
    def read_text(self, encoding: str) -> str: ...


def as_recipe(value: object, name: str) -> Recipe:
    """Return ``value`` as a recipe.

    Args:
        value: A recipe, a TOML-shaped mapping, or the path of a TOML file.
        name: Used where the value has none.

    Raises:
        UsageError: Mistakes in the recipe, all of them listed, or a file that cannot be read.
        TypeError: Anything else.
    """
    if isinstance(value, Recipe):
        return value
    if isinstance(value, Mapping):
        recipe: Recipe = validated(Recipe, {"name": name, **value})
        return recipe
    if isinstance(value, _Readable):
        try:
            text = value.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The recipe '{value}' cannot be read: {error}") from error
        return Recipe.from_toml(text, name)
    raise TypeError(
        f"recipe '{name}' is a {type(value).__name__}: "
        "it must be the path of a TOML file, a mapping or a Recipe"
    )


def resolve_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Return the recipe that a registered name, a path ending in ``.toml`` or a recipe means."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Path) or recipe.endswith(".toml"):
        return as_recipe(Path(recipe), Path(recipe).stem)
    registered: Recipe = zoo_registry.recipes.get(recipe)
    return registered


def settings_of_one_class(recipe: Recipe) -> Iterator[str]:
    """Yield the settings of a recipe that need examples of one class each."""
    yield from (f"augmentation.{c.name}" for c in recipe.augmentation if c.name in MIXES)
    if recipe.fit.class_weight is not None:
        yield "fit.class_weight"
    if recipe.fit.sampling == "balanced":
        yield "fit.sampling"
    if recipe.distillation is not None:
        yield "distillation"


def plain(value: Any, flat: type) -> Any:
    """Return dataclasses as dicts and tuples as lists; fields left at ``None`` or empty go.

    Args:
        value: A dataclass, a mapping, a sequence or a plain value.
        flat: Dataclass of ``name`` and ``arguments`` that is written as one table.
    """
    if isinstance(value, flat):
        fields_of: Any = value
        return {"name": fields_of.name, **plain(fields_of.arguments, flat)}
    if is_dataclass(value):
        kept = [field for field in fields(value) if not _unset(field, getattr(value, field.name))]
        return {field.name: plain(getattr(value, field.name), flat) for field in kept}
    if isinstance(value, Mapping):
        return {key: plain(item, flat) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, flat) for item in value]
    return value


def _unset(field: Field[Any], value: Any) -> bool:
    # Other defaults are written out: a run must not change when a default does.
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return value is None or (value in ({}, (), "") and value == default)
