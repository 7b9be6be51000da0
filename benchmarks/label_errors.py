"""How many of the classes that `zoo data --label-errors` calls likely wrong are wrong.

    python benchmarks/label_errors.py

2,000 digits of MNIST, of which one in fifty is given another class at random.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split

COUNT, WRONG = 2000, 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    builder = open_dataset("mnist5k", data_dir=parser.parse_args().data_dir)
    digits = read_split(builder, f"train[:{COUNT}]", input="image", label="label")
    rng = np.random.default_rng(0)
    wrong = set()
    with tempfile.TemporaryDirectory() as folder:
        for row, (image, label) in enumerate(zip(digits.raws, digits.labels, strict=True)):
            given = int(label)
            if rng.random() < WRONG:
                given = (given + int(rng.integers(1, 10))) % 10
                wrong.add(f"{given}/{row}.png")
            home = Path(folder) / str(given)
            home.mkdir(exist_ok=True)
            Image.fromarray(image[..., 0]).save(home / f"{row}.png")
        listed = inspect_data(folder, label_errors=True).suspects or ()
    right = sum(suspect.location in wrong for suspect in listed)
    print(f"{len(wrong)} of {COUNT} classes are wrong; of {len(listed)} listed, {right} are.")


if __name__ == "__main__":
    main()
