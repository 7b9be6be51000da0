"""A GGUF file as a snapshot: its configuration, tensors and tokenizer in Hugging Face's words.

What llama.cpp's converter ``convert_hf_to_gguf.py`` does to models of the llama family is undone.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_models.weights.configuration import same
from zoo_models.weights.gguf_file import GgufFile, read_gguf
from zoo_models.weights.gguf_rotation import FREQUENCIES, KEYS, rotation
from zoo_models.weights.gguf_tokenizer import (
    WHOLE,
    UnreadTokenizerError,
    build_tokenizer,
    count_tokens,
    has_tokens,
    special_ids,
    special_words,
)
from zoo_models.weights.images import is_number
from zoo_models.weights.snapshot import Snapshot, Tensors
from zoo_models.weights.tokenizer import GGML, SETTINGS
from zoo_registry import UsageError
from zoo_runtime.generation.config import FILE as GENERATION
from zoo_system.folders import TOKENIZER

# Architecture -> whether the rows of queries and keys are in the order of llama.cpp's rotation,
# which turns neighbours, where ours turns an element with that half a head further.
ARCHITECTURES = {"llama": True, "qwen2": False, "qwen3": False, "smollm3": True}
# Key behind the architecture's name -> that of config.json.
_SIZES = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
}
_EPSILON = "attention.layer_norm_rms_epsilon"
_READ = {*_SIZES, *KEYS, _EPSILON, "vocab_size", "attention.head_count_kv", "attention.key_length"}
# What another value of would change every output.
_FIXED: Mapping[str, Any] = {
    "attention.causal": True,
    "attention.clamp_kqv": 0,
    "attention.max_alibi_bias": 0,
    "attn_logit_softcapping": 0,
    "embedding_scale": 1,
    "expert_count": 0,
    "expert_used_count": 0,
    "final_logit_softcapping": 0,
    "logit_scale": 1,
    "pooling_type": 0,
    "residual_scale": 1,
    "use_parallel_residual": False,
}
_HARMLESS = {"tensor_data_layout"}
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NAME = re.compile(r"(?:blk\.(?P<block>\d+)\.)?(?P<layer>\w+)\.(?P<part>weight|bias)")
_TURNED = re.compile(r"blk\.\d+\.attn_(?P<which>[qk])\.(weight|bias)")
# Recommended sampling in the words of transformers.
_SAMPLING = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
# Folders of the tokenizers of files, which go with this process.
_folders: dict[tuple[Path, int, int], Path] = {}


@dataclass(frozen=True)
class GgufSnapshot(Snapshot):
    """A GGUF file of the llama family.

    Args:
        path: The file.
    """

    @property
    def folder(self) -> Path:
        """Where its tokenizer stands as a snapshot has it.

        Raises:
            UsageError: The file, or its tokenizer, is damaged.
        """
        state = self.path.stat()
        key = (self.path.resolve(), state.st_size, state.st_mtime_ns)
        if key not in _folders:
            made = Path(tempfile.mkdtemp(prefix="zoo-gguf-"))
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            home = made / self.path.name
            home.mkdir()
            self._write_tokenizer(home)
            _folders[key] = home
        return _folders[key]

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """What ``config.json`` of the model would say; keys that nothing reads as they stand.

        Raises:
            UsageError: The file is damaged, or of an architecture that is not ours.
        """
        file, architecture = self._file, self._architecture
        keys = _Keys(file, architecture)
        sizes = {theirs: keys.count(own) for own, theirs in _SIZES.items()}
        heads = sizes["num_attention_heads"]
        size = keys.count("attention.key_length", sizes["hidden_size"] // heads)
        keys.check("attention.value_length", size)
        keys.check("attention.scale", size**-0.5)
        for key, value in _FIXED.items():
            keys.check(key, value)
        self._check_blocks(sizes["num_hidden_layers"])
        with self._naming():
            ids = special_ids(file.metadata)
        ends = dict.fromkeys(ids[name] for name in ("eos", "eot", "eom") if name in ids)
        return {
            "model_type": architecture,
            **sizes,
            "num_key_value_heads": keys.count("attention.head_count_kv", heads),
            "head_dim": size,
            "vocab_size": self._vocabulary(keys),
            "rms_norm_eps": keys.number(_EPSILON),
            "tie_word_embeddings": "output.weight" not in file.tensors,
            **self._biases(),
            **rotation(keys, file, size, sizes["max_position_embeddings"]),
            "bos_token_id": ids.get("bos"),
            "eos_token_id": list(ends) or None,
            "pad_token_id": ids.get("padding"),
            **keys.unread(),
        }

    @property
    def license(self) -> str:
        """Licence of the weights as the file names it, or ``""``."""
        metadata = self._file.metadata
        named = metadata.get("general.license")
        return str(metadata.get("general.license.name", named) if named == "other" else named or "")

    @cached_property
    def images(self) -> None:
        """Nothing: it is a model of texts."""

    @cached_property
    def files(self) -> dict[str, Path]:
        """The file by its name."""
        return {self.path.name: self.path}

    @contextmanager
    def opened(self) -> Iterator[Tensors]:
        """Open the tensors; one is dequantized when it is asked for.

        Raises:
            UsageError: Some are of a type that cannot be read.
        """
        self._file.check_types()
        config = self.own_config
        heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
        yield _Tensors(self._file, heads if ARCHITECTURES[self._architecture] else {})

    @cached_property
    def _file(self) -> GgufFile:
        return read_gguf(self.path)

    @property
    def _architecture(self) -> str:
        """The file's architecture.

        Raises:
            UsageError: It is not a whole model of those that are read.
        """
        metadata = self._file.metadata
        kind, parts = str(metadata.get("general.type", "model")), metadata.get("split.count", 0)
        if kind != "model":
            raise UsageError(f"'{self.path}' is not a model: general.type={kind!r}.")
        if is_number(parts) and parts > 1:
            raise UsageError(
                f"'{self.path}' is one of {parts} parts of a model: llama.cpp's "
                "`llama-gguf-split --merge` makes one file of them."
            )
        architecture = str(metadata.get("general.architecture"))
        if architecture not in ARCHITECTURES:
            raise UsageError(
                f"'{self.path}' is of architecture {architecture!r}; GGUF files of these are read: "
                f"{', '.join(ARCHITECTURES)}. Other families come from a Hugging Face snapshot."
            )
        return architecture

    def _check_blocks(self, count: int) -> None:
        """Refuse more blocks than there are, before any is built."""
        blocks = {match["block"] for match in map(_NAME.fullmatch, self._file.tensors) if match}
        held = len(blocks - {None})
        if count != held:
            raise UsageError(
                f"'{self.path}' says {self._architecture}.block_count={count:,}; it has tensors of "
                f"{held:,} blocks."
            )

    def _vocabulary(self, keys: _Keys) -> int:
        embedding = self._file.tensors.get("token_embd.weight")
        if embedding is None:
            raise UsageError(
                f"'{self.path}' has no tensor token_embd.weight: it is not a whole model."
            )
        rows, words = embedding.shape[0], count_tokens(self._file.metadata)
        if words > rows:
            raise UsageError(
                f"'{self.path}' has {words:,} words for the {rows:,} rows of token_embd.weight."
            )
        return keys.count("vocab_size", rows)

    def _biases(self) -> dict[str, bool]:
        """Return the keys of biases, where the family may have them or not."""
        has = {
            "attention_bias": "blk.0.attn_q.bias" in self._file.tensors,
            "mlp_bias": "blk.0.ffn_gate.bias" in self._file.tensors,
        }
        kept = {"llama": has, "smollm3": has, "qwen3": {"attention_bias": has["attention_bias"]}}
        return kept.get(self._architecture, {})

    def _write_tokenizer(self, folder: Path) -> None:
        metadata = self._file.metadata
        with self._naming():
            try:
                text = _tokenizer_text(metadata)
            except UnreadTokenizerError as error:
                (folder / GGML).write_text(str(error), encoding="utf-8")
            else:
                if text is not None:
                    (folder / TOKENIZER).write_text(text, encoding="utf-8")
            words = special_words(metadata)
        template = metadata.get("tokenizer.chat_template")
        settings = {**words, "chat_template": template if isinstance(template, str) else None}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        sampling = _sampling(metadata)
        if sampling:
            ends = {key: self.own_config[key] for key in ("bos_token_id", "eos_token_id")}
            (folder / GENERATION).write_text(json.dumps({**sampling, **ends}), encoding="utf-8")

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Say in errors about the metadata which file has it."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"'{self.path}': {error}") from error


def _tokenizer_text(metadata: Mapping[str, Any]) -> str | None:
    """Return the content of ``tokenizer.json``, nothing for a file without a tokenizer."""
    whole = metadata.get(WHOLE)
    if isinstance(whole, str):
        return whole
    return str(build_tokenizer(metadata).to_str()) if has_tokens(metadata) else None


def _sampling(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recommended sampling as ``generation_config.json`` has it."""
    keys = {own: f"general.sampling.{own}" for own in _SAMPLING}
    found = {_SAMPLING[k]: metadata[v] for k, v in keys.items() if is_number(metadata.get(v))}
    if found.get("temperature") == 0:
        return {"do_sample": False}
    return {"do_sample": True, **found} if found else {}


class _Keys:
    """The metadata of an architecture, which notes what of it is read."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        self._file, self._prefix = file, f"{architecture}."
        self._checked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; of one for each block, where they are the same, that."""
        value = self._file.metadata.get(self._prefix + key, default)
        if not hasattr(value, "tolist"):
            return value
        values = value.tolist()
        return values[0] if len({*values}) == 1 else values

    def count(self, key: str, default: int | None = None) -> int:
        """Return a number of things, 1 or more."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key, value, "a number from 1 on")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number above 0."""
        value = self.get(key, default)
        if not is_number(value) or not 0 < value < float("inf"):
            raise self.wrong(key, value, "a number above 0")
        return float(value)

    def check(self, key: str, wanted: Any) -> None:
        """Refuse another value than one, where there is any."""
        self._checked.add(key)
        value = self.get(key)
        if value is not None and not same(value, wanted):
            raise self.wrong(key, value, f"{wanted!r}, the only value that is built")

    def wrong(self, key: str, value: Any, wanted: str) -> UsageError:
        """Return the error for a value."""
        said = "is missing" if value is None else f"is {str(value)[:60]}"
        return UsageError(f"'{self._file.path}': {self._prefix}{key} {said}, not {wanted}.")

    def unread(self) -> dict[str, Any]:
        """Return the pairs that nothing reads."""
        known = {self._prefix + key for key in {*_READ, *_HARMLESS, *self._checked}}
        pairs = self._file.metadata.items()
        return {k: v for k, v in pairs if k.startswith(self._prefix) and k not in known}


class _Tensors:
    """The tensors of a file under Hugging Face's names.

    Args:
        file: The file.
        heads: How many heads queries and keys have, where their rows are in another order.
    """

    def __init__(self, file: GgufFile, heads: Mapping[str, int]) -> None:
        self._file, self._heads = file, heads
        self._own = {_their_name(name): name for name in file.tensors if name != FREQUENCIES}

    def names(self) -> list[str]:
        """Return the names of all tensors; one that no family has keeps its own."""
        return list(self._own)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self._file.tensors[self._own[name]].shape

    def read(self, name: str) -> Any:
        """Return a tensor as float32."""
        array = self._file.read(self._own[name])
        turned = _TURNED.fullmatch(self._own[name])
        if turned is None or not self._heads:
            return array
        pairs = array.reshape(self._heads[turned["which"]], -1, 2, *array.shape[1:])
        return pairs.swapaxes(1, 2).reshape(array.shape)


def _their_name(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None or match["layer"] not in _NAMES:
        return name
    block = "" if match["block"] is None else f"model.layers.{match['block']}."
    return f"{block}{_NAMES[match['layer']]}.{match['part']}"
