"""Every built-in model, with each of its heads, in every format."""

import keras
import numpy as np
import pytest

import zoo_registry
from zoo_export import export, verify
from zoo_registry.build import get_model


def table():
    """Return every built-in model and head; those that are equal at reduced size once."""
    found = {}
    for name in zoo_registry.models.names():
        spec = zoo_registry.models.get(name)
        if zoo_registry.models.owner(name) == "kerazoo":
            arguments = sorted({**spec.defaults, **spec.reduced}.items())
            for task in spec.tasks:
                found.setdefault((spec.target, task, repr(arguments)), (name, task))
    return list(found.values())


TABLE = table()


def with_statistics(model):
    """Fill batch normalizations as training does: without, float noise grows layer by layer."""
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), TABLE)
def test_exports_and_verifies_in_every_format(name, task, tmp_path):
    keras.utils.set_random_seed(0)
    model = with_statistics(get_model(name, task=task, **zoo_registry.models.get(name).reduced))
    formats = zoo_registry.formats.names()

    bundle = export(model, to=formats, out=tmp_path / "bundle")

    manifest = bundle.manifest
    assert [artifact.format for artifact in bundle.artifacts] == formats
    assert (manifest.name, manifest.task) == (name, task)
    assert {tensor.name for tensor in manifest.inputs} == {t.name for t in model.inputs}
    assert all(tensor.shape[0] == "batch" for tensor in manifest.inputs + manifest.outputs)
    for artifact in bundle.artifacts:
        assert artifact.verification.batches[0] == 1
        assert artifact.verification.batches[-1] == 3
        assert artifact.verification.tolerance == 1e-5
        assert all(row.ok for row in artifact.verification.comparisons)
    assert all(row.ok for row in verify(bundle.path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm-classifier", "bert-tiny", "gpt-nano"])
def test_text_models_keep_the_sequence_variable_but_for_litert(name, tmp_path):
    bundle = export(get_model(name, vocab_size=500), out=tmp_path / "b", sequence_length=12)

    shapes = {a.format: a.inputs[0].shape for a in bundle.artifacts}
    assert shapes == {
        "tflite": (1, 12),
        "onnx": ("batch", "sequence"),
        "saved_model": ("batch", "sequence"),
    }
    compared = {
        a.format: {c.shape[0] for c in a.verification.comparisons} for a in bundle.artifacts
    }
    assert compared == {"tflite": {1, 3}, "onnx": {1, 2, 3}, "saved_model": {1, 2, 3}}
