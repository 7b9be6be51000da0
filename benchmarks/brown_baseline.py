"""How far plain counting gets on the parts of speech of the Brown corpus.

    python benchmarks/brown_baseline.py --download

Every word is given its most frequent tag, in lower case; a word that was not seen is a noun. The
splits are those of the recipe `brown-tagger`.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict

from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import resolve_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    data = resolve_recipe("brown-tagger").dataset
    builder = open_dataset(data.name, download=arguments.download)
    nouns = builder.info.features["tags"].feature.names.index("NOUN")
    train, test = (
        read_split(builder, split, input=str(data.input), label=data.label)
        for split in (data.train, data.test)
    )
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for word, tag in words(train):
        counts[word][tag] += 1
    best = {word: seen.most_common(1)[0][0] for word, seen in counts.items()}
    right = [best.get(word, nouns) == tag for word, tag in words(test)]
    print(f"word_accuracy {sum(right) / len(right):.4f} of {len(right):,} words")


def words(examples):
    for text, tags in zip(examples.raws, examples.labels, strict=True):
        yield from zip(text.lower().split(" "), map(int, tags), strict=True)


if __name__ == "__main__":
    main()
