"""Language models as `.litertlm` files: LiteRT-LM writes what Keras writes."""

from types import SimpleNamespace

import keras
import language_models as models
import numpy as np
import pytest
from serving_processes import HTTP, served

import zoo
from zoo_export.converters.tracing import Conversion
from zoo_export.generation import litertlm
from zoo_export.generation.dialect import PLAN, run_samples
from zoo_export.generation.litertlm import LITERT_LM
from zoo_export.generation.packing import sections
from zoo_export.generation.plan import make_plan
from zoo_export.making.texts import same_texts
from zoo_models.weights.assets import Assets
from zoo_registry import UsageError, load_target
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import find
from zoo_runtime.generation.chat import ChatTemplate

# Of each model its tokenizer, whether it has a chat template, and its start and stop tokens.
CASES = {
    "llama": (models.llama, models.unigram, True, None, ()),
    "keras_hub_gemma3": (models.keras_hub_gemma3, None, False, 1, (2,)),
    "keras_hub_llama3": (models.keras_hub_llama3, None, False, 300, (301, 304)),
    "keras_hub_gpt2": (models.keras_hub_gpt2, None, False, 300, (300,)),
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Give a model by its name with what its files are made of, found out once."""
    found = {}

    def of(name):
        if name not in found:
            make, tokenizer, chat, *_ = CASES[name]
            folder, model = tmp_path_factory.mktemp(name), make()
            asked = models.request_of(model, folder, tokenizer and tokenizer(), chat=chat)
            found[name] = model, make_plan(asked, folder, LITERT_LM)
        return found[name]

    return of


def made(model, plan, folder, convert=litertlm.convert):
    """Convert in this process."""
    path = folder / "tiny.litertlm"
    about = {"name": "tiny", PLAN: plan.data()}
    return path, convert(Conversion(model, (), (), path, about=about))


def raw_texts(path, prompts, count):
    """Return what LiteRT-LM alone writes, with its own defaults but for the sampler."""
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.FATAL)
    greedy = litert_lm.SamplerConfig(top_k=1, temperature=0.0)
    engine = litert_lm.Engine(str(path), cache_dir=":nocache")
    for prompt in prompts:
        with engine.create_session(
            apply_prompt_template=False, sampler_config=greedy, max_output_tokens=count
        ) as session:
            session.run_prefill([prompt])
            yield "".join(reply.texts[0] for reply in session.run_decode_async())


def whole_logits(model, tokens):
    row = np.array([tokens], np.int32)
    given = {t.name: row if t.name == "token_ids" else np.ones_like(row) for t in model.inputs}
    (logits,) = keras.tree.flatten(model(given if len(given) > 1 else row))
    return np.asarray(logits)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_litert_lm_writes_what_keras_writes(name, planned, tmp_path):
    *_, start, stops = CASES[name]
    model, plan = planned(name)
    path, facts = made(model, plan, tmp_path)
    assert (plan.language.start, plan.language.stops) == (start, stops)
    # Its logits and conversation too, by the functions that verify every export.
    outputs = run_samples(LITERT_LM, path, plan.samples(), plan.conversation)
    wanted = np.concatenate([each.logits[:, : plan.vocab_size] for each in plan.references])
    np.testing.assert_allclose(outputs["logits"], wanted, atol=1e-4)
    fmt, texts = find("litertlm"), list(map(str, outputs["text"]))
    assert len(same_texts(fmt, plan, outputs["logits"], texts)) == len(texts) > 1
    with pytest.raises(ExportError, match=r"after 'The' LiteRT-LM writes 'other', and Keras ."):
        same_texts(fmt, plan, outputs["logits"], ["other", *texts[1:]])
    # And the most probable tokens of the whole model, without a cache, in LiteRT-LM alone.
    prompts = [each.prompt for each in plan.references]
    for each, found in zip(plan.references, raw_texts(path, prompts, 16), strict=True):
        tokens = [*each.tokens, *each.written]
        logits = whole_logits(model, tokens)[len(each.tokens) - 1 : -1]
        assert logits.argmax(-1).tolist() == list(each.written)
        text = plan.tokenizer.decode(list(each.written), skip_special_tokens=False)
        assert found.strip() == text.replace("\0", "").strip()
    # Weights are stored once for all signatures, and a tied table once for both of its uses.
    assert facts["weights"]["float32"] < 1.1 * 4 * model.count_params()
    if name == "llama":
        # Of two layers, and of one and the keys and values of the other where a text is read: one
        # product of all that comes of a norm, and two with the cache, which has the new tokens.
        reads, operators = len(facts["prefill_lengths"]), facts["operators"]
        assert operators["FULLY_CONNECTED"] == 2 * 4 + 1 + reads * 5
        assert operators["BATCH_MATMUL"] == 2 * 2 + reads * 2
        assert "NEG" not in operators
    kinds = [kind for kind, _, _ in sections(path)]
    assert kinds[0] == "LlmMetadataProto"
    assert kinds[1].startswith("SP" if name == "keras_hub_gemma3" else "HF")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "dtype", "allowed"), [("float16", "float16", 0.01), ("dynamic-int8", "int8", 0.1)]
)
def test_small_weights_write_what_their_own_graph_says(scheme, dtype, allowed, planned, tmp_path):
    fmt, (model, plan) = find(f"litertlm:{scheme}"), planned("llama")
    path, facts = made(model, plan, tmp_path, load_target(fmt.converter))
    # The table of tokens, which is the kernel of the logits too, is stored once.
    counts = {name: size // np.dtype(name).itemsize for name, size in facts["weights"].items()}
    assert counts[dtype] > model.get_layer("token_embedding").count_params() - 1
    assert counts[dtype] + counts["float32"] < 1.1 * model.count_params()
    outputs = run_samples(LITERT_LM, path, plan.samples(), plan.conversation)
    wanted = np.concatenate([each.logits for each in plan.references])
    difference = np.abs(outputs["logits"] - wanted).max()
    assert 0 < difference < allowed * np.abs(wanted).max()
    texts = list(map(str, outputs["text"]))
    rows = same_texts(fmt, plan, outputs["logits"], texts)
    assert any(len(row.text) > 3 for row in rows)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    asked = models.request_of(models.gpt(), folder, tokenizer=models.byte_pairs())
    return zoo.export(
        asked.model,
        to=["litertlm", "litertlm:dynamic-int8"],
        out=folder / "tiny",
        name="tiny",
        preprocessing=asked.preprocessing,
        assets=asked.assets,
        task="causal-lm",
        max_length=48,
        prefill_lengths=[4, 16],
    )


@pytest.mark.slow
def test_a_bundle_is_verified_and_writes_by_litert_lm(bundle):
    artifact, small = bundle.artifacts
    assert [row.output for row in artifact.verification.comparisons] == ["logits", "text"]
    assert small.path == "tiny.dynamic-int8.litertlm"
    assert small.facts["weights"]["int8"] > 2 * small.facts["weights"]["float32"]
    assert artifact.facts["prefill_lengths"] == [4, 16]
    assert any(row["is_whole"] for row in artifact.facts["texts"])
    assert [row.ok for row in zoo.verify(bundle.path)] == [True, True]
    prompt, options = "Models of", {"temperature": 0, "tokenizer": models.byte_pairs()}
    # LiteRT-LM has no NUL.
    in_keras = zoo.generate(models.gpt(), prompt, 10, **options).replace("\0", "")
    assert zoo.generate(bundle, prompt, 10, temperature=0) == in_keras
    (parts,) = [[*zoo.generate(bundle, prompt, 10, temperature=0, stream=True)]]
    assert "".join(parts) == in_keras
    cut = in_keras[3:5]
    assert zoo.generate(bundle, prompt, 10, temperature=0, stop=cut) == in_keras.split(cut)[0]
    assert zoo.generate(bundle, prompt, 0) == ""
    assert len(zoo.generate(bundle, [prompt, "A"], 5, temperature=0.9, top_p=0.9, seed=1)) == 2
    text = (bundle.path / "README.md").read_text()
    assert 'litert_lm.Engine("tiny.litertlm")' in text
    assert "A text has 48 tokens at most, of which 4, 16 are read at once" in text


@pytest.mark.slow
def test_a_file_that_is_not_what_keras_is_leaves_nothing(tmp_path):
    asked = models.request_of(models.gpt(), tmp_path, tokenizer=models.byte_pairs())
    loaded = SimpleNamespace(
        assets=Assets(
            preprocessing=asked.preprocessing,
            files=asked.assets,
            chat=ChatTemplate("{% if cycler is defined %}a{% else %}b{% endif %}"),
        ),
        source="here",
        sha256={},
    )
    asked.model.zoo_weights = loaded
    with pytest.raises(ExportError, match="LiteRT-LM makes 'b' of a conversation with its chat"):
        zoo.export(asked.model, to="litertlm", out=tmp_path / "tiny", name="tiny", max_length=48)
    assert [path.name for path in tmp_path.iterdir()] == ["assets"]


@pytest.mark.slow
def test_the_server_of_a_bundle_answers_by_litert_lm(bundle):
    given = {"model": "tiny", "prompt": ["Models of", "A"], "max_tokens": 10, "temperature": 0}
    wanted = zoo.generate(bundle, given["prompt"], 10, temperature=0)
    with served(bundle) as (_, address):
        answer = HTTP.post(f"{address}/v1/completions", json=given).json()
        assert [choice["text"] for choice in answer["choices"]] == wanted
        assert 10 < answer["usage"]["completion_tokens"] <= 20  # LiteRT-LM leaves NUL out
        lines = HTTP.post(f"{address}/v1/completions", json={**given, "stream": True}).text
        assert lines.count("data: ") > 10
        del given["temperature"]
        refused = HTTP.post(f"{address}/v1/completions", json={**given, "min_p": 0.1})
        message = refused.json()["error"]["message"]
        assert refused.status_code == 400
        assert message.startswith("min_p is not an option of litertlm, which generates by itself")
        several = {**given, "n": 2, "seed": 1, "temperature": 2.0}
        answer = HTTP.post(f"{address}/v1/completions", json=several).json()
        texts = [choice["text"] for choice in answer["choices"]]
        assert len(set(texts)) == 4
        assert texts[0] == zoo.generate(bundle, "Models of", 10, temperature=2.0, seed=1)


@pytest.mark.slow
def test_what_litert_lm_cannot_do_is_said(bundle):
    with pytest.raises(UsageError, match="num_beams is not an option of litertlm"):
        zoo.generate(bundle, "A", num_beams=2)
    with pytest.raises(UsageError, match=r"There is no input 'token_ids'\. Inputs: prompt"):
        bundle.run({"token_ids": np.zeros((1, 4), np.int32)})
    with pytest.raises(UsageError, match="'prompt' takes texts and got int64"):
        bundle.run({"prompt": [1], "max_new_tokens": [1]})


REFUSED = {
    "lstm-lm": (
        lambda: zoo.get_model("lstm-lm", vocab_size=300),
        "keeps 'state_0', and LiteRT-LM keeps the keys and values of one text alone",
    ),
    "seq2seq": (
        lambda: zoo.get_model("transformer-tiny", vocab_size=300),
        "keeps a source that it reads first",
    ),
    "vision": (
        lambda: zoo.get_model("mobilenet-v3-small", input_shape=(32, 32, 3), num_classes=2),
        "is not a language model",
    ),
    "few tokens": (
        lambda: zoo.get_model("gpt-nano", vocab_size=20, num_layers=1),
        "the tokenizer of model 'tiny' has 300 tokens and the model 20",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_refused_by_its_cause(name, tmp_path):
    make, message = REFUSED[name]
    asked = models.request_of(make(), tmp_path, tokenizer=models.byte_pairs())
    with pytest.raises(UsageError, match=message):
        make_plan(asked, tmp_path, LITERT_LM)


def test_sizes_and_tokenizers_that_do_not_fit_are_refused(tmp_path):
    model, tokenizer = models.gpt(), models.byte_pairs()
    with pytest.raises(ExportError, match="max_length=4,096: model 'tiny' has 1,024 positions"):
        make_plan(
            models.request_of(model, tmp_path, tokenizer, max_length=4096), tmp_path, LITERT_LM
        )
    asked = models.request_of(model, tmp_path, tokenizer, prefill_lengths=[64])
    assert make_plan(asked, tmp_path, LITERT_LM).prefill_lengths == (48,)
    with pytest.raises(UsageError, match="model 'tiny' has no tokenizer, which is part of"):
        make_plan(models.request_of(model, tmp_path), tmp_path, LITERT_LM)
    with pytest.raises(UsageError, match="max_length=64 is for tflite and litertlm, whose"):
        zoo.export(model, to="onnx", out=tmp_path / "none", max_length=64)
    with pytest.raises(UsageError, match="prefill_lengths='many': give different numbers of"):
        zoo.export(model, to="litertlm", out=tmp_path / "none", prefill_lengths="many")
