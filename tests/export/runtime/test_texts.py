"""What exported models say of texts: parts of them, and texts that they write."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import onnx
import pytest
from fuzz_subjects import save_tokenizer
from hostile_files import rehash
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import zoo
from zoo_export import export
from zoo_models.build import get_model
from zoo_registry import UsageError
from zoo_runtime.answers.prediction import Span, answer, best_spans, entities
from zoo_runtime.bundle import load_bundle
from zoo_runtime.errors import BundleError, VerificationError
from zoo_runtime.manifest import Manifest

FORMATS = ["tflite", "onnx"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "is", "she", "ada", "love", "##lace"]
WORDS += ["was", "born", "in", "london", ","]


def word_tokenizer():
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_padding(length=14)
    return tokenizer


def manifest(task, labels=None, steps=()):
    return Manifest(
        name="m",
        task=task,
        labels=labels,
        inputs=(),
        outputs=(),
        files={},
        artifacts=(),
        preprocessing=steps,
    )


# -- parts of a text ------------------------------------------------------------------------------

TEXT = "ada lovelace was born in london"  # [CLS] ada love ##lace was born in london [SEP]


def logits_of(*tokens, size=14, height=8.0):
    logits = np.zeros(size, "float32")
    logits[list(tokens)] = height
    return logits


def test_an_answer_is_cut_from_the_text_by_character():
    encoding = word_tokenizer().encode(TEXT)
    [span] = best_spans(logits_of(1), logits_of(3), encoding, TEXT, count=1)
    assert (span.text, span.start, span.end) == ("ada lovelace", 0, 12)
    assert span.score == pytest.approx((np.exp(8) / (np.exp(8) + 6)) ** 2)


def test_an_answer_never_ends_before_it_begins_nor_is_too_long():
    encoding = word_tokenizer().encode(TEXT)
    # Taken alone, the best first token is the seventh and the best last one the first.
    starts = logits_of(7) + logits_of(2, height=5.0)
    [span] = best_spans(starts, logits_of(1) + logits_of(3, height=5.0), encoding, TEXT, count=1)
    assert span.text == "lovelace"
    [span] = best_spans(logits_of(1), logits_of(7), encoding, TEXT, count=1, max_tokens=3)
    assert span.end - span.start < 20


def test_an_answer_is_in_the_text_and_not_in_the_question():
    encoding = word_tokenizer().encode("who is she", TEXT)
    # [CLS] who is she [SEP] ada ...: the strongest tokens are of the question and its marks.
    starts = logits_of(0, 1, height=9.0) + logits_of(5, height=3.0)
    ends = logits_of(4, 3, height=9.0) + logits_of(7, height=3.0)
    spans = best_spans(starts, ends, encoding, TEXT, count=3)
    assert spans[0].text == "ada lovelace"
    assert [span.score for span in spans] == sorted((s.score for s in spans), reverse=True)


def labelled(*indices, size=14, labels=5):
    rows = np.full((size, labels), 0.05)
    rows[np.arange(len(indices)), indices] = np.linspace(0.9, 0.8, len(indices))
    return rows


def test_entities_are_joined_as_hugging_face_joins_them():
    names = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    text = "ada lovelace , ada was in london"
    # [CLS] ada love ##lace , ada was in london [SEP]; marks and padding are left out.
    table = labelled(1, 1, 2, 2, 0, 1, 0, 4, 4, 1)
    scores = table.max(axis=1)

    found = entities(table, word_tokenizer().encode(text), text, names.__getitem__)

    assert [(s.label, s.text) for s in found] == [
        ("PER", "ada lovelace"),
        ("PER", "ada"),
        ("LOC", "in london"),
    ]
    assert [s.score for s in found] == pytest.approx(
        [scores[1:4].mean(), scores[5], scores[7:9].mean()]
    )
    assert all(text[s.start : s.end] == s.text for s in found)


def test_neighbours_that_begin_anew_are_two_entities():
    names = ("O", "B-PER", "I-PER")
    table = labelled(0, 1, 1, 2, 0, labels=3)
    found = entities(table, word_tokenizer().encode(TEXT), TEXT, names.__getitem__)
    assert [s.text for s in found] == ["ada", "lovelace"]


def test_plain_labels_and_labels_with_a_hyphen():
    names = ("O", "X-ray", "place")
    table = labelled(0, 1, 1, 2, 0, 0, 0, 2, labels=3)
    found = entities(table, word_tokenizer().encode(TEXT), TEXT, names.__getitem__)
    assert [(s.label, s.text) for s in found] == [
        ("X-ray", "ada love"),
        ("place", "lace"),
        ("place", "london"),
    ]


def test_answers_and_entities_of_a_batch(tmp_path):
    word_tokenizer().save(str(tmp_path / "tokenizer.json"))
    steps = ({"step": "tokenize", "length": 14},)
    starts, ends = np.stack([logits_of(1), logits_of(5)]), np.stack([logits_of(1), logits_of(7)])
    raws = [TEXT, ("who is she", TEXT)]

    found = answer(
        manifest("question-answering", steps=steps),
        tmp_path,
        {"start_logits": starts, "end_logits": ends},
        raws=raws,
    )
    assert [row.spans[0].text for row in found] == ["ada", "ada lovelace"]

    table = np.log(labelled(0, 1, 0, labels=2))[np.newaxis]
    [row] = answer(
        manifest("token-classification", ("O", "name"), steps),
        tmp_path,
        {"logits": table},
        raws=[TEXT],
    )
    assert [span.text for span in row.spans] == ["ada"]
    assert isinstance(row.spans[0], Span)


def test_several_labels_and_a_number(tmp_path):
    logits = np.array([[2.0, -1.0, 0.5], [-3.0, -2.0, -1.0]])
    some, none = answer(manifest("multi-label", ("a", "b", "c")), tmp_path, {"logits": logits})
    assert some.labels == ("a", "c")
    assert none.labels == ()
    assert some.top[0] == ("a", pytest.approx(1 / (1 + np.exp(-2.0))))
    [row] = answer(manifest("regression"), tmp_path, {"logits": np.array([[3.5]])})
    assert row.value == 3.5


REFUSES = {False: "onnxruntime refuses", True: "does not give what Keras gave: output 'logits'"}

# -- texts that are written -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def speller(tmp_path_factory):
    """A run that turns words into phonemes, and its bundle in both static and variable length."""
    from zoo_recipes.recipe import as_recipe
    from zoo_recipes.training.training import train

    recipe = as_recipe(
        {
            "model": {
                "name": "transformer-tiny",
                "task": "seq2seq",
                "overrides": {"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "ff_dim": 64},
            },
            "dataset": {
                "name": "cmudict",
                "train": "train[:4%]",
                "test": "test[:1%]",
                "input": "text",
                "label": "phonemes",
                "target_length": 24,
            },
            "preprocessing": [{"step": "tokenize", "length": 20}],
            "tokenizer": {"kind": "bpe", "vocab_size": 300},
            "compile": {
                "metrics": [],
                "loss": {"name": "smoothed_crossentropy", "ignore_class": 0},
            },
            "fit": {"epochs": 3, "batch_size": 64},
        },
        "speller",
    )
    folder = tmp_path_factory.mktemp("speller")
    run = train(recipe, out=folder / "run", download=True, verbose=False)
    return run, export(run.path, to=FORMATS, out=folder / "bundle")


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_a_target_text_is_that_of_the_recipes_own_decoding(speller, runtime):
    from zoo_recipes.arrays.sources import keras_predictor
    from zoo_recipes.tasks.pairs import decode, pairs
    from zoo_runtime.preprocess import Preprocessor

    run, bundle = speller
    words = ["hello", "kerazoo", "abacus", "a", "transformations", "zebra"]
    preprocessor = Preprocessor(run.info["preprocessing"], run.assets)
    inputs, tokenizer = preprocessor.batch(words), preprocessor.tokenizer()
    made = decode(keras_predictor(run.model()), pairs(inputs, words, tokenizer, 24))
    wanted = [tokenizer.decode(row.tolist()) for row in made]

    assert [row.text for row in bundle.predict(words, runtime=runtime)] == wanted
    assert len(set(wanted)) > 2
    assert bundle.manifest.decoding.length == 24
    (written,) = bundle.text_generator(runtime).complete(words[4:5], max_new_tokens=2)
    assert written.prompt_tokens == inputs["padding_mask"][4].sum()
    by_name = {tensor.name: tensor.shape for tensor in bundle.artifact("tflite").inputs}
    assert (by_name["token_ids"], by_name["decoder_token_ids"]) == ((1, 20), (1, 24))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_written_texts_are_worth_what_those_of_keras_are(speller, runtime):
    from zoo import evaluate

    run, bundle = speller
    wanted = evaluate(run, split="test[:1%]")
    found = evaluate(bundle, runtime=runtime, split="test[:1%]")
    assert found.metrics == pytest.approx(wanted.metrics, rel=1e-5)
    assert found.metrics["chrf"] > 0


@pytest.mark.slow
def test_perplexity_is_of_the_targets_and_not_of_their_padding(speller):
    run, bundle = speller
    with np.load(run.path / "examples.npz") as saved:
        inputs = {name.removeprefix("x/"): saved[name] for name in saved.files if name != "y"}
        targets = saved["y"]
    logits = np.asarray(run.model()(inputs), np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = np.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
    wanted = np.exp(-found[inputs["decoder_padding_mask"] > 0].mean())
    for artifact in bundle.artifacts:
        assert artifact.verification.perplexity == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
def test_the_command_prints_the_target_text(speller):
    _, bundle = speller
    command = [sys.executable, "-m", "zoo.cli", "predict", str(bundle.path), "abacus"]
    plain, as_json = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in ([], ["--json"])
    )
    [prediction] = bundle.predict("abacus")
    assert plain.splitlines()[0] == prediction.text
    assert json.loads(as_json) == {"text": prediction.text}


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A small untrained language model of characters, and its bundle."""
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("writer")
    save_tokenizer(folder / "assets" / "tokenizer.json")
    model = get_model(
        "gpt-nano", vocab_size=32, num_layers=1, hidden_dim=32, num_heads=2, max_length=16
    )
    bundle = export(
        model,
        to=FORMATS,
        out=folder / "bundle",
        name="writer",
        preprocessing=[{"step": "tokenize", "length": 16, "padding_mask": False}],
        assets=folder / "assets",
    )
    return model, bundle


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_a_text_goes_on_as_keras_would_go_on(writer, runtime):
    model, bundle = writer
    tokenizer = Tokenizer.from_file(str(bundle.path / "assets" / "tokenizer.json"))
    tokens = tokenizer.encode("once upon").ids
    begun = len(tokens)
    while len(tokens) <= 16:  # a token behind the last position can be known, and not be read
        logits = np.asarray(model(np.array([tokens], "int32")))
        tokens.append(int(logits[0, -1].argmax()))

    [made] = bundle.text_generator(runtime).complete(["once upon"], max_new_tokens=20, top_k=1)

    assert made.tokens == tuple(tokens[begun:])
    assert made.text == tokenizer.decode(tokens[begun:])
    assert made.finish == "context"
    assert bundle.predict("once upon", runtime=runtime)[0].index == tokens[begun]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_the_same_seed_draws_the_same_text_in_every_runtime(writer, runtime):
    model, bundle = writer
    options = {"seed": 5, "max_new_tokens": 30, "num_return_sequences": 2, "overflow": "slide"}
    prompts = ["once", "upon a time"]
    wanted = zoo.generate(
        model, prompts, tokenizer=bundle.path / "assets" / "tokenizer.json", **options
    )
    assert zoo.generate(bundle, prompts, runtime=runtime, **options) == wanted
    assert len(set(wanted)) == 4


@pytest.mark.slow
def test_two_threads_generate_with_one_bundle(writer):
    _, bundle = writer
    generators = [bundle.text_generator("tflite") for _ in range(2)]
    alone = [generators[0].complete(["once"], seed=seed)[0].text for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: generators[n % 2].complete(["once"], seed=n)[0].text, range(4))
        assert list(found) == alone


@pytest.mark.slow
def test_the_cache_of_another_model_is_refused(writer, tmp_path):
    """Also where its manifest was written anew: of other tensors, or of other values."""
    name = "writer.onnx.decode.onnx"
    for of_other_values in (False, True):
        folder = tmp_path / str(of_other_values)
        shutil.copytree(writer[1].path, folder)
        model = onnx.load(folder / name, load_external_data=False)
        if of_other_values:
            (node,) = (n for n in model.graph.node if "logits" in n.output)
            node.output[list(node.output).index("logits")] = "half"
            model.graph.node.append(onnx.helper.make_node("Add", ["half", "half"], ["logits"]))
        else:
            model.graph.input[-1].name = "past_key_values.9.key"
        (folder / name).write_bytes(model.SerializeToString())
        with pytest.raises(BundleError, match="it was cut or changed"):
            load_bundle(folder).text_generator("onnx").complete(["once"])
        rehash(folder, name)
        with pytest.raises(BundleError if not of_other_values else VerificationError) as caught:
            load_bundle(folder).text_generator("onnx").complete(["once"])
        assert REFUSES[of_other_values] in str(caught.value)


@pytest.mark.slow
def test_only_language_models_generate(exported, writer):
    message = (
        "is not a language model: its task is 'image-classification', and one of causal-lm or "
        "seq2seq generates texts"
    )
    with pytest.raises(UsageError, match=message):
        exported.text_generator()
    with pytest.raises(UsageError, match="has no token, and the model has none that begins a text"):
        writer[1].text_generator().complete([""])
    with pytest.raises(UsageError, match="is an empty text: there is nothing to read in it"):
        writer[1].predict("")
