"""The browser target: the page in a real Chromium says what Python says."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from export_browser import PATIENCE, TEXTS
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from zoo_export import ExportError, export
from zoo_export.targets.browser import write
from zoo_registry import ZooError
from zoo_runtime.answers.prediction import probabilities
from zoo_runtime.preprocess.steps import ImageStep

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def text_page(tokenizers, tmp_path_factory):
    import keras

    import zoo

    keras.utils.set_random_seed(3)
    model = zoo.get_model(
        "bert-tiny",
        task="text-classification",
        vocab_size=700,
        num_classes=4,
        sequence_length=48,
        use_segments=True,
    )
    for weight in model.trainable_weights:  # as if trained: not all answers the same
        weight.assign(weight + 0.2 * keras.random.normal(weight.shape))
    assets = tmp_path_factory.mktemp("assets")
    (assets / "tokenizer.json").write_bytes((tokenizers / "bpe.json").read_bytes())
    return export(
        model,
        target="browser",
        optimize="onnxruntime",  # whose own operators onnxruntime-web has too
        out=tmp_path_factory.mktemp("pages") / "texts",
        task="text-classification",
        labels=["ja", "nein", "vielleicht", "<b>egal</b>"],
        preprocessing=[{"step": "tokenize", "length": 48, "segment_ids": True}],
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
    with pytest.raises(ZooError, match=r"'http://127.*/onnxruntime-web-.*' cannot be fetched: "):
        write(copy, digits_page.manifest)


def test_a_page_asks_for_one_text_only(digits_page):
    manifest = replace(digits_page.manifest, task="question-answering")
    with pytest.raises(ExportError) as error:
        write(digits_page.path, manifest)
    said = "The page takes one text; 'digits-net' answers a question about another."
    assert str(error.value) == said


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
    assert driver.title == "bert-tiny"
    assert "<b>egal</b>" in driver.find_element(By.ID, "facts").text


def test_a_page_opened_as_a_file_says_what_to_do(page, text_page):
    driver = page(text_page)
    driver.get((text_page.path / "browser" / "index.html").as_uri())
    said = driver.find_element(By.ID, "notice").text
    assert "the page was opened as a file" in said
    assert "Run python -m http.server in this folder" in said
    assert not driver.find_element(By.ID, "main").is_displayed()
