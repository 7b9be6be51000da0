"""Small data of every kind, as people lay them out."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with 20 grey pictures of each of two classes."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(level, level + 50, (8, 9)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture
def reviews(tmp_path):
    """Return a CSV file of 80 texts in two classes."""
    lines = [f"film number {n} was {('bad', 'good')[n % 2]},{n % 2}" for n in range(80)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path
