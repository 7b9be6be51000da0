"""What tasks of texts learn: tags of words, answers to questions, hidden tokens."""

import numpy as np
import pytest

from zoo.evaluating import evaluate
from zoo_recipes.arrays.sources import IGNORED
from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.evaluation.measuring import observe
from zoo_recipes.metrics.resampling import measured
from zoo_recipes.recipe import as_recipe
from zoo_recipes.tasks.answers import ENDS, answer_metrics, normal, overlap, predicted_answers
from zoo_recipes.tasks.objectives import make_source
from zoo_recipes.tasks.tagging import tag_metrics, tags_of_words
from zoo_recipes.training.training import train
from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor

TEXTS = ["New York is un- believable .", "a cat"]
WORD_TAGS = [np.array([3, 4, 0, 2, 2, 1]), np.array([5, 6])]
QUESTIONS = [("where?", "It is in New York, they say."), ("who?", "Nobody at all knows that.")]
ANSWERS = [
    {"text": ["New York"], "answer_start": [9]},
    {"text": ["Nobody"], "answer_start": [0]},
]
KINDS = {
    "wordpiece": TokenizerConfig(kind="wordpiece", vocab_size=60, lowercase=True),
    "bpe": TokenizerConfig(kind="bpe", vocab_size=300),
    "framed bpe": TokenizerConfig(kind="bpe", vocab_size=300, framed=True, add_prefix_space=True),
    "char": TokenizerConfig(kind="char", vocab_size=60),
}


def source_of(kind, examples, task, tmp_path, length=40, masking=None, **step):
    texts = [text for raw in examples.raws for text in (raw if isinstance(raw, tuple) else [raw])]
    make_tokenizer(KINDS[kind], texts).save(str(tmp_path / "tokenizer.json"))
    steps = [{"step": "tokenize", "length": length, **step}]
    data = {"model": {"name": "bert", "task": task}, "dataset": {"name": "pydoc"}, "seed": 4}
    recipe = as_recipe({**data, "masking": masking} if masking else data, "r")
    return make_source(examples, Preprocessor(steps, tmp_path), task, recipe)


def oracle(source, classes=None):
    """Return what gives the targets themselves, as logits of so many classes."""
    at = 0

    def predict(inputs):
        nonlocal at
        count, length = inputs["token_ids"].shape
        rows = slice(at, at + count)
        at += count
        if classes:
            return {"logits": np.eye(classes)[source.targets[rows]]}
        return {name: 9 * np.eye(length)[t[rows]] for name, t in source.targets.items()}

    return predict


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_of_a_word_learns_its_tag(kind, tmp_path):
    source = source_of(kind, Examples(TEXTS, WORD_TAGS, ""), "token-classification", tmp_path)
    tokenizer = Preprocessor([{"step": "tokenize"}], tmp_path).tokenizer("tokenizer.json")
    for row, (text, tags) in enumerate(zip(TEXTS, WORD_TAGS, strict=True)):
        tokenizer.no_padding()
        learned = source.targets[row]
        encoding = tokenizer.encode(text)
        words = text.split(" ")
        spelled = dict.fromkeys(range(len(words)), "")
        for (start, end), special, tag in zip(
            encoding.offsets, encoding.special_tokens_mask, learned, strict=False
        ):
            piece = text[start:end].strip()
            word = text[:end].count(" ")
            assert tag == (IGNORED if special else tags[word])
            spelled[word] += "" if special else piece
        assert list(spelled.values()) == words
        assert (learned[len(encoding.ids) :] == IGNORED).all()
    assert source.first.sum(axis=1).tolist() == [6, 2]
    made = tags_of_words(source, source.targets)
    assert [row.tolist() for row in made] == [tags.tolist() for tags in WORD_TAGS]
    assert tag_metrics(oracle(source, 7), source) == {"word_accuracy": 1.0}


def test_a_text_with_another_number_of_tags(tmp_path):
    examples = Examples(TEXTS, [WORD_TAGS[0], WORD_TAGS[1][:1]], "")
    with pytest.raises(UsageError, match=r"^Example 1 has 2 words and 1 tags: 'a cat'\.$"):
        source_of("char", examples, "token-classification", tmp_path)


def test_words_that_were_cut_off_count_as_wrong(tmp_path):
    examples = Examples(TEXTS, WORD_TAGS, "")
    source = source_of("char", examples, "token-classification", tmp_path, length=10)
    assert tags_of_words(source, source.targets)[0].tolist() == [3, 4, 0, -1, -1, -1]
    assert tag_metrics(oracle(source, 7), source) == {"word_accuracy": 5 / 8}


@pytest.mark.parametrize("kind", ["wordpiece", "framed bpe"])
def test_an_answer_is_from_its_first_to_its_last_token(kind, tmp_path):
    examples = Examples(QUESTIONS, ANSWERS, "")
    source = source_of(kind, examples, "question-answering", tmp_path)
    assert set(source.targets) == set(ENDS)
    made = predicted_answers(source, oracle(source)(source.inputs))
    assert [text.strip() for text in made] == ["New York", "Nobody"]
    assert answer_metrics(oracle(source), source) == {"exact_match": 1.0, "f1": 1.0}


def test_an_answer_that_was_cut_off_is_not_learned(tmp_path):
    examples = Examples(QUESTIONS, ANSWERS, "")
    source = source_of("wordpiece", examples, "question-answering", tmp_path, length=8)
    assert source.targets["start_logits"][0] == IGNORED == source.targets["end_logits"][0]


def test_answers_are_compared_as_squad_does():
    assert normal("The  Eiffel-Tower.") == "eiffeltower"
    assert overlap("the cat sat", "A cat sat down") == pytest.approx(0.8)
    assert overlap("dog", "cat") == 0.0
    assert overlap("the", "a") == 1.0  # nothing and nothing


@pytest.mark.parametrize("task", ["masked-lm", "pretraining"])
def test_hidden_tokens(task, tmp_path):
    texts = ["the quick brown fox jumps over the lazy dog and runs away"] * 200
    step = {"segment_ids": True, "length": 32}
    source = source_of("wordpiece", Examples(texts, None, ""), task, tmp_path, **step)
    mask, head, tail = (source.tokenizer.token_to_id(t) for t in ("[MASK]", "[CLS]", "[SEP]"))
    inputs, targets = source.take(np.arange(len(source)))
    hidden = targets if task == "masked-lm" else targets["logits"]
    ids = inputs["token_ids"]
    assert ids.shape == hidden.shape == (len(source), 32)
    assert (ids[:, 0] == head).all()
    assert (ids[:, -1] == tail).all()
    told = hidden != IGNORED
    assert told.sum(axis=1).min() >= 1
    assert told.mean() == pytest.approx(0.15 * 29 / 32, abs=0.02)
    assert (ids[told] == mask).mean() == pytest.approx(0.8, abs=0.04)
    assert (ids[told] == hidden[told]).mean() == pytest.approx(0.1, abs=0.05)
    assert not (ids[~told] == mask).any()
    # What a row hides depends on nothing but the seed, the row and the shift.
    assert (source.take([7, 3])[0]["token_ids"] == ids[[7, 3]]).all()
    assert (source.take([7, 3], shift=5)[0]["token_ids"] != ids[[7, 3]]).any()
    if task == "pretraining":
        follows = targets["next_sentence_logits"]
        assert follows.mean() == pytest.approx(0.5, abs=0.15)
        whole = np.where(told, hidden, ids)
        half = source.stretch // 2
        for row in np.flatnonzero(follows == 0):
            run = np.concatenate([whole[row, 1 : half + 1], whole[row, half + 2 : -1]])
            start = row * source.stretch
            assert (run == source.stream[start : start + source.stretch]).all()
        assert inputs["segment_ids"][0].sum() == 32 - half - 2


def test_hidden_spans(tmp_path):
    texts = ["the quick brown fox jumps over the lazy dog and runs away"] * 400
    config = {"rate": 0.2, "mean_span": 4.0}
    source = source_of(
        "wordpiece", Examples(texts, None, ""), "masked-lm", tmp_path, masking=config, length=64
    )
    ids, hidden = source.take(np.arange(len(source)))
    told = hidden != IGNORED
    mask, head, tail = (source.tokenizer.token_to_id(t) for t in ("[MASK]", "[CLS]", "[SEP]"))
    words = ~np.isin(np.where(told, hidden, ids["token_ids"]), [head, tail])
    assert (told.sum(axis=1) == np.round(0.2 * words.sum(axis=1))).all()
    assert not told[~words].any()
    # One by one, 4 of 5 tokens that are told would stand behind one that is not.
    starts = (told[:, 1:] & ~told[:, :-1]).sum()
    assert 2.5 < told.sum() / starts < 5
    masked = (ids["token_ids"] == mask) & told
    assert masked.sum() / told.sum() == pytest.approx(0.8, abs=0.05)
    # A span is hidden as a whole.
    inner = told[:, 1:] & told[:, :-1]
    assert (masked[:, 1:] == masked[:, :-1])[inner].mean() > 0.9


def test_masking_of_a_task_that_hides_nothing():
    with pytest.raises(UsageError) as raised:
        as_recipe(
            {
                "model": {"name": "bert", "task": "text-classification"},
                "dataset": {"name": "language_id"},
                "masking": {"rate": 1.0},
            },
            "mine",
        )
    assert str(raised.value) == (
        "Recipe 'mine' has 2 mistakes:\n"
        "  masking.rate = 1.0: it should be less than 1.\n"
        "  masking: only the tasks masked-lm and pretraining hide tokens; set model.task to one of "
        "them, or leave masking out."
    )


def test_a_tokenizer_that_cannot_hide(tmp_path):
    with pytest.raises(UsageError, match=r"'masked-lm' needs a tokenizer with \[CLS\], \[SEP"):
        source_of("bpe", Examples(["some text"] * 50, None, ""), "masked-lm", tmp_path)


@pytest.mark.slow
def test_own_tagged_words_are_trained_on(tmp_path, data_dir):
    words = {"B-CITY": ["Paris", "Rome"], "O": ["we", "saw", "today", "rain"], "B-NAME": ["Ann"]}
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(400):
        for tag in rng.choice(list(words), 5):
            lines.append(f"{rng.choice(words[tag])} {tag}")
        lines.append("")
    (tmp_path / "seen.conll").write_text("\n".join(lines))
    recipe = {
        "model": {
            "name": "bilstm-tagger",
            "overrides": {"embedding_dim": 8, "hidden_dim": 8, "sequence_length": 16},
        },
        "dataset": {"name": str(tmp_path / "seen.conll"), "input": "tokens", "label": "tags"},
        "preprocessing": [{"step": "tokenize", "length": 16}],
        "tokenizer": {"kind": "wordpiece", "vocab_size": 100},
        "compile": {
            "optimizer": {"name": "adam", "learning_rate": 0.02},
            "loss": {"name": "sparse_categorical_crossentropy", "ignore_class": -1},
        },
        "fit": {"epochs": 3},
    }
    run = train(as_recipe(recipe, "tags"), out=tmp_path / "run", data_dir=data_dir, verbose=False)
    assert run.info["labels"] == ["B-CITY", "B-NAME", "O"]
    # What is not counted would be most of it: 11 of 16 tokens are padding.
    assert run.metrics["accuracy"] > 0.9
    assert run.metrics["word_accuracy"] > 0.9
    assert next(iter(run.metrics)) == "entity_f1"
    found = evaluate(run.path, data=tmp_path / "seen.conll", split="train", data_dir=data_dir)
    assert found.metrics["word_accuracy"] > 0.9
    assert next(iter(found.metrics)) == "entity_f1"
    again = evaluate(run.path, data_dir=data_dir).metrics
    assert run.metrics["entity_f1"] == pytest.approx(again["entity_f1"])
    assert {"CITY", "NAME"} <= set(found.per_class)


@pytest.mark.parametrize("task", ["masked-lm", "pretraining"])
def test_hidden_tokens_are_measured(task, tmp_path):
    texts = ["the quick brown fox jumps over the lazy dog and runs away"] * 100
    source = source_of("wordpiece", Examples(texts, None, ""), task, tmp_path, length=16)
    size = source.tokenizer.get_vocab_size()
    recipe = as_recipe(
        {
            "model": {"name": "bert"},
            "dataset": {"name": "pydoc"},
            "compile": {"loss": {"name": "sparse_categorical_crossentropy", "ignore_class": -1}},
        },
        "r",
    )

    def predict(inputs):
        # Half of what is hidden is told rightly: where the place is even.
        _, targets = source.take(np.arange(len(source)))
        hidden = targets["logits"] if task == "pretraining" else targets
        said = np.where(np.arange(16) % 2, (hidden + 1) % size, hidden)
        logits = 9 * np.eye(size)[said]
        follows = np.eye(2)[targets["next_sentence_logits"]] if task == "pretraining" else None
        return {"logits": logits, "next_sentence_logits": follows}

    found = observe(predict, recipe, task, source, [])
    figures = measured(found.rows, resamples=20).metrics
    _, targets = source.take(np.arange(len(source)))
    hidden = targets["logits"] if task == "pretraining" else targets
    even = (hidden[:, ::2] != IGNORED).sum() / (hidden != IGNORED).sum()
    name = "logits_accuracy" if task == "pretraining" else "accuracy"
    assert figures[name] == pytest.approx(even)
    assert found.scores[name] == pytest.approx(even)
    if task == "pretraining":
        assert figures["next_sentence_logits_accuracy"] == 1.0
