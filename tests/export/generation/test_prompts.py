"""Prompts that are unusual, written on by a model with random weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from language_models import byte_pairs

import zoo
from zoo_runtime.generation.texts import written


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


def test_a_text_goes_on_behind_bytes_that_are_no_character() -> None:
    from tokenizers import Tokenizer, decoders, models

    # Bytes that follow each other are decoded together: one that is wrong changes those before it.
    tokenizer = Tokenizer(models.WordLevel({f"<0x{n:02X}>": n for n in range(256)}))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokens = [*"€".encode(), 0xFF, *b"then letters again"]
    parts = list(written(tokenizer, [65], tokens))
    assert parts[:3] == ["", "", "€"]
    assert all(parts[8:-1])
