"""Write the token ids that transformers gives texts, by each way of GGUF files to split a text.

pip install transformers
python tests/weights/references/make_gguf_tokenizers.py

The vocabulary is that of `tokenizer-gpt2`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers as hf
from make_tokenizers import TEXTS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import TikTokenConverter

HERE = Path(__file__).parent
FOLDER = HERE / "tokenizer-gpt2"
MORE = ["A1234567 it's WE'LL  $$$ 12,345.67!?\n\n\n x\t\ty   ", "12 <= 345 == foo_bar(²³½)"]


class Llama3(TikTokenConverter):
    """The converter of Llama 3's tokenizer, with another vocabulary."""

    def extract_vocab_merges_from_model(self, tiktoken_url: Any) -> Any:
        """Return vocabulary and merges."""
        return vocabulary()


def vocabulary() -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """Return ids by word, and merges."""
    lines = (FOLDER / "merges.txt").read_text().splitlines()[1:]
    ids = json.loads((FOLDER / "vocab.json").read_text())
    return ids, [tuple(line.split(" ")) for line in lines]


def smollm() -> Any:
    """Return a tokenizer of the parts that SmolLM's tokenizer.json has."""
    made = Tokenizer(models.BPE(*vocabulary()))
    digits, of_bytes = pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, of_bytes])
    made.decoder = decoders.ByteLevel()
    return made


def main() -> None:
    """Write all ids."""
    ids, merges = vocabulary()
    end = "<|endoftext|>"
    tokenizers = {
        "gpt-2": hf.GPT2Tokenizer(vocab=ids, merges=merges),
        "llama-bpe": hf.PreTrainedTokenizerFast(
            tokenizer_object=Llama3(extra_special_tokens=[end]).converted()
        ),
        "qwen2": hf.Qwen2Tokenizer(vocab=ids, merges=merges),
        "smollm": hf.PreTrainedTokenizerFast(tokenizer_object=smollm(), eos_token=end),
    }
    texts = [*TEXTS, *MORE]
    found = {name: [made(text)["input_ids"] for text in texts] for name, made in tokenizers.items()}
    text = json.dumps({"texts": texts, "ids": found}, separators=(",", ":"))
    (HERE / "gguf-ids.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
