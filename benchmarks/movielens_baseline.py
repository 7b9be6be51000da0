"""How far means and biases get on the ratings of MovieLens.

    python benchmarks/movielens_baseline.py --download

Biases of users and items are added to the mean of all ratings. They are found in turns, each as
the mean of what the other leaves, as if there were so many further ratings without a rest; how
many is chosen on the validation split. The splits are those of `movielens-factorization`.
"""

from __future__ import annotations

import argparse

import numpy as np

from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.metrics.resampling import point
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.tasks.ratings import RatingOutcomes

TURNS = 20
FURTHER = [1, 2, 5, 10, 20]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    data = resolve_recipe("movielens-factorization").dataset
    builder = open_dataset(data.name, download=arguments.download, data_dir=arguments.data_dir)
    splits = {
        name: read_split(builder, name, input=data.input, label=data.label)
        for name in ("train", "validation", "test")
    }
    everyone, everything = (
        {raw[part] for found in splits.values() for raw in found.raws} for part in (0, 1)
    )
    parts = {name: _numbered(found, everyone, everything) for name, found in splits.items()}
    train, validation, test = parts.values()
    mean = train[2].mean()
    shown("mean of all ratings", test, np.full(len(test[2]), mean))
    tried = [(_biases(train, mean, f, len(everyone), len(everything)), f) for f in FURTHER]
    best, further = min(
        tried, key=lambda found: _rmse(validation, _predicted(validation, found[0]))
    )
    shown(f"mean and biases, {further} further ratings", test, _predicted(test, best))


def _numbered(found, everyone, everything):
    users, items = (
        np.searchsorted(sorted(names), [raw[part] for raw in found.raws])
        for part, names in ((0, everyone), (1, everything))
    )
    return users, items, np.asarray(found.labels, float)


def _biases(part, mean, further, users, items):
    user, item, rating = part
    of_user, of_item = np.zeros(users), np.zeros(items)
    for _ in range(TURNS):
        of_item = _shrunk(item, rating - mean - of_user[user], further, items)
        of_user = _shrunk(user, rating - mean - of_item[item], further, users)
    return mean, of_user, of_item


def _shrunk(names, rest, further, count):
    return np.bincount(names, rest, count) / (np.bincount(names, minlength=count) + further)


def _predicted(part, found):
    mean, of_user, of_item = found
    return mean + of_user[part[0]] + of_item[part[1]]


def _rmse(part, predicted):
    return np.sqrt(np.mean((part[2] - predicted) ** 2))


def shown(name, part, predicted):
    metrics = point(RatingOutcomes(part[2], predicted, part[0]))
    print(name, *(f"{key} {metrics[key]:.4f}" for key in ("rmse", "mae", "ndcg_10")))


if __name__ == "__main__":
    main()
