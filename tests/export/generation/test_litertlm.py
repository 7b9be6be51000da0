"""Language models as `.litertlm` files: LiteRT-LM writes what Keras writes."""

from dataclasses import replace

import keras
import language_models as models
import numpy as np
import pytest

import zoo
from zoo_export.converters.tracing import Conversion
from zoo_export.generation import litertlm
from zoo_export.generation.packing import section, sections
from zoo_export.generation.plan import make_plan
from zoo_export.making.texts import same_texts
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import find

# Of each model its tokenizer, whether it has a chat template, and its start and stop tokens.
CASES = {
    "gpt": (models.gpt, models.byte_pairs, True, 1, ()),
    "llama": (models.llama, models.unigram, True, None, ()),
    "keras_hub_gemma3": (models.keras_hub_gemma3, None, False, 1, (2,)),
    "keras_hub_llama3": (models.keras_hub_llama3, None, False, 300, (301, 304)),
    "keras_hub_gpt2": (models.keras_hub_gpt2, None, False, 300, (300,)),
}


def made(model, folder, **options):
    """Convert in this process and return the file with what it was planned by."""
    plan = make_plan(models.request_of(model, folder, **options), folder)
    path = folder / "tiny.litertlm"
    about = {"name": "tiny", "generation": plan.data()}
    facts = litertlm.convert(Conversion(model, (), (), path, about=about))
    return path, plan, facts


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
def test_litert_lm_writes_what_keras_writes(name, tmp_path):
    make, tokenizer, chat, start, stops = CASES[name]
    tokenizer = tokenizer and tokenizer()
    model = make()
    path, plan, facts = made(model, tmp_path, tokenizer=tokenizer, chat=chat)
    assert (plan.language.start, plan.language.stops) == (start, stops)
    # Its logits and conversation too, by the functions that verify every export.
    outputs = litertlm.run_samples(path, plan.samples(), plan.conversation)
    wanted = np.concatenate([each.logits[:, : plan.vocab_size] for each in plan.references])
    np.testing.assert_allclose(outputs["logits"], wanted, atol=1e-4)
    assert len(same_texts(find("litertlm"), plan, outputs["logits"], list(outputs["text"]))) > 1
    # And the most probable tokens of the whole model, without a cache, in LiteRT-LM alone.
    prompts = [each.prompt for each in plan.references]
    for each, found in zip(plan.references, raw_texts(path, prompts, 16), strict=True):
        tokens = [*each.tokens, *each.written]
        logits = whole_logits(model, tokens)[len(each.tokens) - 1 : -1]
        assert logits.argmax(-1).tolist() == list(each.written)
        text = plan.tokenizer.decode(list(each.written), skip_special_tokens=False)
        assert found.strip() == text.replace("\0", "").strip()
    # Weights are stored once for both signatures; the scale of a norm may be part of another one.
    assert facts["weights"]["float32"] < 1.5 * 4 * model.count_params()
    kinds = [kind for kind, _, _ in sections(path)]
    assert kinds[0] == "LlmMetadataProto"
    assert kinds[1].startswith("SP" if name == "keras_hub_gemma3" else "HF")
