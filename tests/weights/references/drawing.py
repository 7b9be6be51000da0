"""Tensors drawn from their names, so that only their names and shapes need to be kept."""

import zlib

import numpy as np


def uniform(name, shape):
    """Return float64 in -1..1; the bits of PCG64 are the same in every version of NumPy."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)) * 2.0**-52 - 1).reshape(shape)


def tensor(name, shape):
    """Return a float32 weight that keeps signals about as large as they are."""
    values = uniform(name, shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if name.endswith("running_var"):
        return (1 + values / 2).astype("float32")
    if len(shape) > 1:
        return (values * 2.4 / np.prod(shape[1:]) ** 0.5).astype("float32")
    return (values / 3 + name.endswith("weight")).astype("float32")


def images(height, width):
    """Return two images as pixels, float32 (2, height, width, 3)."""
    return (127.5 * (uniform("images", (2, height, width, 3)) + 1)).astype("float32")


def tokens(count, length=11):
    """Return three texts of tokens from 2 on, with 1 for padding behind them, and their mask."""
    ids = 2 + (uniform("tokens", (3, length)) + 1) / 2 * (count - 2)
    mask = (np.arange(length) < np.array([[length], [6], [2]])).astype("int32")
    return np.where(mask, ids.astype("int32"), 1), mask


def odd_images():
    """Return images of odd and even sides, uint8 (height, width, 3), with edges and slopes."""
    sides = ((61, 83), (83, 61), (150, 151), (64, 64), (97, 200))
    for height, width in sides:
        y, x = np.mgrid[0:height, 0:width]
        layers = (x * 3 + y, (x // 7 + y // 5) * 40, x * y // 9)
        yield np.stack(layers, axis=-1).astype("uint8")
