"""The peers of benchmarks/generation.py: transformers, optimum and llama.cpp, weights drawn."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SMOLLM2 = {
    "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}  # fmt: skip
_Generate = Callable[[], tuple[float, float]]
_before_loading = [0]


def ready_to_load() -> None:
    """Note what this process holds before the model is loaded."""
    _before_loading[0] = _memory("VmRSS")


def _memory(which: str) -> int:
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(rows[which].split()[0])


def answer(run: _Generate) -> None:
    """Generate once to warm up, and once for each line of standard input."""
    run()
    print("ready", _memory("VmHWM") - _before_loading[0], flush=True)
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)


def of_transformers(name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    torch.manual_seed(0)
    config = GPT2Config() if name == "gpt2-small" else LlamaConfig(**SMOLLM2)
    return AutoModelForCausalLM.from_config(config).eval()


def snapshot(name: str, folder: Path) -> None:
    """Write what transformers reads, with a tokenizer that makes a token of each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: at for at, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    of_transformers(name).save_pretrained(folder / "snapshot")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="~").save_pretrained(
        folder / "snapshot"
    )


def transformers(name: str, folder: Path, threads: int, sizes: tuple[int, int]) -> _Generate:
    import torch

    del folder
    torch.set_num_threads(threads)
    ready_to_load()
    return generating(of_transformers(name), *sizes)


def generating(model: Any, prompt: int, new: int) -> _Generate:
    import torch

    ids = torch.randint(0, 1000, (1, prompt))

    def generate(count: int) -> float:
        begun = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count,
                min_new_tokens=count, do_sample=False, pad_token_id=0,
            )  # fmt: skip
        return time.perf_counter() - begun

    def both() -> tuple[float, float]:
        first = generate(1)
        return first, (new - 1) / (generate(new) - first)

    return both


def optimum(
    name: str, folder: Path, threads: int, sizes: tuple[int, int], *, int8: bool = False
) -> _Generate:
    import onnxruntime
    from optimum.onnxruntime import ORTModelForCausalLM, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    plain, small = folder / "optimum", folder / "optimum-int8"
    if not plain.is_dir():
        source = folder / "transformers"
        of_transformers(name).save_pretrained(source)
        ORTModelForCausalLM.from_pretrained(source, export=True).save_pretrained(plain)
    if int8 and not small.is_dir():
        how = AutoQuantizationConfig.avx2(is_static=False, per_channel=True)
        ORTQuantizer.from_pretrained(plain).quantize(save_dir=small, quantization_config=how)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    ready_to_load()
    name = "model_quantized.onnx" if int8 else "model.onnx"
    model = ORTModelForCausalLM.from_pretrained(
        small if int8 else plain, file_name=name, session_options=options
    )
    return generating(model, *sizes)


def llama_cpp(
    name: str, folder: Path, threads: int, sizes: tuple[int, int], *, kind: str
) -> _Generate:
    import xllamacpp

    path = folder / f"llama.cpp-{kind}.gguf"
    if not path.is_file():
        write_gguf(name, path, kind)
    given = xllamacpp.CommonParams()
    given.model.path = str(path)
    given.n_ctx, given.n_parallel, given.n_gpu_layers = sum(sizes), 1, 0
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    given.cache_prompt = False
    given.warmup = False
    ready_to_load()
    server = xllamacpp.Server(given)
    prompt, new = sizes
    asked = {
        "prompt": np.random.default_rng(0).integers(0, 256, prompt).tolist(),
        "n_predict": new, "ignore_eos": True, "temperature": 0, "top_k": 1, "cache_prompt": False,
    }  # fmt: skip

    def generate() -> tuple[float, float]:
        times = server.handle_completions(asked)["timings"]
        if (times["prompt_n"], times["predicted_n"]) != (prompt, new):
            raise SystemExit(f"llama.cpp read and wrote other numbers of tokens: {times}")
        return times["prompt_ms"] / 1e3, times["predicted_per_second"]

    return generate


def write_gguf(name: str, path: Path, kind: str) -> None:
    """Write a model with drawn weights; the table of tokens has 8 bits in both kinds."""
    import gguf

    is_gpt = name == "gpt2-small"
    vocab, width, inner, layers, heads, kv = (
        (50_257, 768, 3072, 12, 12, 12) if is_gpt else (49_152, 576, 1536, 30, 9, 3)
    )
    writer = gguf.GGUFWriter(str(path), "gpt2" if is_gpt else "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_eps(1e-5)
    writer.add_layer_norm_rms_eps(1e-5)
    alphabet = [f"<{at}>" for at in range(vocab)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(alphabet)
    writer.add_token_types([1] * vocab)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    random = np.random.default_rng(0)

    def add(tensor: str, *shape: int, like: str = kind) -> None:
        array = random.normal(scale=0.02, size=shape).astype(np.float32)
        if len(shape) == 1 or like == "F32":
            writer.add_tensor(tensor, array)
            return
        row = gguf.GGMLQuantizationType[like]
        writer.add_tensor(tensor, gguf.quants.quantize(array, row), raw_dtype=row)

    add("token_embd.weight", vocab, width, like="Q8_0")
    add("output_norm.weight", width)
    if is_gpt:
        add("position_embd.weight", 1024, width, like="F32")
        add("output_norm.bias", width)
    size = kv * width // heads
    matrices = (
        {"attn_qkv": (3 * width, width)}
        if is_gpt
        else {"attn_q": (width, width), "attn_k": (size, width), "attn_v": (size, width)}
    )
    matrices |= {"attn_output": (width, width), "ffn_up": (inner, width)}
    matrices |= {"ffn_down": (width, inner)} | ({} if is_gpt else {"ffn_gate": (inner, width)})
    for block in range(layers):
        for tensor, shape in matrices.items():
            add(f"blk.{block}.{tensor}.weight", *shape)
            if is_gpt:
                add(f"blk.{block}.{tensor}.bias", shape[0])
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{block}.{norm}.weight", width)
            if is_gpt:
                add(f"blk.{block}.{norm}.bias", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def contestant(kind: str, name: str, folder: Path, threads: int, sizes: Any) -> _Generate:
    if kind == "transformers":
        return transformers(name, folder, threads, sizes)
    if kind.startswith("optimum"):
        return optimum(name, folder, threads, sizes, int8=kind.endswith("int8"))
    return llama_cpp(name, folder, threads, sizes, kind=kind.rpartition(" ")[2])


def main() -> None:
    kind, name, folder, *numbers = sys.argv[1:]
    if kind == "snapshot":
        snapshot(name, Path(folder))
        return
    threads, *sizes = map(int, numbers)
    answer(contestant(kind, name, Path(folder), threads, sizes))


if __name__ == "__main__":
    main()
