"""What your own images cost, beside ``keras.utils.image_dataset_from_directory(...).cache()``.

    python benchmarks/own_images.py

Images are cut out of two photographs that scikit-learn carries, each brightened and with noise of
its own: 1,000 JPEGs of 500x375 for a model of 224x224, and 5,000 PNGs of 32x32 for one of 32x32.
In turns, in one process, with empty caches at the beginning of each turn: Kerazoo checks, splits
and prepares them (``prepare``), gives every image once (``first epoch``), once more (``later
epoch``), and does so again from the path on, as the next training would (``later start``: until an
epoch is through). Keras lists the folder and decodes (``first epoch``), and gives all once more
(``later epoch``); it keeps nothing for a later start. ``predictions' code alone`` is what decodes
and resizes in a bundle, over all files in one thread: less of the processor no first epoch takes
whose pixels are those. Printed are the medians of seconds of CPU and
of the clock as multiples of Keras' first epoch in the same turn, and bytes on the disk as multiples
of the files'.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

CLASSES = 5
BATCH_SIZE = 32
KERAS = "Keras, first epoch"


@dataclass(frozen=True)
class Images:
    """A folder of images to be made.

    Args:
        count: Of images.
        size: Height and width.
        suffix: Of their files.
        wanted: Height and width that a model takes.
    """

    count: int
    size: tuple[int, int]
    suffix: str
    wanted: tuple[int, int]

    def __str__(self) -> str:
        (height, width), (rows, columns) = self.size, self.wanted
        return f"{self.count:,} {self.suffix} of {width}x{height} for {columns}x{rows}"


ALL = {
    "photographs": Images(1000, (375, 500), "jpg", (224, 224)),
    "small": Images(5000, (32, 32), "png", (32, 32)),
}
# Wall clock and CPU, by what was done.
Spent = dict[str, tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=ALL)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        _warm(Path(work))
        for name in [arguments.only] if arguments.only else ALL:
            folder = Path(work, name)
            make(ALL[name], folder)
            _show(ALL[name], folder, Path(work), arguments.turns)


def make(images: Images, folder: Path) -> None:
    """Write the images, a folder for each class."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    for number in range(images.count):
        home = folder / f"class{number % CLASSES}"
        home.mkdir(parents=True, exist_ok=True)
        image = _cut(photographs[number % len(photographs)], images.size, rng)
        image.save(home / f"{number:05d}.{images.suffix}")


def _cut(photograph: Any, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    scale = rng.uniform(0.6, 1.0)
    height, width = (int(side * scale) for side in photograph.shape[:2])
    top, left = (
        int(rng.integers(whole - part + 1))
        for whole, part in zip(photograph.shape, (height, width), strict=False)
    )
    part = Image.fromarray(photograph[top : top + height, left : left + width])
    resized = np.asarray(part.resize(size[::-1]), np.float32)
    changed = resized * rng.uniform(0.7, 1.1) + rng.normal(0, 6, resized.shape)
    return Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8))


def _warm(work: Path) -> None:
    """Import everything, and let TensorFlow start its threads."""
    few = Images(60, (20, 20), "png", (20, 20))
    make(few, work / "few")
    _turn(few, work / "few", work)


def _show(images: Images, folder: Path, work: Path, turns: int) -> None:
    walls, cpus = defaultdict(list), defaultdict(list)
    size = 0
    for _ in range(turns):
        spent, size = _turn(images, folder, work)
        for what, (wall, cpu) in spent.items():
            walls[what].append(wall / spent[KERAS][0])
            cpus[what].append(cpu / spent[KERAS][1])
    table = Table("", "clock", "CPU", title=str(images))
    for what in walls:
        table.add_row(what, f"{median(walls[what]):.2f}", f"{median(cpus[what]):.2f}")
    console = Console()
    console.print(table)
    console.print(f"bytes on the disk: {size / _bytes(folder):.1f} of the files'\n")


def _turn(images: Images, folder: Path, work: Path) -> tuple[Spent, int]:
    spent: Spent = {}
    _keras(images, folder, spent)
    kept = Path(tempfile.mkdtemp(dir=work))
    os.environ["KERAZOO_CACHE"] = str(kept / "cache")
    try:
        _ours(images, folder, kept, spent)
        return spent, _bytes(kept)
    finally:
        shutil.rmtree(kept)


def _keras(images: Images, folder: Path, spent: Spent) -> None:
    import keras
    import tensorflow as tf

    with _measured(spent, KERAS):
        found = keras.utils.image_dataset_from_directory(
            folder, image_size=images.wanted, batch_size=BATCH_SIZE, verbose=False
        )
        dataset = found.cache().prefetch(tf.data.AUTOTUNE)
        _check(images, sum(len(labels) for _, labels in dataset))
    with _measured(spent, "Keras, later epoch"):
        _check(images, sum(len(labels) for _, labels in dataset))


def _ours(images: Images, folder: Path, kept: Path, spent: Spent) -> None:
    from zoo_recipes.datasets.loading import open_dataset
    from zoo_runtime.preprocess import Preprocessor

    steps = _steps(images)
    with _measured(spent, "predictions' code alone"):
        for file in folder.rglob(f"*.{images.suffix}"):
            Preprocessor(steps).batch([file])
    with _measured(spent, "prepare"):
        builder = open_dataset(str(folder), data_dir=kept / "data")
    with _measured(spent, "first epoch"):
        epoch = _opened(images, builder)
        _check(images, epoch(0))
    with _measured(spent, "later epoch"):
        _check(images, epoch(1))
    with _measured(spent, "later start"):
        builder = open_dataset(str(folder), data_dir=kept / "data")
        _check(images, _opened(images, builder)(0))


def _opened(images: Images, builder: Any) -> Callable[[int], int]:
    """Return what gives all examples of all splits, as a training reads them, and counts them."""
    from zoo_recipes.datasets.reading import read_split
    from zoo_recipes.recipe import resolve_recipe
    from zoo_recipes.tasks.objectives import make_source
    from zoo_recipes.training.batches import Batches
    from zoo_runtime.preprocess import Preprocessor

    recipe = resolve_recipe("flowers-transfer")
    steps = _steps(images)
    preprocessor = Preprocessor(steps)
    batches = []
    for split in builder.info.splits:
        examples = read_split(builder, split, input="image", label="label", steps=steps)
        source = make_source(examples, preprocessor, "image-classification", recipe)
        batches.append(Batches(source, batch_size=BATCH_SIZE, seed=0))

    def epoch(number: int) -> int:
        return sum(len(made[1]) for some in batches for made in some.of_epoch(number))

    return epoch


def _steps(images: Images) -> list[dict[str, Any]]:
    return [{"step": "image", "size": list(images.wanted), "channels": 3}]


def _check(images: Images, found: int) -> None:
    if found != images.count:
        raise SystemExit(f"{found} of {images.count} images came.")


@contextmanager
def _measured(spent: Spent, what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent[what] = time.perf_counter() - wall, time.process_time() - cpu


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
