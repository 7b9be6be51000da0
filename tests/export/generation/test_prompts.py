"""Prompts that are unusual, written on by a model with random weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from language_models import byte_pairs

import zoo
from zoo_runtime.generation.texts import _Text, written


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


class Counting:
    """A tokenizer that counts the tokens it decodes."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.count = tokenizer, 0

    def decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        self.count += len(tokens)
        return str(self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))


def test_a_token_of_a_long_text_takes_no_longer_to_write() -> None:
    tokenizer = Counting(byte_pairs())
    tokens = np.random.default_rng(0).integers(0, 300, 3000).tolist()  # of it much is no text
    parts = list(written(tokenizer, [1], tokens))
    assert "".join(parts) == byte_pairs().decode(tokens)
    assert tokenizer.count < 3000 * 200, "of all tokens, each time: 4,500,000"
    assert max(map(len, parts)) < 40, "written as it comes"


def test_a_stop_string_is_seen_wherever_its_tokens_begin() -> None:
    tokenizer = byte_pairs()
    text = _Text(tokenizer, np.array([1], np.int32), ["\n\nEnd", "é"], 1)
    story = tokenizer.encode("It went on and on. " * 40, add_special_tokens=False).ids
    for stop in ("\n\nEnd", "é"):
        tokens = [*story, *tokenizer.encode(stop, add_special_tokens=False).ids]
        assert [text.is_stopped(tokens[:at]) for at in range(1, len(tokens) + 1)] == [
            *[False] * (len(tokens) - 1),
            True,
        ]
