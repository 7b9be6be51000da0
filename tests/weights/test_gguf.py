"""GGUF files give what the snapshot gives that they were made of."""

import json
import struct
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import (
    CONFIG,
    TYPES,
    add_tensors,
    neighbours,
    tensors_of,
    write,
    write_snapshot,
    writer_of,
)

from zoo_models.build import get_model
from zoo_models.layers.rotary import rotary_rates
from zoo_models.weights.gguf_file import read_gguf
from zoo_models.weights.gguf_snapshot import GgufSnapshot
from zoo_models.weights.gguf_tokenizer import build_tokenizer
from zoo_models.weights.opening import load_tokenizer, open_weights
from zoo_models.weights.snapshot import Snapshot
from zoo_registry import UsageError, models
from zoo_system.fetching import allowed

REFERENCES = Path(__file__).parent / "references"
IDS = json.loads((REFERENCES / "gguf-ids.json").read_text())
WORDS = json.loads((REFERENCES / "tokenizer-gpt2" / "vocab.json").read_text())
SMALL = {
    **CONFIG,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": len(WORDS),
}
END = "<|endoftext|>"


def add_byte_bpe(writer, split):
    words = sorted(WORDS, key=WORDS.get)
    lines = (REFERENCES / "tokenizer-gpt2" / "merges.txt").read_text().splitlines()[1:]
    writer.add_tokenizer_model("gpt2")
    if split is not None:
        writer.add_tokenizer_pre(split)
    writer.add_token_list(words)
    writer.add_token_types([3 if word == END else 1 for word in words])
    writer.add_token_merges(lines)
    writer.add_eos_token_id(WORDS[END])


def file_of(path, config=SMALL, architecture="llama", change=None, **options):
    """Write a whole file; ``change`` adds what it should have beside."""
    writer = writer_of(path, config, architecture)
    tensors = tensors_of(config)
    if change is not None:
        change(writer)
    made = add_tensors(writer, config, tensors, **options)
    write(writer)
    return tensors, made


def logits(model):
    return np.asarray(model(np.arange(24).reshape(2, 12) % 48))


@pytest.mark.parametrize("tied", [True, False])
def test_float32_gives_the_same_logits(tied, tmp_path):
    config = {**SMALL, "tie_word_embeddings": tied}
    tensors, _ = file_of(tmp_path / "model.gguf", config)
    theirs = get_model("llama", weights=write_snapshot(tmp_path / "hf", config, tensors))
    ours = get_model("llama", weights=tmp_path / "model.gguf")
    assert np.array_equal(logits(ours), logits(theirs))
    report = ours.zoo_weights
    assert (report.missing, report.unexpected, dict(report.unread)) == ((), (), {})
    assert (report.fresh, [*report.sha256]) == ((), ["model.gguf"])


def test_every_type_is_what_the_package_reads(tmp_path):
    kinds = [
        getattr(TYPES, name)
        for name in ["Q4_0", "Q4_1", "Q4_K", "Q6_K", "F16", "BF16", "Q8_0", "F32"]
    ]
    config = {**CONFIG, "num_hidden_layers": 2}
    _, made = file_of(tmp_path / "model.gguf", config, kinds=kinds)
    held = {tensor.tensor_type for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert held == set(kinds)
    # An independent way back: the order of an order undoes it.
    for name, array in made.items():
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if heads:
            made[name] = array[np.argsort(neighbours(np.arange(len(array)), heads))]
    theirs = get_model("llama", weights=write_snapshot(tmp_path / "hf", config, made))
    ours = get_model("llama", weights=tmp_path / "model.gguf")
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert np.array_equal(one, other), one.path


def biases(tensors, config):
    names = [name for name in tensors if any(f"{part}_proj" in name for part in "qkv")]
    return {n.replace("weight", "bias"): tensors[n][:, 0].copy() for n in names}


def head_norms(tensors, config):
    size = config["head_dim"]
    names = [name for name in tensors if any(f"{part}_proj" in name for part in "qk")]
    return {n.replace("_proj", "_norm"): tensors[n].ravel()[:size].copy() for n in names}


@pytest.mark.parametrize(
    ("architecture", "more", "added", "turned"),
    [
        ("llama", {"head_dim": 16}, None, True),
        ("qwen2", {}, biases, False),
        ("qwen3", {"head_dim": 16, "tie_word_embeddings": False}, head_norms, False),
        ("smollm3", {"num_hidden_layers": 4}, None, True),
    ],
)
def test_siblings_of_llama(architecture, more, added, turned, tmp_path):
    config = {**SMALL, **more, "model_type": architecture}
    tensors = tensors_of(config)
    tensors |= added(tensors, config) if added else {}
    writer = writer_of(tmp_path / "model.gguf", config, architecture)
    if "head_dim" in more:
        writer.add_key_length(16)
        writer.add_value_length(16)
    add_tensors(writer, config, tensors, turned=turned)
    write(writer)
    folder = write_snapshot(tmp_path / "hf", config, tensors)
    ours, theirs = (open_weights(models.get("llama"), p) for p in (writer.path, folder))
    assert ours.arguments({}, {}) == theirs.arguments({}, {})
    assert ours.converter is theirs.converter
    with ours.snapshot.opened() as mine, Snapshot(folder).opened() as wanted:
        assert sorted(mine.names()) == sorted(wanted.names())
        for name in wanted.names():
            assert mine.shape(name) == wanted.shape(name)
            assert np.array_equal(mine.read(name), wanted.read(name)), name


def scaling_of(path):
    return open_weights(models.get("llama"), path).arguments({}, {})["rope_scaling"]


def llama3(length, low, high, factor=8.0, size=64):
    rates = SMALL["rope_theta"] ** -(np.arange(0, size, 2) / size)
    waves = 2 * np.pi / rates
    smooth = (length / waves - low) / (high - low)
    ramp = 1 / ((1 - smooth) / factor + smooth)
    return np.where(waves < length / high, 1, np.where(waves > length / low, factor, ramp))


@pytest.mark.parametrize("numbers", [(8192, 1.0, 4.0), (64, 1.0, 4.0), (512, 0.5, 9.0)])
def test_the_scaling_of_llama_3_follows_from_its_factors(numbers, tmp_path):
    factors = llama3(*numbers).astype("float32")

    def change(writer):
        writer.add_tensor("rope_freqs.weight", factors)

    file_of(tmp_path / "model.gguf", {**CONFIG, "num_hidden_layers": 1}, change=change)
    rates, amplitude = rotary_rates(64, 5000.0, scaling_of(tmp_path / "model.gguf"))
    assert amplitude == 1
    wanted = 5000.0 ** -(np.arange(0, 64, 2) / 64) / llama3(*numbers)
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)
    with open_weights(models.get("llama"), tmp_path / "model.gguf").snapshot.opened() as tensors:
        assert "rope_freqs.weight" not in tensors.names()


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        (None, {}, {"rope_type": "linear", "factor": 4.0}),
        ("linear", {}, {"rope_type": "linear", "factor": 4.0}),
        ("yarn", {}, YARN),
        (
            "yarn",
            {"yarn_beta_fast": 1.5, "yarn_beta_slow": 0.5, "yarn_attn_factor": 0.75},
            {**YARN, "beta_fast": 1.5, "beta_slow": 0.5, "attention_factor": 0.75},
        ),
        ("none", {}, None),
    ],
)
def test_scalings_by_a_number(kind, more, wanted, tmp_path):
    def change(writer):
        for key, value in more.items():
            writer.add_float32(f"llama.rope.scaling.{key}", value)
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_scaling_orig_ctx_len(16)
        if kind is not None:
            writer.add_string("llama.rope.scaling.type", kind)

    file_of(tmp_path / "model.gguf", change=change)
    found = rotary_rates(8, 5000.0, scaling_of(tmp_path / "model.gguf"))
    rates, amplitude = rotary_rates(8, 5000.0, wanted)
    assert np.array_equal(found[0], rates)
    assert found[1] == pytest.approx(amplitude)


@pytest.mark.parametrize("split", IDS["ids"])
def test_byte_level_ids_are_those_of_transformers(split, tmp_path):
    file_of(tmp_path / "model.gguf", change=lambda writer: add_byte_bpe(writer, split))
    tokenizer = load_tokenizer(tmp_path / "model.gguf")
    for text, ids in zip(IDS["texts"], IDS["ids"][split], strict=True):
        assert tokenizer.encode(text).ids == ids, text
        if split != "qwen2":  # which composes accents
            assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_scores_give_the_ids_of_sentencepiece(tmp_path):
    import sentencepiece

    texts = IDS["texts"]
    (tmp_path / "texts.txt").write_text("\n".join(text.replace("\0", "") for text in texts))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "texts.txt"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["<user>"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    count = range(theirs.vocab_size())
    kinds = [
        2
        if theirs.is_unknown(i)
        else 3
        if theirs.is_control(i)
        else 6
        if theirs.is_byte(i)
        else 4
        if theirs.id_to_piece(i) == "<user>"
        else 1
        for i in count
    ]

    def change(writer):
        writer.add_tokenizer_model("llama")
        writer.add_token_list([theirs.id_to_piece(i) for i in count])
        writer.add_token_scores([theirs.get_score(i) for i in count])
        writer.add_token_types(kinds)
        writer.add_add_eos_token(True)

    file_of(tmp_path / "model.gguf", change=change)
    tokenizer = load_tokenizer(tmp_path / "model.gguf")
    for text in [text for text in texts if "\0" not in text and "<" not in text]:
        assert tokenizer.encode(text).ids == [1, *theirs.encode(text), 2], text
        assert tokenizer.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text))
    assert theirs.piece_to_id("<user>") in tokenizer.encode("a <user>b").ids
    assert {2, 3, 4, 6} < set(kinds)


def test_what_comes_with_the_weights(tmp_path):
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"

    def change(writer):
        add_byte_bpe(writer, "llama-bpe")
        writer.add_bos_token_id(5)
        writer.add_eot_token_id(7)
        writer.add_pad_token_id(9)
        writer.add_chat_template(template)
        writer.add_float32("general.sampling.temp", 0.5)
        writer.add_int32("llama.unheard_of", 3)
        writer.add_license("apache-2.0")

    file_of(tmp_path / "model.gguf", change=change)
    with pytest.warns(UserWarning, match=r"nothing here reads these keys.*llama.unheard_of=3"):
        model = get_model("llama", weights=tmp_path / "model.gguf")
    assets = model.zoo_weights.assets
    words = sorted(WORDS, key=WORDS.get)
    # llama.cpp, too, begins texts of this kind without being told.
    assert load_tokenizer(tmp_path / "model.gguf").encode("a").tokens == [words[5], "a"]
    assert assets.generation.eos_token_id == (WORDS[END], 7)
    assert (assets.generation.bos_token_id, assets.generation.temperature) == (5, 0.5)
    text = assets.chat.render([{"role": "user", "content": "Hi"}])
    assert text == f"{words[5]}[user]Hi"
    assert assets.license == "apache-2.0"
    (step,) = assets.preprocessing
    assert step["length"] == SMALL["max_position_embeddings"]


def test_a_split_that_is_not_known_leaves_the_weights(tmp_path):
    file_of(tmp_path / "model.gguf", change=lambda writer: add_byte_bpe(writer, "tekken"))
    reason = "tokenizer.ggml.pre='tekken', another way to split texts than default, gpt-2"
    with pytest.warns(UserWarning, match=reason):
        model = get_model("llama", weights=tmp_path / "model.gguf")
    assert model.zoo_weights.assets.tokenizer is None
    with pytest.raises(UsageError, match=rf"model.gguf' has no tokenizer.*{reason}"):
        load_tokenizer(tmp_path / "model.gguf")


SCORED = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": np.zeros(2)}
BYTES = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "ab"]}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model='t5'; gpt2 and llama are read"),
        ({**BYTES, "tokenizer.ggml.tokens": ["a", "a"]}, "tokenizer.ggml.tokens has 1 words twice"),
        ({**BYTES, "tokenizer.ggml.tokens": 7}, "tokenizer.ggml.tokens is not a list of texts."),
        ({**BYTES, "tokenizer.ggml.merges": ["ab"]}, "has 'ab', which is not two words."),
        ({**BYTES, "tokenizer.ggml.merges": ["a c"]}, "are not a tokenizer: "),
        ({**BYTES, "tokenizer.ggml.token_type": np.ones(2)}, "has 2 numbers for 3 tokens."),
        ({**SCORED, "tokenizer.ggml.tokens": ["a", "b" * 999]}, "has a word of 999 characters"),
        (
            {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a"]},
            "no tokenizer.ggml.scores",
        ),
        ({**SCORED, "tokenizer.ggml.remove_extra_whitespaces": True}, "_whitespaces=True"),
    ],
)
def test_a_tokenizer_that_is_not_exact_or_damaged(metadata, message):
    with pytest.raises(UsageError) as error:
        build_tokenizer(metadata)
    assert message in str(error.value)


def refused(path, name="llama"):
    with pytest.raises(UsageError) as error:
        get_model(name, weights=path)
    return str(error.value).replace(str(path), "model")


def added(key, value):
    add = {str: "add_string", float: "add_float32", int: "add_uint32", bool: "add_bool"}[
        type(value)
    ]
    return lambda writer: getattr(writer, add)(key, value)


NOT_OURS = [
    (added("general.type", "adapter"), "'model' is not a model: general.type='adapter'."),
    (
        added("split.count", 3),
        "'model' is one of 3 parts of a model: llama.cpp's `llama-",
    ),
    (
        added("llama.expert_count", 8),
        "llama.expert_count is 8, not 0, the only value that",
    ),
    (added("llama.rope.dimension_count", 4), "llama.rope.dimension_count is 4, not 8, the only"),
    (added("llama.attention.scale", 0.5), "llama.attention.scale is 0.5, not 0.35"),
    (added("llama.attention.key_length", 0), "key_length is 0, not a number from 1 on."),
    (added("llama.rope.scaling.type", "longrope"), "is longrope, not one of: none, linear, yarn"),
    (
        lambda writer: writer.add_tensor("rope_freqs.weight", np.float32([3, 1, 2, 1])),
        "the factors of rope_freqs.weight are not of Llama 3's scaling",
    ),
    (
        lambda writer: writer.add_tensor("blk.0.ffn_gate_inp.weight", np.ones((2, 32), "float32")),
        "do not fit model 'llama': left over: blk.0.ffn_gate_inp.weight.",
    ),
    (
        lambda writer: writer.add_tensor("blk.0.x.weight", np.ones((2, 32), "int32")),
        "has tensors of type I32, which the package 'gguf' cannot read: blk.0.x.weight.",
    ),
    (
        lambda writer: writer.add_tokenizer_model("gpt2") or writer.add_eos_token_id(7),
        "'model': tokenizer.ggml.eos_token_id=7 is no token of the vocabulary of 0.",
    ),
    (
        lambda writer: writer.add_token_list(["a"] * 999),
        f"'model' has 999 words for the {len(WORDS)} rows of token_embd.weight.",
    ),
    (
        lambda writer: add_byte_bpe(writer, "gpt-2") or writer.add_bos_token_id(1 << 30),
        "tokenizer.ggml.bos_token_id=1073741824 is no token",
    ),
]


@pytest.mark.parametrize(("change", "message"), NOT_OURS)
def test_what_is_not_ours_is_refused_by_name(change, message, tmp_path):
    file_of(tmp_path / "m.gguf", change=change)
    assert message in refused(tmp_path / "m.gguf")


def test_other_architectures_sizes_and_families(tmp_path):
    file_of(tmp_path / "m.gguf", {**SMALL, "num_hidden_layers": 3})
    content = (tmp_path / "m.gguf").read_bytes()
    key = b"llama.block_count" + struct.pack("<I", 4)
    many = content.replace(key + struct.pack("<I", 3), key + struct.pack("<I", 1 << 31))
    (tmp_path / "many.gguf").write_bytes(many)
    assert refused(tmp_path / "many.gguf") == (
        "'model' says llama.block_count=2,147,483,648; it has tensors of 3 blocks."
    )
    assert "are of a 'llama' model; 'gpt' is of family 'gpt'" in refused(tmp_path / "m.gguf", "gpt")
    message = refused(tmp_path / "m.gguf", "smollm2-135m")
    assert f"vocab_size is {len(WORDS)} there and 49152 here" in message
    write(gguf.GGUFWriter(tmp_path / "other.gguf", "gemma3"))
    assert refused(tmp_path / "other.gguf") == (
        "'model' is of architecture 'gemma3'; GGUF files of these are read: llama, qwen2, qwen3, "
        "smollm3. Other families come from a Hugging Face snapshot."
    )


BEGIN = b"GGUF" + struct.pack("<I", 3)
KEY = struct.pack("<Q", 3) + b"key"
DAMAGED = [
    (b"", "is not a GGUF file: it begins with b''."),
    (b"PK\3\4 and so on", r"is not a GGUF file: it begins with b'PK\x03\x04'."),
    (b"GGUF" + struct.pack("<I", 1) + bytes(40), "is GGUF of version 1; versions 2 and 3 are read"),
    (b"GGUF" + struct.pack(">I", 3) + bytes(40), "is a GGUF file of a big-endian machine"),
    (BEGIN, "is cut short or damaged: byte 8 announces 8 bytes, of 0 there are"),
    (
        BEGIN + struct.pack("<QQ", 1 << 60, 0),
        "1,152,921,504,606,846,976 entries in the 8 bytes",
    ),
    (
        BEGIN + struct.pack("<QQ", 0, 1 << 60),
        "1,152,921,504,606,846,976 entries in the 0 bytes",
    ),
    (
        BEGIN + struct.pack("<QQQ", 0, 1, 1 << 62) + bytes(20),
        "byte 32 announces 4,611,686,018,427,387,904 bytes, of 20 there are",
    ),
    (
        BEGIN + struct.pack("<QQ", 0, 1) + KEY + struct.pack("<IIQ", 9, 8, 1 << 59),
        "announces 576,460,752,303,423,488 entries",
    ),
    (
        BEGIN + struct.pack("<QQ", 0, 1) + KEY + struct.pack("<IIQ", 9, 9, 0),
        "names type 9, which is no number's",
    ),
    (BEGIN + struct.pack("<QQ", 0, 1) + KEY + struct.pack("<II", 99, 0), "names type 99"),
    (BEGIN + struct.pack("<QQQ", 0, 1, 3) + b"\xff\xfe\xfd" + bytes(9), "is not UTF-8"),
    (
        BEGIN + struct.pack("<QQ", 0, 2) + 2 * (KEY + struct.pack("<II", 4, 7)),
        "it has 'key' twice",
    ),
    (
        BEGIN + struct.pack("<QQ", 1, 0) + KEY + struct.pack("<IQIQ", 9, 1, 0, 0),
        "announces a tensor of 9 axes",
    ),
    (
        BEGIN + struct.pack("<QQ", 1, 0) + KEY + struct.pack("<IQIQ", 1, 4, 77, 0),
        "tensor key is of type 77, which the package 'gguf' does not know",
    ),
    (
        BEGIN + struct.pack("<QQ", 1, 0) + KEY + struct.pack("<IQIQ", 1, 31, 8, 0),
        "tensor key of type Q8_0 has the shape (31,)",
    ),
    (
        BEGIN + struct.pack("<QQ", 1, 0) + KEY + struct.pack("<IQIQ", 1, 1 << 62, 0, 0),
        "tensor key ends at byte 18,446,744,073,709,551,",
    ),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_damaged_and_foreign_files(content, message, tmp_path):
    (tmp_path / "m.gguf").write_bytes(content)
    assert message in refused(tmp_path / "m.gguf")


@pytest.mark.parametrize("value", [np.arange(3), ["a", "b"], "text", -1, 1.5, True, float("nan")])
def test_no_kind_of_value_gets_further_than_a_message(value, tmp_path):
    def change(writer):
        add_byte_bpe(writer, "llama-bpe")
        writer.add_chat_template("{{ 1 }}")
        writer.add_add_bos_token(True)
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_dimension_count(8)
        for key in ("general.type", "split.count", "llama.rope.scaling.type"):
            writer.add_string(key, "")
        for key in ("general.sampling.temp", "llama.expert_count", "tokenizer.ggml.scores"):
            writer.add_float32(key, 1.0)

    file_of(tmp_path / "m.gguf", change=change)
    file = read_gguf(tmp_path / "m.gguf")
    for key in file.metadata:
        metadata = {**file.metadata, "general.type": "model", "split.count": 0, key: value}
        metadata["llama.rope.scaling.type"] = value if "scaling.type" in key else "linear"
        snapshot = GgufSnapshot(tmp_path / "m.gguf")
        snapshot.__dict__["_file"] = replace(file, metadata=metadata)
        with suppress(UsageError):
            assert snapshot.config["model_type"] == "llama"
        for model in ("gpt2", "llama"):
            with suppress(UsageError):
                build_tokenizer({**metadata, "tokenizer.ggml.model": model})


def test_a_file_that_ends_anywhere_gives_one_message(tmp_path):
    file_of(tmp_path / "m.gguf", change=lambda writer: add_byte_bpe(writer, "gpt-2"))
    content = (tmp_path / "m.gguf").read_bytes()
    for size in range(8, len(content), len(content) // 60):
        (tmp_path / "m.gguf").write_bytes(content[:size])
        with pytest.raises(UsageError, match="is cut short or damaged"):
            GgufSnapshot(tmp_path / "m.gguf").own_config  # noqa: B018


def test_a_file_of_a_repository_is_named(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--org--tiny-GGUF"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0a")
    (cached / "snapshots" / "0a" / "Q8").mkdir(parents=True)
    file_of(cached / "snapshots" / "0a" / "Q8" / "tiny.Q8_0.gguf")
    with allowed(False):
        checkpoint = open_weights(models.get("llama"), "hf://org/tiny-GGUF/Q8/tiny.Q8_0.gguf")
        assert checkpoint.arguments({}, {})["hidden_dim"] == 32
        assert "there is no such file" in refused("hf://org/tiny-GGUF/other.gguf")
        assert "is not 'hf://org/name'" in refused("hf://org/tiny-GGUF/../../x.gguf")
        assert "has another sha256" in refused(
            f"hf://org/tiny-GGUF/Q8/tiny.Q8_0.gguf#sha256={'0a' * 32}"
        )


def test_where_a_file_is_and_what_reads_it(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    file_of(folder / "m.gguf")
    assert refused(folder).endswith("such as 'model/m.gguf'.")
    # As ollama keeps it.
    (folder / "m.gguf").rename(folder / "sha256-0a")
    assert open_weights(models.get("llama"), folder / "sha256-0a").arguments({}, {})
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert refused(folder / "sha256-0a") == (
        "'model' is read by the package 'gguf', which is not installed: pip install 'kerazoo[gguf]'"
    )
