"""Write the tokens that transformers generates with the tiny models of `make_drawn.py`.

pip install torch transformers
python tests/weights/references/make_generated.py
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from drawing import tokens
from make_drawn import TRANSFORMERS, draw

HERE = Path(__file__).parent
NAMES = (
    *("llama-llama3-old-keys", "llama-yarn", "llama-biases", "mistral-window", "qwen2-window"),
    *("qwen3", "smollm3-biases", "gpt2"),
)
GPT2 = {
    "vocab_size": 12,
    "n_positions": 48,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MODELS = {**TRANSFORMERS, "gpt2": ("GPT2LMHeadModel", GPT2, {})}
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 8, "suppress_tokens": [5, 6]},
    {"bad_words_ids": [[7], [3, 4]], "begin_suppress_tokens": [2, 8]},
    {"forced_eos_token_id": 0},
    {"num_beams": 3},
    {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0},
    {"num_beams": 3, "early_stopping": True},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": -1.0},
    {"num_beams": 5, "num_return_sequences": 5, "repetition_penalty": 1.2},
)


def of_model(name: str) -> dict[str, Any]:
    """Return configuration, shapes and texts of one model."""
    architecture, settings, _ = deepcopy(MODELS[name])
    model_class = getattr(hf, architecture)
    model = model_class(model_class.config_class(**settings)).eval()
    shapes = draw(model)
    ids, mask = tokens(12)
    prompts = [row[: int(real.sum())].tolist() for row, real in zip(ids, mask, strict=True)]
    texts = [[generated(model, prompt, options) for prompt in prompts] for options in OPTIONS]
    found: dict[str, Any] = {"texts": texts}
    if name == "gpt2":
        found |= {"config": json.loads(model.config.to_json_string()), "tensors": shapes}
        del found["tensors"]["lm_head.weight"]
    return found


def generated(model: Any, prompt: list[int], options: dict[str, Any]) -> list[list[int]]:
    """Return the new tokens of each text up to its end, which is token 0."""
    ids = torch.tensor([prompt])
    settings = hf.GenerationConfig(
        max_new_tokens=20, do_sample=False, eos_token_id=0, pad_token_id=1, **options
    )
    model.generation_config = hf.GenerationConfig()
    rows = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    new = [row[len(prompt) :].tolist() for row in rows]
    return [row[: row.index(0)] if 0 in row else row for row in new]


def main() -> None:
    """Write all texts into one file."""
    found = {"options": OPTIONS, "models": {name: of_model(name) for name in NAMES}}
    text = json.dumps(found, separators=(",", ":"))
    (HERE / "generated.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
