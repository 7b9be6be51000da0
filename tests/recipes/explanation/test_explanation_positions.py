"""Answers at one token, of tags, of a hidden token, of the next one; and pairs of texts."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig
from zoo_recipes.explanation.explaining import explain_trained
from zoo_recipes.explanation.reading import Segmentation, position_of
from zoo_registry import UsageError
from zoo_runtime.preprocess.texts import load_tokenizer, padded_encodings

LENGTH, TAGS = 12, ("noun", "verb", "other")
TEXT = "the cat and the mat"
# Each token's logits are so much of its neighbour before it, and so much of its own vector.
BEFORE, OWN = 0.5, 2.0


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "assets"
    folder.mkdir()
    tokenizer = make_tokenizer(TokenizerConfig(kind="wordpiece", vocab_size=300), [TEXT])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def run_of(known_run, assets):
    return lambda task, labels=None: _run_of(known_run, assets, task, labels)


def _run_of(known_run, assets, task, labels):
    vocabulary = load_tokenizer(assets, "tokenizer.json").get_vocab_size()
    classes = len(labels) if labels else vocabulary
    ids = keras.Input((LENGTH,), name="token_ids", dtype="int32")
    table = layers.Embedding(vocabulary, classes)
    both = layers.Conv1D(classes, 2, padding="causal", use_bias=False, name="logits")
    model = keras.Model(ids, both(table(ids)))
    both.set_weights([np.stack([BEFORE * np.eye(classes), OWN * np.eye(classes)])])
    steps = [{"step": "tokenize", "length": LENGTH, "padding_mask": False}]
    run = known_run(model, assets.parent, task, labels, steps)
    return run, table.get_weights()[0]


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "shap"])
@pytest.mark.parametrize(
    ("task", "labels", "text", "request_", "at"),
    [
        ("token-classification", TAGS, TEXT, {"word": "cat", "label": "verb"}, 2),
        ("token-classification", TAGS, TEXT, {"word": "the#2", "label": "noun"}, 4),
        ("causal-lm", None, TEXT, {"label": "cat"}, 5),
        ("masked-lm", None, "the cat and [MASK] mat", {"label": "the"}, 4),
    ],
)
def test_a_token_is_explained_by_itself_and_its_neighbour(
    assets, method, task, labels, text, request_, at, run_of
):
    run, vectors = run_of(task, labels)
    found = explain_trained(run, text, method, **request_)
    tokenizer = load_tokenizer(assets, "tokenizer.json")
    ids, blank = tokenizer.encode(text).ids, tokenizer.token_to_id("[MASK]")
    assert found.target.at.position == at
    true = np.zeros(LENGTH)
    true[at - 1] = BEFORE * (vectors[ids[at - 1]] - vectors[blank])[found.target.index]
    true[at] = OWN * (vectors[ids[at]] - vectors[blank])[found.target.index]
    expected = true[np.argsort(found.features.members)][-len(found.features) :]
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    # What is hidden is not a feature.
    assert len(found.features) == (4 if task == "masked-lm" else 5)
    words = {"masked-lm": "in place of [MASK]", "causal-lm": "after the text"}
    said = words.get(task, f"at '{request_.get('word')}'")
    assert found.answer == f"'{request_['label']}' {said}"
    assert found.to_dict()["at"] == {"position": at, "words": said}


def test_without_a_class_the_most_probable_one_at_the_place_is_taken(run_of):
    run, _ = run_of("token-classification", TAGS)
    for word in ("cat", "mat"):
        found = explain_trained(run, TEXT, "occlusion", word=word)
        logits = run.runner().run(found.features.inputs)["logits"][0, found.target.at.position]
        assert found.best == found.target.label == TAGS[int(logits.argmax())]
        assert found.score == pytest.approx(np.exp(logits).max() / np.exp(logits).sum(), rel=1e-5)


def test_a_token_that_there_is_not(run_of):
    run, _ = run_of("causal-lm")
    with pytest.raises(UsageError) as failure:
        explain_trained(run, TEXT, "occlusion", label="catt")
    assert str(failure.value) == "'catt' is not a token of the vocabulary. Did you mean 'cat'?"


@pytest.mark.parametrize(
    ("task", "text", "word", "message"),
    [
        (
            *("token-classification", TEXT, None),
            "This model has a tag for every word: name the one to explain, with --word (word=).",
        ),
        ("token-classification", TEXT, "dog", "There is no word 'dog' in the text."),
        (
            *("token-classification", TEXT, "the"),
            "'the' is in the text 2 times: say which, such as 'the#2'.",
        ),
        (
            *("token-classification", TEXT, "the#3"),
            "'the' is in the text 2 times, and 'the#3' is none.",
        ),
        (
            *("token-classification", "cat " * 20 + "mat", "mat"),
            "'mat' is beyond the 12 tokens that the model reads.",
        ),
        (
            *("masked-lm", TEXT, None),
            "What is explained is one masked token: write [MASK] in its place, once. There are 0 "
            "in what the model reads of this text.",
        ),
    ],
)
def test_places_that_there_are_not(assets, task, text, word, message):
    tokenizer = load_tokenizer(assets, "tokenizer.json")
    (encoding,) = padded_encodings(tokenizer, [text], LENGTH)
    with pytest.raises(UsageError) as failure:
        position_of(task, text, encoding, word, tokenizer.token_to_id("[MASK]"))
    assert str(failure.value) == message


def test_a_word_is_for_models_of_tags(run_of):
    run, _ = run_of("causal-lm")
    with pytest.raises(UsageError) as failure:
        explain_trained(run, TEXT, "occlusion", word="cat")
    assert str(failure.value) == (
        "A model for causal-lm has no answer of its own for 'cat': leave the word out."
    )


@pytest.mark.parametrize("words", [False, True])
def test_a_pair_is_explained_by_the_tokens_of_both_texts(assets, words, run_of):
    tokenizer = load_tokenizer(assets, "tokenizer.json")
    ids = keras.Input((LENGTH,), name="token_ids", dtype="int32")
    table = layers.Embedding(tokenizer.get_vocab_size(), 2)
    model = keras.Model(ids, keras.ops.sum(table(ids), axis=1))
    known, _ = run_of("token-classification", TAGS)
    info = replace(known.info, task="text-classification", labels=("a", "b"))
    run = replace(known, info=info, keras_model=model)
    found = explain_trained(
        run, ("the cat", "the mat"), "occlusion", label="b", segmentation=Segmentation(words=words)
    )
    assert found.features.text == "the cat\nthe mat"
    assert [found.features.text[slice(*span)] for span in found.features.spans] == (
        ["the", "cat", "the", "mat"]
    )
    vectors, blank = table.get_weights()[0], tokenizer.token_to_id("[MASK]")
    numbers = [tokenizer.token_to_id(word) for word in ("the", "cat", "the", "mat")]
    true = (vectors[numbers] - vectors[blank])[:, 1]
    np.testing.assert_allclose(found.values, true, atol=1e-6)


def test_tags_are_of_one_text(run_of):
    run, _ = run_of("token-classification", TAGS)
    with pytest.raises(UsageError, match="is explained on one text, not on a pair"):
        explain_trained(run, ("the cat", "the mat"), "occlusion", word="cat")


QUESTION, ANSWERED = "the mat", "the cat and the mat"


@pytest.fixture(scope="module")
def answering(assets, run_of):
    """A model in which each token alone says whether an answer begins or ends there."""
    vocabulary = load_tokenizer(assets, "tokenizer.json").get_vocab_size()
    ids = keras.Input((LENGTH,), name="token_ids", dtype="int32")
    table = layers.Embedding(vocabulary, 2)
    both = table(ids)
    model = keras.Model(ids, {"start_logits": both[..., 0], "end_logits": both[..., 1]})
    known, _ = run_of("token-classification", TAGS)
    info = replace(known.info, task="question-answering", labels=None)
    return replace(known, info=info, keras_model=model), table.get_weights()[0]


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "shap"])
def test_an_answer_is_explained_by_its_two_ends(answering, assets, method):
    run, vectors = answering
    found = explain_trained(run, (QUESTION, ANSWERED), method, label="cat and")
    tokenizer = load_tokenizer(assets, "tokenizer.json")
    cat, and_, blank = (tokenizer.token_to_id(word) for word in ("cat", "and", "[MASK]"))
    true = np.zeros(7)
    true[3] = (vectors[cat] - vectors[blank])[0]
    true[4] = (vectors[and_] - vectors[blank])[1]
    np.testing.assert_allclose(found.values, true, atol=1e-5)
    assert (found.target.label, found.answer) == ("cat and", "cat and")
    texts = tokenizer.encode(QUESTION, ANSWERED)
    own = np.array([number == 1 for number in texts.sequence_ids])
    exponents = np.exp(vectors[np.array(texts.ids)[own]])
    first, last = exponents[1, 0] / exponents[:, 0].sum(), exponents[2, 1] / exponents[:, 1].sum()
    assert found.score == pytest.approx(first * last, rel=1e-5)


def test_the_most_probable_answer_is_that_of_the_text(answering):
    run, _ = answering
    found = explain_trained(run, (QUESTION, ANSWERED), "occlusion")
    assert found.best == found.target.label
    assert found.target.label in ANSWERED
    every = [ANSWERED.split()[a:b] for a in range(5) for b in range(a + 1, 6)]
    scores = [
        explain_trained(run, (QUESTION, ANSWERED), "occlusion", label=" ".join(words)).score
        for words in every
        if ANSWERED.startswith(" ".join(words)) or " ".join(words).startswith(("cat", "and"))
    ]
    assert found.score >= max(scores) - 1e-7


@pytest.mark.parametrize(
    ("raw", "label", "message"),
    [
        (ANSWERED, None, "This model answers questions: say which, with --question (a tuple)."),
        ((QUESTION, ANSWERED), "dog", "'dog' is not in what the model reads of the text."),
    ],
)
def test_answers_that_there_are_not(answering, raw, label, message):
    run, _ = answering
    with pytest.raises(UsageError) as failure:
        explain_trained(run, raw, "occlusion", label=label)
    assert str(failure.value) == message
