"""Built-in models at test size, example inputs for them, and their outputs by name."""

import keras
import numpy as np

from benchmarks.support.models import builtin, distinct_cases
from zoo_models.build import get_model
from zoo_registry import models

BUILTIN = builtin()
# Those that at their reduced size are the same as one before are left out.
DISTINCT_HEADS = [(case.name, case.task) for case in distinct_cases()]
# Built by the same code as another case, in other sizes: the support matrix has them too.
LIKE = {
    "cifar10-cnn": "cnn",
    "mnist-mlp": "mlp",
    "mobilenet-v3-large": "mobilenet-v3-small",
    "resnet18": "resnet",
    "smollm2-135m": "llama",
}
# What other heads stand on is tried alone with these; the support matrix has that of every model.
TRUNKS = ("bert", "resnet", "rnn")
# Heads that one layer makes of what the trunk gives, whatever the trunk is, are tried on `bert`.
OF_ANY_TRUNK = {"multi-label", "token-classification", "question-answering", "sentence-embedding"}


def is_like_another(case):
    is_first = case.task == models.get(case.name).tasks[0]
    if case.task == "features":
        return case.name not in TRUNKS
    return (
        case.task in OF_ANY_TRUNK and not is_first and case.name in {"distilbert", "roberta-base"}
    )


CASES = [case for case in distinct_cases() if case.name not in LIKE]
TABLE = [(case.name, case.task) for case in CASES if not is_like_another(case)]


def small(name, task, **overrides):
    keras.utils.set_random_seed(0)
    return get_model(name, task=task, **{**models.get(name).reduced, **overrides})


def example(model, batch=3, length=9, seed=0):
    """Return inputs by name; the mask of the first example leaves out two tokens."""
    rng = np.random.default_rng(seed)
    return {tensor.name: _values(rng, tensor, batch, length) for tensor in model.inputs}


def _values(rng, tensor, batch, length):
    shape = (batch, *(length if size is None else size for size in tensor.shape[1:]))
    if tensor.name.endswith("padding_mask"):
        return (np.arange(length) < np.resize([length - 2, length], batch)[:, None]).astype("int32")
    if tensor.name == "segment_ids":
        return rng.integers(0, 2, shape, dtype="int32")
    if tensor.name.endswith(("token_ids", "user_id", "item_id")):
        return rng.integers(0, 40, shape, dtype="int32")
    high = 255 if tensor.name == "image" else 1
    return rng.uniform(0, high, shape).astype("float32")


def outputs(model, inputs):
    """Return NumPy outputs by name."""
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    result = model(given, training=False)
    result = result if isinstance(result, dict) else {model.output_names[0]: result}
    return {name: np.asarray(value) for name, value in result.items()}


def assert_equal_outputs(got, wanted, tolerance=0.0):
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance, err_msg=name)
