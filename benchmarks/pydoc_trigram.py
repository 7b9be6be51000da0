"""Bits per character of character n-gram models beside those of the recipe `pydoc-gpt`.

    python benchmarks/pydoc_trigram.py [RUN]

The n-grams are interpolated (Witten-Bell) and see the same splits; the run is evaluated anew.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zoo import evaluate
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.training.training import train

END = "\0"


def bits_per_character(train: Sequence[str], test: Sequence[str], order: int) -> float:
    """Return what an n-gram model of `order` characters needs for the test texts."""
    followers: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
    characters = {END, *"".join(train), *"".join(test)}
    for text in train:
        padded = END * (order - 1) + text + END
        for at in range(order - 1, len(padded)):
            for length in range(order):
                followers[length][padded[at - length : at]][padded[at]] += 1
    bits = 0.0
    for text in test:
        padded = END * (order - 1) + text + END
        for at in range(order - 1, len(padded)):
            probability = 1 / len(characters)
            for length in range(order):
                seen = followers[length].get(padded[at - length : at])
                if seen:
                    total, kinds = seen.total(), len(seen)
                    probability = (seen[padded[at]] + kinds * probability) / (total + kinds)
            bits -= math.log2(probability)
    return bits / sum(map(len, test))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run; else one is trained")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    builder = open_dataset("pydoc", data_dir=arguments.data_dir)
    texts = [read_split(builder, s, input="text", label=None).raws for s in ("train", "test")]
    table = Table("model", "bits per character on the test split")
    for order, name in (
        (1, "unigram"),
        (2, "bigram"),
        (3, "trigram"),
        (4, "4-gram"),
        (5, "5-gram"),
    ):
        table.add_row(f"character {name}", f"{bits_per_character(*texts, order):.4f}")
    run = arguments.run or train("pydoc-gpt", data_dir=arguments.data_dir).path
    metrics = evaluate(run, data_dir=arguments.data_dir).metrics
    table.add_row("pydoc-gpt", f"{metrics['bits_per_character']:.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
