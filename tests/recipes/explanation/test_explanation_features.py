"""Inputs cut into features, and shown."""

import numpy as np
import pytest

from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig
from zoo_recipes.explanation.result import strengths
from zoo_recipes.explanation.segmentation import pixels, tokens
from zoo_recipes.explanation.target import pieces
from zoo_registry import UsageError
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.texts import padded_encodings

TEXT = "the cat and the 猫"


def cut(kind, tmp_path, *, words=False, length=16, text=TEXT):
    tokenizer = make_tokenizer(TokenizerConfig(kind=kind, vocab_size=300), ["the cat and the mat"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    preprocessor = Preprocessor([{"step": "tokenize", "length": length}], tmp_path)
    (encoding,) = padded_encodings(preprocessor.tokenizer(), [text], length)
    return tokens(preprocessor.batch([text]), "token_ids", text, encoding, 0, words=words)


def test_tokens_lead_back_to_the_characters(tmp_path):
    parts = cut("wordpiece", tmp_path)
    assert parts.names == ("the (at 0)", "cat", "and", "the (at 12)", "猫")
    assert [TEXT[start:end] for start, end in parts.spans] == ["the", "cat", "and", "the", "猫"]
    values = np.arange(5.0)
    assert pieces(parts, values) == [
        *(("the", 0.0), (" ", None), ("cat", 1.0), (" ", None), ("and", 2.0)),
        *((" ", None), ("the", 3.0), (" ", None), ("猫", 4.0)),
    ]


def test_marks_and_padding_are_never_taken_away(tmp_path):
    parts = cut("wordpiece", tmp_path)
    # [CLS] the cat and the [UNK] [SEP], then padding.
    assert parts.members.tolist() == [-1, 0, 1, 2, 3, 4, -1, *[-1] * 9]
    present = np.array([[True] * 5, [False] * 5, [False, True, False, False, False]])
    kept = parts.keep(present)
    whole = parts.inputs["token_ids"][0]
    assert np.array_equal(kept["token_ids"][0], whole)
    assert kept["token_ids"][1].tolist() == [whole[0], 0, 0, 0, 0, 0, whole[6], *[0] * 9]
    assert kept["padding_mask"][2].tolist() == [1, 0, 1, 0, 0, 0, 1, *[0] * 9]


def test_bytes_of_one_character_are_shown_as_one_piece(tmp_path):
    parts = cut("bpe", tmp_path)
    byte_tokens = [span for span in parts.spans if TEXT[slice(*span)].strip() == "猫"]
    assert len(byte_tokens) == 3
    shown = pieces(parts, np.ones(len(parts)))
    assert "".join(text for text, _ in shown) == TEXT
    assert [value for text, value in shown if "猫" in text] == [3.0]


def test_tokens_of_a_word_go_together(tmp_path):
    single, words = (cut("wordpiece", tmp_path, text="the tent", words=w) for w in (False, True))
    assert len(single) > 2
    assert words.names == ("the", "tent")
    kept = words.keep(np.array([[True, False]]))["token_ids"][0]
    assert (kept != 0).sum() == 3  # [CLS] the [SEP]


def test_a_grid_of_patches():
    rows = 1 + np.arange(28 * 28, dtype="float32").reshape(1, 28, 28, 1)
    parts = pixels({"image": rows}, "image", patches=16, superpixels=False, baseline="black")
    assert len(parts) == 16
    assert parts.names[0] == "rows 0-6, columns 0-6"
    kept = parts.keep(np.eye(16, dtype=bool)[:1])["image"][0]
    assert np.array_equal(kept[:7, :7], rows[0, :7, :7])
    assert kept[7:].sum() == kept[:, 7:].sum() == 0
    assert parts.sums(rows[0]).sum() == rows.sum()
    # A small image is cut into its pixels, and a wide one into square patches.
    small = pixels(
        {"image": rows[:, :4, :4]}, "image", patches=64, superpixels=False, baseline="black"
    )
    assert (len(small), small.names[5]) == (16, "row 1, column 1")
    wide = pixels({"image": rows[:, :7]}, "image", patches=16, superpixels=False, baseline="black")
    assert (len(wide), wide.names[0]) == (16, "rows 0-3, columns 0-3")


def test_patches_that_are_black_already_are_no_features():
    rows = np.zeros((1, 8, 8, 1), "float32")
    rows[0, 2:4, 5] = 7
    grid = {"patches": 16, "superpixels": False, "baseline": "black"}
    parts = pixels({"image": rows}, "image", **grid)
    assert parts.names == ("rows 2-3, columns 4-5",)
    assert np.array_equal(parts.keep(np.array([[True], [False]]))["image"], [rows[0], 0 * rows[0]])
    assert parts.spread(np.array([3.0])).sum() == 4 * 3
    with pytest.raises(UsageError) as failure:
        pixels({"image": 0 * rows}, "image", **grid)
    assert str(failure.value) == ("The image is all black: choose another baseline (--baseline).")


def test_superpixels_keep_to_the_edges_of_what_is_shown():
    rows = np.full((1, 40, 40, 3), 10, "float32")
    rows[:, :, 17:] = (200, 100, 50)
    parts = pixels({"image": rows}, "image", patches=16, superpixels=True, baseline="black")
    left, right = set(parts.members[:, :16].flat), set(parts.members[:, 18:].flat)
    assert not left & right
    assert len(left | right) > 10


@pytest.mark.parametrize(
    ("baseline", "expected"), [("black", 0), ("white", 255), ("mean", 100), ("blur", 100)]
)
def test_what_stands_in_place_of_a_patch(baseline, expected):
    rows = np.indices((40, 40)).sum(axis=0) % 2 * np.float32(200)
    parts = pixels(
        {"image": rows[None, ..., None]},
        "image",
        patches=16,
        superpixels=False,
        baseline=baseline,
    )
    gone = parts.keep(np.zeros((1, 16), bool))["image"]
    np.testing.assert_allclose(gone, expected, atol=1)


def test_an_unknown_baseline_is_refused():
    rows = {"image": np.zeros((1, 4, 4, 1), "float32")}
    with pytest.raises(UsageError) as failure:
        pixels(rows, "image", patches=4, superpixels=False, baseline="blak")
    assert str(failure.value) == (
        "baseline='blak' is not one of: black, white, mean, blur. Did you mean 'black'?"
    )


def test_a_few_extreme_pixels_do_not_hide_the_rest():
    values = np.full(10_000, 0.5)
    values[:10] = 1000
    assert strengths(values)[-1] == 1
    few = np.zeros(10_000)
    few[3] = -2
    assert strengths(few)[3] == -1
