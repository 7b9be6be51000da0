"""The numbers of texts are those of Hugging Face transformers."""

import json
from pathlib import Path

import pytest

from zoo.weights.opening import load_tokenizer
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


def refused(source):
    with pytest.raises(UsageError) as raised:
        load_tokenizer(source)
    return str(raised.value)


def test_what_is_no_tokenizer(tmp_path):
    assert refused(tmp_path) == (
        f"'{tmp_path}' has no tokenizer: none of tokenizer.json, vocab.txt or vocab.json and "
        "merges.txt."
    )
    assert refused(tmp_path / "no") == f"weights='{tmp_path / 'no'}': there is no such file."
    assert "has no pretrained weights" in refused("mnist-mlp")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    assert refused(tmp_path) == f"'{tmp_path / 'vocab.txt'}' lacks [CLS], [SEP], [MASK]."
    (tmp_path / "tokenizer.json").write_text("{}")
    assert f"'{tmp_path / 'tokenizer.json'}' is no tokenizer file:" in refused(tmp_path)
