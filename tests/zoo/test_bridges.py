"""Models of other libraries: listed from tables, built on demand, exported like ours."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from zoo_models.bridges.applications import PIXELS, _pixels
from zoo_models.bridges.catalogs import FOLDER, KERAS, KERASHUB
from zoo_registry import UsageError, ZooError, models


def test_names_are_listed_without_importing_the_libraries():
    program = """
import sys, zoo
names = zoo.list_models("keras/*"), zoo.list_models("kerashub/*", task="text-classification")
assert zoo.describe("kerashub/bert_base_en_uncased").num_params == 109_482_240
assert not {"keras", "keras_hub", "tensorflow", "numpy"} & set(sys.modules)
print(len(names[0]), len(names[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, presets = map(int, done.stdout.split())
    assert ours == len(KERAS) >= 38
    assert presets > 60


def test_prefixed_names_never_hide_ours_nor_stand_alone():
    assert models.get("resnet50").target == "zoo_models.builders.resnet:resnet"
    assert models.get("keras/resnet50").target == "zoo_models.bridges.applications:application"
    assert models.owner("keras/resnet50") == "keras"
    assert models.origin("keras/resnet50").distribution == "kerazoo"
    with pytest.raises(ZooError, match=r"no model 'vgg16'\. Did you mean 'keras/vgg16'"):
        models.get("vgg16")
    assert "keras/vgg16" not in zoo.list_models("vgg*")


@pytest.mark.parametrize("name", ["mobilenetv3small", "densenet121", "efficientnetb1"])
def test_the_table_of_applications_is_fresh(name):
    from benchmarks.catalog_tables import application_row, architectures

    rows = json.loads((FOLDER / "keras.json").read_text())
    known = architectures()
    assert list(rows) == list(known), "run: python -m benchmarks.catalog_tables"
    assert rows[name] == application_row(known[name])


def test_the_table_of_presets_is_fresh():
    from benchmarks.catalog_tables import presets

    rows = json.loads((FOLDER / "kerashub.json").read_text())
    assert rows == presets(), "run: python -m benchmarks.catalog_tables"
    assert rows["gpt2_base_en"]["license"] == "MIT"
    assert rows["gpt2_base_en"]["tasks"] == ["features", "causal-lm"]


def verified(model, folder, *formats, **options):
    """Export to every format, and hold each against Keras' own answers to rows drawn here."""
    bundle = zoo.export(model, out=folder / "bundle", to=formats, **options)
    assert {artifact.format for artifact in bundle.artifacts} == set(formats)
    generator = np.random.default_rng(5)
    rows = {
        tensor.name: generator.integers(0, 2, (3, *tensor.shape[1:]))
        if tensor.dtype == "int32"
        else generator.uniform(0, 255, (3, *tensor.shape[1:]))
        for tensor in bundle.artifacts[0].inputs
    }
    rows = {t.name: rows[t.name].astype(t.dtype) for t in bundle.artifacts[0].inputs}
    given = rows if isinstance(model.input, dict) else next(iter(rows.values()))
    wanted = [np.asarray(value) for value in keras.tree.flatten(model(given, training=False))]
    for artifact in bundle.artifacts:
        assert artifact.verification.max_abs_diff < 1e-4
        answers = bundle.run(rows, artifact.format)
        assert len(answers) == len(wanted)
        for name, right in zip(sorted(answers), wanted, strict=True):
            assert np.isfinite(right).all()
            assert np.ptp(right) > 0
            np.testing.assert_allclose(answers[name], right, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize("module", PIXELS)
def test_pixels_are_prepared_as_the_library_does(module):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype("float32")
    image = keras.Input((4, 5, 3))
    ours = keras.Model(image, _pixels(image, PIXELS[module]))(pixels)
    wanted = getattr(keras.applications, module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(ours, wanted, atol=2e-5)


@pytest.mark.parametrize("how", sorted(set(PIXELS.values())))
def test_prepared_pixels_are_exported(how, tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(_pixels(image, how))
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(pooled))
    verified(model, tmp_path, "tflite", "onnx")


def test_heads_of_applications():
    small = {"input_shape": (32, 32, 3)}
    image = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    model = zoo.get_model("keras/mobilenetv2", num_classes=5, **small)
    assert model(image).shape == (2, 5)
    assert model.output_names == ["logits"]
    features = zoo.get_model("keras/mobilenetv2", task="features", **small)
    assert features(image).shape == (2, 1, 1, 1280)
    spec = models.get("keras/mobilenetv2")
    assert spec.num_params == 3_504_872
    assert zoo.size("keras/mobilenetv2").macs == spec.macs == models.get("mobilenet-v2").macs
    with pytest.raises(UsageError, match=r"^keras\.applications\.VGG16 refuses: "):
        zoo.get_model("keras/vgg16", input_shape=(8, 8, 3))


def test_local_weights_of_an_application(tmp_path):
    small = {"input_shape": (32, 32, 3), "num_classes": 5}
    model = zoo.get_model("keras/mobilenet", **small)
    model.save_weights(tmp_path / "m.weights.h5")
    again = zoo.get_model("keras/mobilenet", weights=tmp_path / "m.weights.h5", **small)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras/mobilenet", "keras/efficientnetb0"])
def test_applications_are_exported(name, tmp_path):
    model = zoo.get_model(name, num_classes=3, input_shape=(32, 32, 3))
    verified(model, tmp_path, "tflite", "onnx", "saved_model")


@pytest.fixture(scope="module")
def bert_preset(tmp_path_factory):
    import keras_hub

    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=40,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=16,
    )
    folder = tmp_path_factory.mktemp("preset") / "bert"
    backbone.save_to_preset(str(folder))
    return backbone, folder


TOKENS = {
    "token_ids": np.array([[5, 6, 7, 0]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 0]], "int32"),
    "segment_ids": np.zeros((1, 4), "int32"),
}


def test_a_preset_is_built_from_its_folder(bert_preset):
    backbone, folder = bert_preset
    name = "kerashub/bert_tiny_en_uncased"
    model = zoo.get_model(name, weights=folder)
    np.testing.assert_allclose(
        model(TOKENS)["pooled_output"], backbone(TOKENS)["pooled_output"], atol=1e-6
    )
    classifier = zoo.get_model(
        name, task="text-classification", num_classes=3, weights=folder, dropout=0.0
    )
    assert classifier(TOKENS).shape == (1, 3)
    assert zoo.get_model(name, task="masked-lm", weights=folder).count_params() > 0
    assert set(KERASHUB["bert_tiny_en_uncased"].tasks) >= {"features", "text-classification"}


@pytest.mark.slow
def test_a_preset_is_exported(bert_preset, tmp_path):
    _, folder = bert_preset
    model = zoo.get_model(
        "kerashub/bert_tiny_en_uncased", task="text-classification", num_classes=3, weights=folder
    )
    verified(model, tmp_path, "tflite", "onnx", sequence_length=8)


def test_weights_that_are_no_preset_of_its_family_are_refused(bert_preset, tmp_path):
    _, folder = bert_preset
    name = "kerashub/bert_tiny_en_uncased"
    references = Path(__file__).parents[1] / "weights" / "references"
    for weights, message in {
        tmp_path: f"'{tmp_path}' are not a preset of KerasHub: the folder has no metadata.json.",
        tmp_path / "no": "there is no such folder.",
        references / "bert-features": "are a snapshot of Hugging Face transformers",
    }.items():
        with pytest.raises(UsageError) as error:
            zoo.get_model(name, weights=weights)
        assert message in str(error.value)
    with pytest.raises(UsageError, match=r"'kerashub/gpt2_base_en' is of family 'gpt2'"):
        zoo.get_model("kerashub/gpt2_base_en", weights=folder)


def test_a_preset_that_cannot_be_had(tmp_path):
    for file in ("metadata.json", "config.json"):
        (tmp_path / file).write_text('{"module": "keras_hub.src.models.bert.bert_backbone"}')
    with pytest.raises(ZooError) as error:
        zoo.get_model("kerashub/bert_tiny_en_uncased", weights=tmp_path)
    assert str(error.value).startswith(f"KerasHub cannot build '{tmp_path}' for 'features': ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "sizes"),
    [
        # Its input has no name, and it is made anew from its sizes where it is loaded.
        (
            "VGGBackbone",
            {
                "stackwise_num_repeats": [1, 1],
                "stackwise_num_filters": [4, 8],
                "image_shape": (16, 16, 3),
            },
        ),
        # Its inner layers fail where they are asked for their configuration (0.32).
        (
            "Llama3Backbone",
            {
                "vocabulary_size": 40,
                "num_layers": 1,
                "num_query_heads": 2,
                "num_key_value_heads": 1,
                "hidden_dim": 16,
                "intermediate_dim": 32,
            },
        ),
    ],
)
def test_backbones_made_by_hand_are_exported(backbone, sizes, tmp_path):
    import keras_hub

    # So that names that are counted are others than in a new process.
    keras.Input((1,)), keras.Input((1,))
    model = getattr(keras_hub.models, backbone)(**sizes)
    verified(model, tmp_path, "tflite", "onnx")


@pytest.mark.parametrize(
    ("preset", "task"),
    [
        ("gpt2_base_en", "causal-lm"),
        ("gemma3_1b", "causal-lm"),
        ("gemma3_4b", "image-text-to-text"),
        ("t5_base_multi", "seq2seq"),
        ("moonshine_tiny_en", "automatic-speech-recognition"),
    ],
)
def test_what_writes_text_has_the_task_of_what_it_reads(preset, task):
    tasks = set(models.get(f"kerashub/{preset}").tasks)
    writers = {"causal-lm", "seq2seq", "image-text-to-text", "automatic-speech-recognition"}
    assert tasks & writers == {task}
