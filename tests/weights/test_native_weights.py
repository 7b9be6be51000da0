"""Files of Keras are read by the names of layers: what does not fit is refused, or reported."""

import json
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest

import zoo
from zoo_models.quantization import quantization_aware
from zoo_registry import ModelSpec, UsageError

SIZES = {"vocab_size": 40, "hidden_dim": 16, "num_heads": 2, "ff_dim": 32, "max_length": 24}
TWO = {**SIZES, "num_layers": 2, "task": "text-classification", "num_classes": 3}
MLP = {"input_shape": (16,), "num_classes": 16}
formats = pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Write models in both kinds of files and return them with their folder."""
    folder = tmp_path_factory.mktemp("native")
    models = {
        "deep": zoo.get_model("mlp", hidden_dims=(16, 16, 16), **MLP),
        "bert": zoo.get_model("bert-tiny", **TWO),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
    return models, folder


def refused(name, **arguments):
    with pytest.raises(UsageError) as raised:
        zoo.get_model(name, **arguments)
    return str(raised.value)


def quiet(name, **arguments):
    """Build a model, and return it with the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = zoo.get_model(name, **arguments)
    return model, [str(warning.message) for warning in caught]


@formats
def test_what_fits_is_loaded_whole_and_in_silence(saved, suffix):
    models, folder = saved
    model, warned = quiet("bert-tiny", weights=folder / f"bert{suffix}", **TWO)
    assert warned == []
    assert model.zoo_weights.loaded == len(model.weights)
    for one, other in zip(model.weights, models["bert"].weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


@formats
def test_a_deeper_model_into_a_shallower_one_is_refused(saved, suffix):
    _, folder = saved
    file = folder / f"deep{suffix}"
    assert refused("mlp", hidden_dims=(16,), weights=file, **MLP) == (
        f"weights='{file}' do not fit model 'mlp': left over: dense_1/0, dense_1/1, dense_2/0, "
        "dense_2/1. strict=False loads what fits."
    )
    message = refused("bert-tiny", weights=folder / f"bert{suffix}", **{**TWO, "num_layers": 1})
    assert "left over: " in message
    assert "block_1/" in message or "transformer_block_1/" in message


@formats
def test_a_shallower_model_into_a_deeper_one_is_refused(saved, suffix):
    _, folder = saved
    file = folder / f"deep{suffix}"
    assert refused("mlp", hidden_dims=(16,) * 4, weights=file, **MLP) == (
        f"weights='{file}' do not fit model 'mlp': missing: dense_3/kernel, dense_3/bias. "
        "strict=False loads what fits."
    )
    message = refused("bert-tiny", weights=folder / f"bert{suffix}", **{**TWO, "num_layers": 3})
    assert "missing: block_2/" in message


@formats
def test_what_starts_fresh_is_said_without_strict(saved, suffix):
    _, folder = saved
    three = {**TWO, "num_layers": 3}
    file = folder / f"bert{suffix}"
    model, (warning,) = quiet("bert-tiny", weights=file, strict=False, **three)
    assert warning.startswith(f"These weights of 'bert-tiny' start fresh, as '{file}' has none")
    fresh = {weight.path for weight in model.weights if weight.path.startswith("block_2/")}
    assert set(model.zoo_weights.missing) == fresh
    assert {"block_2/attention_norm/gamma", "block_2/ff_norm/beta"} < fresh


@formats
def test_another_size_is_refused(saved, suffix):
    _, folder = saved
    message = refused("mlp", hidden_dims=(16, 8, 16), weights=folder / f"deep{suffix}", **MLP)
    assert "of another shape: dense_1/kernel (16, 8) and not (16, 16), dense_1/bias" in message


@pytest.mark.parametrize("own", [("one", "two"), ("dense_0", "dense_1")])
def test_layers_in_another_order_are_found_by_their_names(own, tmp_path):
    def network(*names):
        x = inputs = keras.Input((4,))
        for name in names:
            x = keras.layers.Dense(4, name=name)(x)
        return keras.Model(inputs, x)

    spec = ModelSpec(name="orders", builder=lambda *, names=own: network(*names))
    written = network(*reversed(own))
    for suffix in (".keras", ".weights.h5"):
        file = tmp_path / f"m{suffix}"
        written.save(file) if suffix == ".keras" else written.save_weights(file)
        model = zoo.get_model(spec, weights=file)
        for name in own:
            kernels = (network.get_layer(name).kernel for network in (model, written))
            np.testing.assert_array_equal(*kernels)
        others = (own[0], "three")
        assert f"left over: {own[1]}/0" in refused(spec, names=others, weights=file)


def test_names_that_keras_gave_count_for_nothing(tmp_path):
    def build():
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(3)(keras.layers.Normalization()(inputs))
        return keras.Model(inputs, keras.layers.Dense(2)(hidden))

    written = build()
    written.layers[1].adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    written.save(tmp_path / "m.keras")
    build()  # Keras counts on
    model = zoo.get_model(ModelSpec(name="automatic", builder=build), weights=tmp_path / "m.keras")
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(model(x), written(x), rtol=1e-6)


def test_files_before_layers_had_names_in_them(saved, tmp_path):
    _, folder = saved
    (tmp_path / "old.weights.h5").write_bytes((folder / "bert.weights.h5").read_bytes())
    with h5py.File(tmp_path / "old.weights.h5", "a") as held:
        groups = []
        held.visititems(lambda _, item: groups.append(item))
        for group in groups:
            group.attrs.pop("name", None)
    model = zoo.get_model("bert-tiny", weights=tmp_path / "old.weights.h5", **TWO)
    assert model.zoo_weights.loaded == len(model.weights)
    one = {**TWO, "num_layers": 1}
    assert "left over: transformer_block_1/" in refused(
        "bert-tiny", weights=tmp_path / "old.weights.h5", **one
    )


def test_quantization_aware_models_hold_the_weights_of_the_plain_one(tmp_path):
    plain = zoo.get_model("lenet5")
    aware = quantization_aware(plain)
    for suffix in (".keras", ".weights.h5"):
        file = tmp_path / f"m{suffix}"
        aware.save(file) if suffix == ".keras" else aware.save_weights(file)
        model, warned = quiet("lenet5", weights=file)
        assert warned == []
        for one, other in zip(model.weights, plain.weights, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_files_that_are_none(saved, tmp_path):
    _, folder = saved
    whole = (folder / "deep.keras").read_bytes()
    arguments = {"hidden_dims": (16, 16, 16), **MLP}
    for bad in (b"", b"PK\x03\x04", whole[:-200], whole[: len(whole) // 2], b"\x80\x04" * 50):
        (tmp_path / "m.keras").write_bytes(bad)
        assert "are not a complete file of Keras" in refused(
            "mlp", weights=tmp_path / "m.keras", **arguments
        )


def test_files_of_keras_2(tmp_path):
    with h5py.File(tmp_path / "m.keras", "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.create_group("model_weights")
    assert "were written by Keras 2" in refused("mlp", weights=tmp_path / "m.keras", **MLP)
    (tmp_path / "m.keras").rename(tmp_path / "m.weights.h5")
    assert "were written by Keras 2" in refused("mlp", weights=tmp_path / "m.weights.h5", **MLP)


def test_a_hostile_file_makes_nothing_and_reads_nothing(saved, tmp_path):
    """No layer of its configuration is built, and no array of another file is read."""
    _, folder = saved
    arguments = {"hidden_dims": (16, 16, 16), **MLP}
    with zipfile.ZipFile(folder / "deep.keras") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    row = {"class_name": "Lambda", "module": "os", "config": {"name": "x", "function": "system"}}
    held["config.json"] = json.dumps({"config": {"layers": [row, 7, None]}}).encode()
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    assert zoo.get_model("mlp", weights=tmp_path / "m.keras", **arguments).zoo_weights.loaded == 8
    (tmp_path / "m.weights.h5").write_bytes((folder / "deep.weights.h5").read_bytes())
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        group["0"] = h5py.ExternalLink("/etc/passwd", "/")
    hostile = {"weights": tmp_path / "m.weights.h5", **arguments}
    assert "layers/dense/vars/0 is not an array of this file." in refused("mlp", **hostile)
    for value, message in (
        (h5py.Empty("f"), "layers/dense/vars/0 is an array without values."),
        (np.float32(1), "dense_0/kernel (16, 16) and not ()"),
    ):
        with h5py.File(tmp_path / "m.weights.h5", "a") as file:
            del file["layers/dense/vars/0"]
            file["layers/dense/vars/0"] = value
        assert message in refused("mlp", **hostile)


def test_a_training_that_diverged_is_refused(saved, tmp_path):
    _, folder = saved
    (tmp_path / "m.weights.h5").write_bytes((folder / "deep.weights.h5").read_bytes())
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        file["layers/dense_1/vars/1"][2:] = np.nan
    arguments = {"weights": tmp_path / "m.weights.h5", "hidden_dims": (16, 16, 16), **MLP}
    assert refused("mlp", **arguments) == (
        f"weights='{tmp_path / 'm.weights.h5'}': dense_1/bias holds NaN or infinite values, 14 of "
        "16, as after a training that diverged. strict=False loads them."
    )


def test_settings_that_no_weight_shows_are_told_and_other_kinds_of_layers_refused(saved, tmp_path):
    _, folder = saved
    _, (warning,) = quiet("bert-tiny", weights=folder / "bert.keras", **{**TWO, "num_heads": 4})
    assert warning == (
        f"Layers of '{folder / 'bert.keras'}' were saved with other settings than 'bert-tiny' has: "
        "block_0 num_heads=2 and not 4, block_1 num_heads=2 and not 4."
    )

    def spec(kind, **settings):
        def build():
            inputs = keras.Input((None, 4))
            layer = getattr(keras.layers, kind)(name="n", **settings)
            around = keras.layers.Bidirectional(keras.layers.LSTM(2), name="around")
            return keras.Model(inputs, around(layer(inputs)))

        return ModelSpec(name="own", builder=build)

    unscaled = spec("LayerNormalization", scale=False)
    unscaled.builder().save(tmp_path / "m.keras")
    assert quiet(unscaled, weights=tmp_path / "m.keras")[1] == []
    for other, text in (
        (spec("LayerNormalization", center=False), "of another shape: n with other center, scale."),
        (spec("Dense", units=4, use_bias=False), "n/kernel (4, 4) and not (4,)."),
        (spec("BatchNormalization", scale=False), "missing: n/moving_mean"),
    ):
        assert text in refused(other, weights=tmp_path / "m.keras")
    spec("RMSNormalization").builder().save(tmp_path / "m.keras")
    assert "n, a LayerNormalization and not a RMSNormalization" in refused(
        spec("LayerNormalization", center=False), weights=tmp_path / "m.keras"
    )


@formats
def test_a_head_of_texts_is_none_of_words(saved, suffix):
    _, folder = saved
    words = {**TWO, "task": "token-classification"}
    model, (warning,) = quiet("bert-tiny", weights=folder / f"bert{suffix}", **words)
    assert warning.startswith("The head of 'bert-tiny' starts fresh")
    assert model.zoo_weights.fresh == ("logits/kernel", "logits/bias")


@formats
def test_quantized_files_are_refused_strict_or_not(suffix, tmp_path):
    arguments = {"hidden_dims": (4,), **MLP}
    model = zoo.get_model("mlp", **arguments)
    model.quantize("int8")
    file = tmp_path / f"m{suffix}"
    model.save(file) if suffix == ".keras" else model.save_weights(file)
    assert "dense_0/kernel as int8, as quantized weights are" in refused(
        "mlp", weights=file, **arguments
    )
    model, _ = quiet("mlp", weights=file, strict=False, **arguments)
    assert "dense_0/kernel as int8" in model.zoo_weights.misshapen[0]
