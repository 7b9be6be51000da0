"""Character n-gram logistic regression beside the recipes `language-id-*`, on the same splits.

    python benchmarks/language_id_baseline.py [RUN ...]

Two baselines: scikit-learn's defaults on TF-IDF of one to three characters, and the n-grams and
regularisation that three-fold cross-validation on the training split finds best. Runs that are
given are evaluated anew; without any, the recipes are trained.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from zoo import evaluate
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.run import load_run
from zoo_recipes.training.training import train

RECIPES = ("language-id-lstm", "language-id-transformer", "language-id-bert")
GRID = {
    "tfidfvectorizer__ngram_range": [(1, 3), (1, 4)],
    "logisticregression__C": [10, 30, 100],
}


def pipeline() -> Pipeline:
    return Pipeline(
        [
            ("tfidfvectorizer", TfidfVectorizer(analyzer="char", ngram_range=(1, 3))),
            ("logisticregression", LogisticRegression(max_iter=300)),
        ]
    )


def tuned(texts: list[str], labels: Any) -> tuple[str, Any]:
    model = pipeline().set_params(
        tfidfvectorizer__sublinear_tf=True, tfidfvectorizer__analyzer="char_wb"
    )
    search = GridSearchCV(model, GRID, cv=3).fit(texts, labels)
    chosen = ", ".join(f"{k.rpartition('__')[2]}={v}" for k, v in search.best_params_.items())
    return chosen, search.best_estimator_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="finished runs")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--no-search", action="store_true", help="only the default baseline")
    arguments = parser.parse_args()
    builder = open_dataset("language_id", data_dir=arguments.data_dir)
    training, test = (
        read_split(builder, split, input="text", label="label") for split in ("train", "test")
    )
    table = Table("model", "accuracy", "errors", "seconds", title=f"{len(test.raws)} sentences")

    def add(name: str, accuracy: float, began: float) -> None:
        errors = round((1 - accuracy) * len(test.raws))
        table.add_row(name, f"{accuracy:.4f}", str(errors), f"{time.perf_counter() - began:.0f}")

    began = time.perf_counter()
    model = pipeline().fit(training.raws, training.labels)
    add("character n-grams, defaults", model.score(test.raws, test.labels), began)
    if not arguments.no_search:
        began = time.perf_counter()
        chosen, model = tuned(training.raws, training.labels)
        add(f"character n-grams, {chosen}", model.score(test.raws, test.labels), began)
    for name in RECIPES if not arguments.runs else arguments.runs:
        began = time.perf_counter()
        run = load_run(name) if arguments.runs else train(name, data_dir=arguments.data_dir)
        add(run.recipe.name, evaluate(run, data_dir=arguments.data_dir).metrics["accuracy"], began)
    Console().print(table)


if __name__ == "__main__":
    main()
