"""KerasHub's causal models as bundles: every runtime writes what their own `generate` does."""

from dataclasses import replace

import keras_hub
import language_models as models
import numpy as np
import pytest

import zoo
import zoo.generating
from zoo_export.making.cache import key_of
from zoo_export.reading.request import from_model
from zoo_export.reading.tokenizers import with_tokenizer
from zoo_models.generation.kerashub import keras_hub_tokenizer
from zoo_runtime.tokenizing import open_tokenizer

PROMPTS = ["import a model of many words", "The", "  A  table\n of é and 中 😀"]


def by_keras_hub(model, prompt, count):
    """Return the tokens that KerasHub's own loop adds to a text."""
    read = model.preprocessor.generate_preprocess
    begin = int(np.asarray(read(prompt, sequence_length=64)["padding_mask"]).sum())
    found = read(prompt, sequence_length=begin + count)
    given = {name: np.asarray(array)[None] for name, array in found.items()}
    written = model.generate_step(given, stop_token_ids=None)["token_ids"]
    return tuple(np.asarray(written)[0, begin : begin + count].tolist())


@pytest.mark.slow
def test_a_bundle_writes_what_keras_hub_writes(tmp_path):
    model = models.keras_hub_gemma3()
    model.compile(sampler="greedy", run_eagerly=True)
    bundle = zoo.export(model, to="onnx", out=tmp_path / "bundle", name="b", sequence_length=16)
    assert (bundle.task, bundle.outputs[0].name) == ("causal-lm", "logits")
    assert bundle.artifacts[0].generation is not None
    wanted = [by_keras_hub(model, prompt, 6) for prompt in PROMPTS]
    for generator in (bundle.text_generator(), zoo.generating.text_generator(model)):
        made = generator.complete(PROMPTS, max_new_tokens=6, do_sample=False)
        assert [completion.tokens for completion in made] == wanted


@pytest.mark.parametrize("make", [models.keras_hub_gemma3, models.keras_hub_gpt2])
def test_the_tokenizer_is_a_file_that_reads_the_same(make, tmp_path):
    model = make()
    request = with_tokenizer(from_model(model), tmp_path)
    source, config = keras_hub_tokenizer(model)
    made = open_tokenizer(request.assets / "tokenizer.json")
    for text in (*PROMPTS, *models.TEXTS[:40]):
        ids = made.encode(text).ids
        assert ids == source.encode(text).ids
        assert made.decode(ids) == source.decode(ids)
    assert request.decoding.config == config
    # What a caller gives stays.
    steps = ({"step": "tokenize", "length": 8},)
    asked = replace(from_model(model), preprocessing=steps, task="mine")
    given = with_tokenizer(asked, tmp_path)
    assert (given.preprocessing, given.task, given.tokenizer) == (steps, "mine", None)
    # A kept bundle is of the same tokenizer.
    before = key_of(model, {})
    model.preprocessor = None
    assert key_of(model, {}) != before


def test_what_no_file_can_hold_is_said_in_the_card(tmp_path):
    model = models.keras_hub_gemma3()
    tokenizer = keras_hub.models.Gemma3Tokenizer(
        proto=models.sentence_piece("unigram"), has_vision_tokens=False
    )
    model.preprocessor.tokenizer = tokenizer
    request = with_tokenizer(from_model(model), tmp_path)
    assert request.no_tokenizer == "a SentencePiece model of kind unigram; one of bpe is read"
    assert (request.task, request.preprocessing) == ("causal-lm", ())
