"""Weights of Hugging Face transformers give its answers; `references/make.py` wrote them."""

from pathlib import Path

import numpy as np
import pytest

from zoo_registry.build import get_model

REFERENCES = sorted(p.parent for p in (Path(__file__).parent / "references").glob("*/answer.npz"))


@pytest.mark.parametrize("folder", REFERENCES, ids=lambda folder: folder.name)
def test_the_answers_are_those_of_transformers(folder):
    family, _, task = folder.name.replace("-tied", "").partition("-")
    model = get_model(family, task=task, weights=folder)
    answer = np.load(folder / "answer.npz")
    named = {"token_ids": answer["ids"], "padding_mask": answer["mask"]}
    inputs = {tensor.name: named[tensor.name].astype("int32") for tensor in model.inputs}
    got = model(inputs if len(inputs) > 1 else inputs["token_ids"])
    got = got if isinstance(got, dict) else {model.output_names[0]: got}
    real = answer["mask"].astype(bool) if len(inputs) > 1 else np.ones_like(answer["ids"], bool)
    compared = 0
    for name, output in got.items():
        if name in answer:
            rows = real if answer[name].shape[1:2] == (9,) else slice(None)
            wanted, value = answer[name][rows], np.asarray(output)[rows]
            np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5, err_msg=name)
            compared += 1
    assert compared == len([key for key in answer if key not in {"ids", "mask"}])
    assert model.zoo_weights.fresh == ()
