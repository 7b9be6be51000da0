"""Every built-in model, with each of its heads, in every format."""

import pytest
from model_cases import CASES, LIKE, TABLE

import zoo_registry
from zoo.support_matrix import Case
from zoo.support_measuring import build
from zoo_export import export, load_bundle
from zoo_models.build import get_model
from zoo_runtime.formats import FORMATS
from zoo_runtime.verifying import run_samples


def test_what_is_left_out_is_like_another_case():
    for name, other in LIKE.items():
        assert zoo_registry.models.get(name).builder == zoo_registry.models.get(other).builder
        assert other in dict(TABLE)
    assert {case.name for case in CASES} == {name for name, _ in TABLE}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), TABLE)
def test_exports_and_verifies_in_every_format(name, task, tmp_path):
    model = build(Case(name, task))
    formats = sorted(FORMATS)

    bundle = export(model, to=formats, out=tmp_path / "bundle")

    manifest = bundle.manifest
    assert [artifact.format for artifact in bundle.artifacts] == formats
    assert (manifest.name, manifest.task) == (name, task)
    assert {tensor.name for tensor in manifest.inputs} == {t.name for t in model.inputs}
    assert all(tensor.shape[0] == "batch" for tensor in manifest.inputs + manifest.outputs)
    for artifact in bundle.artifacts:
        assert artifact.verification.batches[0] == 1
        assert 3 in artifact.verification.batches
        assert artifact.verification.tolerance == 1e-5
        assert all(row.ok for row in artifact.verification.comparisons)
    # In this process, where TensorFlow is loaded: `verify` would start three.
    again = load_bundle(bundle.path, trusted=True)
    assert all(run_samples(again, artifact).ok for artifact in again.artifacts)


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
    # Four rows are those that are masked, two are of another length.
    assert compared == {"tflite": {1, 3, 4}, "onnx": {1, 2, 3, 4}, "saved_model": {1, 2, 3, 4}}
