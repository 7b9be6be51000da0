"""Bundles and runs are untrusted: archives, links, pickles, weights elsewhere, files that crash."""

import ast
import json
import os
import re
import stat
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import make_it_crash, rehash

import zoo_runtime.files
import zoo_runtime.verifying
from zoo_export import BundleError, VerificationError, load_bundle, verify
from zoo_registry import UsageError
from zoo_runtime.manifest import seal
from zoo_runtime.running.operators import check_onnx
from zoo_runtime.saved_samples import load_arrays
from zoo_runtime.zipped import unpack

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for root in ("registry", "export", "zoo", "recipes", "data")
    for path in sorted((ROOT / root).rglob("*.py"))
]
RESTRICTED, HANDED_OVER = "pickled_frames.py", "pickled.py"
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Forget what this machine has tried before."""
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tried"


# -- nothing is ever unpickled ------------------------------------------------------------------


def test_no_module_imports_what_unpickles():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [(path.name, name) for name in names if name.partition(".")[0] in UNPICKLERS]
    assert len(SOURCES) > 100
    # One reads tables with a stand-in for every name in them:
    # tests/recipes/datasets/test_resume_bias.py. The other hands a model of this process to the
    # one that converts it: see the next test.
    handed = [(HANDED_OVER, "cloudpickle"), (HANDED_OVER, "pickle")]
    assert sorted(found) == [*handed, (RESTRICTED, "pickle")]
    (restricted,) = [path for path in SOURCES if path.name == RESTRICTED]
    used = re.findall(r"pickle\.\w+", restricted.read_text())
    assert set(used) == {"pickle.Unpickler"}


def test_only_what_an_export_has_just_written_is_unpickled():
    readers = {
        (path.name, ast.unparse(node.func))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"pickled.load", "model_file.load"}
    }
    # The file lies in the export's own work folder, under the name that it has nowhere else.
    assert readers == {("model_file.py", "pickled.load")}


def test_every_np_load_refuses_pickles_and_every_keras_load_is_safe():
    loads = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in {"np.load", "numpy.load"}:
                loads.append(path.name)
                assert options.get("allow_pickle") == "False", (path, node.lineno)
            elif called.endswith((".load_model", "saving.load_model")):
                loads.append(path.name)
                assert options.get("safe_mode") == "True", (path, node.lineno)
            assert "enable_unsafe_deserialization" not in called, path
    assert len(loads) >= 4


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_an_array_of_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "samples.npz", **{"0/x/a": np.array([Bomb()], object)})
    with pytest.raises(BundleError, match="holds no samples: Object arrays cannot be loaded when"):
        load_arrays(tmp_path / "samples.npz")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.slow
def test_a_lambda_layer_is_refused(tmp_path, make_run):
    import keras

    from zoo_export import ExportError, export

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    folder = make_run()
    model.save(folder / "model.keras")
    with pytest.raises(ExportError, match=r"cannot be loaded: .*[Ll]ambda"):
        export(folder, to=["onnx"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_that_is_not_the_one_that_was_trained(tmp_path, make_run):
    from zoo_export import ExportError, export

    folder = make_run()
    info = json.loads((folder / "run.json").read_text())
    info["model"]["sha256"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(
        ExportError, match=r"model.keras' was changed: its sha256 is not the one in"
    ):
        export(folder, to=["onnx"], out=tmp_path / "out")


@pytest.mark.slow
def test_weights_that_hdf5_cannot_read(tmp_path, make_run):
    from zoo_export import ExportError, export

    folder = make_run()
    with zipfile.ZipFile(folder / "model.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content[:-64] if name.endswith(".h5") else content)
    with pytest.raises(ExportError, match=r"cannot be loaded: Unable to .*truncated file"):
        export(folder, to=["onnx"], out=tmp_path / "out")


# -- one zip ------------------------------------------------------------------------------------


@pytest.fixture
def zipped(exported, tmp_path):
    return exported.to_zip(tmp_path / "digits.zip")


def rewrite(path, change):
    """Write an archive anew after ``change`` did something to its list of [info, content]."""
    with zipfile.ZipFile(path) as archive:
        entries = [[info, archive.read(info)] for info in archive.infolist()]
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in entries:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)


@pytest.mark.slow
def test_a_zip_is_the_bundle_and_has_the_same_bytes_every_time(exported, zipped, digits, tmp_path):
    bundle = load_bundle(zipped)
    images = list(digits[0][:5])

    assert bundle.manifest == exported.manifest
    assert [p.index for p in bundle.predict(images)] == [p.index for p in exported.predict(images)]
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o700
    with pytest.raises(UsageError, match=rf"^Bundle '{zipped}' has no format 'onnx:int8'\."):
        bundle.artifact("onnx:int8")
    time.sleep(2.1)  # the clock of an archive ticks every two seconds
    assert bundle.to_zip(tmp_path / "again.zip").read_bytes() == zipped.read_bytes()
    folder = bundle.path
    del bundle
    assert not folder.exists()
    with pytest.raises(UsageError, match=r"digits\.zip' exists: choose another one"):
        exported.to_zip(zipped)


def renamed(name):
    def change(entries):
        entries[-1][0].filename = name

    return change


def as_link(entries):
    entries[-1][0].external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("../secret"), "names '../secret': a path must stay inside"),
        (renamed("/etc/passwd"), "names '/etc/passwd': a path must stay inside"),
        (renamed("folder/"), "names 'folder/': a path must stay inside"),
        (renamed("other"), "'other' has [0-9,]+ bytes in '.*' and no entry in its manifest"),
        (as_link, "is not a plain file: bundles hold nothing else"),
        (lambda entries: entries.append(entries[-1]), "holds two files of one name"),
        (lambda entries: entries.pop(), "has no entry in '.*' and [0-9,]+ bytes in its manifest"),
        (lambda entries: entries[-1].__setitem__(1, b"x"), "has 1 bytes in"),
    ],
)
def test_an_archive_that_holds_anything_else(zipped, change, message):
    rewrite(zipped, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(zipped)


@pytest.mark.slow
def test_an_archive_that_swells(zipped):
    # Even where the manifest says so.
    def change(entries):
        manifest = json.loads(entries[0][1])
        manifest["files"]["assets/zeros"] = {"bytes": 200_000_000, "sha256": "0" * 64}
        entries[0][1] = json.dumps(seal(manifest)).encode()
        entries.append([zipfile.ZipInfo("assets/zeros"), bytes(200_000_000)])

    rewrite(zipped, change)
    with pytest.raises(BundleError, match=r"of [0-9,]+ bytes would swell to 200,[0-9,]+\."):
        load_bundle(zipped)


def test_an_archive_that_is_none(tmp_path):
    path = tmp_path / "b.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(BundleError, match=r"b\.zip' cannot be unpacked: File is not a zip file"):
        load_bundle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"")
    with pytest.raises(UsageError, match=r"is not a bundle \(manifest\.json is missing\)"):
        unpack(path)


# -- weights elsewhere --------------------------------------------------------------------------


def onnx_with_weights_in(path, location, **more):
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", dims=[3], data_type=1, data_location=1)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    values = [helper.make_tensor_value_info(name, 1, [3]) for name in "xy"]
    inner = helper.make_graph([], "inner", [], [], [tensor])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "g", [values[0]], [values[1]])
    path.write_bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../b", ""])
def test_weights_outside_the_bundle(tmp_path, location):
    onnx_with_weights_in(tmp_path / "m.onnx", location)
    with pytest.raises(BundleError, match="a path must stay inside"):
        check_onnx(tmp_path / "m.onnx")


def test_weights_behind_a_link(tmp_path):
    onnx_with_weights_in(tmp_path / "m.onnx", "w.bin", offset="0")
    check_onnx(tmp_path / "m.onnx")
    (tmp_path / "w.bin").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match=r"keeps weights in 'w\.bin', which is a link"):
        check_onnx(tmp_path / "m.onnx")


def test_an_onnx_file_cut_short(tmp_path):
    onnx_with_weights_in(tmp_path / "m.onnx", "w.bin")
    data = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[:-2])
    with pytest.raises(BundleError, match="is not an ONNX file: a field is longer than the file"):
        check_onnx(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="is empty"):
        check_onnx(tmp_path / "m.onnx")


# -- files that end the process -----------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_ends_its_process_is_an_error(bundle_copy, cache):
    make_it_crash(bundle_copy)
    bundle = load_bundle(bundle_copy)
    message = (
        rf"^Artifact 'digits-net\.tflite' of bundle '{bundle_copy}' ended the process that tried "
        r"it \(SIG(SEGV|ABRT)\): it is damaged or hostile\. Export it again\.$"
    )
    for use in (lambda: bundle.predict(np.zeros((8, 8))), lambda: verify(bundle_copy)):
        with pytest.raises(BundleError, match=message):
            use()
    assert bundle.predict(np.zeros((8, 8)), runtime="onnx")[0].label


@pytest.mark.slow
def test_a_bundle_from_elsewhere_is_tried_once(bundle_copy, cache, monkeypatch):
    tried = []
    real = zoo_runtime.verifying.processes.run

    def counted(module, folder, name, *words, **options):
        tried.append(name)
        return real(module, folder, name, *words, **options)

    monkeypatch.setattr(zoo_runtime.verifying.processes, "run", counted)
    for _ in range(2):
        load_bundle(bundle_copy).predict(np.zeros((8, 8)), runtime="onnx")
    assert tried == ["onnx"]
    assert len(list(cache.iterdir())) == 1
    load_bundle(bundle_copy, trusted=True).predict(np.zeros((8, 8)), runtime="tflite")
    assert tried == ["onnx"]


@pytest.mark.slow
def test_other_weights_with_the_right_hash_are_no_answer(bundle_copy, cache):
    path = bundle_copy / "digits-net.tflite"
    data = bytearray(path.read_bytes())
    weights = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    data[4 * int(np.argmax(np.where(np.abs(weights) < 1, np.abs(weights), 0))) + 3] ^= 0x80
    path.write_bytes(data)
    rehash(bundle_copy, path.name)
    with pytest.raises(VerificationError, match="does not give what Keras gave: output 'logits'"):
        load_bundle(bundle_copy).predict(np.zeros((8, 8)), runtime="tflite")


@pytest.mark.slow
def test_a_trial_that_takes_too_long(exported, cache):
    with pytest.raises(BundleError, match=r"took longer than 0\.01 s to run the saved samples"):
        zoo_runtime.verifying.try_artifact(exported, exported.artifact("onnx"), time_limit=0.01)


@pytest.mark.slow
def test_preprocessing_that_does_something_else_is_noticed(bundle_copy, cache):
    with np.load(bundle_copy / "assets" / "probes.npz") as stored:
        probes = dict(stored)
    probes["x/image"] = probes["x/image"][:, ::-1]
    np.savez_compressed(bundle_copy / "assets" / "probes.npz", **probes)
    rehash(bundle_copy, "assets/probes.npz")
    with pytest.raises(VerificationError, match=r"^Preprocessing gives another 'image' here than"):
        verify(bundle_copy)


@pytest.mark.slow
def test_a_changed_label_is_noticed(bundle_copy):
    path = bundle_copy / "manifest.json"
    path.write_text(path.read_text().replace("digit 7", "digit 1"))
    with pytest.raises(BundleError, match="was changed: its sha256 is another"):
        load_bundle(bundle_copy)
