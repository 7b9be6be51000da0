"""transformers with torch as a contestant of benchmarks/generation.py."""

from __future__ import annotations

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

CONFIGS = {
    "gpt2-small": GPT2Config,
    "smollm2-135m": lambda: LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
        max_position_embeddings=8192,
    ),
}  # fmt: skip


def main(name: str, threads: str, prompt: str, new: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    ids = torch.randint(0, 1000, (1, int(prompt)))

    def generate(count: int) -> float:
        begun = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
            )
        return time.perf_counter() - begun

    def both() -> tuple[float, float]:
        first = generate(1)
        return first, (int(new) - 1) / (generate(int(new)) - first)

    both()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(both()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
