"""Siblings of our families give the answers of transformers and timm; `make_drawn.py` wrote them.

Weights are drawn from the names of their tensors, so that the file holds names, shapes and answers.
"""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from references.drawing import images, tensor, tokens
from safetensors.numpy import load_file, save_file

from zoo_models.build import get_model
from zoo_models.weights import save_pretrained
from zoo_registry import UsageError

FILE = Path(__file__).parent / "references" / "drawn.json.gz"
DRAWN = json.loads(gzip.decompress(FILE.read_bytes()))
TASKS = ("text-classification", "token-classification", "question-answering", "masked-lm")
# Of images, whose families have other names or no name that takes any size.
IMAGES = {
    "vit": "vit",
    "mobilenet-v2": "mobilenet-v2",
    "timm-resnet": "resnet",
    "timm-vit": "vit",
    "timm-deit": "vit",
    "timm-mobilenetv2": "mobilenet-v2",
    "timm-mobilenetv3-small": "mobilenet-v3-small",
    "timm-mobilenetv3-large": "mobilenet-v3-large",
    "timm-efficientnet": "efficientnet-lite0",
}
# What must be passed to a named size.
SIZES = {
    "mobilenet-v2-narrow": {"width": 0.25},
    "timm-mobilenetv3-small": {"width": 0.5, "expand_input": True},
    "timm-mobilenetv3-small-tf": {"width": 0.75, "expand_input": True},
    "timm-mobilenetv3-large": {"width": 0.75, "expand_input": True},
    "timm-efficientnet-lite3-tf": {"width": 1.2, "depth": 1.4},
}
KINDS = ("kernel", "bias")
POOLER = {"weight": (16, 16), "bias": (16,)}
every_case = pytest.mark.parametrize("name", [name for name in DRAWN if "cifar" not in name])
text_case = pytest.mark.parametrize("name", [name for name in DRAWN if "size" not in DRAWN[name]])


def snapshot(name, folder):
    case = DRAWN[name]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(case["config"]))
    tensors = {key: tensor(key, tuple(shape)) for key, shape in case["tensors"].items()}
    save_file(tensors, folder / "model.safetensors")
    return case


def task_of(name, config):
    architecture = config["architectures"][0]
    if architecture.endswith("ForSequenceClassification"):
        return "text-classification"
    if architecture.endswith("Model"):
        return "features"
    return next((task for task in TASKS if name.endswith(task)), "causal-lm")


def load(name, folder, **overrides):
    case = snapshot(name, folder)
    if "size" in case:
        family = next(family for start, family in IMAGES.items() if name.startswith(start))
        shape = (*case["size"], 3)
        return get_model(family, weights=folder, input_shape=shape, **overrides), case
    family = "bert" if "roberta" in name else "llama"
    return get_model(family, task=task_of(name, case["config"]), weights=folder, **overrides), case


def answers(model, case):
    """Return what a model gives by name, of real tokens only, and what was recorded."""
    ids, mask = tokens(case["config"].get("vocab_size", 3))
    known = {"image": images(*case.get("size", (1, 1))), "token_ids": ids, "padding_mask": mask}
    inputs = {tensor.name: known[tensor.name] for tensor in model.inputs}
    got = model(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    got = got if isinstance(got, dict) else {model.output_names[0]: got}
    for name, recorded in case["answers"].items():
        value = np.asarray(got[name])
        rows = mask.astype(bool) if value.shape[:2] == mask.shape else slice(None)
        yield name, value[rows], np.array(recorded)[rows]


@every_case
def test_the_answers_are_those_of_the_other_library(name, tmp_path):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        model, case = load(name, tmp_path / name, **SIZES.get(name, {}))
    scaled = [str(warning.message) for warning in warned if "Positions of" in str(warning.message)]
    resized = name.endswith(("larger", "smaller", "oblong"))
    assert len(warned) == len(scaled) == resized
    # Deep stacks of convolutions add up more of float32's roundings.
    allowed = 5e-5 if "size" in case else 5e-6
    for output, got, wanted in answers(model, case):
        np.testing.assert_allclose(
            got, wanted, rtol=0, atol=allowed * np.abs(wanted).max(), err_msg=output
        )
    assert model.zoo_weights.fresh == ()
    assert str(model.zoo_weights) == ""


@pytest.mark.parametrize(
    ("name", "size", "shorter_side", "resample"),
    [
        # crop_pct .95, .9 and .875 of timm's own sizes, here of other images.
        ("timm-resnet18", 64, 67, "bicubic"),
        ("timm-vit-larger", 80, 88, "bicubic"),
        ("timm-mobilenetv3-small-tf", 64, 73, "bilinear"),
    ],
)
def test_images_are_cut_out_as_timm_does(name, size, shorter_side, resample, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model, _ = load(name, tmp_path / name, **SIZES.get(name, {}))
    (step,) = model.zoo_weights.assets.preprocessing
    assert step == {
        "step": "image",
        "size": [size, size],
        "channels": 3,
        "resample": resample,
        "shorter_side": shorter_side,
        "rounding": "even",
    }


@text_case
def test_what_is_written_back_is_what_was_read(name, tmp_path):
    model, case = load(name, tmp_path / name)
    written = save_pretrained(model, tmp_path / "again")
    wanted = load_file(tmp_path / name / "model.safetensors")
    got = load_file(written / "model.safetensors")
    assert got.keys() == wanted.keys()
    for key, value in got.items():
        np.testing.assert_array_equal(value, wanted[key], err_msg=key)
    config = json.loads((written / "config.json").read_text())
    assert config["architectures"] == case["config"]["architectures"]
    again = get_model(model.zoo_spec.family, task=task_of(name, config), weights=written)
    # A head without classes is written without their number.
    known = {"num_classes": model.zoo_spec.defaults.get("num_classes")}
    assert {**known, **again.zoo_spec.defaults} == {**known, **model.zoo_spec.defaults}


@pytest.mark.parametrize("name", [name for name in DRAWN if "cifar" in name])
def test_a_file_without_a_configuration(name, tmp_path):
    case = snapshot(name, tmp_path)
    pixels = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    sizes = {"depth": 8, "projection": "projected" in name, "num_classes": 5, **pixels}
    model = get_model("resnet20", weights=tmp_path / "model.safetensors", **sizes)
    ((_, got, wanted),) = answers(model, case)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    sizes["projection"] = not sizes["projection"]
    wrong = "left over: layer2.0.down" if "projected" in name else "missing: stage_1_block_0_short"
    with pytest.raises(UsageError, match=wrong):
        get_model("resnet20", weights=tmp_path / "model.safetensors", **sizes)


def test_the_names_of_tensors_say_which_dialect_a_file_is(tmp_path):
    for name, family, sizes in (
        ("timm-resnet18", "resnet", {"bottleneck": False, "num_blocks": (1, 2, 1, 1)}),
        ("timm-vit", "vit", {"num_layers": 2, "hidden_dim": 24, "num_heads": 3}),
    ):
        case = snapshot(name, tmp_path)
        settings = case["config"]["pretrained_cfg"]
        arguments = {
            **sizes,
            **({"filters": (8, 12, 16, 20)} if family == "resnet" else {}),
            "input_shape": (*case["size"], 3),
            "num_classes": 5,
            "mean": tuple(settings["mean"]),
            "std": tuple(settings["std"]),
        }
        model = get_model(family, weights=tmp_path / "model.safetensors", **arguments)
        ((_, got, wanted),) = answers(model, case)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=5e-5 * np.abs(wanted).max())


def test_a_roberta_that_was_not_trained_for_classes(tmp_path):
    snapshot("roberta-masked-lm", tmp_path)
    with pytest.warns(UserWarning, match="The head of 'bert' starts fresh"):
        model = get_model("bert", task="text-classification", weights=tmp_path)
    fresh = {f"{layer}/{kind}" for layer in ("pooled_output", "logits") for kind in KINDS}
    assert set(model.zoo_weights.fresh) == fresh
    assert model.zoo_weights.unexpected == ()


def test_a_layer_that_is_left_over_does_not_take_the_place_of_the_heads_own(tmp_path):
    # Classifiers of the first versions of transformers hold a pooler that they do not use.
    case = snapshot("roberta-text-classification", tmp_path)
    file = tmp_path / "model.safetensors"
    pooler = {f"roberta.pooler.dense.{key}": shape for key, shape in POOLER.items()}
    save_file(load_file(file) | {k: np.ones(shape, "float32") for k, shape in pooler.items()}, file)
    model = get_model("bert", task="text-classification", weights=tmp_path)
    ((_, got, wanted),) = answers(model, case)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_a_backbone_of_timm_and_images_of_one_channel(tmp_path):
    case = snapshot("timm-vit", tmp_path)
    file = tmp_path / "model.safetensors"
    held = {k: v for k, v in load_file(file).items() if not k.startswith("head.")}
    held["patch_embed.proj.weight"] = held["patch_embed.proj.weight"][:, :1].copy()
    save_file(held, file)
    arguments = {**case["config"]["model_args"], "in_chans": 1}
    config = {**case["config"], "num_classes": 0, "model_args": arguments}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = get_model("vit", task="features", weights=tmp_path)
    assert model.input_shape == (None, 48, 48, 1)
    assert len(model.weights) == model.zoo_weights.loaded


def refused(name, family, folder, config, **arguments):
    snapshot(name, folder)
    (folder / "config.json").write_text(json.dumps(DRAWN[name]["config"] | config))
    with pytest.raises(UsageError) as raised:
        get_model(family, weights=folder, **arguments)
    return str(raised.value).replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    ("name", "family", "config", "message"),
    [
        (
            "timm-resnet50",
            "resnet",
            {"architecture": "resnet50d"},
            "weights='FOLDER': config.json says architecture='resnet50d' (timm), which is not "
            "built here: its layers are others than those of resnet18, resnet26, resnet34, "
            "resnet50, resnet101, resnet152, resnet200.",
        ),
        (
            "timm-mobilenetv2",
            "mobilenet-v2",
            {"architecture": "mobilenetv2_120d.ra_in1k"},
            "architecture='mobilenetv2_120d' (timm), which is not built here",
        ),
        (
            "timm-mobilenetv3-large",
            "mobilenet-v3-small",
            {},
            "do not fit model 'mobilenet-v3-small': expand_input is True there and False here; "
            "size is 'large' there and 'small' here; width is 0.75 there and 1.0 here. Give what "
            "differs as arguments of the builder.",
        ),
        (
            "timm-vit",
            "vit",
            {"model_args": {"init_values": 1e-5}},
            "config.json says init_values=1e-05 (timm), which nothing here reads.",
        ),
        (
            "timm-vit",
            "vit",
            {"global_pool": "avg", "model_args": {}},
            "config.json says global_pool='avg' (timm), which is not one of: token.",
        ),
        (
            "timm-vit",
            "resnet",
            {},
            "config.json says architecture='vit_tiny_patch16_224' (timm), which is not built here",
        ),
        (
            "mistral",
            "bert",
            {},
            "weights='FOLDER' are of a 'mistral' model; 'bert' is of family 'bert', which reads "
            "'bert', 'roberta', 'xlm-roberta'.",
        ),
        (
            "llama-llama3",
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
            "weights='FOLDER': config.json says rope_type='dynamic', which turns tokens by the "
            "length of their text; only what is the same for all lengths is built: default, "
            "linear, llama3, yarn.",
        ),
        (
            "llama-llama3",
            "llama",
            {"rope_parameters": {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0}},
            "rope_type='llama3' lacks high_freq_factor.",
        ),
        (
            "llama-llama3",
            "llama",
            {"rope_parameters": {"type": "lineal", "factor": 2.0}},
            "rope_type='lineal' is not one of: linear, llama3, yarn. Did you mean 'linear'?",
        ),
        (
            "qwen3",
            "llama",
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "config.json says partial_rotary_factor=0.5; only 1 is built.",
        ),
        (
            "qwen3",
            "llama",
            {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
            "config.json gives blocks rotations of their own; one for all is built.",
        ),
    ],
)
def test_what_is_not_built_is_refused(name, family, config, message, tmp_path):
    assert message in refused(name, family, tmp_path, config)
