"""Prompts that are unusual, written on by a model with random weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from language_models import byte_pairs

import zoo


@pytest.fixture(scope="module")
def model() -> keras.Model:
    sizes = {"vocab_size": 300, "num_layers": 1, "hidden_dim": 16, "num_heads": 2}
    return zoo.get_model("gpt", **sizes, max_length=32)


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("<bos>", [1]),
        ("<eos>", [1, 2]),
        ("<pad><pad>", [1, 0, 0]),
        ("<eos><unk><pad>", [1, 2, 3, 0]),
        ("", [1]),
    ],
)
def test_special_tokens_alone_are_a_prompt(model: keras.Model, prompt: str, ids: list[int]) -> None:
    texts = [prompt, "The history of"]
    written, _ = zoo.generate(model, texts, 4, temperature=0.0, tokenizer=byte_pairs())
    tokens = list(ids)
    for _ in range(4):
        inputs = {"token_ids": np.array([tokens])}
        tokens.append(int(np.argmax(model.predict_on_batch(inputs)[0, -1])))
    assert written == byte_pairs().decode(tokens[len(ids) :])
