"""Sounds among the features of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zoo_recipes.own_data.sounds import RATE, SAMPLES
from zoo_registry import UsageError
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.audio import as_mono
from zoo_runtime.preprocess.steps import AudioStep


def sound_reader(
    feature: Any, steps: Sequence[Mapping[str, Any]]
) -> Callable[[Any], tuple[Any, int] | Any] | None:
    """Return what makes a raw input of a value of a feature; ``None`` if it is no sound.

    Sounds are mixed and resampled as they are read, where the steps say to what.

    Args:
        feature: Of TFDS.
        steps: Of the preprocessing.

    Raises:
        UsageError: A sound whose sample rate nobody says.
    """
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Audio):
        rate = feature.sample_rate
        if rate is None:
            raise UsageError("An audio feature of this dataset does not say its sample rate.")
    elif not {SAMPLES, RATE} <= set(getattr(feature, "keys", tuple)()):
        return None
    else:
        rate = None
    step = next((as_step(step) for step in steps if step.get("step") == "audio"), None)

    def read(value: Any) -> Any:
        raw = (value[SAMPLES], int(value[RATE])) if rate is None else (_narrow(value), rate)
        return as_mono(raw, step.sample_rate) if isinstance(step, AudioStep) else raw

    return read


def _narrow(samples: Any) -> Any:
    # TFDS has int64 by default for what files hold in 16 bits.
    fits = samples.dtype.kind == "i" and np.abs(samples).max(initial=0) <= 2**15
    return samples.astype(np.int16) if fits and samples.dtype.itemsize == 8 else samples
