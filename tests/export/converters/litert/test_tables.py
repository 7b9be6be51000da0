"""Tables of embeddings in LiteRT files: rows are looked up, and a tied one is stored once."""

import keras
import numpy as np
import pytest

from zoo_export.converters.litert import schemes as tflite_schemes
from zoo_export.converters.tracing import Conversion
from zoo_export.options import ExportOptions
from zoo_export.reading.axes import input_tensors, output_tensors
from zoo_export.reading.signature import signature_of
from zoo_models.build import get_model
from zoo_runtime.running import Runner
from zoo_runtime.running.sessions import open_tflite

pytestmark = pytest.mark.slow
LENGTH = 12
# Of the float weights' bytes; two tables would be 0.44 and 0.22.
SHARES = {"dynamic_int8": 0.28, "int4_weights": 0.15}


@pytest.fixture(scope="module")
def tied():
    keras.utils.set_random_seed(0)
    return get_model("bert-tiny", task="masked-lm", vocab_size=2000, max_length=16)


def inputs_of(model, rows):
    inputs = {t.name: np.ones((rows, LENGTH), t.dtype) for t in input_tensors(signature_of(model))}
    tokens = np.random.default_rng(rows).integers(0, 500, (rows, LENGTH))
    return {**inputs, "token_ids": tokens.astype("int32")}


def converted(model, convert, path, sizes=(1,)):
    # In this process: what is tested is the file, and a process for each takes its time.
    known = {"sequence": LENGTH, **({"batch": sizes[0]} if sizes else {})}
    rows = inputs_of(model, 1)
    outputs = output_tensors(
        signature_of(model),
        [({"batch": 1, "sequence": LENGTH}, signature_of(model).reference(rows))],
    )
    conversion = Conversion(
        model,
        tuple(tensor.fixed(known) for tensor in input_tensors(signature_of(model))),
        tuple(tensor.fixed(known) for tensor in outputs),
        path,
        options=ExportOptions(batch_sizes=sizes),
    )
    facts = convert(conversion)
    session = open_tflite(path)
    return facts, Runner(session, conversion.inputs, conversion.outputs, sizes)


@pytest.mark.parametrize("sizes", [(1, 4), ()], ids=["two batches", "any batch"])
@pytest.mark.parametrize("scheme", SHARES)
def test_a_table_that_is_also_a_kernel_is_stored_once(scheme, sizes, tied, tmp_path):
    convert = getattr(tflite_schemes, scheme)
    facts, runner = converted(tied, convert, tmp_path / "tied.tflite", sizes)

    assert sum(facts["weights"].values()) < SHARES[scheme] * 4 * tied.count_params()
    # Where the batch varies, the segments are looked up too: none is given.
    assert facts["operators"]["EMBEDDING_LOOKUP"] >= max(1, len(sizes))
    for rows in (1, 5):
        inputs = inputs_of(tied, rows)
        expected = signature_of(tied).reference(inputs)["logits"]
        error = np.sqrt(np.mean((runner.run(inputs)["logits"] - expected) ** 2))
        # Drawn weights: an int4 table alone is 1 in 14 of its largest value off.
        assert error < {"dynamic_int8": 0.02, "int4_weights": 0.25}[scheme] * expected.std()


def test_a_table_that_is_only_looked_up(tmp_path):
    keras.utils.set_random_seed(0)
    model = get_model("lstm-classifier", vocab_size=800, embedding_dim=32, hidden_dim=32)
    path = tmp_path / "lstm.tflite"

    facts, runner = converted(model, tflite_schemes.int4_weights, path)

    assert facts["weights"]["int4"] > 800 * 32 / 2
    assert facts["operators"]["EMBEDDING_LOOKUP"] == 1
    inputs = inputs_of(model, 1)
    expected = signature_of(model).reference(inputs)["logits"]
    np.testing.assert_allclose(
        runner.run(inputs)["logits"], expected, atol=0.5 * np.abs(expected).max()
    )
    # In int8 nothing multiplies by it: the file is as TensorFlow's converter writes it.
    facts, _ = converted(model, tflite_schemes.dynamic_int8, path)
    assert "EMBEDDING_LOOKUP" not in facts["operators"]
