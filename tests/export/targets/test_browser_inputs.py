"""The page makes the same arrays of images and texts as Python."""

import random
import unicodedata

import numpy as np
import pytest
from export_browser import TEXTS

from zoo_export.targets.browser import texts as browser
from zoo_runtime.preprocess.steps import ImageStep
from zoo_runtime.preprocess.texts import encode, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


def test_images_are_resized_to_the_same_integers_as_by_pillow(page, digits_page):
    driver = page(digits_page)
    draw = np.random.default_rng(1)
    cases, wanted = [], []
    for at in range(300):
        old_height, old_width, height, width = map(int, draw.integers(1, 40, 4))
        rgba = draw.integers(0, 256, (old_height, old_width, 4), np.uint8)
        step = {"size": (height, width + (width == old_width)), "channels": (1, 3)[at % 2]}
        step["resample"] = ("nearest", "bilinear", "bicubic", "lanczos")[at % 4]
        if at % 3 == 0:  # the middle of a larger image
            step["shorter_side"] = max(step["size"]) + at % 7
        elif at % 7 == 0:
            step["resized"] = tuple(side + at % 5 for side in step["size"])
        step["rounding"] = ("floor", "even")[at // 12 % 2]
        cases.append([rgba.ravel().tolist(), old_width, old_height, step])
        wanted.append(ImageStep(**step).batch([rgba])["image"].ravel().tolist())
    found = driver.execute_async_script(
        """const [cases, done] = arguments;
        import(new URL('pixels.js', location.href)).then(({ imagePixels }) =>
          done(cases.map(([data, width, height, step]) =>
            Array.from(imagePixels({ data, width, height }, step).data))));""",
        cases,
    )
    unequal = [case[1:] for case, a, b in zip(cases, found, wanted, strict=True) if a != b]
    assert unequal == []


def odd_texts(count):
    """Draw texts of letters that Unicode has had for long: libraries learn new ones late."""
    draw = random.Random(0)
    known = [
        c
        for c in map(chr, range(1, 0x2FFFF))
        if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs")
    ]
    common = [chr(c) for c in (*range(32, 0x250), *range(0x300, 0x600), *range(0x4E00, 0x4F00))]
    for _ in range(count):
        letters = draw.choices(common, k=20) + draw.choices(known, k=10)
        draw.shuffle(letters)
        yield "".join(letters)


@pytest.mark.parametrize(
    "kind", ["bpe", "bpe-framed", "bpe-digits", "wordpiece", "wordpiece-cased", "char", "bert"]
)
def test_texts_and_token_numbers_are_those_of_python(page, digits_page, tokenizers, kind):
    driver = page(digits_page)
    browser.check_tokenizer(tokenizers / f"{kind}.json")
    browser.check_decoder(tokenizers / f"{kind}.json")
    tokenizer = load_tokenizer(tokenizers, f"{kind}.json")
    frame = browser.frame(tokenizer)
    texts = [*TEXTS, *odd_texts(500)]
    draw = np.random.default_rng(2)
    # Also numbers that no text has in this order: halves of characters, special tokens, none.
    rows = draw.integers(0, tokenizer.get_vocab_size() + 3, (300, 12)).tolist()
    found, written = driver.execute_async_script(
        """const [file, frame, texts, rows, done] = arguments;
        const load = (name) => import(new URL(name, location.href));
        Promise.all(['tokenizer.js', 'text.js'].map(load)).then(([{ Tokenizer }, { decoder }]) => {
          const tokenizer = new Tokenizer(JSON.parse(file), frame);
          const decode = decoder(JSON.parse(file));
          const arrays = texts.flatMap((text) => [24, 200].map((length) => {
            const { ids, mask } = tokenizer.encode(text, length);
            return [Array.from(ids), Array.from(mask)];
          }));
          done([arrays, [...arrays.map(([ids]) => ids), ...rows].map(decode)]);
        });""",
        (tokenizers / f"{kind}.json").read_text(encoding="utf-8"), frame, texts, rows,
    )  # fmt: skip
    all_rows = [*(ids for ids, _ in found), *rows]
    for row, text in zip(all_rows, written, strict=True):
        assert text == tokenizer.decode(row, skip_special_tokens=True), row
    for at, length in enumerate((24, 200)):
        ids, mask, segments = encode(tokenizer, texts, length)
        for text, row, wanted, wanted_mask in zip(texts, found[at::2], ids, mask, strict=True):
            assert row == [wanted.tolist(), wanted_mask.tolist()], ascii(text)
        assert not segments.any()


def test_python_allows_what_the_page_knows(page, digits_page):
    names = page(digits_page).execute_async_script(
        """const done = arguments[0];
        const load = (name) => import(new URL(name, location.href));
        Promise.all(['tokenizer.js', 'text.js'].map(load)).then(([m, { DECODERS }]) =>
          done([m.NORMALIZERS, m.SPLITTERS, m.MODELS, DECODERS].map(Object.keys)));"""
    )
    known = (browser.NORMALIZERS, browser.SPLITTERS, browser.MODELS, browser.DECODERS)
    assert [set(part) for part in names] == list(known)
