"""Character n-grams beside the recipe `django-translations-bert`, on the same test split.

    python benchmarks/translations_baseline.py [RUN]

Words that look alike in two languages, and what is not translated, already find much of the
English: TF-IDF of two to four characters, compared by cosine. A run that is given is evaluated
anew; without one, the recipe is trained.
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
from zoo_recipes.tasks.views import retrieved
from zoo_recipes.training.training import train

RECIPE = "django-translations-bert"


def pairs_of(builder: Any, split: str) -> list[tuple[str, str]]:
    return list(read_split(builder, split, input=("text", "english"), label=None).raws)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run; else one is trained")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    options = {"data_dir": arguments.data_dir, "download": arguments.download}
    builder = open_dataset("django_translations", **options)
    training, test = (pairs_of(builder, split) for split in ("train+validation", "test"))
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    vectorizer.fit([text for pair in training for text in pair])
    texts, english = zip(*test, strict=True)
    first, second = (vectorizer.transform(side).toarray() for side in (texts, english))
    run = arguments.run or train(RECIPE, **options).path
    metrics = {
        "character 2- to 4-grams": point(retrieved(first, second, english)),
        RECIPE: evaluate(run, **options).metrics,
    }
    table = Table("model", *metrics[RECIPE], title=f"{len(test)} messages of 10 languages")
    for name, values in metrics.items():
        table.add_row(name, *(f"{values[key]:.4f}" for key in metrics[RECIPE]))
    Console().print(table)
    print(f"English messages to choose from: {len(np.unique(english))}")


if __name__ == "__main__":
    main()
