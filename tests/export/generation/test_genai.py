"""Language models as folders of onnxruntime-genai: it writes what Keras writes."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import language_models as models
import numpy as np
import pytest

import zoo
from zoo_export.generation.dialect import CONVERSATION
from zoo_export.generation.genai import GENAI
from zoo_export.generation.plan import make_plan
from zoo_models.generation.kerashub import keras_hub_tokenizer
from zoo_registry import UsageError
from zoo_runtime.errors import BundleError, ExportError
from zoo_runtime.generation.genai import checked_settings, open_genai

FORMAT = "onnxruntime-genai"
PROMPTS = ["Models of", "The history of writing is", "A"]
SIZES = {"vocab_size": 300, "num_layers": 2, "hidden_dim": 16, "num_heads": 2}
# Of each model its tokenizer, what stands before every text, and how its snapshot is loaded.
CASES = {
    "gpt": (models.gpt, models.byte_pairs, "<bos>", ("gpt-nano", SIZES)),
    "llama": (models.llama, models.unigram, "", ("llama", {})),
    "keras_hub_llama3": (models.keras_hub_llama3, None, "<|begin_of_text|>", None),
}


def exported(name, folder, *schemes):
    """Export a snapshot as transformers writes it, with a chat template."""
    make, tokenizer, _, loaded = CASES[name]
    options = {"out": folder / "bundle", "name": "tiny", "max_length": 48, "task": "causal-lm"}
    if loaded is None:
        return zoo.export(make(), to=FORMAT, **options)
    builder, sizes = loaded
    zoo.save_pretrained(make(), folder / "snapshot")
    tokenizer().save(str(folder / "snapshot" / "tokenizer.json"))
    settings = {"chat_template": models.TEMPLATE, "bos_token": "<bos>", "eos_token": "<eos>"}
    (folder / "snapshot" / "tokenizer_config.json").write_text(json.dumps(settings))
    return zoo.export(
        zoo.get_model(builder, weights=str(folder / "snapshot"), **sizes),
        to=[FORMAT, *(f"{FORMAT}:{scheme}" for scheme in schemes)],
        **options,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return exported("gpt", tmp_path_factory.mktemp("genai"), "float16", "dynamic-int8")


def whole_greedy(model, tokens, count):
    """Return what the whole model writes, without a cache."""
    tokens = list(tokens)
    for _ in range(count):
        row = np.array([tokens], np.int32)
        given = {t.name: row if t.name == "token_ids" else np.ones_like(row) for t in model.inputs}
        (logits,) = keras.tree.flatten(model(given))
        tokens.append(int(np.asarray(logits)[0, -1].argmax()))
    return tokens[-count:]


def raw_greedy(path, rows, count):
    """Return what onnxruntime-genai alone writes behind rows of tokens, as one batch."""
    import onnxruntime_genai as og

    model = og.Model(str(path))
    params = og.GeneratorParams(model)
    length = max(map(len, rows))
    params.set_search_options(max_length=length + count, do_sample=False, batch_size=len(rows))
    generator = og.Generator(model, params)
    pad = json.loads((path / "genai_config.json").read_text())["model"]["pad_token_id"]
    generator.append_tokens(
        np.array([[pad] * (length - len(row)) + list(row) for row in rows], np.int32)
    )
    for _ in range(count):
        generator.generate_next_token()
    return [list(map(int, generator.get_sequence(at)))[length:] for at in range(len(rows))]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_genai_alone_writes_what_keras_writes(name, bundle, tmp_path):
    import onnxruntime_genai as og

    make, tokenizer, start, loaded = CASES[name]
    model = make()
    tokenizer = keras_hub_tokenizer(model)[0] if tokenizer is None else tokenizer()
    found = bundle if name == "gpt" else exported(name, tmp_path)
    path = found.path / found.artifacts[0].path
    theirs = og.Tokenizer(og.Model(str(path)))
    rows = [[int(token) for token in theirs.encode(start + prompt)] for prompt in PROMPTS]
    assert rows == [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    wanted = [whole_greedy(model, row, 8) for row in rows]
    assert [raw_greedy(path, [row], 8)[0] for row in rows] == wanted
    if loaded is None:
        return
    # Only for byte-level BPE it finds the template by itself.
    template = {} if name == "gpt" else {"template_str": models.TEMPLATE}
    rendered = theirs.apply_chat_template(json.dumps(CONVERSATION), **template)
    assert rendered == found.manifest.decoding.chat.render(CONVERSATION)
    assert rendered.startswith("<bos><user>Hello<eos><assistant>Hi<eos>")


@pytest.mark.slow
def test_a_bundle_is_verified_and_writes_by_genai(bundle):
    assert [artifact.path for artifact in bundle.artifacts] == [
        "tiny.genai",
        "tiny.float16.genai",
        "tiny.dynamic-int8.genai",
    ]
    for artifact in bundle.artifacts:
        assert [row.output for row in artifact.verification.comparisons] == ["logits", "text"]
        assert artifact.facts["context_length"] == 48
    plain, half, small = (artifact.facts["weights"] for artifact in bundle.artifacts)
    # Once, with the table that embeds and that which gives the logits.
    assert plain["float32"] < 1.1 * 4 * models.gpt().count_params()
    assert half["float16"] > 10 * half.get("float32", 0)
    assert small["int8"] > small["float32"]
    assert [row.ok for row in zoo.verify(bundle.path)] == [True] * 3
    options = {"temperature": 0, "tokenizer": models.byte_pairs()}
    for prompt in PROMPTS:
        in_keras = zoo.generate(models.gpt(), prompt, 10, **options)
        assert zoo.generate(bundle, prompt, 10, temperature=0) == in_keras
    assert "".join(zoo.generate(bundle, PROMPTS[-1], 10, temperature=0, stream=True)) == in_keras
    assert zoo.generate(bundle, "A", 10, temperature=0, stop=in_keras[3:5]) == in_keras[:3]
    less = zoo.generate(models.gpt(), "A", 10, repetition_penalty=2.0, **options)
    assert zoo.generate(bundle, "A", 10, temperature=0, repetition_penalty=2.0) == less != in_keras
    assert zoo.generate(bundle, "A", 0) == ""
    drawn = [zoo.generate(bundle, "A", 9, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    writer = open_genai(bundle.path / "tiny.genai", threads=1)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda p: "".join(writer.stream(p, 9, temperature=0)), PROMPTS))
    assert both == [zoo.generate(bundle, prompt, 9, temperature=0) for prompt in PROMPTS]


@pytest.mark.slow
def test_the_program_of_the_card_runs_with_genai_alone(bundle, tmp_path):
    text = (bundle.path / "README.md").read_text()
    assert "A text has 48 tokens at most; its cache takes" in text
    code = text.split("onnxruntime-genai alone")[1].split("```python\n")[1].split("```")[0]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=bundle.path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout) > 3


@pytest.mark.slow
def test_what_genai_cannot_do_is_said(bundle):
    with pytest.raises(UsageError, match="num_beams is not an option of onnxruntime-genai, which"):
        zoo.generate(bundle, "A", num_beams=2)
    with pytest.raises(UsageError, match="The prompt has 201 tokens, and the model has room for 1"):
        zoo.generate(bundle, "A" * 200)
    with pytest.raises(UsageError, match=r"There is no provider 'cuda' of onnxruntime-genai here"):
        open_genai(bundle.path / "tiny.genai", provider="cuda")


def _set(key, value):
    def change(folder):
        path = folder / "genai_config.json"
        data = json.loads(path.read_text())
        *above, last = key.split(".")
        table = data
        for name in above:
            table = table[name]
        table[last] = value
        path.write_text(json.dumps(data))

    return change


HOSTILE = {
    "a library": (
        _set("model.decoder.session_options", {"custom_ops_library": "/tmp/evil.so"}),
        "says 'model.decoder.session_options', which no export of ours does: it may load",
    ),
    "a graph elsewhere": (
        _set("model.decoder.filename", "../model.onnx"),
        "has its graph elsewhere than in model.onnx",
    ),
    "a second graph": (_set("model.vision", {}), "says 'model.vision', which no export of ours"),
    "no table": (_set("search", 3), "search is not a table"),
    "a file more": (lambda folder: (folder / "evil.so").touch(), "holds 'evil.so'"),
    "a file less": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "no JSON": (
        lambda folder: (folder / "genai_config.json").write_text("{"),
        r"genai_config\.json' cannot be read: Expecting property name",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_that_asks_for_more_is_not_opened(name, bundle, tmp_path):
    change, message = HOSTILE[name]
    folder = tmp_path / "tiny.genai"
    shutil.copytree(bundle.path / "tiny.genai", folder)
    assert checked_settings(folder)["model"]["type"] == "llama"
    change(folder)
    with pytest.raises(BundleError, match=message):
        checked_settings(folder)


REFUSED = {
    "lstm-lm": (
        lambda: zoo.get_model("lstm-lm", vocab_size=300),
        models.byte_pairs,
        "keeps 'state_0', and onnxruntime-genai keeps the keys and values of one text alone",
    ),
    "seq2seq": (
        lambda: zoo.get_model("transformer-tiny", vocab_size=300),
        models.byte_pairs,
        "keeps a source that it reads first, and onnxruntime-genai keeps",
    ),
    "words": (
        models.gpt,
        models.of_words,
        r"tokenizer is one of WordLevel, and onnxruntime-genai reads a tokenizer\.json of BPE or",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_genai_cannot_express_is_refused_by_its_cause(name, tmp_path):
    make, tokenizer, message = REFUSED[name]
    asked = models.request_of(make(), tmp_path, tokenizer(), to=FORMAT)
    with pytest.raises(UsageError, match=message):
        make_plan(asked, tmp_path, GENAI)
    with pytest.raises(UsageError, match=r"prefill_lengths=\[4\] is for tflite and litertlm"):
        models.request_of(asked.model, tmp_path, to=FORMAT, prefill_lengths=[4])


@pytest.mark.slow
def test_a_tokenizer_that_genai_reads_otherwise_leaves_nothing(tmp_path):
    asked = models.request_of(models.gpt(), tmp_path, models.lower_case(), to=FORMAT)
    with pytest.raises(ExportError, match=r"onnxruntime-genai reads the text .* as other tokens"):
        zoo.export(
            asked.model,
            to=FORMAT,
            out=tmp_path / "bundle",
            task="causal-lm",
            preprocessing=asked.preprocessing,
            assets=asked.assets,
        )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["assets"]
