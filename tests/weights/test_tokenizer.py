"""The token ids of texts are those of Hugging Face transformers."""

import json
from pathlib import Path

import pytest

from zoo_models.weights.opening import load_tokenizer
from zoo_registry import UsageError

REFERENCES = Path(__file__).parent / "references"


@pytest.mark.parametrize("name", ["tokenizer-bert", "tokenizer-gpt2"])
def test_accents_scripts_emoji_long_words_and_nothing(name):
    tokenizer = load_tokenizer(REFERENCES / name)
    for row in json.loads((REFERENCES / name / "ids.json").read_text()):
        assert tokenizer.encode(row["text"]).ids == row["ids"], row["text"]


def test_a_tokenizer_file_comes_first_and_neither_cuts_nor_pads(tmp_path):
    made = load_tokenizer(REFERENCES / "tokenizer-bert")
    made.enable_truncation(4)
    made.enable_padding(length=9)
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").write_text("unread")
    assert load_tokenizer(tmp_path).encode("the weather is lovely").tokens == (
        ["[CLS]", "the", "weather", "is", "lovely", "[SEP]"]
    )


def test_settings_of_the_snapshot_are_kept(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n<unk>\n[CLS]\n[SEP]\n[MASK]\nCafé\ncafe\n")
    settings = {"do_lower_case": False, "unk_token": {"content": "<unk>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(tmp_path).encode("Café cafe CAFE").tokens == (
        ["[CLS]", "Café", "cafe", "<unk>", "[SEP]"]
    )


WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"
EXTRA = {
    "7": {"content": "<one>", "lstrip": True, "special": True},
    "8": {"content": "<two>", "special": False},
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {"<two>": 8, "<one>": 7}),
        ("tokenizer_config.json", {"added_tokens_decoder": EXTRA}),
        ("special_tokens_map.json", {"additional_special_tokens": ["<one>", {"content": "<two>"}]}),
    ],
)
def test_tokens_beside_the_vocabulary(name, content, tmp_path):
    (tmp_path / "vocab.txt").write_text(WORDS)
    (tmp_path / name).write_text(json.dumps(content))
    assert load_tokenizer(tmp_path).encode("a <one>b<two>").ids == [2, 5, 7, 6, 8, 3]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("added_tokens.json", {"<one>": 9}, "gives '<one>' the id 9; after the vocabulary's"),
        ("added_tokens.json", {"<one>": "last"}, "its added tokens are damaged: ValueError"),
        ("tokenizer_config.json", {"added_tokens_decoder": ["<one>"]}, "tokens are damaged: Attr"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"7": "<one>"}}, "tokens are damaged"),
    ],
)
def test_added_tokens_that_do_not_fit(name, content, expected, tmp_path):
    (tmp_path / "vocab.txt").write_text(WORDS)
    (tmp_path / name).write_text(json.dumps(content))
    assert expected in refused(tmp_path)


def test_the_space_before_a_text_is_that_of_the_class(tmp_path):
    made = load_tokenizer(REFERENCES / "tokenizer-gpt2")
    made.save(str(tmp_path / "tokenizer.json"))
    plain, spaced = (made.encode(text).ids for text in ("a", " a"))
    for kind, wanted in (("GPT2Tokenizer", spaced), ("PreTrainedTokenizerFast", plain)):
        settings = {"add_prefix_space": True, "tokenizer_class": kind}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        assert load_tokenizer(tmp_path).encode("a").ids == wanted


def test_a_whole_file_says_itself_what_stands_around_a_text(tmp_path):
    made = load_tokenizer(REFERENCES / "tokenizer-gpt2")
    made.save(str(tmp_path / "tokenizer.json"))
    settings = {"add_bos_token": True, "bos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(tmp_path).encode("a").ids == made.encode("a").ids
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / file).write_bytes((REFERENCES / "tokenizer-gpt2" / file).read_bytes())
    (tmp_path / "tokenizer.json").unlink()
    assert load_tokenizer(tmp_path).encode("a").ids == [0, *made.encode("a").ids]


def test_a_roberta_stands_between_its_own_marks(tmp_path):
    """As transformers' RobertaTokenizer numbers the same files."""
    vocabulary = json.loads((REFERENCES / "tokenizer-gpt2" / "vocab.json").read_text())
    words = sorted(vocabulary.keys() - {"<|endoftext|>"}, key=vocabulary.get)
    words = ["<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    merges = (REFERENCES / "tokenizer-gpt2" / "merges.txt").read_bytes()
    (tmp_path / "merges.txt").write_bytes(merges)
    settings = json.dumps({"tokenizer_class": "RobertaTokenizer"})
    (tmp_path / "tokenizer_config.json").write_text(settings)
    tokenizer = load_tokenizer(tmp_path)
    weather = [224, 90, 286, 87, 75, 271]
    assert tokenizer.encode("The weather").ids == [0, 55, 75, 72, *weather, 2]
    pair = [0, 87, 75, 72, *weather, 224, 76, 86, 2, 2, 79, 82, 290, 79, 92, 2]
    assert tokenizer.encode("the weather is", "lovely").ids == pair
    assert tokenizer.encode(" <mask> is").ids == [0, 224, 303, 224, 76, 86, 2]


def refused(source):
    with pytest.raises(UsageError) as raised:
        load_tokenizer(source)
    return str(raised.value)


def test_what_is_no_tokenizer(tmp_path):
    assert refused(tmp_path) == (
        f"'{tmp_path}' has no tokenizer: none of tokenizer.json, vocab.txt or vocab.json and "
        "merges.txt."
    )
    (tmp_path / "spiece.model").write_text("")
    assert refused(tmp_path).endswith("save_pretrained(...) writes it as tokenizer.json).")
    assert refused(tmp_path / "no") == f"weights='{tmp_path / 'no'}': there is no such file."
    assert "has no pretrained weights" in refused("mnist-mlp")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    assert refused(tmp_path) == f"'{tmp_path / 'vocab.txt'}' lacks [CLS], [SEP], [MASK]."
    (tmp_path / "tokenizer.json").write_text("{}")
    assert f"'{tmp_path / 'tokenizer.json'}' is not a tokenizer file:" in refused(tmp_path)
