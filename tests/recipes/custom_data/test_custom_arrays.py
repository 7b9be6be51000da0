"""Arrays in an ``.npz`` file."""

import numpy as np
import pytest

from zoo_recipes.custom_data.arrays import ONE_HOT
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import resolve_recipe
from zoo_registry import UsageError


def test_arrays_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3, 2)).astype(np.float32), np.arange(60)[:, np.newaxis] % 3 + 9
    path = tmp_path / "data.npz"
    np.savez(path, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    builder = open_dataset(str(path), data_dir=tmp_path)
    test = read_split(builder, "test", input="x", label="y")
    assert builder.info.features["y"].names == ["9", "10", "11"]
    assert {r.tobytes(): n for r, n in zip(test.raws, test.labels.tolist(), strict=True)} == {
        r.tobytes(): int(n) - 9 for r, n in zip(x[40:], y[40:, 0], strict=True)
    }


def test_targets_that_are_no_classes(tmp_path):
    x, y = np.arange(80.0).reshape(40, 2), np.linspace(0, 1, 40)
    x[3, 1] = np.nan
    np.savez(tmp_path / "data.npz", x=x, y=y)
    content = layout_of(tmp_path / "data.npz").read(tmp_path / "data.npz", {})
    assert content.labels() is None
    assert [str(problem) for problem in content.problems] == [
        "data.npz:x[3]: holds NaN or infinity"
    ]
    builder = open_dataset(str(tmp_path / "data.npz"), on_bad_record="report", data_dir=tmp_path)
    train = read_split(builder, "train", input="x", label="y")
    assert train.labels.dtype == np.float32
    assert train.raws[0].dtype == np.float64


def test_columns_of_0_and_1_are_classes(tmp_path):
    path, x = tmp_path / "data.npz", np.random.default_rng(0).normal(size=(60, 4))
    marks = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])[np.arange(60) % 3]
    for y in (marks, marks > 0, marks.astype("float32")):
        np.savez(path, x=x, y=y)
        content = layout_of(path).read(path, {})
        assert layout_of(path).kind(path, {}).name == "arrays with several classes each"
        assert content.classes()[:3] == [("1", "2"), ("0",), ()]
    train = read_split(
        open_dataset(str(path), data_dir=tmp_path), "train", input="x", label="labels"
    )
    assert np.asarray(train.labels[0]).tolist() in [[1, 2], [0], []]
    np.savez(path, x=x, y=np.eye(3)[np.arange(60) % 3])
    content = layout_of(path).read(path, {})
    assert content.labels()[:4] == ["0", "1", "2", "0"]
    assert content.notes == [ONE_HOT]
    assert layout_of(path).read(path, {"labels": "y"}).classes()[:2] == [("0",), ("1",)]
    recipe = on_custom_data(resolve_recipe("digits-mlp"), path, columns={"labels": "y"})
    assert (recipe.model.task, recipe.dataset.label) == ("multi-label", "labels")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((2, 2)), "y": np.full((2, 2), "a")},
            "'{path}': y (2, 2) holds <U1: it has a class or a number an example, or a column of 0 "
            "and 1 for each class.",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.zeros(2, "M8[D]")},
            "'{path}': y (2,) holds datetime64[D]: it has a class or a number an example, or a "
            "column of 0 and 1 for each class.",
        ),
        (
            {
                "x_train": np.zeros((2, 2)),
                "y_train": np.eye(2),
                "x_test": np.zeros((2, 2)),
                "y_test": np.zeros(2, int),
            },
            "'{path}': the parts of y differ: () and (2,).",
        ),
        (
            {"images": np.zeros((2, 2))},
            "'{path}' holds images: it needs x and y, or x_train and y_train, and where you have "
            "them x_val, y_val, x_test and y_test.",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.zeros(3, int)},
            "'{path}': x (2, 2) and y (3,) do not belong together: x has one row of numbers an "
            "example, y one target.",
        ),
        (
            {"x": np.zeros((2, 2), object), "y": np.zeros(2, int)},
            "'{path}' cannot be read as arrays: Object arrays cannot be loaded when "
            "allow_pickle=False",
        ),
        (
            {"x": np.full((2, 2), "a"), "y": np.zeros(2, int)},
            "'{path}': x holds <U1, not numbers.",
        ),
        (
            {
                "x_train": np.zeros((2, 2)),
                "y_train": np.zeros(2, int),
                "x_test": np.zeros((2, 3)),
                "y_test": np.zeros(2, int),
            },
            "'{path}': the parts of x differ: ('float64', (2,)) and ('float64', (3,)).",
        ),
    ],
)
def test_arrays_that_do_not_belong_together(arrays, message, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError) as caught:
        layout_of(path).read(path, {})
    assert str(caught.value) == message.format(path=path)
