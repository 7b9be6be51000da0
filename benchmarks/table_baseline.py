"""What scikit-learn makes of the rows that `table-mlp` and `table-regression` learn from.

    python benchmarks/table_baseline.py

Gradient boosting of trees with its defaults and a linear model, on the same training and test rows;
standard deviations are over the seeds of the trees, whose early stopping draws rows.
"""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import resolve_recipe

SEEDS = (0, 1, 2, 3, 4)


def main() -> None:
    (x, y), (x_test, y_test) = rows("table-mlp")
    trees = [
        HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
        .fit(x, y)
        .score(x_test, y_test)
        for seed in SEEDS
    ]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    print("table-mlp, accuracy")
    print(f"  HistGradientBoosting  {mean(trees):.4f} (spread {stdev(trees):.4f})")
    print(f"  logistic regression   {linear.score(x_test, y_test):.4f}")
    (x, y), (x_test, y_test) = rows("table-regression")
    boosted = HistGradientBoostingRegressor(random_state=0).fit(x, y).predict(x_test)
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 25))).fit(x, y)
    print("table-regression, rmse, mae, r2")
    print(f"  HistGradientBoosting  {metrics_of(y_test, boosted)}")
    print(f"  ridge regression      {metrics_of(y_test, ridge.predict(x_test))}")


def rows(recipe: str) -> list[tuple[Any, Any]]:
    dataset = resolve_recipe(recipe).dataset
    builder = open_dataset(dataset.name)
    found = [
        read_split(builder, split, input=dataset.input, label=dataset.label)
        for split in ("train", "test")
    ]
    return [(np.asarray(some.raws, np.float64), some.labels) for some in found]


def metrics_of(wanted: Any, given: Any) -> str:
    shown = root_mean_squared_error, mean_absolute_error, r2_score
    return "  ".join(f"{metric(wanted, given):.4f}" for metric in shown)


if __name__ == "__main__":
    main()
