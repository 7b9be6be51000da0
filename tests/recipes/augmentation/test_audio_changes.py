"""Random changes of sounds: by how much, and the same from the same seed."""

import numpy as np
import pytest

from zoo_recipes.augmentation.changes import TextMarks, make_changes
from zoo_recipes.configs import Component
from zoo_registry import UsageError


def changed(name, audio, seed=0, **arguments):
    (change,) = make_changes([Component(name=name, arguments=arguments)], TextMarks())
    return change({"audio": audio}, np.random.default_rng(seed))["audio"]


def test_a_shift_moves_all_samples_by_one_way_and_fills_with_silence():
    audio = np.tile(np.arange(1, 101, dtype=np.float32), (200, 1)) / 100
    moved = changed("time_shift", audio, factor=0.2)
    assert (moved.dtype, moved.shape) == (np.float32, audio.shape)
    ways = set()
    for row in moved:
        (first, *_), (*_, last) = np.nonzero(row)[0], np.nonzero(row)[0]
        way = int(first) if first else int(last) - 99
        ways.add(way)
        kept = audio[0, max(0, -way) : 100 - max(0, way)]
        np.testing.assert_array_equal(row[max(0, way) : 100 + min(0, way)], kept)
        assert np.count_nonzero(row) == 100 - abs(way)
    assert (min(ways), max(ways)) == (-20, 20)
    np.testing.assert_array_equal(moved, changed("time_shift", audio, factor=0.2))


def test_noise_has_the_loudness_that_is_asked_for():
    rng = np.random.default_rng(1)
    audio = rng.uniform(-0.1, 0.1, (64, 4000)).astype(np.float32)
    noise = changed("white_noise", audio, snr=10.0) - audio
    ratios = 20 * np.log10(audio.std(axis=1) / noise.std(axis=1))
    assert 9.5 < ratios.min() < 15
    assert 35 < ratios.max() < 40.5
    assert not changed("white_noise", np.zeros((2, 9), np.float32), snr=10.0).any()


@pytest.mark.parametrize("arguments", [{}, {"factor": 2}, {"factor": "a"}, {"factor": 0, "x": 1}])
def test_wrong_arguments(arguments):
    with pytest.raises(UsageError) as caught:
        changed("time_shift", np.zeros((1, 4)), **arguments)
    assert str(caught.value) == (
        f"augmentation: 'time_shift' takes factor in 0..1 and nothing else, not {arguments}."
    )
