"""Rows of a table as vectors, by hand and beside scikit-learn."""

import json

import numpy as np
import pytest

from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.steps import TableStep
from zoo_runtime.preprocess.tables import Column, load_columns, to_json

ROWS = [("1", "red", ""), ("3", "blue", "2"), ("?", "red", "4"), ("5", "green", "6")]
NAMES = ("size", "colour", "age")


def test_vectors_by_hand():
    step = TableStep(bins=2, min_count=2)
    columns = step.look_at(ROWS, NAMES)
    # Mean 3, deviation sqrt(8 / 3), quantiles 1, 3, 5; a gap in the third row.
    assert columns[0].edges == (1.0, 3.0, 5.0)
    # Blue and green are there once.
    assert columns[1].categories == ("red",)
    (made,) = step.batch(ROWS, columns).values()
    z = 2 / np.sqrt(8 / 3)
    wanted = [
        [-z, 0, 0, 0, 1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 0, 1, -z, 0, 0, 0],
        [0, 1, 0, 1, 1, 0, 0, 1, 0, 0],
        [z, 1, 1, 0, 0, 1, z, 1, 1, 0],
    ]
    wanted[0][6:9] = [0, 1, 0]
    np.testing.assert_allclose(made, wanted, atol=1e-6)
    assert made.shape[1] == sum(column.width for column in columns)


def test_as_scikit_learn_standardises_and_encodes():
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(0)
    numbers, words = rng.normal(50, 9, 40), rng.choice(list("abc"), 40)
    step = TableStep(bins=0, min_count=1)
    rows = list(zip(numbers.tolist(), words.tolist(), strict=True))
    (made,) = step.batch(rows, step.look_at(rows, ["n", "w"])).values()
    standard = StandardScaler().fit_transform(numbers[:, None])
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(words[:, None])
    # The last column is of words that nobody has seen.
    np.testing.assert_allclose(made, np.hstack([standard, one_hot, np.zeros((40, 1))]), atol=1e-5)


def test_what_is_kept_is_read_back(tmp_path):
    columns = tuple(TableStep().look_at(ROWS, NAMES))
    (tmp_path / "columns.json").write_text(to_json(columns), encoding="utf-8")
    assert load_columns(tmp_path, "columns.json") == columns
    preprocessor = Preprocessor([{"step": "table"}], tmp_path, ["features"])
    as_rows = preprocessor.batch(ROWS)["features"]
    as_mappings = preprocessor.batch([dict(zip(NAMES, row, strict=True)) for row in ROWS])
    np.testing.assert_array_equal(as_rows, as_mappings["features"])


GOOD = {"name": "a", "mean": 0.0, "scale": 1.0, "fill": 0.0, "edges": [0, 1], "gaps": False}


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "{}",
        "[1]",
        json.dumps([GOOD, GOOD]),
        json.dumps([{**GOOD, "scale": 0}]),
        json.dumps([{**GOOD, "edges": [1, 1]}]),
        json.dumps([{**GOOD, "mean": float("nan")}]),
        json.dumps([{**GOOD, "name": 7}]),
        json.dumps([{"name": "a", "categories": "abc"}]),
        json.dumps([{"name": "a"}]),
    ],
)
def test_columns_that_were_changed(text, tmp_path):
    (tmp_path / "columns.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="describes no columns of a table"):
        load_columns(tmp_path, "columns.json")


def test_a_column_whose_numbers_are_all_the_same():
    (column,) = TableStep().look_at([("7",)] * 3, ["n"])
    assert column == Column(name="n", mean=7.0, scale=1.0, fill=7.0, edges=(7.0,))
    np.testing.assert_array_equal(column.vectors(["7", "8"]), [[0], [1]])
