"""Word counts in linear models beside the recipes on `movie_reviews`, on the same splits.

    python benchmarks/movie_reviews_baseline.py [RUN ...]

Logistic regression predicts what `movie-reviews-*` predict, ridge regression what
`text-regression-words` predicts. Runs that are passed are evaluated again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from zoo import evaluate
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.run import load_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="finished runs")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    builder = open_dataset("movie_reviews", data_dir=arguments.data_dir, download=True)
    train, test = (
        read_split(builder, split, input="text", label="label") for split in ("train", "test")
    )
    table = Table("model", "accuracy", title="movie_reviews, test")
    for words in (1, 2):
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, words), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        ).fit(train.raws, train.labels)
        score = model.score(test.raws, test.labels)
        table.add_row(f"logistic regression, 1 to {words} words", f"{score:.4f}")
    for path in arguments.runs:
        accuracy = evaluate(path, data_dir=arguments.data_dir).metrics["accuracy"]
        table.add_row(load_run(path).recipe.name, f"{accuracy:.4f}")
    Console().print(table)
    train, test = (
        read_split(builder, split, input="text", label="score") for split in ("train", "test")
    )
    ridge = make_pipeline(TfidfVectorizer(sublinear_tf=True), Ridge()).fit(train.raws, train.labels)
    Console().print(f"ridge regression, 1 word, r2: {ridge.score(test.raws, test.labels):.4f}")


if __name__ == "__main__":
    main()
