"""What needs no learning beside the recipe `translate-messages-en-de-transformer`.

    python benchmarks/translation_memory.py [RUN]

The message as it is (names and some words are the same in German), and a translation memory: the
German of the training message that is most alike, by TF-IDF of two to four characters. Both are
measured on programs that are not trained on (`test`) and on those that are (`same_programs`). A run
that is given is evaluated anew; without one, the recipe is trained.
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

RECIPE, DATASET = "translate-messages-en-de-transformer", "program_messages"
METRICS = ("exact_match", "bleu", "chrf")
ROWS_AT_ONCE = 256


def pairs_of(builder: Any, split: str) -> tuple[list[str], list[str]]:
    pairs = read_split(builder, split, input=("english", "german"), label=None).raws
    english, german = zip(*pairs, strict=True)
    return list(english), list(german)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run; else one is trained")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    options = {"data_dir": arguments.data_dir, "download": arguments.download}
    builder = open_dataset(DATASET, **options)
    known, german = pairs_of(builder, "train")
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    memory = vectorizer.fit_transform(known).T
    run = arguments.run or train(RECIPE, **options).path
    for split in ("test", "same_programs"):
        texts, wanted = pairs_of(builder, split)
        likeness = vectorizer.transform(texts)
        nearest = [
            int(row)
            for start in range(0, len(texts), ROWS_AT_ONCE)
            for row in np.ravel((likeness[start : start + ROWS_AT_ONCE] @ memory).argmax(axis=1))
        ]
        rows = {
            "the message as it is": point(count_texts(texts, wanted)),
            "translation memory": point(count_texts([german[row] for row in nearest], wanted)),
            RECIPE: evaluate(run, split=split, **options).metrics,
        }
        title = f"{split}: {len(texts):,} messages, {len(known):,} to train on"
        table = Table("what", *METRICS, title=title)
        for name, values in rows.items():
            table.add_row(name, *(f"{values[metric]:.4f}" for metric in METRICS))
        Console().print(table)


if __name__ == "__main__":
    main()
