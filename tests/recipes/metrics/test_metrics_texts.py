"""Metrics of entities, of written texts and of language models."""

import sys

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from seqeval import metrics as seqeval

from zoo_recipes.arrays.sources import Windows
from zoo_recipes.metrics.fairness import parity
from zoo_recipes.metrics.resampling import point
from zoo_recipes.metrics.texts import count_entities, count_texts, read_windows
from zoo_registry import ZooError

WANTED = [
    ["B-PER", "I-PER", "O", "B-LOC"],
    ["O", "B-ORG", "I-ORG", "O"],
    ["B-LOC", "O", "B-PER"],
    ["O", "O"],
]
GIVEN = [
    ["B-PER", "I-PER", "O", "B-ORG"],
    ["O", "B-ORG", "O", "O"],
    ["B-LOC", "O", "B-PER"],
    ["B-LOC", "O"],
]
DRAWN = np.array([[0, 2, 2, 3], [0, 1, 2, 3], [1, 1, 0, 3]])


def weights_of(drawn):
    return np.stack([np.bincount(row, minlength=4) for row in drawn]).astype(float)


def test_entities_are_counted_as_seqeval_counts_them():
    found = count_entities(WANTED, GIVEN)
    figures = found.metrics(weights_of(DRAWN))
    assert found.kinds == ("LOC", "ORG", "PER")
    for at, row in enumerate(DRAWN):
        right, made = ([tags[number] for number in row] for tags in (WANTED, GIVEN))
        assert figures["accuracy"][at] == pytest.approx(seqeval.accuracy_score(right, made))
        for average, name in (("micro", "entity_f1"), ("macro", "f1_macro")):
            wanted = seqeval.f1_score(right, made, average=average, zero_division=0)
            assert figures[name][at] == pytest.approx(wanted)
        report = seqeval.classification_report(right, made, output_dict=True, zero_division=0)
        for kind, value in zip(found.kinds, figures["precision"][at], strict=True):
            if kind in report:
                assert value == pytest.approx(report[kind]["precision"])


def test_entities_of_one_word_and_of_several_in_other_letters():
    wanted = [["B-PER", "L-PER", "O", "U-LOC"]]
    assert point(count_entities(wanted, wanted))["entity_f1"] == 1
    none = point(count_entities(wanted, [["O"] * 4]))
    assert (none["entity_f1"], none["accuracy"]) == (0, 0.25)
    # Where a split happens to hold no entity, all that was given is wrong.
    none = count_entities([["O", "O"]], [["B-PER", "O"]], names=["B-PER", "O"])
    assert point(none)["entity_f1"] == 0
    # Parts of speech mark nothing.
    assert "entity_f1" not in point(count_entities([["NOUN"]], [["NOUN"]], names=["NOUN"]))


TEXTS = ["the cat sat on the mat", "a dog ran home", "rain falls", "he said nothing at all to us"]
MADE = ["the cat sat on a mat", "a dog ran home", "snow falls", "he said something to us at all"]


def test_texts_are_scored_as_sacrebleu_and_rouge_score_do():
    found = count_texts(MADE, TEXTS)
    figures = found.metrics(weights_of(DRAWN))
    scorer = RougeScorer(["rouge1", "rougeL"])
    for at, row in enumerate(DRAWN):
        made, wanted = ([texts[number] for number in row] for texts in (MADE, TEXTS))
        assert figures["bleu"][at] == pytest.approx(BLEU().corpus_score(made, [wanted]).score)
        assert figures["chrf"][at] == pytest.approx(CHRF().corpus_score(made, [wanted]).score)
        scored = [scorer.score(*pair) for pair in zip(wanted, made, strict=True)]
        for known, name in (("rouge1", "rouge_1"), ("rougeL", "rouge_l")):
            mean = np.mean([score[known].fmeasure for score in scored])
            assert figures[name][at] == pytest.approx(mean)
        right = np.mean([one == other for one, other in zip(made, wanted, strict=True)])
        assert figures["exact_match"][at] == pytest.approx(right)
    assert point(found.take([1]))["bleu"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("made", "wanted", "share"),
    [
        ("привет мир", "Привет, мир!", 1),
        ("привет мир", "привет море", 1 / 2),
        ("un café noir", "un cafe noir", 2 / 3),
        ("नमस्ते दुनिया", "नमस्ते दुनिया", 1),
        ("我爱猫", "我爱狗", 2 / 3),
        ("snake_case 42", "snake case 42", 1),
    ],
)
def test_rouge_counts_words_of_every_script(made, wanted, share):
    assert point(count_texts([made], [wanted]))["rouge_1"] == pytest.approx(share)


def test_every_token_is_read_once():
    stream = np.arange(50, dtype=np.int32) % 16
    seen = []

    def predict(inputs):
        """Know the next token in the first half of a window, and nothing in the second."""
        seen.append(inputs["token_ids"])
        logits = np.zeros((*inputs["token_ids"].shape, 16))
        known = np.eye(16)[(inputs["token_ids"] + 1) % 16] * 1e3
        logits[:, :4] = known[:, :4]
        return {"logits": logits}

    found = read_windows(predict, Windows("token_ids", stream, 8, characters=98))
    assert np.concatenate(seen).ravel()[:49].tolist() == stream[:-1].tolist()
    assert found.tokens.tolist() == [8] * 6 + [1]
    np.testing.assert_allclose(found.nats, [4 * np.log(16)] * 6 + [0], atol=1e-9)
    figures = point(found)
    assert figures["loss"] == pytest.approx(24 * np.log(16) / 49)
    assert figures["perplexity"] == pytest.approx(16 ** (24 / 49))
    assert figures["bits_per_character"] == pytest.approx(24 * 4 / 98)


@pytest.mark.parametrize(
    ("module", "count", "message"),
    [
        (
            "seqeval.metrics.sequence_labeling",
            lambda: count_entities(WANTED, GIVEN),
            "Metrics of entities need seqeval: pip install 'kerazoo[text-metrics]'.",
        ),
        (
            "sacrebleu.metrics",
            lambda: count_texts(MADE, TEXTS),
            "Metrics of written texts need sacrebleu.metrics: pip install 'kerazoo[text-metrics]'.",
        ),
        (
            "fairlearn",
            lambda: parity(np.array([0]), np.array([0]), ["a"], ["no", "yes"]),
            "Parity measures of groups need fairlearn: pip install 'kerazoo[fairness]'.",
        ),
    ],
)
def test_a_library_that_is_not_installed(module, count, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ZooError) as caught:
        count()
    assert str(caught.value) == message
