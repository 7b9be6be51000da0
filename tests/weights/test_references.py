"""Weights of Hugging Face transformers give its answers; `references/make.py` wrote them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from zoo_models.build import get_model
from zoo_models.weights import save_pretrained
from zoo_registry import models

REFERENCES = sorted(p.parent for p in (Path(__file__).parent / "references").glob("*/answer.npz"))
FAMILIES = {"gpt2": "gpt", "mobilenet_v2": "mobilenet-v2"}
# What transformers is asked is normalised already.
PIXELS = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}
every_reference = pytest.mark.parametrize("folder", REFERENCES, ids=lambda folder: folder.name)


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    family = FAMILIES.get(config["model_type"], config["model_type"])
    task = next(task for task in models.get(family).tasks if folder.name.endswith(task))
    overrides = {}
    answer = np.load(folder / "answer.npz")
    if "pixel_values" in answer:
        size = answer["pixel_values"].shape[-1]
        overrides = {**PIXELS, "input_shape": (size, size, 3)}
    return get_model(family, task=task, weights=folder, **overrides), dict(answer)


def asked(answer):
    if "pixel_values" in answer:
        return {"image": answer.pop("pixel_values").transpose(0, 2, 3, 1)}
    ids = answer.pop("input_ids").astype("int32")
    mask = answer.pop("attention_mask", np.ones_like(ids)).astype("int32")
    return {"token_ids": ids, "padding_mask": mask}


def in_our_layout(answer):
    """Return the answers channels last, a map under the name of its stride."""
    maps = {name: value for name, value in answer.items() if value.ndim == 4}
    renamed = {
        name if value.shape[-1] == 1 else "stride_8": value.transpose(0, 2, 3, 1)
        for name, value in maps.items()
    }
    return {**answer, **{k: v[:, 0, 0] if v.shape[1] == 1 else v for k, v in renamed.items()}}


@every_reference
def test_the_answers_are_those_of_transformers(folder):
    model, answer = load(folder)
    named = asked(answer)
    inputs = {tensor.name: named[tensor.name] for tensor in model.inputs}
    got = model(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    got = got if isinstance(got, dict) else {model.output_names[0]: got}
    wanted = in_our_layout(answer)
    compared = set()
    for name in got.keys() & wanted.keys():
        value = np.asarray(got[name])
        rows = slice(None)
        if "padding_mask" in inputs and value.shape[1:2] == (9,):
            rows = inputs["padding_mask"].astype(bool)
        np.testing.assert_allclose(value[rows], wanted[name][rows], rtol=0, atol=1e-5, err_msg=name)
        compared.add(name)
    # A map was also kept under transformers' name.
    assert compared == wanted.keys() - ({"sequence_output"} if "stride_8" in wanted else set())
    assert model.zoo_weights.fresh == ()


@every_reference
def test_what_is_written_back_is_what_transformers_wrote(folder, tmp_path):
    model, _ = load(folder)
    written = save_pretrained(model, tmp_path / "again", shard_bytes=10_000)
    wanted = load_file(folder / "model.safetensors")
    got = {k: v for file in written.glob("*.safetensors") for k, v in load_file(file).items()}
    assert got.keys() == {name for name in wanted if not name.endswith("num_batches_tracked")}
    for name, value in got.items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    config, theirs = (json.loads((f / "config.json").read_text()) for f in (written, folder))
    for key in config.keys() & theirs.keys():
        assert config[key] == theirs[key] or theirs[key] is None, key
    assert {"architectures", "model_type"} < config.keys() & theirs.keys()
