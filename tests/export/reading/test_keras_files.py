"""Files of Keras models as what is exported: of Keras 3, and of Keras 2, made with ``tf_keras``."""

import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from export_small import convert

from zoo_export import ExportError, export
from zoo_export.making import assembly
from zoo_export.reading.keras_files import read_model
from zoo_export.reading.request import from_model
from zoo_models.layers import SinusoidalPositions
from zoo_registry import UsageError

FILES = Path(__file__).parents[1] / "keras2"
ENDS = (".keras", ".h5")


def test_our_layers_are_found_in_a_new_process_wherever_they_lay(tmp_path, fresh_python):
    x = keras.Input((6, 4), name="x")
    saved = tmp_path / "saved.keras"
    keras.Model(x, SinusoidalPositions(name="positions")(x)).save(saved)
    module = "layers.embedding"
    moved = _changed(saved, tmp_path, f"zoo_models.{module}", f"zoo.{module}")  # as 0.1 called it
    code = "from pathlib import Path; from zoo_export.reading.keras_files import read_model"
    done = fresh_python(f"{code}; print(read_model(Path({str(moved)!r})).output_shape)")
    assert done.stdout == "(None, 6, 4)\n", done.stderr
    with assembly.model_file(from_model(read_model(saved)), tmp_path) as (path, _):
        assert path.is_dir()  # by Keras, not pickled


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["vision", "tokens"])
def test_a_model_of_keras_2_gives_what_it_gave_there(name, end):
    answer = np.load(FILES / f"{name}.npz")
    model = read_model(FILES / f"{name}{end}")
    found = model(answer["x"])
    found = found["out"] if isinstance(found, dict) else found
    np.testing.assert_allclose(found, answer["y"], atol=2e-6)
    assert answer["y"].std() > 0.05
    assert (model.name, model.zoo_weights.source) == (name, f"{name}{end}")


def _changed(source, folder, old, new):
    """Return a copy of a file whose configuration says something else."""
    target = folder / "changed.keras"
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for entry in archive.namelist():
            data = archive.read(entry)
            if entry == "config.json":
                assert old in data.decode()
                data = data.decode().replace(old, new).encode()
            copy.writestr(entry, data)
    return target


REFUSED = {
    "a layer that is gone": (
        ("vision", '"class_name": "LeakyReLU"', '"class_name": "ThresholdedReLU"'),
        "its layer 'leaky' (ThresholdedReLU) cannot be made of Keras 3: Keras 3 has no layer "
        "ThresholdedReLU. Build the model with layers of Keras 3 instead.",
    ),
    "an argument that is gone": (
        ("tokens", '"time_major": false', '"time_major": true'),
        "(LSTM) cannot be made of Keras 3: Keras 3 has no time_major=True.",
    ),
    "a function that is another": (
        ("vision", '"activation": "relu"', '"activation": "hard_sigmoid"'),
        "its layer 'first' (Conv2D) cannot be made of Keras 3: its activation='hard_sigmoid' is "
        "another in Keras 3: it is relu6(x + 3) / 6 there and clip(x / 5 + 1/2, 0, 1) in Keras 2.",
    ),
    "a function of TensorFlow": (
        ("tokens", '"function": "concat"', '"function": "signal.rfft"'),
        "(TFOpLambda) cannot be made of Keras 3: it calls TensorFlow's signal.rfft, which is no",
    ),
    "a class of one's own": (
        ("vision", '"class_name": "Functional"', '"class_name": "Mine"'),
        "is a 'Mine', a custom class, which a file does not hold",
    ),
    "weights of another shape": (
        ("vision", '"filters": 3', '"filters": 2'),
        "'inner'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_keras_3_has_not_is_refused_by_layer(what, tmp_path):
    change, said = REFUSED[what]
    path = _changed(FILES / f"{change[0]}.keras", tmp_path, *change[1:])
    with pytest.raises(UsageError) as caught:
        read_model(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_older_places_of_weights_are_known(tmp_path):
    path = tmp_path / "vision.keras"
    with zipfile.ZipFile(FILES / "vision.keras") as archive, zipfile.ZipFile(path, "w") as copy:
        for entry in ("config.json", "metadata.json"):
            copy.writestr(entry, archive.read(entry))
        archive.extract("model.weights.h5", tmp_path)
        with h5py.File(tmp_path / "model.weights.h5", "a") as file:
            file["layers/sequential"].move("layers", "_layer_checkpoint_dependencies")
            file.move("layers", "_layer_checkpoint_dependencies")
        copy.write(tmp_path / "model.weights.h5", "model.weights.h5")
    answer = np.load(FILES / "vision.npz")
    np.testing.assert_allclose(read_model(path)(answer["x"]), answer["y"], atol=2e-6)


def test_weights_that_are_left_over_are_refused(tmp_path):
    path = shutil.copy(FILES / "tokens.h5", tmp_path / "more.h5")
    with h5py.File(path, "a") as file:
        file.copy("model_weights/shared", "model_weights/other")
    with pytest.raises(UsageError, match=r"holds weights of layers .* has not: \['other'\]"):
        read_model(Path(path))


def _small(name="small", **options):
    x = keras.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(3, **options)(x), name=name)


def test_files_that_are_no_models(tmp_path):
    _small().save_weights(tmp_path / "a.weights.h5")
    _small().save(tmp_path / "b.keras")
    (tmp_path / "c.keras").write_bytes((tmp_path / "b.keras").read_bytes()[:900])
    shutil.copy(tmp_path / "a.weights.h5", tmp_path / "d.h5")
    (tmp_path / "d.h5").write_bytes((tmp_path / "d.h5").read_bytes()[:900])
    (tmp_path / "e.txt").write_text("no model")
    said = {
        "a.weights.h5": "holds weights alone, not what they are of: `zoo export NAME --weights",
        "c.keras": "is not a complete Keras file: BadZipFile: File is not a zip file",
        "d.h5": "is not a complete Keras file: OSError: Unable to synchronously open file",
        "e.txt": "is not a model: give a folder of `zoo train`, or a file of model.save",
    }
    for name, message in said.items():
        with pytest.raises(UsageError) as caught:
            export(tmp_path / name, to="onnx", out=tmp_path / "out")
        assert message in str(caught.value)


class _Own(keras.layers.Layer):
    def call(self, x):
        return x * 2


def test_code_that_a_file_does_not_bring_is_named(tmp_path):
    x = keras.Input((4,), name="x")
    named = {"own.keras": _Own(), "lambda.keras": keras.layers.Lambda(lambda x: x + 1)}
    found = {}
    for name, layer in named.items():
        keras.Model(x, layer(x)).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "own.keras") as archive:
        config = archive.read("config.json").decode()
        rest = {n: archive.read(n) for n in archive.namelist() if n != "config.json"}
    with zipfile.ZipFile(tmp_path / "own.keras", "w") as archive:
        archive.writestr("config.json", config.replace("_Own", "_Another"))
        for name, data in rest.items():
            archive.writestr(name, data)
    for name in named:
        with pytest.raises(ExportError) as caught:
            read_model(tmp_path / name)
        found[name] = str(caught.value)
    assert "nothing here registers its class '_Another'" in found["own.keras"]
    assert "it holds code of a lambda, which is not run from a file" in found["lambda.keras"]


def test_a_file_is_exported_as_the_model_in_it(tmp_path, monkeypatch):
    from benchmarks.support.operators import _convert_here

    monkeypatch.setattr(assembly, "convert_all", _convert_here)
    model = _small("inner")
    model.save(tmp_path / "my möbel.v1.keras")
    bundle = export(tmp_path / "my möbel.v1.keras", to="onnx", out=tmp_path / "out")
    given = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    (found,) = bundle.run({"x": given}, "onnx").values()
    np.testing.assert_allclose(found, model(given), atol=1e-6)
    assert bundle.artifacts[0].path == "my-m-bel.v1.onnx"
    weights = bundle.manifest.provenance["weights"]
    assert weights["source"] == "my möbel.v1.keras"
    old = convert(read_model(FILES / "vision.h5"), tmp_path / "old", ["tflite"])
    assert old["tflite"].verification.ok
