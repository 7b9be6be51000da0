"""Write small vocabularies, and the token ids that Hugging Face transformers gives texts.

pip install transformers
python tests/weights/references/make_tokenizers.py [FOLDER OF all-MiniLM-L6-v2]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import transformers as hf
from tokenizers import ByteLevelBPETokenizer

HERE = Path(__file__).parent
TEXTS = [
    "",
    " ",
    "The weather is lovely today.",
    "Café, naïve, Ångström, ŁÓDŹ, Ünïcode: ﬁne!",
    "cafe\u0301 against caf\u00e9",
    "我喜欢 Keras 模型。日本語も、한국어도.",
    "so 😀👩‍👩‍👧 good 🤷🏽‍♂️!!",
    "x" * 101 + " supercalifragilisticexpialidocious " + "y" * 99,
    "tabs\tand\nlines\r\nand\u00a0no-break \u200bzero\u0000null",
    "don't  stop [MASK] [UNK] <|endoftext|> end",
    "عربي עברית हिन्दी ไทย",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz.,!'-:😀我喜日本語한😃हिन्दी"
WORDS = ["the", "weather", "is", "lovely", "today", "##ly", "##er", "cafe", "##s", "don", "keras"]


def main() -> None:
    """Write the folders; with a folder of MiniLM, its ids too."""
    bert = HERE / "tokenizer-bert"
    bert.mkdir(exist_ok=True)
    letters = [*dict.fromkeys(LETTERS), *(f"##{c}" for c in dict.fromkeys(LETTERS))]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    (bert / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    record(bert / "ids.json", hf.BertTokenizer(vocab=str(bert / "vocab.txt")))
    gpt2 = HERE / "tokenizer-gpt2"
    gpt2.mkdir(exist_ok=True)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS, vocab_size=320, special_tokens=["<|endoftext|>"])
    bpe.save_model(str(gpt2))
    record(gpt2 / "ids.json", hf.GPT2Tokenizer.from_pretrained(gpt2))
    for folder in sys.argv[1:]:
        record(HERE / "minilm-ids.json", hf.AutoTokenizer.from_pretrained(folder))
        with tempfile.TemporaryDirectory() as alone:
            vocab = Path(alone, "vocab.txt")
            vocab.write_bytes(Path(folder, "vocab.txt").read_bytes())
            same = hf.BertTokenizer(vocab=str(vocab))
            assert [same(t)["input_ids"] for t in TEXTS] == ids(
                hf.AutoTokenizer.from_pretrained(folder)
            )


def ids(tokenizer: hf.PreTrainedTokenizerBase) -> list[list[int]]:
    """Return the token ids of each text."""
    return [tokenizer(text)["input_ids"] for text in TEXTS]


def record(file: Path, tokenizer: hf.PreTrainedTokenizerBase) -> None:
    """Write the texts with their ids."""
    pairs = [{"text": t, "ids": i} for t, i in zip(TEXTS, ids(tokenizer), strict=True)]
    file.write_text(json.dumps(pairs, ensure_ascii=True, indent=1) + "\n")


if __name__ == "__main__":
    main()
