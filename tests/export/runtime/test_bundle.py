"""Bundles: complete, readable, provable again, and refused when anything in them changed."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from zoo_export import BundleError, VerificationError, load_bundle, verify
from zoo_registry import UsageError
from zoo_runtime.files import list_files
from zoo_runtime.manifest import Manifest, seal

pytestmark = pytest.mark.slow  # the bundle is exported once, which takes some seconds


def _edit(folder, change):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(seal(data)))


def _first_input(data):
    return data["artifacts"][0]["inputs"][0]


def _refuse(folder, kind=BundleError):
    with pytest.raises(kind) as caught:
        load_bundle(folder)
    return str(caught.value)


# -- what is in it ------------------------------------------------------------------------------


def test_the_manifest_of_a_run(exported, trained):
    manifest = exported.manifest

    assert (manifest.name, manifest.task) == ("digits-net", "image-classification")
    assert manifest.labels == tuple(f"digit {i}" for i in range(10))
    assert manifest.preprocessing == ({"step": "image", "size": [8, 8], "channels": 1},)
    assert manifest.num_params == trained.count_params()
    assert manifest.license == "BSD-3-Clause"
    assert manifest.provenance["recipe"] == {"name": "digits-net", "seed": 1}
    assert manifest.provenance["dataset"]["fingerprint"] == "0123abcd"
    assert manifest.provenance["export"]["tf2onnx"].startswith("1.17")
    assert manifest.files == list_files(exported.path)
    assert not [name for name in manifest.files if ".partial-" in name]  # the run has one
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_figures_of_each_artifact(exported):
    assert [row.format for row in exported.artifacts] == ["tflite", "onnx", "saved_model"]
    for artifact in exported.artifacts:
        figures = artifact.verification
        assert (figures.examples, figures.top1_agreement) == (64, 1.0)
        assert figures.tolerance == 1e-5
        assert figures.batches == (1, 3)
        assert 0 <= figures.max_abs_diff < 1e-4
        assert artifact.bytes > 1000
        assert 0 < artifact.seconds < 600
        assert 100 < artifact.peak_mb < 20_000
    assert exported.artifact("onnx").facts["opset"] == 20


def test_a_bundle_shows_itself(exported):
    first, *rows = repr(exported).splitlines()
    assert first == f"Bundle '{exported.path}'"
    assert rows[0].split() == ["model", f"{exported.name},", str(exported.task)]
    assert sum(row.startswith("  file ") for row in rows) == len(exported.manifest.artifacts)
    assert f"<th>inputs</th><td>{exported.inputs[0]}</td>" in exported._repr_html_()


def test_verify_proves_it_again_in_a_new_process(exported, fresh_python):
    code = (
        "from zoo_export import verify\n"
        f"print([(row.format, row.ok) for row in verify({str(exported.path)!r})])"
    )
    assert fresh_python(code).stdout.strip() == (
        "[('tflite', True), ('onnx', True), ('saved_model', True)]"
    )


def test_verify_needs_neither_tensorflow_nor_keras_for_the_other_formats(exported, fresh_python):
    code = (
        "import sys\n"
        "from zoo_export import load_bundle, verify\n"
        f"whole = load_bundle({str(exported.path)!r})\n"
        "rows = [row for name in ('tflite', 'onnx') for row in verify(whole, runtime=name)]\n"
        "print([row.format for row in rows], sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert fresh_python(code).stdout.strip() == "['tflite', 'onnx'] []"


def test_verify_refuses_a_file_that_computes_something_else(bundle_copy):
    # Another model with a manifest that has been made to fit: only running it can tell.
    import onnx
    from onnx import numpy_helper

    path = bundle_copy / "digits-net.onnx"
    proto = onnx.load(path)
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "logits/bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
    onnx.save(proto, path)
    files = {name: vars(entry) for name, entry in list_files(bundle_copy).items()}
    _edit(bundle_copy, lambda data: data.update(files=files))

    with pytest.raises(VerificationError) as caught:
        verify(bundle_copy)

    said = (
        r"onnx: output 'logits' of shape \[\d+, 10\] differs from Keras by 0.01 in column \d where"
    )
    assert re.search(said, str(caught.value))
    assert [row.ok for row in caught.value.verifications] == [True, False, True]


def test_the_card_says_what_it_is_and_its_snippet_runs(exported):
    card = (exported.path / "README.md").read_text()

    assert card.startswith("# digits-net\n\n- Task: image-classification\n")
    installed = "`pip install 'kerazoo-runtime[images,litert]'`"
    assert installed in card
    for text in ("Licence: BSD-3-Clause", "digit 9", "Test accuracy: 0.9500", "100.0% of 64"):
        assert text in card
    table = [line for line in card.splitlines() if line.startswith("|")][:5]
    assert len({len(line) for line in table}) == 1
    snippet, *_ = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=exported.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "logits (1, 10)"


# -- bundles that cannot be trusted -------------------------------------------------------------


def test_a_changed_byte_is_refused_in_every_file(exported, bundle_copy):
    for name in exported.manifest.files:
        path = bundle_copy / name
        content = bytearray(path.read_bytes())
        if not content:
            continue  # the fingerprint of a SavedModel may be empty
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(BundleError) as caught:
            verify(bundle_copy)
        assert str(caught.value) == (
            f"'{name}' of bundle '{bundle_copy}' was changed: its sha256 is not the manifest's. "
            "Copy or export it again."
        )
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert load_bundle(bundle_copy).name == "digits-net"


def test_a_file_cut_short(bundle_copy):
    path = bundle_copy / "digits-net.tflite"
    path.write_bytes(path.read_bytes()[:-10])
    assert re.search(
        r"'digits-net.tflite' of bundle '.*' has [\d,]+ bytes; its manifest says [\d,]+: it was",
        _refuse(bundle_copy),
    )


def test_a_missing_file(bundle_copy):
    (bundle_copy / "digits-net.onnx").unlink()
    assert _refuse(bundle_copy) == (
        f"'digits-net.onnx' is missing from bundle '{bundle_copy}': copy or export it again."
    )


def test_a_file_that_nobody_listed(bundle_copy):
    (bundle_copy / "saved_model" / "extra.bin").write_bytes(b"x")
    assert _refuse(bundle_copy) == (
        f"'saved_model/extra.bin' of bundle '{bundle_copy}' is not in its manifest: remove it."
    )


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link(bundle_copy, tmp_path, kind):
    name = "digits-net.onnx" if kind == "file" else "saved_model"
    (bundle_copy / name).rename(tmp_path / "elsewhere")
    (bundle_copy / name).symlink_to(tmp_path / "elsewhere")
    assert _refuse(bundle_copy).startswith(f"'{name}' of bundle '{bundle_copy}' is a link")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "..\\secret", "c:secret", "a//b", "", "."]
)
def test_a_path_that_leads_out(bundle_copy, name):
    _edit(bundle_copy, lambda data: data["files"].update({name: {"bytes": 1, "sha256": "0"}}))
    assert f"names {name!r}: a path must stay inside." in _refuse(bundle_copy)


def test_an_artifact_that_leads_out(bundle_copy):
    _edit(bundle_copy, lambda data: data["artifacts"][0].update(path="../other.tflite"))
    assert "names '../other.tflite': a path must stay inside." in _refuse(bundle_copy)


def test_a_manifest_of_a_later_version(bundle_copy):
    _edit(bundle_copy, lambda data: data.update(format_version=2, brand_new=True))
    assert _refuse(bundle_copy) == (
        f"'{bundle_copy / 'manifest.json'}' has format_version 2; this Kerazoo reads up to 1: "
        "upgrade it with `pip install --upgrade kerazoo`."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(artefacts=[]), "an unknown key 'artefacts'. Did you mean 'artifacts'?"),
        (lambda d: d.pop("inputs"), "manifest has no 'inputs'."),
        (lambda d: d.update(name=3), "manifest.name must be a value of type str, not int '3'."),
        (lambda d: d["artifacts"][0].update(bytes=True), "artifacts[0].bytes must be a value of"),
        (lambda d: d["inputs"][0].update(shape=[1.5]), "inputs[0].shape[0] must be int or str"),
        (lambda d: d.update(files=[]), "manifest.files must be an object, not list '[]'."),
        (lambda d: d.update(artifacts=[]), "lists no artifact."),
        (lambda d: d["artifacts"][0].update(inputs=[]), "needs an input and an output."),
        (lambda d: d["artifacts"][0].update(outputs=[]), "needs an input and an output."),
        (lambda d: _first_input(d).update(shape=[-1, 8]), "impossible tensor: image: float32[-1, "),
        (lambda d: _first_input(d).update(shape=[2**40]), "impossible tensor: image: float32[1099"),
        (lambda d: _first_input(d).update(dtype="object"), "impossible tensor: image: object[1, "),
        (lambda d: _first_input(d).update(shape=[]), "impossible tensor: image: float32[]."),
    ],
)
def test_a_manifest_that_is_not_valid(bundle_copy, change, message):
    _edit(bundle_copy, change)
    assert message in _refuse(bundle_copy)


def test_a_manifest_cut_short(bundle_copy):
    path = bundle_copy / "manifest.json"
    path.write_text(path.read_text()[:200])
    assert "is not complete JSON" in _refuse(bundle_copy)


def test_no_bundle_at_all(tmp_path):
    assert _refuse(tmp_path / "none", UsageError) == f"There is no bundle '{tmp_path / 'none'}'."
    assert _refuse(tmp_path, UsageError) == (
        f"'{tmp_path}' is not a bundle (manifest.json is missing)."
    )
    (tmp_path / "run.json").touch()
    assert _refuse(tmp_path, UsageError) == (
        f"'{tmp_path}' is not a bundle (manifest.json is missing). It is a run: "
        f"`zoo export {tmp_path}` makes one of it."
    )


def test_samples_are_capped(tmp_path):
    from zoo_runtime.saved_samples import SampleBatch, load_samples, save_samples
    from zoo_runtime.tensors import Tensor

    rng = np.random.default_rng(0)
    inputs, outputs = {"x": rng.random((2, 3))}, {"logits": rng.random((2, 100, 1000))}
    tensor = Tensor("logits", "float64", ("batch", "sequence", 1000))
    save_samples(tmp_path / "s.npz", [SampleBatch("given", inputs, outputs)], [tensor], {})

    [case] = load_samples(tmp_path / "s.npz", [Tensor("x", "float64", ("batch", 3))])
    assert (case.kind, case.shapes) == ("given", {"logits": (2, 100, 1000)})
    assert case.values["logits"].shape == (65, 1000)  # whole columns, at most 65,536 values
    np.testing.assert_array_equal(case.values["logits"][-1], outputs["logits"][-1, -1])
    np.testing.assert_array_equal(case.inputs["x"], inputs["x"])
