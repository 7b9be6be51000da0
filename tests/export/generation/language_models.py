"""Tiny language models with random weights, each with a tokenizer of its own."""

import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

import zoo
from zoo_export.options import ExportOptions
from zoo_export.reading.request import from_model
from zoo_runtime.formats import find
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.manifest import Decoding

TEXTS = Path(zoo.__file__).read_text().splitlines() * 3
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
SIZES = {"num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
HEADS = {"num_query_heads": 4, "num_key_value_heads": 2}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@cache
def byte_pairs():
    """Byte-level BPE that puts a start token before a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    found.train_from_iterator(TEXTS, trainer)
    found.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    return found


@cache
def lower_case():
    """The same, of lower-case letters alone."""
    from tokenizers import Tokenizer, normalizers

    found = Tokenizer.from_str(byte_pairs().to_str())
    found.normalizer = normalizers.Lowercase()
    return found


@cache
def of_words():
    from tokenizers import Tokenizer, models, pre_tokenizers

    found = Tokenizer(models.WordLevel({"<unk>": 0, "The": 1, "history": 2}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found


@cache
def unigram():
    """Unigram with spaces at the beginning of words, and no start token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    found = Tokenizer(models.Unigram())
    found.pre_tokenizer, found.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    found.train_from_iterator(TEXTS, trainer)
    return found


@cache
def sentence_piece(kind="bpe") -> bytes:
    """SentencePiece as that of Gemma: byte pairs, and bytes of what is in no vocabulary."""
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=file,
        vocab_size=400,
        hard_vocab_limit=False,
        model_type=kind,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        bos_piece="<bos>",
        eos_piece="<eos>",
        unk_piece="<unk>",
        minloglevel=2,
    )
    return file.getvalue()


def noisy(model, seed=0):
    """Return a model with random weights, large enough to let every part of it count."""
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        ones = np.ones_like(variable) if np.all(np.asarray(variable) == 1) else 0
        variable.assign(ones + 0.3 * random.normal(size=variable.shape))
    return model


def gpt():
    return noisy(
        zoo.get_model("gpt-nano", vocab_size=300, num_layers=2, hidden_dim=16, num_heads=2)
    )


def llama():
    sizes = {"num_layers": 2, "hidden_dim": 16, "num_heads": 4, "num_kv_heads": 2, "ff_dim": 24}
    return noisy(zoo.get_model("smollm2-135m", vocab_size=unigram().get_vocab_size(), **sizes))


def keras_hub_gemma3():
    from keras_hub import models

    backbone = models.Gemma3Backbone(
        vocabulary_size=400,
        **SIZES,
        **HEADS,
        head_dim=4,
        image_size=16,
        vision_encoder=None,
        use_sliding_window_attention=True,
        sliding_window_size=6,
        use_query_key_norm=True,
    )
    tokenizer = models.Gemma3Tokenizer(proto=sentence_piece(), has_vision_tokens=False)
    preprocessor = models.Gemma3CausalLMPreprocessor(tokenizer, image_converter=None)
    return noisy(models.Gemma3CausalLM(preprocessor=preprocessor, backbone=backbone))


def keras_hub_llama3():
    from keras_hub import models

    ours = byte_pairs()
    words = {**ours.get_vocab(), **{f"<|{n}|>": 300 + at for at, n in enumerate(_OF_LLAMA)}}
    merges = [" ".join(pair) for pair in _merges(ours)]
    tokenizer = models.Llama3Tokenizer(vocabulary=words, merges=merges)
    backbone = models.Llama3Backbone(vocabulary_size=len(words), **SIZES, **HEADS)
    preprocessor = models.Llama3CausalLMPreprocessor(tokenizer)
    return noisy(models.Llama3CausalLM(backbone, preprocessor))


def keras_hub_gpt2():
    from keras_hub import models

    ours = byte_pairs()
    words = {**ours.get_vocab(), "<|endoftext|>": 300}
    tokenizer = models.GPT2Tokenizer(
        vocabulary=words, merges=[" ".join(pair) for pair in _merges(ours)]
    )
    backbone = models.GPT2Backbone(
        vocabulary_size=len(words), **SIZES, num_heads=2, max_sequence_length=64
    )
    return noisy(models.GPT2CausalLM(backbone, models.GPT2CausalLMPreprocessor(tokenizer)))


_OF_LLAMA = ("begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id")


def _merges(tokenizer):
    import json

    return json.loads(tokenizer.to_str())["model"]["merges"]


def request_of(model, folder, tokenizer=None, chat=False, to="litertlm", **options):
    """Return what is asked of an export, with a tokenizer as a snapshot's weights bring it."""
    fmt = find(to)
    sizes = {"max_length": 48} | ({"prefill_lengths": [8]} if fmt.fixed_cache else {})
    asked = replace(
        from_model(model),
        name="tiny",
        options=ExportOptions.of({**sizes, **options}, [fmt]),
    )
    if tokenizer is None:
        return asked
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    tokenizer.save(str(assets / "tokenizer.json"))
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>"}
    return replace(
        asked,
        preprocessing=({"step": "tokenize", "tokenizer": "tokenizer.json", "length": 8},),
        assets=assets,
        decoding=Decoding(chat=ChatTemplate(TEMPLATE, tokens)) if chat else None,
    )
