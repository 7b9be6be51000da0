"""What models cost, against papers, real builds and arithmetic by hand."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state
from model_cases import BUILTIN, small

import zoo
from benchmarks import catalog_tables
from zoo.choosing import choose
from zoo_models.memory import PENDING
from zoo_models.sizing import most_at_once, multiply_adds, results, trace
from zoo_registry import ModelSpec, UsageError, models

# Billions, as the papers or the authors' repositories give them; two digits where they round.
PAPERS = {
    "resnet18": (1.81, 0.01),
    "resnet34": (3.66, 0.01),
    "resnet50": (4.09, 0.01),
    "resnet101": (7.80, 0.01),
    "resnet152": (11.51, 0.01),
    "resnet20": (0.041, 0.001),
    "resnet56": (0.125, 0.001),
    "mobilenet-v2": (0.300, 0.002),
    "mobilenet-v3-small": (0.056, 0.001),
    "mobilenet-v3-large": (0.219, 0.003),
    "vit-tiny-patch16-224": (1.26, 0.01),
    "vit-base-patch16-224": (17.58, 0.03),
    "bert-base": (11.25, 0.1),  # MobileBERT's paper: 22.5 billion operations at 128 tokens
}


@pytest.mark.parametrize(("name", "macs"), PAPERS.items())
def test_multiply_adds_are_the_papers(name, macs):
    wanted, tolerance = macs
    assert models.get(name).macs / 1e9 == pytest.approx(wanted, abs=tolerance)


@pytest.mark.slow
def test_the_table_is_fresh_and_nothing_is_made():
    table = json.loads(catalog_tables.MACS.read_text())
    assert list(table) == sorted(BUILTIN)
    # The others have more layers of the same, which takes a minute longer.
    by_builder: dict[str, list[str]] = {}
    for name in sorted(BUILTIN, key=lambda name: models.get(name).num_params):
        by_builder.setdefault(models.get(name).target, []).append(name)
    smallest = [name for names in by_builder.values() for name in names[:2]]
    assert catalog_tables.multiply_adds(smallest) == {name: table[name] for name in smallest}, (
        "run: python -m benchmarks.catalog_tables"
    )
    assert not global_state.get_global_attribute(PENDING)


def cost(outputs, inputs, **shapes):
    traced = trace(keras.Model(inputs, outputs), shapes)
    return multiply_adds(traced), results(traced), most_at_once(traced)


def test_dense_layers_by_hand():
    x = keras.Input((8,), name="x")
    y = keras.layers.Dense(16, use_bias=False)(x)
    z = keras.layers.Dense(4, use_bias=False)(y)
    # 16 and 4 values an example are made; both are there when the second is.
    assert cost(z, x, x=(3, 8)) == (3 * (8 * 16 + 16 * 4), 3 * 20 * 4, 3 * 20 * 4)


def test_what_is_not_needed_any_more_is_given_back():
    x = keras.Input((8,), name="x")
    y = x
    for units in (32, 16, 4, 4):
        y = keras.layers.Dense(units, use_bias=False)(y)
    assert cost(y, x, x=(1, 8))[1:] == (4 * 56, 4 * 48)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (keras.layers.Conv2D(6, 3, padding="same"), (8, 8, 5), 64 * 6 * 9 * 5),
        (keras.layers.Conv2D(6, 3, groups=2), (8, 8, 4), 36 * 6 * 9 * 2),
        (keras.layers.DepthwiseConv2D(3, strides=2, padding="same"), (8, 8, 5), 16 * 5 * 9),
        (keras.layers.Conv1D(6, 3, padding="same"), (8, 5), 8 * 6 * 3 * 5),
        (keras.layers.LSTM(7), (9, 5), 9 * 4 * 7 * (5 + 7)),
        (keras.layers.GRU(7), (9, 5), 9 * 3 * 7 * (5 + 7)),
        (keras.layers.EinsumDense("abc,cd->abd", (9, 7)), (9, 5), 9 * 5 * 7),
    ],
)
def test_layers_by_hand(layer, shape, macs):
    x = keras.Input(shape, name="x")
    assert cost(layer(x), x, x=(2, *shape))[0] == 2 * macs


def reduced(name, task):
    spec = models.get(name)
    given = {**spec.defaults, **spec.reduced}
    return ModelSpec(name=name, builder=spec.builder, tasks=spec.tasks, defaults=given), task


@pytest.mark.parametrize(
    ("name", "task"),
    [("resnet18", None), ("bert-base", "features"), ("llama-7b", None), ("lstm-lm", None)],
)
def test_a_real_build_has_the_same_weights(name, task):
    spec, task = reduced(name, task)
    built = small(name, task)
    sized = zoo.size(spec, task=task, sequence_length=8)
    assert sized.num_params == sum(np.prod(w.shape) for w in built.trainable_weights)
    assert sized.weights() == sum(np.asarray(w).nbytes for w in built.weights)
    assert sized.weights("int8") * 4 == sized.weights()


def test_memory_adds_up():
    one, two = (zoo.size("gpt-nano", batch=batch, sequence_length=16) for batch in (1, 2))
    assert two.macs == 2 * one.macs
    assert two.weights() == one.weights()
    assert two.cache() == 2 * one.cache() == 2 * 4 * (2 * 3 * 16 * 48)
    assert one.inference() == one.weights() + one.peak_bytes
    assert one.training() == 16 * one.num_params + one.result_bytes
    assert one.training("float16") < one.training()
    assert one.training("int8") is None
    assert zoo.size("bert-tiny").cache() == 0
    tiny = zoo.size("transformer-tiny", sequence_length=8)
    spec = models.get("transformer-tiny").defaults
    # A decoder's layer keeps those of its own steps and those of the encoder's.
    assert tiny.cache() == 4 * 2 * spec["num_layers"] * 2 * 8 * spec["hidden_dim"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("bert-base", {"sequence_length": 513}, "'bert-base' has positions for 512 tokens, not"),
        ("bert-base", {"image_size": 32}, "'bert-base' takes no image of another size:"),
        ("resnet18", {"batch": 0}, "'resnet18': batch=0 must be 1 or more."),
        ("resnet18", {"depth": 3}, "'resnet18': no override 'depth'."),
    ],
)
def test_sizes_that_cannot_be(name, arguments, message):
    with pytest.raises(UsageError) as error:
        zoo.size(name, **arguments)
    assert message in str(error.value)


def test_seven_billion_parameters_in_a_gigabyte():
    program = r"""
import pathlib, re, zoo
size = zoo.size("llama-7b", sequence_length=512)
# Not `getrusage`, whose peak begins with the parent's.
status = pathlib.Path("/proc/self/status").read_text()
print(size.num_params, re.search(r"VmHWM:\s+(\d+)", status)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    num_params, kilobytes = map(int, done.stdout.split())
    assert num_params == 6_738_415_616
    assert kilobytes * 1024 < 1e9


def test_choices_are_ranked_by_weights_then_results_then_size():
    few = [choice.name for choice in choose("text-classification", examples=5000)]
    assert few[0] == "mistral-7b"
    # A recipe that was measured counts more than size, and among equals the smaller one is first.
    order = ["bert-tiny", "gru-classifier", "lstm-classifier", "gpt-nano"]
    assert sorted(order, key=few.index) == order
    many = choose("text-classification", max_mb=20, examples=10**9)
    assert not many[0].reason.startswith("pretrained")
    assert "bert" not in few
    assert choose("text-classification", max_mb=20, dtype="int8")[0].megabytes <= 20
    # A speech recognizer is none, whatever KerasHub calls it.
    written = choose("causal-lm", max_mb=150)
    assert written[0].name == "gpt-nano"
    assert not [row.name for row in written if "moonshine" in row.name or "whisper" in row.name]
    with pytest.raises(UsageError, match=r"moonshine_tiny_en.* multiply-adds: not counted"):
        choose("automatic-speech-recognition", max_mb=1)
    with pytest.raises(UsageError, match=r"^No model has the task 'clasification'\. Did you mean"):
        choose("clasification")
