"""Every key of a configuration is read, must say what is built, changes nothing, or is reported."""

import json
import shutil
import time
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import zoo
from zoo_models.weights.configuration import read_settings
from zoo_models.weights.families.bert import BERT
from zoo_models.weights.families.llama import QWEN2, QWEN3, SMOLLM3
from zoo_registry import UsageError

REFERENCES = Path(__file__).parent / "references"
TEXT, VIT, RESNET, LLAMA = (
    "bert-text-classification",
    "vit-image-classification",
    "resnet-image-classification",
    "llama-causal-lm",
)
TASK = {"task": "text-classification"}


@pytest.fixture
def snapshot(tmp_path):
    """Write a reference with other keys and files; ``None`` leaves a key out."""

    def write(reference, files=None, **keys):
        folder = tmp_path / reference
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(REFERENCES / reference, folder)
        config = json.loads((folder / "config.json").read_text()) | keys
        kept = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))
        for name, content in (files or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        return folder

    return write


def change(folder, rename):
    """Write the snapshot's tensors under other names."""
    held = load_file(folder / "model.safetensors")
    save_file({rename(name): value for name, value in held.items()}, folder / "model.safetensors")


def loaded(name, **arguments):
    """Return a model with the text of its warnings, or the text of its refusal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            model = zoo.get_model(name, **arguments)
        except UsageError as error:
            return None, str(error)
    return model, " ".join(str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    ("name", "reference", "keys", "expected"),
    [
        ("bert", TEXT, {"is_decoder": True}, "is_decoder=True; only False is built."),
        ("bert", TEXT, {"quantization_config": {"bits": 8}}, "quantization_config={'bits': 8}; "),
        ("bert", TEXT, {"hidden_size": "wide"}, "does not fit: Model 'bert': hidden_dim='wide'"),
        ("bert", TEXT, {"hidden_act": ["gelu"]}, "hidden_act=['gelu'], which is not one of: gelu"),
        ("bert", TEXT, {"id2label": {"no": "a", "yes": "b"}}, "id2label must name the classes 0,"),
        (
            "bert",
            TEXT,
            {"id2label": None, "num_labels": "3"},
            "num_labels='3' is not a number of classes.",
        ),
        ("bert", TEXT, {"architectures": "BertModel"}, "architectures='BertModel' is not a list."),
        ("bert", TEXT, {"model_type": ["bert"]}, "model_type=['bert'] is not a word."),
        (
            "bert",
            TEXT,
            {"num_hidden_layers": 10**7},
            "10,000,000 blocks; there are 41 tensors.",
        ),
        ("llama", LLAMA, {"rope_parameters": "x"}, "rope_parameters='x' is not a table."),
        ("vit", VIT, {"patch_size": [4, 2]}, "patch_size=[4, 2] is not a square"),
        ("resnet", RESNET, {"layer_type": "wide"}, "layer_type='wide'"),
        (
            "resnet",
            RESNET,
            {"layer_type": None},
            "missing: stage_0_block_0_conv_2/kernel, stage_0_",
        ),
        ("resnet", RESNET, {"hidden_sizes": None}, "hidden_sizes=[256, 512, 1024, 2048] for"),
        ("resnet", RESNET, {"hidden_sizes": "ab"}, "does not fit: Model 'resnet': filters="),
        ("llama", LLAMA, {"rope_parameters": {"type": "odd", "rope_theta": 500.0}}, "'odd'"),
        (
            "llama",
            LLAMA,
            {"rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 500.0}},
            "partial_rotary_factor=0.5",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_its_key(snapshot, name, reference, keys, expected):
    task = TASK if name == "bert" else {}
    model, message = loaded(name, weights=snapshot(reference, **keys), **task)
    assert model is None
    assert expected in message


def test_a_key_that_nothing_reads_is_told(snapshot):
    model, message = loaded("bert", weights=snapshot(TEXT, rescaled_by=7), **TASK)
    assert message.endswith("nothing here reads these keys of config.json: rescaled_by=7.")
    assert model.zoo_weights.unread == {"rescaled_by": 7}
    _, message = loaded("bert", weights=snapshot(TEXT, classifier_dropout=0.3), **TASK)
    assert message == ""


def test_a_key_that_is_missing_means_what_transformers_takes_for_it(snapshot):
    model, message = loaded("llama", weights=snapshot(LLAMA, rms_norm_eps=None))
    assert (model.get_layer("final_norm").epsilon, message) == (1e-6, "")
    model, _ = loaded("bert", weights=snapshot(TEXT, layer_norm_eps=None, model_type=None), **TASK)
    assert model.get_layer("embedding_norm").epsilon == 1e-12
    settings = read_settings(BERT, {}, "nowhere")
    assert settings.arguments["hidden_dim"] == 768


def test_a_vit_without_a_size_of_images_is_one_of_224_pixels(snapshot):
    model, message = loaded("vit", weights=snapshot(VIT, image_size=None))
    assert model.input_shape == (None, 224, 224, 3)
    assert "positions/embeddings" in message


def test_which_blocks_have_a_window():
    """SmolLM3's kinds of blocks decide alone, in Qwen's models only a window that is used."""
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    keys = {"num_hidden_layers": 3, "layer_types": kinds, "sliding_window": 4}
    for used, families in ((False, (SMOLLM3,)), (True, (SMOLLM3, QWEN2, QWEN3))):
        for family in families:
            settings = read_settings(family, {**keys, "use_sliding_window": used}, "nowhere")
            assert (settings.arguments["window"], settings.arguments["windowed"]) == (4, (1,))
            assert settings.unread == {}
    for family in (QWEN2, QWEN3):
        unused = read_settings(family, {**keys, "use_sliding_window": False}, "nowhere")
        assert unused.arguments["window"] is None


def test_the_rotation_may_be_called_type(snapshot):
    rope = {"type": "default", "rope_theta": 500.0}
    model, message = loaded("llama", weights=snapshot(LLAMA, rope_parameters=rope))
    assert (model.zoo_spec.defaults["theta"], message) == (500.0, "")


def test_the_names_of_tensorflow_are_those_of_torch(snapshot):
    folder = snapshot(TEXT)
    plain = zoo.get_model("bert", weights=folder, **TASK)
    change(folder, lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma"))
    change(folder, lambda name: name.replace("LayerNorm.bias", "LayerNorm.beta"))
    model, message = loaded("bert", weights=folder, **TASK)
    assert message == ""
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_alone_of_a_deeper_model_is_refused(snapshot):
    sizes = {"vocab_size": 40, "hidden_dim": 16, "num_heads": 4, "ff_dim": 24, "max_length": 12}
    file = snapshot(TEXT) / "model.safetensors"
    _, message = loaded("bert", weights=file, num_layers=1, num_classes=3, **sizes, **TASK)
    assert "do not fit model 'bert': left over: bert.encoder.layer.1.attention." in message
    model, message = loaded(
        "bert", weights=file, num_layers=3, num_classes=3, strict=False, **sizes, **TASK
    )
    assert "These weights of 'bert' start fresh" in message
    assert "block_2/attention_norm/gamma" in model.zoo_weights.missing


def test_quantized_tensors_are_refused(snapshot):
    folder = snapshot(TEXT)
    held = load_file(folder / "model.safetensors")
    held["classifier.weight"] = held["classifier.weight"].astype(ml_dtypes.float8_e4m3fn)
    save_file(held, folder / "model.safetensors")
    _, message = loaded("bert", weights=folder, **TASK)
    assert "classifier.weight is of type F8_E4M3, as quantized weights are" in message


@pytest.mark.parametrize(
    ("processor", "scale", "offset"),
    [
        ({"do_normalize": False, "image_mean": [0.5] * 3}, 1 / 255, 0),
        ({"image_mean": 0.5, "image_std": 0.25}, 4 / 255, -2),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3}, 2 / 255, -1),
        ({"rescale_factor": 2 / 255, "image_mean": [1] * 3, "image_std": [1] * 3}, 2 / 255, -1),
    ],
)
def test_all_settings_of_pixels_are_in_the_graph(snapshot, processor, scale, offset):
    """Transformers computes ``(pixels * rescale_factor - mean) / std``, each step if it is on."""
    model, message = loaded("vit", weights=snapshot(VIT, {"preprocessor_config.json": processor}))
    assert message == ""
    rescale = model.get_layer("rescale")
    np.testing.assert_allclose(np.ravel(rescale.scale), [scale] * 3, rtol=1e-6)
    np.testing.assert_allclose(np.ravel(rescale.offset), [offset] * 3, atol=1e-6)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"image_mean": "grey"}, "image_mean='grey' is not a list of numbers."),
        ({"image_mean": [0.1, 0.2]}, "image_mean=[0.1, 0.2] is not a number above 0 for each"),
        ({"image_std": 0}, "image_std=[0.0] is not a number above 0 for each channel."),
        ({"rescale_factor": 0}, "rescale_factor=0 scales nothing."),
        ({"size": "big"}, "size='big' is not a height and width in pixels."),
        ({"size": {"height": 4}}, "size={'height': 4} is not a height and width in pixels."),
        ({"resample": "soft"}, "resample='soft' is not a filter of Pillow."),
        (
            {"feature_extractor_type": "ConvNext", "size": 8, "crop_pct": 0},
            "crop_pct=0 is not a fraction",
        ),
    ],
)
def test_settings_of_images_that_are_none(snapshot, processor, expected):
    folder = snapshot(VIT, {"preprocessor_config.json": processor})
    assert expected in loaded("vit", weights=folder)[1]


def test_how_a_sentence_is_pooled_is_read(snapshot):
    first = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    folder = snapshot("bert-features", {"1_Pooling/config.json": first})
    task = {"task": "sentence-embedding"}
    model, message = loaded("bert", weights=folder, **task)
    assert message == ""
    answer = np.load(REFERENCES / "bert-features" / "answer.npz")
    inputs = {"token_ids": answer["input_ids"], "padding_mask": answer["attention_mask"]}
    vectors = answer["last_hidden_state" if "last_hidden_state" in answer else "sequence_output"]
    wanted = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=-1, keepdims=True)
    np.testing.assert_allclose(model(inputs), wanted, atol=1e-5)
    largest = {"pooling_mode_max_tokens": True}
    folder = snapshot("bert-features", {"1_Pooling/config.json": largest})
    assert (
        "makes a sentence's vector by pooling_mode_max_tokens"
        in loaded("bert", weights=folder, **task)[1]
    )


def test_sentences_that_are_not_brought_to_length_1(snapshot):
    kinds = ("Transformer", "Pooling", "Normalize")
    rows = [
        {"path": f"{n}_{kind}" if n else "", "type": f"a.{kind}"} for n, kind in enumerate(kinds)
    ]
    mean = {"pooling_mode_mean_tokens": True}
    root = {"pooling_mode_mean_sqrt_len_tokens": True}
    lengths, prompts = [], {"prompts": {"query": "Find: "}, "default_prompt_name": "query"}
    for pooling, listed in ((mean, rows[:2]), (mean, rows), (root, rows)):
        files = {"1_Pooling/config.json": pooling, "modules.json": listed}
        files |= {"config_sentence_transformers.json": prompts if listed is rows else {}}
        folder = snapshot("bert-features", files)
        shutil.copyfile(REFERENCES / "tokenizer-bert" / "vocab.txt", folder / "vocab.txt")
        model, message = loaded("bert", weights=folder, task="sentence-embedding")
        assert ("prompt 'Find: ' before every text" in message) == (listed is rows)
        answer = np.load(REFERENCES / "bert-features" / "answer.npz")
        inputs = {"token_ids": answer["input_ids"], "padding_mask": answer["attention_mask"]}
        vectors = np.asarray(model(inputs))
        lengths.append(np.linalg.norm(vectors, axis=-1))
    assert np.abs(lengths[0] - 1).min() > 0.1
    np.testing.assert_allclose(lengths[1:], 1, rtol=1e-6)
    folder = snapshot("bert-features", {"1_Pooling/config.json": root, "modules.json": rows[:2]})
    assert (
        "by pooling_mode_mean_sqrt_len_tokens"
        in loaded("bert", weights=folder, task="sentence-embedding")[1]
    )


def test_how_a_sentence_is_made_is_written_as_it_was_read(snapshot, tmp_path):
    for normalized in (True, False):
        sizes = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "ff_dim": 24, "vocab_size": 40}
        how = {"sentence_pooling": "first", "sentence_normalized": normalized}
        model = zoo.get_model("bert", task="sentence-embedding", **sizes, **how)
        folder = zoo.save_pretrained(model, tmp_path / str(normalized))
        listed = json.loads((folder / "modules.json").read_text())
        assert [row["path"] for row in listed] == ["", "1_Pooling", "2_Normalize"][: 2 + normalized]
        again = zoo.get_model("bert", task="sentence-embedding", weights=folder).zoo_spec.defaults
        assert how.items() <= again.items()


@pytest.mark.parametrize(
    ("name", "reference", "task", "copy", "original"),
    [
        ("gpt", "gpt-causal-lm", "causal-lm", "lm_head.weight", "transformer.wte.weight"),
        ("bert", "bert-masked-lm", "masked-lm", "cls.predictions.decoder.weight", None),
        ("llama", "llama-tied-causal-lm", "causal-lm", "lm_head.weight", None),
    ],
)
def test_a_head_that_is_not_the_embedding_is_refused(
    snapshot, name, reference, task, copy, original
):
    """Transformers takes such a head, whatever ``tie_word_embeddings`` says."""
    folder = snapshot(reference)
    file = folder / "model.safetensors"
    held = load_file(file)
    words = ("word_embeddings.weight", "embed_tokens.weight")
    original = original or next(key for key in held if key.endswith(words))
    plain, message = loaded(name, weights=folder, task=task)
    assert message == ""
    save_file(held | {copy: held[original]}, file)
    assert loaded(name, weights=folder, task=task)[1] == ""
    save_file(held | {copy: held[original] + 1}, file)
    assert (
        f"not the embedding, which is the head here: {copy}."
        in loaded(name, weights=folder, task=task)[1]
    )
    assert loaded(name, weights=folder, task=task, strict=False)[0].zoo_weights.untied == (copy,)
    assert loaded(name, weights=folder, task="features")[0] is not None
    # Of two equal tensors safetensors' own `save_model` keeps the first by name.
    save_file({copy: held.pop(original)} | held, file)
    model, message = loaded(name, weights=folder, task=task)
    assert message == ""
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_no_bundle_does_is_told(snapshot):
    files = {"tokenizer_config.json": {"truncation_side": "left"}}
    folder = snapshot(TEXT, files, problem_type="multi_label_classification")
    shutil.copyfile(REFERENCES / "tokenizer-bert" / "vocab.txt", folder / "vocab.txt")
    assert loaded("bert", weights=folder, **TASK)[1].endswith(
        "asks for what no bundle does: truncation_side='left', "
        "problem_type='multi_label_classification' (task='multi-label' does)."
    )
    assert "problem_type" not in loaded("bert", weights=folder, task="multi-label")[1]


def test_capitals_go_first_where_sentences_have_none(snapshot):
    files = {
        "sentence_bert_config.json": {"do_lower_case": True, "max_seq_length": 7},
        "tokenizer_config.json": {"do_lower_case": False},
    }
    folder = snapshot("bert-features", files)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlovely\n")
    for task, ids in (("sentence-embedding", [2, 5, 3]), ("features", [2, 1, 3])):
        assets = loaded("bert", weights=folder, task=task)[0].zoo_weights.assets
        assert assets.preprocessing[0]["length"] == 7
        tokenizer = zoo.load_tokenizer(assets.folder)
        assert tokenizer.encode("LOVELY").ids == ids


def test_other_words_for_one_activation(snapshot):
    wanted, _ = loaded("bert", weights=snapshot(TEXT, hidden_act="gelu_new"), **TASK)
    model, message = loaded("bert", weights=snapshot(TEXT, hidden_act="gelu_pytorch_tanh"), **TASK)
    assert (message, model.zoo_spec) == ("", wanted.zoo_spec)
    assert loaded("llama", weights=snapshot(LLAMA, hidden_act="swish"))[1] == ""


def test_the_pooler_of_a_vit_is_said(snapshot):
    folder = snapshot("vit-features")
    held = load_file(folder / "model.safetensors")
    extra = {"pooler.dense.weight": np.zeros((16, 16), "float32")}
    save_file(held | extra, folder / "model.safetensors")
    model, message = loaded("vit", weights=folder, task="features")
    assert message.endswith("has a layer that 'vit' is built without: pooler.dense.weight.")
    assert model.zoo_weights.unbuilt == ("pooler.dense.weight",)


def test_very_many_tensors_take_no_time():
    names = [f"bert.encoder.layer.{number}.output.dense.bias" for number in range(300_000)]
    began = time.process_time()
    assert sum(BERT.knows(BERT.plain_name(name)) for name in names) == 300_000
    assert time.process_time() - began < 10  # with a pattern compiled for each it was 40
