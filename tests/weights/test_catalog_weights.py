"""Every name that says where its weights are fits them; `references/make_catalog.py` says whence.

The files are whole headers of tensors over holes, so that 27 GB take no room; the models have
shapes and no values.
"""

import gzip
import json
import struct
import warnings
from math import prod
from pathlib import Path

import pytest

from zoo_models.build import get_model
from zoo_models.sizing import abstract_model
from zoo_models.weights import open_weights
from zoo_models.weights.foreign import _Plan
from zoo_models.weights.loading import Classes
from zoo_models.weights.snapshot import opened
from zoo_registry import models

FILE = Path(__file__).parent / "references" / "catalog.json.gz"
CATALOG = json.loads(gzip.decompress(FILE.read_bytes()))
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
DTYPES = {"float16": "F16", "bfloat16": "BF16"}


def address_of(spec):
    weights = spec.weights or ""
    is_hub = spec.converter is not None and weights.startswith("hf://")
    return weights.removeprefix("hf://").split("@")[0] if is_hub else None


NAMES = {name: address_of(models.get(name)) for name in models}
NAMES = {name: address for name, address in NAMES.items() if address}


def write(folder, address):
    """Write the snapshot of an address; its tensors are holes."""
    row = CATALOG[address]
    config = dict(row["config"])
    if "classes" in config:
        config["id2label"] = {str(i): f"class {i}" for i in range(config.pop("classes"))}
    (folder / "config.json").write_text(json.dumps(config))
    if row["processor"] is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(row["processor"]))
    header, end = {}, 0
    for name, shape in row["tensors"].items():
        whole = name.endswith(("position_ids", "num_batches_tracked"))
        dtype = "I64" if whole else DTYPES.get(config.get("torch_dtype"), "F32")
        start, end = end, end + BYTES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def test_every_address_is_recorded():
    assert set(NAMES.values()) == set(CATALOG)


@pytest.mark.parametrize("address", CATALOG)
def test_every_tensor_has_its_place_and_every_key_is_read(address, tmp_path):
    write(tmp_path, address)
    for name in (name for name, weights in NAMES.items() if weights == address):
        spec = models.get(name)
        checkpoint = open_weights(spec, tmp_path)
        arguments = checkpoint.arguments(spec.defaults, {})
        assert checkpoint._settings.unread == {}
        assert same_epsilon(arguments, CATALOG[address]["config"])
    task = "masked-lm" if "masked-lm" in spec.tasks else spec.tasks[0]
    model = abstract_model(spec, task, **arguments)
    with opened(checkpoint.snapshot.files) as tensors:
        plan = _Plan(checkpoint, model, tensors, Classes(checkpoint.labels, None))
        lists = plan.lists()
    for key in ("missing", "unexpected", "misshapen", "unbuilt", "untied"):
        assert lists[key] == (), key
    # Only MiniLM was saved without the head that it was trained with.
    is_bare = address.startswith("sentence-transformers/")
    assert bool(lists["fresh"]) == is_bare
    assert len(plan.filled) == len(model.weights) - len(lists["fresh"])


def same_epsilon(arguments, config):
    keys = ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps")
    given = [config[key] for key in keys if key in config]
    return not given or arguments.get("epsilon", given[0]) == given[0]


@pytest.mark.parametrize("address", ["google/bert_uncased_L-2_H-128_A-2"])
def test_a_small_one_is_loaded_whole(address, tmp_path):
    write(tmp_path, address)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = get_model("bert-tiny", task="pretraining", weights=tmp_path)
    assert model.zoo_weights.loaded == len(model.weights)
    assert not any(weight.numpy().any() for weight in model.weights)
