"""From a snapshot's configuration to builder arguments, with an account of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoo_models.weights.converter import Converter
from zoo_models.weights.images import is_number
from zoo_models.weights.snapshot import ROPE_TABLES
from zoo_registry import UsageError

CONFIG_SAYS = "config.json says"
# Float32 keeps seven digits: 9.999999747378752e-06 is 1e-5.
_SAME = 1e-6
# Words of transformers for one function.
_ACTIVATIONS: Mapping[Any, str] = {
    "gelu_fast": "gelu_new",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_new",
    "swish": "silu",
}
# What no prediction of any model depends on.
HARMLESS = frozenset(
    (
        # The labels, the task and the family are read elsewhere.
        *("_num_labels", "architectures", "id2label", "label2id", "model_type"),
        *("image_mean", "image_std", "num_labels", "problem_type"),
        # Of training.
        *("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "classifier_dropout"),
        *("classifier_dropout_prob", "dropout", "embd_pdrop", "hidden_dropout_prob", "qa_dropout"),
        *("resid_pdrop", "seq_classif_dropout", "summary_first_dropout"),
        # Of generation, whose settings its caller passes.
        *("bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty"),
        *("do_sample", "early_stopping", "encoder_no_repeat_ngram_size"),
        *("exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id"),
        *("length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups"),
        *("num_beams", "num_return_sequences", "output_scores", "prefix", "remove_invalid_values"),
        *(
            "repetition_penalty",
            "return_dict_in_generate",
            "suppress_tokens",
            "task_specific_params",
        ),
        *("temperature", "tf_legacy_loss", "top_k", "top_p", "typical_p"),
        # Provenance, outputs beside ours, ways to compute the same.
        *("__name__", "_attn_implementation", "_attn_implementation_autoset", "_commit_hash"),
        *("_name_or_path", "attn_implementation", "bos_token_id", "chunk_size_feed_forward"),
        *("directionality", "dtype", "eos_token_id", "finetuning_task", "gradient_checkpointing"),
        *("initializer_range", "is_encoder_decoder", "is_llama_config", "output_attentions"),
        *("output_hidden_states", "output_past", "pad_token_id", "pooler_fc_size"),
        *("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"),
        *("pooler_type", "pretraining_tp", "return_dict", "sep_token_id", "tokenizer_class"),
        *("torch_dtype", "torchscript", "transformers.js_config", "transformers_version"),
        *("use_bfloat16", "use_cache"),
    )
)
# What a value other than these would change, in every family.
_PLAIN: Mapping[str, Any] = {
    "quantization_config": None,
    "pruned_heads": {},
    "is_decoder": False,
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "tie_encoder_decoder": False,
}


@dataclass(frozen=True)
class Settings:
    """What a configuration asks for.

    Args:
        arguments: Of the builder.
        unread: Keys, with their values, that nothing here reads.
    """

    arguments: Mapping[str, Any]
    unread: Mapping[str, Any]


class _Keys(Mapping[str, Any]):
    """A configuration over transformers' defaults that notes which keys are asked for."""

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._values = {**defaults, **config}
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def read_settings(converter: Converter, config: Mapping[str, Any], source: str) -> Settings:
    """Return what a configuration asks for.

    Args:
        converter: The family's table.
        config: As :class:`zoo_models.weights.snapshot.Snapshot` reads it.
        source: What the user asked for, for messages.

    Raises:
        UsageError: A model that is not ours, or a value of another kind.
    """
    config = {converter.aliases.get(key, key): value for key, value in config.items()}
    keys = _Keys(config, converter.defaults)
    plain = {key: value for key, value in _PLAIN.items() if key not in converter.harmless}
    _check_fixed(keys, {**plain, **converter.fixed}, source)
    arguments = _sizes(converter, keys, source)
    try:
        arguments |= converter.read(keys)
    except UsageError as error:
        raise UsageError(f"weights='{source}': {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        wrong = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"weights='{source}': config.json is not that of a '{converter.model_type}' model, or "
            f"is damaged ({wrong})."
        ) from error
    known = keys.asked | HARMLESS | set(converter.harmless) | {*ROPE_TABLES}
    unread = {key: value for key, value in config.items() if key not in known}
    _check_rope(config, unread, source)
    return Settings(arguments, unread)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, numbers to the precision of float32.

    Example:
        >>> same(9.999999747378752e-06, 1e-5), same(1e-12, 1e-6), same([2, 2], (2, 2))
        (True, False, True)
    """
    if is_number(one) and is_number(other):
        return bool(abs(one - other) <= _SAME * max(abs(one), abs(other)))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _plain_word(value: Any) -> Any:
    """Return one word for those that transformers has for one function, and a list as a tuple."""
    if isinstance(value, str):
        return _ACTIVATIONS.get(value, value)
    return tuple(value) if isinstance(value, list) else value


def _check_fixed(keys: _Keys, fixed: Mapping[str, Any], source: str) -> None:
    for key, value in fixed.items():
        given = keys.get(key)
        if given is not None and not same(_plain_word(given), value):
            raise UsageError(
                f"weights='{source}': {CONFIG_SAYS} {key}={given!r}; only {value!r} is built."
            )


def _sizes(converter: Converter, keys: _Keys, source: str) -> dict[str, Any]:
    wanted = {}
    for name, key in converter.sizes.items():
        value = keys.get(key)
        if value is None:
            continue
        words = converter.words.get(name)
        if words is not None and _plain_word(value) not in words:
            raise UsageError(
                f"weights='{source}': {CONFIG_SAYS} {key}={value!r}, "
                f"which is not one of: {', '.join(words)}."
            )
        value = words[_plain_word(value)] if words else value
        wanted[name] = tuple(value) if isinstance(value, list) else value
    return wanted


def _check_rope(config: Mapping[str, Any], unread: Mapping[str, Any], source: str) -> None:
    """Refuse settings of rotary positions that nothing reads: each of them turns every query."""
    tables = [config.get(name) for name in ROPE_TABLES]
    given = {key for table in tables if isinstance(table, Mapping) for key in table}
    for key in sorted(given & unread.keys()):
        raise UsageError(
            f"weights='{source}': {CONFIG_SAYS} {key}={config[key]!r} of rotary positions, which "
            "nothing here reads."
        )
