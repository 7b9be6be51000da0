"""Models that cannot be written for transformers are refused, and nothing is left behind."""

import json

import pytest

import zoo
from zoo_registry import UsageError

SIZES = {"vocab_size": 40, "num_layers": 1, "hidden_dim": 16, "num_heads": 2, "ff_dim": 24}


def refused(model, folder, **arguments):
    with pytest.raises(UsageError) as raised:
        zoo.save_pretrained(model, folder, **arguments)
    return str(raised.value)


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    model = zoo.get_model("bert", **SIZES)
    assert refused(model, tmp_path) == (
        f"'{tmp_path}' exists already: give another name, or remove it first."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mlp", {}, "(family 'mlp'): nothing says what its tensors are called there."),
        ("bert", {**SIZES, "pooling": "mean"}, "Hugging Face's 'bert' cannot be 'bert' with"),
        ("bert", {**SIZES, "task": "sentence-embedding"}, None),
        ("gpt", {**SIZES, "task": "text-classification"}, None),
    ],
)
def test_what_transformers_does_not_have(name, arguments, message, tmp_path):
    model = zoo.get_model(name, **arguments)
    if message is None:
        folder = zoo.save_pretrained(model, tmp_path / "out")
        assert json.loads((folder / "config.json").read_text())["architectures"]
        return
    assert message in refused(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_labels_are_as_many_as_the_logits(tmp_path):
    model = zoo.get_model("bert", **SIZES, task="text-classification", num_classes=3)
    assert "3" in refused(model, tmp_path / "out", labels=["yes", "no"])
    assert not list(tmp_path.iterdir())
    folder = zoo.save_pretrained(model, tmp_path / "out", labels=["a", "b", "c"])
    assert json.loads((folder / "config.json").read_text())["id2label"] == (
        {"0": "a", "1": "b", "2": "c"}
    )


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("qwen2", {"qkv_bias": True}), ("qwen3", {"qk_norm": True}), ("mistral", {"window": 3})],
)
def test_sizes_that_follow_from_others_are_written(kind, arguments, tmp_path):
    # Where they are left out transformers takes numbers of its own: 32 heads of keys, width 128.
    model = zoo.get_model("llama", **SIZES, **arguments)
    folder = zoo.save_pretrained(model, tmp_path / "out")
    config = json.loads((folder / "config.json").read_text())
    sizes = [config[key] for key in ("model_type", "num_key_value_heads", "head_dim")]
    assert sizes == [kind, 2, 8]
    assert zoo.get_model("llama", weights=folder).zoo_weights.loaded == len(model.weights)


def test_a_model_of_ones_own(tmp_path):
    import keras

    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    assert "(the model is not from zoo.get_model)" in refused(model, tmp_path / "out")
