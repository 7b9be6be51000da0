"""Generation gives the tokens of transformers; `references/make_generated.py` wrote them."""

import json
from pathlib import Path

import numpy as np
import pytest
from references.drawing import tensor, tokens
from safetensors.numpy import save_file
from test_drawn import DRAWN, load

from zoo_models.build import get_model
from zoo_models.generation.decoder import KerasDecoder, KerasGenerator
from zoo_models.generation.reading import reading_model
from zoo_runtime.generation.config import GenerationConfig, configured
from zoo_runtime.generation.search import search

FILE = Path(__file__).parent / "references" / "generated.json"
GENERATED = json.loads(FILE.read_text())


def model_of(name, folder):
    if name in DRAWN:
        return load(name, folder)[0]
    case = GENERATED["models"][name]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    tensors = {key: tensor(key, tuple(shape)) for key, shape in case["tensors"].items()}
    save_file(tensors, folder / "model.safetensors")
    return get_model("gpt", task="causal-lm", weights=folder)


def texts(decoder, prompts, options):
    config = configured(GenerationConfig(max_new_tokens=20, eos_token_id=(0,)), options)
    found = {event.row: event.result for event in search(decoder, prompts, config) if event.result}
    rows = [list(found[row].tokens) for row in sorted(found)]
    count = config.num_return_sequences
    return [rows[start : start + count] for start in range(0, len(rows), count)]


@pytest.mark.parametrize("name", GENERATED["models"])
def test_tokens_are_those_of_transformers(name, tmp_path):
    """With a cache, all prompts of different lengths at once; transformers has one at a time."""
    reading = reading_model(model_of(name, tmp_path / name))
    decoder = KerasDecoder(KerasGenerator(reading))
    ids, mask = tokens(12)
    prompts = [row[: real.sum()] for row, real in zip(ids, mask, strict=True)]
    for options, wanted in zip(
        GENERATED["options"], GENERATED["models"][name]["texts"], strict=True
    ):
        assert texts(decoder, prompts, options) == wanted, options


def test_the_beginning_of_a_long_text_is_forgotten_or_the_text_ends(tmp_path):
    model = model_of("gpt2", tmp_path / "gpt2")
    decoder = KerasDecoder(KerasGenerator(reading_model(model)))
    config = GenerationConfig(max_new_tokens=60)
    (ended,) = [e.result for e in search(decoder, [np.array([3, 4])], config) if e.result]
    assert (ended.finish, len(ended.tokens)) == ("context", 48 + 1 - 2)
    config = GenerationConfig(max_new_tokens=60, overflow="slide")
    (slid,) = [e.result for e in search(decoder, [np.array([3, 4])], config) if e.result]
    assert (slid.finish, len(slid.tokens)) == ("length", 60)
    assert slid.tokens[: len(ended.tokens)] == ended.tokens
    # What comes then is what the model gives for what it still remembers.
    kept = np.array([3, 4, *slid.tokens[: len(ended.tokens)]])[-36:]
    logits = np.asarray(model(kept[np.newaxis].astype("int32")))[0, -1]
    assert slid.tokens[len(ended.tokens)] == logits.argmax()
