"""The browser target: the page in a real Chromium says what Python says."""

import json
import random
import shutil
import unicodedata
from contextlib import ExitStack

import numpy as np
import pytest
from click.testing import CliRunner
from export_browser import PATIENCE, chromium, served
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from zoo.cli.main import cli
from zoo_export import export, load_bundle
from zoo_export.preprocess.steps import ImageStep
from zoo_export.preprocess.texts import encode, load_tokenizer
from zoo_export.runtime.prediction import probabilities
from zoo_export.targets.browser import tokenizing, write
from zoo_registry import ZooError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

TEXTS = [
    "Où est la bibliothèque, s\u2019il vous plaît ?",
    "我不知道你在說什麼 𠀀𪚥\uff0c漢字かな交じり文。",
    "ΟΔΥΣΣΕΥΣ İstanbul ǅ ﬁne straße e\u0301 e\u0308 हिन्दी ไทย עברית العربية",
    "👩‍👩‍👧‍👦 🇺🇳 ✌🏽 emoji  and\ttabs\n\nand   spaces \u00a0\u3000\u0085\ufeff here",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 4,
    "don't we'll I'M it's 3.14 x² ½ 100,000 #tag @you [PAD] [CLS] [SEP][EOS]<|endoftext|>",
    "x" * 101 + " " + "y" * 100,
    "\u200b\u200d\u00ad zero \u202e width \x07 bell",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Open a bundle's page and wait until its model is there."""
    with ExitStack() as stack:
        driver = stack.enter_context(chromium(tmp_path_factory.mktemp("profile")))
        addresses = {}

        def open_page(bundle):
            folder = bundle.path / "browser"
            if folder not in addresses:
                addresses[folder] = stack.enter_context(served(folder))
            driver.get(addresses[folder])
            WebDriverWait(driver, PATIENCE).until(
                lambda d: d.find_element(By.ID, "main").is_displayed()
            )
            return driver

        yield open_page


@pytest.fixture(scope="module")
def digits_page(make_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "digits-net"
    command = ["export", str(make_run()), "--target", "browser", "--out", str(out)]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert f"Next: python -m http.server --directory {out}/browser" in done.output
    return load_bundle(out)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Files of the kinds that recipes and snapshots bring, by name."""
    from zoo.weights.tokenizer import read_tokenizer
    from zoo_recipes.configs import TokenizerConfig
    from zoo_recipes.vocabulary import make_tokenizer

    folder = tmp_path_factory.mktemp("tokenizers")
    texts = [*TEXTS, *(text.lower() for text in TEXTS)] * 3
    kinds = {
        "bpe": {"kind": "bpe", "lowercase": True, "add_prefix_space": True},
        "bpe-framed": {"kind": "bpe", "framed": True, "strip_accents": True},
        "wordpiece": {"kind": "wordpiece", "lowercase": True, "strip_accents": True},
        "wordpiece-cased": {"kind": "wordpiece", "lowercase": False, "strip_accents": False},
        "char": {"kind": "char", "lowercase": True},
    }
    for name, table in kinds.items():
        made = make_tokenizer(TokenizerConfig(vocab_size=700, **table), texts)
        made.save(str(folder / f"{name}.json"))
    pieces = list(json.loads((folder / "wordpiece.json").read_text())["model"]["vocab"])
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    read_tokenizer(folder).save(str(folder / "bert.json"))
    return folder


@pytest.fixture(scope="module")
def text_page(tokenizers, tmp_path_factory):
    import keras

    import zoo

    keras.utils.set_random_seed(3)
    model = zoo.get_model(
        "transformer-classifier",
        vocab_size=700,
        num_classes=4,
        num_layers=1,
        hidden_dim=32,
        task="text-classification",
    )
    for weight in model.trainable_weights:  # as if trained: not all answers the same
        weight.assign(weight + 0.2 * keras.random.normal(weight.shape))
    assets = tmp_path_factory.mktemp("assets")
    (assets / "tokenizer.json").write_bytes((tokenizers / "bpe.json").read_bytes())
    return export(
        model,
        target="browser",
        out=tmp_path_factory.mktemp("pages") / "texts",
        task="text-classification",
        labels=["ja", "nein", "vielleicht", "<b>egal</b>"],
        preprocessing=[{"step": "tokenize", "length": 48}],
        assets=assets,
    )


def done(driver):
    result = driver.find_element(By.ID, "result")
    WebDriverWait(driver, PATIENCE).until(
        lambda _: result.get_attribute("data-state") in {"done", "failed"}
    )
    return result


def answers(driver):
    rows = done(driver).find_elements(By.TAG_NAME, "li")
    return [
        (r.get_attribute("data-label"), float(r.get_attribute("data-probability"))) for r in rows
    ]


def same(shown, prediction):
    assert [label for label, _ in shown] == [label for label, _ in prediction.top]
    expected = [probability for _, probability in prediction.top]
    assert [probability for _, probability in shown] == pytest.approx(expected, abs=1e-5)


def send_picture(driver, path):
    driver.find_element(By.CSS_SELECTOR, "[value=file]").click()
    driver.execute_script("document.getElementById('result').dataset.state = 'waiting'")
    driver.find_element(By.ID, "picture").send_keys(str(path))
    return answers(driver)


def seen_pixels(driver):
    data = driver.execute_script(
        "const c = document.getElementById('seen-pixels');"
        "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    return np.array(data).reshape(-1, 4)


def pictures(folder):
    """Write pictures of every kind; name -> largest difference allowed in a pixel."""
    draw = np.random.default_rng(0)
    colours = np.kron(draw.integers(0, 256, (7, 9, 3)), np.ones((9, 7, 1))).astype(np.uint8)
    rgb = Image.fromarray(colours)
    alpha = Image.fromarray(draw.integers(0, 256, (63, 63), np.uint8))
    clear = Image.fromarray(((draw.random((63, 63)) > 0.5) * 255).astype(np.uint8))
    made = {}

    def keep(name, image, allowed=0, **options):
        image.save(folder / name, **options)
        made[name] = allowed

    keep("colour.png", rgb)
    keep("grey.png", rgb.convert("L"))
    keep("tiny.png", rgb.resize((5, 3)))
    keep("palette.png", rgb.quantize(16))
    keep("clear.png", Image.merge("RGBA", (*rgb.split(), clear)))
    keep("lossless.webp", rgb, lossless=True)
    keep("frames.gif", rgb.quantize(16), save_all=True, append_images=[rgb.quantize(4)])
    keep("photo.jpg", rgb, quality=90)
    turned = Image.Exif()
    turned[0x0112] = 6
    keep("turned.jpg", rgb.resize((60, 20)), quality=95, exif=turned)
    keep("glass.png", Image.merge("RGBA", (*rgb.split(), alpha)))
    # A browser keeps the upper 8 of 16 bits, Python rounds.
    keep("deep.png", Image.fromarray(draw.integers(0, 65536, (20, 20)).astype(np.uint16)), 1)
    return made


def test_pictures_of_every_kind_are_seen_as_python_sees_them(page, digits_page, tmp_path):
    driver = page(digits_page)
    step = ImageStep(size=(8, 8), channels=1)
    for name, allowed in pictures(tmp_path).items():
        shown = send_picture(driver, tmp_path / name)
        wanted = step.batch([tmp_path / name])["image"].reshape(-1)
        difference = np.abs(seen_pixels(driver)[:, 0] - wanted).max()
        assert difference <= allowed, name
        if difference == 0:
            same(shown, digits_page.predict(tmp_path / name, runtime="onnx")[0])
    refused = tmp_path / "notes.png"
    refused.write_text("no picture")
    assert send_picture(driver, refused) == []
    said = "“notes.png” is not a picture that this browser can read."
    assert driver.find_element(By.ID, "error").text == said


def test_images_are_resized_to_the_same_integers_as_by_pillow(page, digits_page):
    driver = page(digits_page)
    draw = np.random.default_rng(1)
    cases, wanted = [], []
    for at in range(300):
        old_height, old_width, height, width = map(int, draw.integers(1, 40, 4))
        rgba = draw.integers(0, 256, (old_height, old_width, 4), np.uint8)
        step = {"size": (height, width + (width == old_width)), "channels": (1, 3)[at % 2]}
        step["resample"] = ("nearest", "bilinear", "bicubic", "lanczos")[at % 4]
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


def test_a_drawing_is_run_with_pointer_and_with_keys(page, digits_page):
    driver = page(digits_page)
    assert driver.find_element(By.ID, "white-on-black").is_selected()
    pad = driver.find_element(By.ID, "pad")
    stroke = ActionChains(driver, duration=20).move_to_element_with_offset(pad, 0, -80)
    stroke.click_and_hold().move_by_offset(0, 160).release().perform()
    assert answers(driver)[0][0] == "digit 1"
    by_pointer = seen_pixels(driver)
    driver.find_element(By.ID, "clear").click()
    driver.execute_script("document.getElementById('result').dataset.state = 'waiting'")
    pad.send_keys(*[Keys.ARROW_UP] * 10, " ", *[Keys.ARROW_DOWN] * 20, " ")
    assert answers(driver)[0][0] == "digit 1"
    assert np.abs(seen_pixels(driver) - by_pointer).max() <= 20  # keys go in steps


def test_a_text_is_answered_as_python_answers_it(page, text_page):
    driver = page(text_page)
    words = driver.find_element(By.ID, "words")
    seen = set()
    for text in TEXTS[:3]:
        words.clear()
        words.click()
        driver.execute_cdp_cmd("Input.insertText", {"text": text})  # send_keys lacks rarer letters
        words.send_keys(Keys.CONTROL, Keys.ENTER)
        (prediction,) = text_page.predict(text, runtime="onnx")
        same(answers(driver), prediction)
        seen.add(prediction.probability)
        driver.execute_script("document.getElementById('result').dataset.state = 'waiting'")
    assert len(seen) == 3
    words.clear()
    words.send_keys("   ", Keys.CONTROL, Keys.ENTER)
    assert answers(driver) == []
    said = "This is an empty text: there is nothing to read in it."
    assert driver.find_element(By.ID, "error").text == said


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
    "kind", ["bpe", "bpe-framed", "wordpiece", "wordpiece-cased", "char", "bert"]
)
def test_texts_have_the_token_numbers_that_python_gives(page, digits_page, tokenizers, kind):
    driver = page(digits_page)
    tokenizing.check_tokenizer(tokenizers / f"{kind}.json")
    tokenizer = load_tokenizer(tokenizers, f"{kind}.json")
    frame = tokenizing.frame(tokenizer)
    texts = [*TEXTS, *odd_texts(500)]
    found = driver.execute_async_script(
        """const [file, frame, texts, done] = arguments;
        import(new URL('tokenizer.js', location.href)).then(({ Tokenizer }) => {
          const tokenizer = new Tokenizer(JSON.parse(file), frame);
          done(texts.flatMap((text) => [24, 200].map((length) => {
            const { ids, mask } = tokenizer.encode(text, length);
            return [Array.from(ids), Array.from(mask)];
          })));
        });""",
        (tokenizers / f"{kind}.json").read_text(encoding="utf-8"), frame, texts,
    )  # fmt: skip
    for at, length in enumerate((24, 200)):
        ids, mask = encode(tokenizer, texts, length)
        for text, row, wanted, wanted_mask in zip(texts, found[at::2], ids, mask, strict=True):
            assert row == [wanted.tolist(), wanted_mask.tolist()], ascii(text)


def test_python_allows_what_the_page_knows(page, digits_page):
    names = page(digits_page).execute_async_script(
        """const done = arguments[0];
        import(new URL('tokenizer.js', location.href)).then((m) =>
          done([m.NORMALIZERS, m.SPLITTERS, m.MODELS].map(Object.keys)));"""
    )
    known = (tokenizing.NORMALIZERS, tokenizing.SPLITTERS, tokenizing.MODELS)
    assert [set(part) for part in names] == list(known)


def test_numbers_go_in_where_there_is_no_preprocessing(page, dense, tmp_path):
    bundle = export(dense(), target="browser", out=tmp_path / "small", task="regression")
    driver = page(bundle)
    box = driver.find_element(By.NAME, "features")
    shown = [float(number) for number in box.get_attribute("value").split(",")]
    assert len(shown) == 4  # a sample, to start from
    box.clear()
    box.send_keys("[0.5, -1e2 3", Keys.TAB, Keys.ENTER)
    done(driver)
    assert driver.find_element(By.ID, "error").text == "“features” takes 4 numbers (4), not 3."
    box.clear()
    box.send_keys("[0.5, -1e2 3\n.25]", Keys.TAB, Keys.ENTER)
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_element(By.TAG_NAME, "pre").text)
    found = [float(number) for number in driver.find_element(By.TAG_NAME, "pre").text.split(",")]
    wanted = bundle.run({"features": np.float32([[0.5, -100, 3, 0.25]])}, runtime="onnx")["logits"]
    assert found == pytest.approx(wanted[0].tolist(), rel=1e-5)


def test_without_the_runtime_nothing_is_written(digits_page, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    copy = shutil.copytree(digits_page.path, tmp_path / "copy")
    shutil.rmtree(copy / "browser")
    (copy / "browser").mkdir()
    with pytest.raises(ZooError, match=r"'onnxruntime-web' .* cannot be fetched from http://127"):
        write(copy, digits_page.manifest)


def test_a_language_model_names_the_next_token(page, digits_page):
    logits = np.random.default_rng(4).normal(0, 3, (1, 3, 6)).astype(np.float32)
    found = page(digits_page).execute_async_script(
        """const [logits, done] = arguments;
        import(new URL('answer.js', location.href)).then(({ topAnswers }) => {
          const outputs = { logits: { data: Float32Array.from(logits), dims: [1, 3, 6] } };
          const model = { task: "causal-lm", labels: Array.from("abcdef") };
          done([1, undefined].map((end) => topAnswers(model, outputs, end)));
        });""",
        logits.ravel().tolist(),
    )
    for shown, row in zip(found, (logits[:, 1], logits[:, 2]), strict=True):
        (wanted,) = probabilities(row)
        assert [answer["label"] for answer in shown] == [
            "abcdef"[i] for i in np.argsort(-wanted)[:5]
        ]
        shares = [answer["probability"] for answer in shown]
        assert shares == pytest.approx(np.sort(wanted)[::-1][:5].tolist(), abs=1e-6)


def test_the_page_asks_nobody_else_and_logs_no_error(page, text_page):
    driver = page(text_page)
    driver.get_log("browser")
    driver.get_log("performance")
    page(text_page)
    driver.find_element(By.ID, "words").send_keys("bonjour", Keys.CONTROL, Keys.ENTER)
    assert len(answers(driver)) == 4
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert any(address.endswith(".wasm") for address in asked)
    own = driver.current_url
    assert {a for a in asked if not a.startswith((own, "data:", "blob:"))} == set()
    assert driver.title == "transformer-classifier"
    assert "<b>egal</b>" in driver.find_element(By.ID, "facts").text


def test_a_page_opened_as_a_file_says_what_to_do(page, text_page):
    driver = page(text_page)
    driver.get((text_page.path / "browser" / "index.html").as_uri())
    said = driver.find_element(By.ID, "notice").text
    assert "the page was opened as a file" in said
    assert "Run python -m http.server in this folder" in said
    assert not driver.find_element(By.ID, "main").is_displayed()
