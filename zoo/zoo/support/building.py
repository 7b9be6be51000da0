"""A model with random weights that is as well-behaved as a trained one."""

from __future__ import annotations

from typing import Any

import zoo_registry
from zoo.support.cases import Case
from zoo_models.build import get_model


def build(case: Case, *, seed: int = 0) -> Any:
    """Build a model with drawn weights, its normalizations filled."""
    import keras

    keras.utils.set_random_seed(seed)
    reduced = {} if case.full_size else zoo_registry.models.get(case.name).reduced
    return with_statistics(get_model(case.name, task=case.task, **reduced))


def with_statistics(model: Any) -> Any:
    """Fill batch normalizations as training does: without, float noise grows layer by layer."""
    import keras
    import numpy as np

    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.12  # as after 20 steps
    if layers:
        images = np.random.default_rng(0).uniform(0, 255, (8, *model.inputs[0].shape[1:]))
        model(images.astype("float32"), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model
