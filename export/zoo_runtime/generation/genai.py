"""onnxruntime-genai, which continues texts by itself: the folder that it loads, and it as a writer.

Its configuration can name libraries to load and files anywhere. That of a bundle has the keys that
our export writes and no others, and its folder no other file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.errors import BundleError
from zoo_runtime.generation.texts import written
from zoo_runtime.optional import need
from zoo_runtime.running.operators import check_onnx
from zoo_runtime.running.writing import NEW, PROMPT, TEXT, Writer
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.tokenizing import open_tokenizer

CONFIG, MODEL, TOKENIZER = "genai_config.json", "model.onnx", "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# What a text may be made with; its configuration calls all of it so too.
SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty")
_FILES = {CONFIG, MODEL, f"{MODEL}.data", TOKENIZER, TOKENIZER_CONFIG}
_SEARCH = {*SAMPLING, "do_sample", "max_length", "past_present_share_buffer"}
_INPUTS = {"input_ids", "attention_mask", "past_key_names", "past_value_names"}
_OUTPUTS = {"logits", "present_key_names", "present_value_names"}
# Keys of its configuration; below those that are not here are values.
_KEYS: Mapping[tuple[str, ...], set[str]] = {
    (): {"model", "search"},
    ("search",): _SEARCH,
    ("model",): {
        "type",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "context_length",
        "vocab_size",
        "decoder",
    },
    ("model", "decoder"): {
        "filename",
        "head_size",
        "num_key_value_heads",
        "num_hidden_layers",
        "inputs",
        "outputs",
    },
    ("model", "decoder", "inputs"): _INPUTS,
    ("model", "decoder", "outputs"): _OUTPUTS,
}


def open_genai(path: Path, *, threads: int | None = None, provider: str = "cpu") -> Writer:
    """Load a folder in onnxruntime-genai.

    Args:
        path: The folder.
        threads: Threads to use.
        provider: ``cpu``.

    Raises:
        MissingPackageError: onnxruntime-genai is not installed.
        UsageError: A provider that is not there.
        BundleError: A configuration or a graph that asks for more than ours do.
    """
    library = need("onnxruntime_genai", "Format 'onnxruntime-genai'")
    if provider != "cpu":
        raise UsageError(
            f"There is no provider '{provider}' of onnxruntime-genai here. There is: cpu."
        )
    settings, about = checked_settings(path), _read(path / TOKENIZER_CONFIG)
    library.disable_telemetry_events()
    config = library.Config(str(path))
    if threads is not None:
        options = {"intra_op_num_threads": threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    model = library.Model(config)
    return _GenAI(
        library,
        model,
        library.Tokenizer(model),
        open_tokenizer(path / TOKENIZER),
        int(settings["model"]["context_length"]),
        _start(about, settings),
        about.get("chat_template"),
    )


def checked_settings(path: Path) -> Mapping[str, Any]:
    """Return the configuration of a folder that holds what ours do and nothing else.

    Raises:
        BundleError: Another file, another key, a graph elsewhere, or operators that are not ONNX's.
    """
    names = {each.name for each in path.iterdir()}
    for name in sorted(names - _FILES):
        raise BundleError(f"'{path}' holds '{name}': a folder of onnxruntime-genai here does not.")
    for name in sorted(_FILES - {f"{MODEL}.data"} - names):
        raise BundleError(f"'{path}' has no {name}.")
    settings = _read(path / CONFIG)
    _check_keys(path / CONFIG, settings, ())
    if settings["model"]["decoder"].get("filename") != MODEL:
        raise BundleError(f"'{path / CONFIG}' has its graph elsewhere than in {MODEL}.")
    check_onnx(path / MODEL)
    return settings


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"'{path}' cannot be read: {error}.") from error
    if not isinstance(found, Mapping):
        raise BundleError(f"'{path}' is not a table.")
    return found


def _check_keys(path: Path, table: Any, at: tuple[str, ...]) -> None:
    name = ".".join(at) or "it"
    if not isinstance(table, Mapping):
        raise BundleError(f"'{path}': {name} is not a table.")
    for key in sorted(set(table) - _KEYS[at]):
        raise BundleError(
            f"'{path}' says '{'.'.join((*at, key))}', which no export of ours does: it may load "
            "other files. It is not opened."
        )
    for below in _KEYS:
        if below and below[:-1] == at:
            _check_keys(path, table.get(below[-1]), below)


def _start(about: Mapping[str, Any], settings: Mapping[str, Any]) -> int | None:
    """Return the token that stands before every text, which the runtime leaves to its caller."""
    return int(settings["model"]["bos_token_id"]) if about.get("add_bos_token") else None


@dataclass(frozen=True, eq=False)
class _GenAI:
    """A model in onnxruntime-genai.

    Args:
        library: onnxruntime-genai.
        model: The model.
        reads: Its tokenizer there, which makes tokens of a prompt.
        writes: A ``tokenizers.Tokenizer``, which makes a text of tokens: the library's drops
            characters beside bytes that are none.
        context: Tokens of a text at most.
        start: The token before every text.
        template: The chat template, which it finds by itself for some tokenizers only.
        sampling: What :meth:`stream` can be asked for.
    """

    library: Any
    model: Any
    reads: Any
    writes: Any
    context: int
    start: int | None
    template: str | None
    sampling: tuple[str, ...] = (*SAMPLING, "seed")

    def run(self, arrays: Arrays) -> dict[str, Array]:
        pairs = zip(arrays[PROMPT], arrays[NEW], strict=True)
        texts = [
            "".join(self.stream(str(prompt), int(count), temperature=0.0))
            for prompt, count in pairs
        ]
        return {TEXT: np.array(texts)}

    def stream(self, prompt: str, max_new_tokens: int, **sampler: float) -> Iterator[str]:
        tokens = self._with_start(prompt)
        most = min(len(tokens) + max_new_tokens, self.context)
        if not tokens or len(tokens) >= self.context:
            raise UsageError(
                f"The prompt has {len(tokens)} tokens, and the model has room for 1 to "
                f"{self.context - 1} and what comes behind them."
            )
        if max_new_tokens == 0:
            return
        yield from written(self.writes, tokens, self._tokens(tokens, most, sampler))

    def tokenize(self, text: str) -> list[int]:
        return [int(token) for token in self.reads.encode(text)] if text else []

    def rendered(self, messages: Sequence[dict[str, str]]) -> str:
        text = json.dumps(list(messages))
        return str(self.reads.apply_chat_template(text, template_str=self.template))

    def logits(self, tokens: Sequence[int], prompt: int) -> Array:
        """Return float32 (tokens - prompt, vocab_size) before each token behind the prompt."""
        generator = self._generator(min(len(tokens) + 1, self.context), {"temperature": 0.0})
        generator.append_tokens(np.array([tokens[:prompt]], np.int32))
        found = [generator.get_logits()[0, -1]]
        for token in tokens[prompt:-1]:
            generator.append_tokens(np.array([[token]], np.int32))
            found.append(generator.get_logits()[0, -1])
        return np.asarray(found, np.float32)

    def _tokens(
        self, prompt: Sequence[int], max_length: int, sampler: Mapping[str, float]
    ) -> Iterator[int]:
        generator = self._generator(max_length, sampler)
        generator.append_tokens(np.array([prompt], np.int32))
        while not generator.is_done():
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])

    def _with_start(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt; a conversation has the one that begins a text already."""
        tokens = self.tokenize(prompt)
        if self.start is None or tokens[:1] == [self.start]:
            return tokens
        return [self.start, *tokens]

    def _generator(self, max_length: int, sampler: Mapping[str, float]) -> Any:
        params = self.library.GeneratorParams(self.model)
        options = {"max_length": max_length, **sampler}
        if "temperature" in options:
            options["do_sample"] = options["temperature"] > 0 and options.get("top_k") != 1
            if not options["do_sample"]:
                del options["temperature"]
        if "seed" in options:
            options["random_seed"] = options.pop("seed")
        if "top_k" in options:  # more than there are is an error here
            options["top_k"] = min(int(options["top_k"]), self.writes.get_vocab_size())
        params.set_search_options(**options)
        return self.library.Generator(self.model, params)
