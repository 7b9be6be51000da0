"""Functions with a cache in every format, against Keras that reads the whole text each time."""

from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from zoo_export.converters import generation
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_models.build import get_model
from zoo_registry import load_target
from zoo_runtime import schema
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import find
from zoo_runtime.generation.checking import compare_cached
from zoo_runtime.generation.files import GENERATION, Generation, beside
from zoo_runtime.tensors import Tensor

SMALL = {"vocab_size": 41, "hidden_dim": 16, "num_layers": 2}
MODELS = {
    "gpt": {**SMALL, "num_heads": 2, "max_length": 48},
    # Heads of keys that are shared, positions that turn, and a window of tokens that are seen.
    "llama": {**SMALL, "num_heads": 4, "num_kv_heads": 2, "ff_dim": 24, "window": 7},
    "lstm-lm": {"vocab_size": 41},
    "transformer-tiny": {"vocab_size": 41, "num_layers": 1, "hidden_dim": 16, "num_heads": 2},
}
FORMATS = ("tflite", "onnx", "saved_model")
SOURCE = 9


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(7)
    found = {name: get_model(name, **options) for name, options in MODELS.items()}
    return found | {"keras_hub_gemma3": keras_hub_gemma3()}


def keras_hub_gemma3():
    """A window of tokens, heads of keys that are shared, and norms of queries and keys."""
    from keras_hub import models

    backbone = models.Gemma3Backbone(
        vocabulary_size=41,
        num_layers=2,
        hidden_dim=16,
        intermediate_dim=24,
        num_query_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        image_size=16,
        vision_encoder=None,
        use_sliding_window_attention=True,
        sliding_window_size=7,
        use_query_key_norm=True,
    )
    model = models.Gemma3CausalLM(backbone=backbone, preprocessor=None)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3 * random.normal(size=variable.shape))
    return model


def fixed(model, fmt):
    """Return inputs and outputs of a file of a format: one row of a few tokens, or any."""
    batch, length = (1, SOURCE) if find(fmt).static else ("batch", "sequence")
    vocab_size = model.outputs[0].shape[-1]
    inputs = tuple(Tensor(t.name, "int32", (batch, length)) for t in model.inputs)
    return inputs, (Tensor("logits", "float32", (batch, length, vocab_size)),)


def convert(model, fmt, folder):
    row = find(fmt)
    inputs, outputs = fixed(model, fmt)
    sample = {tensor.name: np.ones((1, SOURCE), np.int32) for tensor in inputs}
    options = ExportOptions(batch_sizes=(1,) if row.static else (), prefill_lengths=(4, 8))
    conversion = Conversion(
        model, inputs, outputs, folder / row.path("m"), samples=(sample,), options=options
    )
    facts = load_target(row.generating)(conversion, load_target(row.converter))
    about = schema.read(Generation, facts[GENERATION], GENERATION)
    return conversion.path, about, load_target(row.decoder)(conversion.path, about)


def whole(model, texts, source):
    """Return the logits behind each text, from the whole of it."""
    lengths = np.array([len(text) for text in texts])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int32)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.concatenate(texts)
    given = {"token_ids": ids, "padding_mask": mask}
    if source is not None:
        given = {**{f"decoder_{name}": array for name, array in given.items()}, **source}
    names = [tensor.name for tensor in model.inputs]
    arrays = {name: given[name] for name in names}
    outputs = model(arrays if len(names) > 1 else ids, training=False)
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    return np.asarray(logits)[np.arange(len(texts)), lengths - 1]


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", [*MODELS, "keras_hub_gemma3"])
def test_a_cache_changes_nothing(models, name, fmt, tmp_path):
    model, random = models[name], np.random.default_rng(0)
    _, about, decoders = convert(model, fmt, tmp_path)
    source = None
    if name == "transformer-tiny":
        mask = (np.arange(SOURCE) < np.array([[9], [4], [7]])).astype(np.int32)
        source = {"token_ids": random.integers(0, 41, mask.shape, np.int32), "padding_mask": mask}
    texts = [random.integers(0, 41, n).tolist() for n in (15, 1, 11)]
    decoder = decoders(source)

    found = [(decoder.prefill([np.array(t, np.int32) for t in texts]), whole(model, texts, source))]
    for step in range(6):
        if step in (2, 4):  # texts end, and beams are chosen
            rows = np.array([2, 0, 0] if step == 2 else [1, 0])
            decoder.reorder(rows)
            texts = [list(texts[row]) for row in rows]
            source = source and {key: array[rows] for key, array in source.items()}
        tokens = random.integers(0, 41, len(texts))
        texts = [[*text, int(token)] for text, token in zip(texts, tokens, strict=True)]
        found.append((decoder.step(tokens), whole(model, texts, source)))

    for received, expected in found:
        np.testing.assert_allclose(received, expected, atol=1e-5 * np.abs(expected).max() * 4)
    assert decoder.vocab_size == about.vocab_size == 41
    has_positions = name == "gpt"
    assert (decoder.max_length is not None) == (
        has_positions or (fmt == "tflite" and "lm" not in name)
    )


def test_names_are_those_that_other_programs_read(models):
    model = models["llama"]
    conversion = replace(
        Conversion(model, *fixed(model, "tflite"), None), options=ExportOptions(max_length=64)
    )
    (decode,), _ = generation.for_onnx(conversion)
    assert [tensor.name for tensor in decode.inputs] == [
        "input_ids",
        "attention_mask",
        *(f"past_key_values.{i}.{part}" for i in (0, 1) for part in ("key", "value")),
    ]
    assert decode.inputs[2] == Tensor("past_key_values.0.key", "float32", ("batch", 2, "past", 4))
    assert decode.outputs[1].name == "present.0.key"
    functions, about = generation.for_litert(conversion)
    assert [function.name for function in functions] == ["prefill_16", "decode"]
    assert about.max_length == 64
    decode = functions[-1]
    assert [str(tensor) for tensor in decode.inputs[:3]] == [
        "tokens: int32[1, 1]",
        "input_pos: int32[1]",
        "kv_cache_k_0: float32[1, 2, 64, 4]",
    ]


@pytest.mark.slow
def test_weights_are_stored_once(models, tmp_path):
    path, about, _ = convert(models["gpt"], "onnx", tmp_path)
    proto = onnx.load(str(beside(path, "decode")), load_external_data=False)
    # The graph itself, and no weight of more than a kilobyte.
    assert [t.name for t in proto.graph.initializer if len(t.raw_data) > 1024] == []
    assert about.cache_bytes == 2 * 2 * 16 * 4
    assert about.weight_bytes >= models["gpt"].count_params() * 4


@pytest.mark.slow
def test_texts_longer_than_the_cache_are_tried_as_far_as_it_goes(models, tmp_path):
    model = models["gpt"]
    _, about, decoders = convert(model, "onnx", tmp_path)
    sample = {"token_ids": np.random.default_rng(0).integers(0, 41, (2, 12), np.int32)}

    def logits(given):
        return np.asarray(model(given["token_ids"], training=False))

    short = replace(about, max_length=5)
    (row,) = compare_cached(decoders, short, [sample], logits, 1e-5)
    assert row.ok
    (row,) = compare_cached(decoders, short, [sample], lambda given: -logits(given), 1e-5)
    assert not row.ok
    padded = {**sample, "padding_mask": np.eye(12, dtype=np.int32)[5:7]}
    with pytest.raises(ExportError, match="no sample is a text that its functions with a cache"):
        compare_cached(decoders, about, [padded], logits, 1e-5)


@pytest.mark.slow
def test_a_tied_embedding_is_stored_once_for_all_signatures(tmp_path):
    model = get_model("gpt", **MODELS["gpt"] | {"vocab_size": 400, "hidden_dim": 32})
    _, about, decoders = convert(model, "tflite:dynamic-int8", tmp_path)
    assert about.prefill_lengths == (4, 8)
    # What the converter finds too small stays in float32.
    sizes = [int(np.prod(weight.shape)) for weight in model.weights]
    once = sum(size if size >= 1024 else 4 * size for size in sizes)
    assert about.weight_bytes < once + 12_800 // 2  # of the table
    found = decoders(None).prefill([np.arange(11, dtype=np.int32)])
    expected = whole(model, [list(range(11))], None)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
