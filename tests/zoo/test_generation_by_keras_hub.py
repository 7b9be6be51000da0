"""KerasHub's causal models read behind a cache as they read whole texts."""

import keras
import keras_hub
import numpy as np
import pytest

from zoo_models.generation.decoder import KerasDecoder, KerasGenerator
from zoo_models.generation.kerashub import is_keras_hub, keras_hub_tokenizer
from zoo_models.generation.reading import reading_model
from zoo_models.layers.cache import Reading
from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.search import search

MODELS = keras_hub.models
SIZES = {"vocabulary_size": 40, "num_layers": 1, "hidden_dim": 16, "intermediate_dim": 24}
HEADS = {"num_query_heads": 4, "num_key_value_heads": 2}
WINDOW = {"use_sliding_window_attention": True, "sliding_window_size": 4}
SMOLLM3 = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "rope_layer_enabled_list": [True],
    "layer_types": ["full_attention"],
    "mlp_bias": False,
    "layer_norm_epsilon": 1e-6,
    "max_position_embeddings": 64,
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 1.0,
}
# Of each family what its backbone is made of beside the sizes.
FAMILIES = {
    "Gemma3": {
        **HEADS,
        **WINDOW,
        "num_layers": 2,
        "head_dim": 4,
        "image_size": 16,
        "vision_encoder": None,
    },
    "GPT2": {"num_heads": 2, "max_sequence_length": 24},
    "Llama3": {**HEADS, "num_layers": 2},
    "Mistral": {**HEADS, "sliding_window": 4},
    "Phi3": HEADS,
    "Qwen3": {**HEADS, "head_dim": 4},
    "SmolLM3": SMOLLM3,
}


def causal_lm(family):
    backbone = getattr(MODELS, f"{family}Backbone")(**SIZES | FAMILIES[family])
    model = getattr(MODELS, f"{family}CausalLM")(backbone=backbone, preprocessor=None)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3 * random.normal(size=variable.shape))
    return model


def whole_logits(model, tokens):
    row = np.array([tokens], np.int32)
    return np.asarray(model({"token_ids": row, "padding_mask": np.ones_like(row)}))[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_different_lengths_go_on_as_the_whole_model_and_keras_hub_say(family):
    model = causal_lm(family)
    reading = reading_model(model)
    prompts = [np.array([7, 3, 30, 5, 9, 2], np.int32), np.array([8, 1], np.int32)]
    tokens = np.zeros((2, 6), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, 6 - len(prompt) :] = prompt
    padding, count = (keras.ops.convert_to_tensor(x, "int32") for x in ([0, 4], 6))
    texts = keras.ops.convert_to_tensor(tokens)
    logits, _, past = reading.read(texts, Reading.behind(texts, padding, count * 0, count, {}))
    room = {name: np.pad(tensor, [(0, 0), (0, 0), (0, 2), (0, 0)]) for name, tensor in past.items()}
    following = np.asarray(logits).argmax(-1).astype(np.int32)
    last = keras.ops.convert_to_tensor(following[:, None])
    second, _, _ = reading.read(last, Reading.behind(last, padding, count, count * 0 + 1, room))
    # And as files of a cache that grows do, in which nothing is free.
    mask = keras.ops.convert_to_tensor(np.arange(7)[None] >= [[0], [4]], "int32")
    alike, _, grown = reading.read(texts, Reading.masked(texts, mask[:, :6], {}))
    again, _, new = reading.read(last, Reading.masked(last, mask, grown))
    assert {tensor.shape[2] for tensor in new.values()} == {1}
    for row, prompt in enumerate(prompts):
        whole = whole_logits(model, [*prompt, following[row]])
        for found, wanted in ((logits, -2), (alike, -2), (second, -1), (again, -1)):
            np.testing.assert_allclose(np.asarray(found)[row], whole[wanted], atol=1e-4)
    # KerasHub's own loop, from the first prompt.
    model.compile(sampler="greedy", run_eagerly=True)
    given = {
        "token_ids": np.pad(tokens[:1], [(0, 0), (0, 2)]),
        "padding_mask": np.arange(8)[None] < 6,
    }
    written = np.asarray(model.generate_step(given, stop_token_ids=None)["token_ids"])[0, 6:]
    assert written.tolist() == [following[0], int(np.asarray(second)[0].argmax())]


def test_a_search_keeps_the_cache_of_a_keras_hub_model_up_to_its_last_position():
    model = causal_lm("GPT2")
    decoder = KerasDecoder(KerasGenerator(reading_model(model)))
    prompts = [np.array([7, 3, 30], np.int32), np.array([8], np.int32)]
    config = GenerationConfig(max_new_tokens=30)
    found = {e.row: e.result for e in search(decoder, prompts, config) if e.result}
    for row, prompt in enumerate(prompts):
        tokens = [*prompt, *found[row].tokens]
        assert (len(tokens), found[row].finish) == (25, "context")
        best = whole_logits(model, tokens[:-1]).argmax(-1)[len(prompt) - 1 :]
        assert best.tolist() == list(found[row].tokens)


def test_what_keras_hub_itself_gets_wrong_or_keeps_otherwise_is_refused_by_name():
    sizes = {**SIZES, "num_heads": 2, "max_sequence_length": 24}
    wrong = MODELS.GPTNeoXCausalLM(MODELS.GPTNeoXBackbone(**sizes))
    random = np.random.default_rng(0)
    for variable in wrong.trainable_variables:
        variable.assign(variable + 0.3 * random.normal(size=variable.shape))
    with pytest.raises(UsageError, match=r"so in KerasHub too: generate\(\) of GPTNeoXCausalLM"):
        reading_model(wrong)


def test_a_preset_has_its_tokenizer_beside_it(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>"]
    made.train_from_iterator(
        ["a token"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet)
    )
    merges = ["t o", "to k", "Ġ tok"]
    words = {**made.get_vocab(), "to": 300, "tok": 301, "Ġtok": 302}
    words = {word: at for at, word in enumerate(words)}
    tokenizer = MODELS.GPT2Tokenizer(vocabulary=words, merges=merges)
    sizes = {**SIZES, "vocabulary_size": len(words)}
    backbone = MODELS.GPT2Backbone(**sizes, **FAMILIES["GPT2"])
    preprocessor = MODELS.GPT2CausalLMPreprocessor(tokenizer, sequence_length=8)
    model = MODELS.GPT2CausalLM(backbone, preprocessor)
    assert is_keras_hub(model)
    ours, config = keras_hub_tokenizer(model)
    wanted = np.asarray(preprocessor.generate_preprocess("a token")["token_ids"])
    found = ours.encode("a token").ids
    assert wanted[: len(found)].tolist() == found
    assert config.eos_token_id == (words["<|endoftext|>"],)
    assert ours.decode(found) == "a token"
    model.preprocessor = None
    assert keras_hub_tokenizer(model) is None
