"""Functions with a cache in every format, against Keras that reads the whole text each time."""

from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from zoo_export import export, targets
from zoo_export.converters import generation
from zoo_export.converters.litert.convert import operators_in
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_models.build import get_model
from zoo_registry import UsageError, load_target
from zoo_runtime import schema
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import find
from zoo_runtime.generation.checking import check_cached, compare_cached
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


def convert(model, fmt, folder, cache_dtype="float32"):
    row = find(fmt)
    inputs, outputs = fixed(model, fmt)
    sample = {tensor.name: np.ones((1, SOURCE), np.int32) for tensor in inputs}
    options = ExportOptions(
        batch_sizes=(1,) if row.static else (), prefill_lengths=(4, 8), cache_dtype=cache_dtype
    )
    conversion = Conversion(
        model, inputs, outputs, folder / row.path("m"), first=sample, options=options
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


# Of the largest logit: how far a cache in a dtype may be, and is at least.
FAR = {"float32": (4e-5, 0.0), "float16": (2e-3, 1e-6), "int8": (2e-2, 1e-4)}
CASES = [
    *((name, fmt, "float32") for name in (*MODELS, "keras_hub_gemma3") for fmt in FORMATS),
    ("gpt", "tflite", "int8"),
    ("llama", "onnx", "int8"),
    ("transformer-tiny", "saved_model", "int8"),
    ("transformer-tiny", "onnx", "float16"),
    ("llama", "tflite", "float16"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fmt", "dtype"), CASES)
def test_a_cache_changes_nothing(models, name, fmt, dtype, tmp_path):
    model, random = models[name], np.random.default_rng(0)
    path, about, decoders = convert(model, fmt, tmp_path, dtype)
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

    most, least = FAR[dtype]
    far = [
        np.abs(received - expected).max() / np.abs(expected).max() for received, expected in found
    ]
    assert max(far) < most
    assert max(far) >= least  # it is rounded
    if (fmt, dtype) == ("tflite", "int8"):
        # By what XNNPACK has: in decode, and in two prefills, whose last layer only keeps.
        assert operators_in(path.read_bytes())["DEQUANTIZE"] == 4 + 2 + 2
    kept = [entry for entry in about.cache if len(entry.shape) == 3 and entry.shape[-1] != 1]
    assert {entry.dtype for entry in kept} <= {dtype}
    numbers = sum(entry.shape[0] * entry.shape[2] for entry in kept if entry.grows)
    heads = sum(entry.shape[0] for entry in kept if entry.grows)
    sizes = {"float32": 4 * numbers, "float16": 2 * numbers, "int8": numbers + 4 * heads}
    assert about.cache_bytes == sizes[dtype]
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


def test_a_dtype_of_a_cache_that_is_not_to_be_had(models):
    def refused(**options):
        model = models["lstm-lm"]
        conversion = Conversion(
            model, *fixed(model, "onnx"), None, options=ExportOptions(**options)
        )
        with pytest.raises(ExportError) as caught:
            generation.for_onnx(conversion)
        return str(caught.value)

    assert refused(cache_dtype="int8") == (
        "cache_dtype='int8' is for keys and values: model 'rnn' keeps the states of recurrent "
        "layers, which stay in float32. Leave it out"
    )

    ids = keras.Input((None,), dtype="int32", name="token_ids")
    words = keras.layers.Dense(41, name="logits")(keras.layers.Embedding(41, 8)(ids))
    bag = keras.Model(ids, {"logits": words}, name="bag")
    given = Conversion(bag, (), (), None, options=ExportOptions(cache_dtype="int8"))
    with pytest.raises(
        ExportError,
        match=r"^cache_dtype='int8' is for a cache, and it has none: Model 'bag' keeps nothing of",
    ):
        generation.make_onnx(given, None)

    def option(dtype, *formats, target=None):
        with pytest.raises(UsageError) as caught:
            ExportOptions.of({"cache_dtype": dtype}, [find(name) for name in formats], target)
        return str(caught.value)

    assert option("int7", "onnx") == (
        "There is no cache_dtype='int7'. Did you mean 'int8'? There are: float32, float16, int8."
    )
    assert option("int8", "onnx", "litertlm") == (
        "cache_dtype='int8' is for tflite, onnx, saved_model, and litertlm keeps its cache by "
        "itself. Leave it out, or export litertlm by itself."
    )
    assert option("float16", "tflite:int8") == (
        "cache_dtype='float16' is for tflite, onnx, saved_model, and tflite:int8 makes files "
        "without a cache. Leave it out."
    )
    assert option("int8", "onnx", target=targets.find("browser")) == (
        "cache_dtype='int8': the program for a browser keeps float32. Leave it out, or the target."
    )
    with pytest.raises(UsageError, match=r"^cache_dtype='int8' is for models that generate texts"):
        export(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), cache_dtype="int8")


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
    rounded = replace(short, cache=(replace(short.cache[0], dtype="int8"), *short.cache[1:]))
    *_, likelihood, answers = compare_cached(decoders, rounded, [sample], logits, 1e-5)
    assert likelihood.ok
    assert answers.ok
    assert likelihood.max_abs_diff < 1e-5
    others = compare_cached(decoders, rounded, [sample], lambda given: -logits(given), 1e-5)
    assert [row.ok for row in others] == [False, False, False]
    with pytest.raises(ExportError, match=r"100.0% of its answers are others than without one, wh"):
        check_cached(others[-1:])
    padded = {**sample, "padding_mask": np.eye(12, dtype=np.int32)[5:7]}
    with pytest.raises(ExportError, match="no sample is a text that its functions with a cache"):
        compare_cached(decoders, about, [padded], logits, 1e-5)


# Bits of a body's weight with its part of a scale, and how far logits are, of the largest.
QUANTIZED = {
    "tflite:dynamic-int8": (8, 0.1),
    "tflite:int4-blocks": (4.5, 0.2),
    "onnx:int8-blocks": (9, 0.05),
    "onnx:int4-blocks": (5, 0.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("fmt", QUANTIZED)
def test_quantized_weights_are_stored_once_for_all_functions(fmt, tmp_path):
    keras.utils.set_random_seed(7)
    model = get_model("gpt", **MODELS["gpt"] | {"vocab_size": 400, "hidden_dim": 32})
    path, about, decoders = convert(model, fmt, tmp_path)
    # What the converters find too small, and the positions, stay in float32.
    bits, far = QUANTIZED[fmt]
    sizes = {weight.path: int(np.prod(weight.shape)) for weight in model.weights}
    table = sizes.pop("token_embedding/embeddings")
    body = sum(size * bits / 8 if size >= 1600 else 4 * size for size in sizes.values())
    once = table * max(bits, 8) / 8 + table / 32 * 4 + body
    assert about.weight_bytes < once + table / 4
    if fmt.startswith("onnx"):
        decode = onnx.load(str(beside(path, "decode")), load_external_data=False).graph
        assert [t.name for t in decode.initializer if len(t.raw_data) > 1024] == []
        graph = onnx.load(str(path)).graph
        # Factors are read as the standard says, in blocks; the tied table by row and turned round.
        kinds = [tuple(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
        assert (400, 32) in kinds
        assert (32, 400) not in kinds
    texts = [np.arange(11, dtype=np.int32), np.arange(5, 12, dtype=np.int32)]
    decoder = decoders(None)
    found = [decoder.prefill(texts), decoder.step(np.array([11, 12]))]
    for at, received in enumerate(found):
        full = [[*text.tolist(), *[int(text[-1]) + 1] * at] for text in texts]
        expected = whole(model, full, None)
        assert np.abs(received - expected).max() < far * np.abs(expected).max()
        assert np.corrcoef(received.ravel(), expected.ravel())[0, 1] > 0.97
