"""The page of a language model writes, token for token, what Python writes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from export_browser import PATIENCE, TEXTS
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from zoo_export import ExportError, export
from zoo_export.targets.browser import write
from zoo_runtime.generation.config import GenerationConfig, configured
from zoo_runtime.generation.processors import processed, processors
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess.texts import load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
POSITIONS = 64
# An odd prompt, and one of halves of a character behind another; each with options.
ASKED = [
    (TEXTS[0], {"temperature": 0}),
    (TEXTS[0], {"seed": 1}),
    ("\u200b 𠀀", {"seed": 2**62 + 3, "temperature": 1.3, "top_k": 300, "top_p": 0.9}),
    ("don't", {"seed": 5, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "min_p": 0.001}),
    ("a", {"seed": 7, "max_new_tokens": 500}),
    ("a", {"seed": 7, "max_new_tokens": 90, "overflow": "slide"}),
    ("x" * 90, {"seed": 3, "max_new_tokens": 30, "overflow": "slide"}),
    ("a", {"seed": 9, "max_new_tokens": 40, "stop_strings": ("x", "pfsch")}),
    ("a", {"seed": 1, "eos_token_id": (415, 363)}),
    ("b", {"temperature": 0, "max_new_tokens": 0}),
]
WRITE = """const [asked, done] = arguments;
const load = (name) => import(new URL(name, location.href));
const all = async () => {
  const [{ loadModel }, { write }] = await Promise.all(["model.js", "generate.js"].map(load));
  const model = await loadModel(() => {});
  const found = [];
  for (const [prompt, config] of asked) {
    const parts = [];
    let last;
    const wanted = { ...config, seed: BigInt(config.seed) };
    for await (last of write(model, prompt, wanted)) if (last.text) parts.push(last.text);
    found.push([parts, last.tokens, last.finish]);
  }
  return found;
};
all().then(done, (error) => done(`${error}`));"""


@pytest.fixture(scope="module")
def writer(tokenizers, tmp_path_factory):
    import keras

    import zoo

    keras.utils.set_random_seed(3)
    sizes = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "max_length": POSITIONS}
    model = zoo.get_model("gpt", vocab_size=703, **sizes)  # a few more than the tokenizer has
    for weight in model.trainable_weights:  # as if trained: not all tokens as probable
        weight.assign(weight + 0.2 * keras.random.normal(weight.shape))
    assets = tmp_path_factory.mktemp("assets")
    (assets / "tokenizer.json").write_bytes((tokenizers / "bpe.json").read_bytes())
    return export(
        model,
        target="browser",
        out=tmp_path_factory.mktemp("pages") / "writer",
        task="causal-lm",
        preprocessing=[{"step": "tokenize", "length": POSITIONS}],
        assets=assets,
    )


def as_page(config):
    """Return a configuration as model.json has it; a number of 64 bits is a text."""
    table = {name: getattr(config, name) for name in config.__dataclass_fields__}
    return {**table, "seed": str(config.seed or 0)}


def test_tokens_and_parts_of_texts_are_those_of_python(page, writer):
    generator = writer.text_generator("onnx")
    asked = [(prompt, configured(generator.config, options)) for prompt, options in ASKED]
    found = page(writer).execute_async_script(WRITE, [[p, as_page(c)] for p, c in asked])
    ends, seen = set(), set()
    for (prompt, options), shown in zip(ASKED, found, strict=True):
        pieces = list(generator.stream([prompt], **options))
        last = pieces[-1].completion
        parts = [piece.text for piece in pieces if piece.text]
        assert shown == [parts, list(last.tokens), last.finish], (prompt, options)
        ends.add(last.finish)
        seen |= set(last.tokens)
    assert ends == {"stop", "length", "context"}
    assert len(seen) > 100


def test_no_half_of_a_character_is_shown(page, writer, tokenizers):
    tokenizer = load_tokenizer(tokenizers, "bpe.json")
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    found = page(writer).execute_async_script(
        """const [rows, done] = arguments;
        const all = async () => {
          const { GrowingText, decoder } = await import(new URL("text.js", location.href));
          const decode = decoder(await (await fetch("tokenizer.json")).json());
          return rows.map(([first, ...rest]) => {
            const text = new GrowingText(decode, [first], []);
            const parts = rest.map((_, at) => text.add(rest.slice(0, at + 1)));
            return [decode([first]), ...parts, text.end(rest, false)];
          });
        };
        all().then(done);""",
        rows,
    )
    whole = 0
    for row, parts in zip(rows, found, strict=True):
        if "\ufffd" not in parts[0]:  # whose first token is no half
            assert "".join(parts) == tokenizer.decode(row)
            assert "\ufffd" not in "".join(parts)
            whole += 1
    assert whole > 4


def test_numbers_are_those_of_numpy(page, writer):
    entropy = [[0, 0], [1, 0], [12345, 3], [2**32 - 1, 0], [2**32, 1], [2**63 - 1, 2**40, 5, 6]]
    found = page(writer).execute_async_script(
        """const [entropy, done] = arguments;
        import(new URL('random.js', location.href)).then(({ defaultRng }) =>
          done(entropy.map((numbers) => {
            const next = defaultRng(numbers.map(BigInt));
            return Array.from({ length: 1000 }, next);
          })));""",
        [[str(number) for number in numbers] for numbers in entropy],
    )
    for numbers, shown in zip(entropy, found, strict=True):
        assert shown == np.random.default_rng(numbers).random(1000).tolist()


CONFIGS = [
    {"temperature": 0.7},
    {"do_sample": True, "top_k": 5},
    {"top_p": 0.8},
    {"top_p": 1e-9},
    {"temperature": 2.5, "top_k": 9, "top_p": 0.6},
    {"min_p": 0.1},
    {"typical_p": 0.4},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.4, "no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 1},
    {"bad_words_ids": ((3,), (1, 2), (6, 7), (9, 9, 9, 9, 9, 9, 9))},
    {"min_new_tokens": 4, "eos_token_id": (1, 8), "bad_words_ids": ((8,), (8, 2))},
    {"forced_bos_token_id": 4},
    {"forced_eos_token_id": 4, "max_new_tokens": 3},
    {"suppress_tokens": (0, 9), "begin_suppress_tokens": (1, 2)},
]


def test_scores_are_changed_as_in_python(page, writer):
    draw = np.random.default_rng(6)
    cases, wanted = [], []
    for options in CONFIGS:
        config = configured(GenerationConfig(), options)
        steps = processors(config, 12)
        for length in range(1, 7):
            tokens, prompt = draw.integers(0, 12, length), min(length, 3)
            scores = draw.normal(0, 2, 12).astype(np.float32)
            scores[draw.integers(0, 12, 3)] = 1.5  # some are equal
            cases.append([as_page(config), scores.tolist(), tokens.tolist(), prompt])
            wanted.append(processed(steps, tokens, prompt, scores))
    found = page(writer).execute_async_script(
        """const [cases, done] = arguments;
        import(new URL('processors.js', location.href)).then(({ processors }) =>
          done(cases.map(([config, scores, tokens, prompt]) =>
            Array.from(processors(config).reduce(
              (value, step) => step(value, tokens, prompt), Float32Array.from(scores))))));""",
        cases,
    )
    for case, shown, scores in zip(cases, found, wanted, strict=True):
        assert [-np.inf if x is None else x for x in shown] == scores.tolist(), case


def send(driver, text, **fields):
    """Fill the form, send it and wait for the end."""
    for name, value in {"beginning": "", **fields}.items():
        box = driver.find_element(By.ID, name)
        box.clear()
        box.click()
        content = text if name == "beginning" else str(value)
        driver.execute_cdp_cmd("Input.insertText", {"text": content})
    driver.execute_script("document.getElementById('result').dataset.state = 'waiting'")
    driver.find_element(By.ID, "go").click()
    return ended(driver)


def ended(driver):
    result = driver.find_element(By.ID, "result")
    WebDriverWait(driver, PATIENCE).until(
        lambda _: result.get_attribute("data-state") in {"done", "failed"}
    )
    return {
        name: driver.execute_script(f"return document.getElementById('{name}').textContent")
        for name in ("new", "ended", "time", "error", "go")
    }


def test_a_person_has_a_text_written_and_stops_another(page, writer):
    driver = page(writer)
    driver.get_log("browser")
    shown = send(driver, TEXTS[0], seed=8, length=20)
    [wanted] = writer.text_generator("onnx").complete([TEXTS[0]], seed=8, max_new_tokens=20)
    assert shown["new"] == wanted.text
    assert shown["time"].startswith("20 tokens, the first after ")
    assert shown["time"].endswith(" a second, seed 8")
    assert shown["ended"] == "It has the length that you asked for."
    full = send(driver, TEXTS[0], length=500)
    assert full["new"].startswith(wanted.text[:10])
    assert full["ended"] == (
        f"The context is full: the model has {POSITIONS} positions, for the beginning and what it "
        "writes."
    )
    driver.execute_script(
        """document.getElementById('result').dataset.state = 'waiting';
        const go = document.getElementById('go');
        go.click();
        const shown = new MutationObserver(() => {
          if (go.textContent === 'Stop') go.click();
          shown.disconnect();
        });
        shown.observe(document.getElementById('new'), { childList: true });"""
    )
    stopped = ended(driver)
    assert stopped["ended"] == "You stopped it."
    assert len(stopped["new"]) < len(full["new"])
    assert full["new"].startswith(stopped["new"])
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_element(By.ID, "go").text == "Write")
    long = send(driver, "don't " * 70)
    assert long["error"].endswith(f" tokens and the model has {POSITIONS} positions: shorten it.")
    assert send(driver, "a", seed="one")["error"] == (
        "“one” is no seed: that is a whole number from 0 on, below 2⁶³."
    )
    assert send(driver, "", seed=1)["error"] == (
        "There is no token in this text: write how it begins."
    )
    assert driver.get_log("browser") == []


def test_on_a_phone_the_end_of_the_text_is_in_sight(page, writer):
    driver = page(writer)
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        send(driver, TEXTS[0] + "\n" * 40, seed=8, length=20)
        bottom = "document.getElementById('time').getBoundingClientRect().bottom"
        assert 0 < driver.execute_script(f"return {bottom}") <= phone["height"]
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_a_page_of_a_language_model_cannot_do(writer):
    config = GenerationConfig(num_beams=4)
    manifest = replace(writer.manifest, decoding=Decoding(config=config))
    with pytest.raises(ExportError) as error:
        write(writer.path, manifest)
    assert str(error.value) == (
        "The page draws tokens or takes the most probable ones; 'gpt' is to generate with "
        "num_beams=4. Leave it out of its generation_config.json."
    )
    data = writer.path / "gpt.onnx.data"
    data.touch()
    with pytest.raises(ExportError, match="because they are over 2 GB"):
        write(writer.path, writer.manifest)
    data.unlink()


def test_a_language_model_without_a_cache_names_the_next_token(page, writer, tmp_path):
    copy = shutil.copytree(writer.path, tmp_path / "copy")
    artifacts = tuple(replace(each, generation=None) for each in writer.manifest.artifacts)
    write(copy, replace(writer.manifest, artifacts=artifacts))
    driver = page(replace(writer, path=copy))
    driver.find_element(By.ID, "words").send_keys("a", Keys.CONTROL, Keys.ENTER)
    ended(driver)
    [greedy] = writer.text_generator("onnx").complete(["a"], temperature=0, max_new_tokens=1)
    first = driver.find_element(By.CSS_SELECTOR, "#answers li").get_attribute("data-label")
    tokenizer = load_tokenizer(copy / "assets", "tokenizer.json")
    assert first == tokenizer.decode(greedy.tokens, skip_special_tokens=False)
