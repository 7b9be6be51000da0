"""What needs no learning beside the recipe `django-translate-transformer`, on the same test split.

    python benchmarks/translation_memory.py [RUN]

The message as it is (names, placeholders and some words are the same in English), and a translation
memory: the English of the training message that is most alike, by TF-IDF of two to four characters.
A run that is given is evaluated anew; without one, the recipe is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer

from zoo import evaluate
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.metrics.resampling import point
from zoo_recipes.metrics.texts import count_texts
from zoo_recipes.training.training import train

RECIPE = "django-translate-transformer"
METRICS = ("exact_match", "bleu", "chrf")


def pairs_of(builder: Any, split: str) -> tuple[list[str], list[str]]:
    pairs = read_split(builder, split, input=("text", "english"), label=None).raws
    texts, english = zip(*pairs, strict=True)
    return list(texts), list(english)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run; else one is trained")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    options = {"data_dir": arguments.data_dir, "download": arguments.download}
    builder = open_dataset("django_translations", **options)
    known, english = pairs_of(builder, "train+validation")
    texts, wanted = pairs_of(builder, "test")
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    memory = vectorizer.fit_transform(known)
    nearest = np.asarray((vectorizer.transform(texts) @ memory.T).argmax(axis=1)).ravel()
    rows = {
        "the message as it is": point(count_texts(texts, wanted)),
        "translation memory": point(count_texts([english[row] for row in nearest], wanted)),
    }
    if arguments.run != Path("none"):
        run = arguments.run or train(RECIPE, **options).path
        rows[RECIPE] = dict(evaluate(run, **options).metrics)
    sizes = {split: len(pairs_of(builder, split)[0]) for split in ("train", "validation", "test")}
    table = Table("what", *METRICS, title=f"{sizes}, {len(set(wanted))} messages to test on")
    for name, values in rows.items():
        table.add_row(name, *(f"{values[metric]:.4f}" for metric in METRICS))
    Console().print(table)


if __name__ == "__main__":
    main()
