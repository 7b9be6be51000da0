"""Llama, and Mistral, Qwen 2 and 3 and SmolLM3, which are built of the same blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo_models.weights.converter import Converter, Head, Weight, layer
from zoo_registry import UsageError

Config = Mapping[str, Any]
Arguments = dict[str, Any]
THETA = 10_000.0
SLIDING = "sliding_attention"
# Of the configurations that do not say it.
WINDOW = 4096
_BLOCK = "layers.{i}"
TYPE, LENGTH = "rope_type", "original_max_position_embeddings"
# Not of the scaling itself.
_OTHER = {TYPE, "type", "rope_theta", "partial_rotary_factor"}
# Scalings by the length that a model was first trained with, and by that of each text.
_BY_LENGTH = ("llama3", "yarn")
_GROWING = ("dynamic", "longrope")


def _product(ours: str, theirs: str) -> tuple[Weight, Weight]:
    return layer(f"block_{{i}}/{ours}", f"{_BLOCK}.{theirs}")


WEIGHTS = (
    Weight("token_embedding/embeddings", "embed_tokens.weight"),
    Weight("block_{i}/attention_norm/gamma", f"{_BLOCK}.input_layernorm.weight"),
    *_product("attention/query", "self_attn.q_proj"),
    *_product("attention/key", "self_attn.k_proj"),
    *_product("attention/value", "self_attn.v_proj"),
    *_product("attention/output", "self_attn.o_proj"),
    Weight("block_{i}/attention/query_norm/gamma", f"{_BLOCK}.self_attn.q_norm.weight"),
    Weight("block_{i}/attention/key_norm/gamma", f"{_BLOCK}.self_attn.k_norm.weight"),
    Weight("block_{i}/ff_norm/gamma", f"{_BLOCK}.post_attention_layernorm.weight"),
    *_product("ff_gate", "mlp.gate_proj"),
    *_product("ff_in", "mlp.up_proj"),
    *_product("ff_out", "mlp.down_proj"),
    Weight("final_norm/gamma", "norm.weight"),
    Weight("logits/kernel", "lm_head.weight", "linear"),
    Weight("logits/kernel", "score.weight", "linear"),
)
DEFAULTS = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
}
SIZES = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "hidden_dim": "hidden_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "ff_dim": "intermediate_size",
    "epsilon": "rms_norm_eps",
    "tied": "tie_word_embeddings",
}


def rotation(config: Config, theta: float) -> Arguments:
    """Return the base of the wavelengths and how they are scaled.

    Args:
        config: Settings of the rotation stand in ``rope_parameters``, or, in older files, in
            ``rope_scaling`` and ``rope_theta``.
        theta: The base of a file that does not say it.

    Raises:
        UsageError: A rotation that is not ours.
    """
    table = config.get("rope_scaling") or config.get("rope_parameters") or {}
    for key in table:
        config.get(key)  # read: it may also stand beside the table
    if any(isinstance(value, Mapping) for value in table.values()):
        raise UsageError("config.json gives blocks rotations of their own; one for all is built.")
    partial = table.get("partial_rotary_factor") or config.get("partial_rotary_factor")
    if partial not in (None, 1):
        raise UsageError(f"config.json says partial_rotary_factor={partial}; only 1 is built.")
    base = table.get("rope_theta") or config.get("rope_theta") or theta
    return {"theta": float(base), "rope_scaling": _scaling(config, table)}


def _scaling(config: Config, table: Mapping[str, Any]) -> Arguments | None:
    kind = table.get(TYPE) or table.get("type") or "default"
    if kind == "default":
        return None
    if kind in _GROWING:
        raise UsageError(
            f"config.json says {TYPE}='{kind}', which turns tokens by the length of their text; "
            "only what is the same for all lengths is built: default, linear, llama3, yarn."
        )
    scaling = {k: v for k, v in table.items() if k not in _OTHER and v is not None}
    scaling[TYPE] = kind
    longest = config.get("max_position_embeddings")
    if kind in _BY_LENGTH:
        scaling[LENGTH] = config.get(LENGTH) or scaling.get(LENGTH) or longest
        if kind == "yarn" and "factor" not in scaling and longest and scaling[LENGTH]:
            scaling["factor"] = longest / scaling[LENGTH]
    return scaling


def _size(config: Config) -> int | None:
    used, size = config.get("use_sliding_window"), config.get("sliding_window")
    return size if used else None


def _window(config: Config, size: int | None, layer_types: list[str]) -> Arguments:
    """Return the window of the blocks that have one; one wider than any text is none."""
    longest = config.get("max_position_embeddings")
    blocks = tuple(i for i, kind in enumerate(layer_types) if kind == SLIDING)
    if size is None or not blocks or (longest is not None and size >= longest):
        return {"window": None, "windowed": None}
    return {"window": size, "windowed": None if len(blocks) == len(layer_types) else blocks}


def _width(config: Config) -> Arguments:
    """Return the width of a head, where it is not that of the model over the heads."""
    size = config.get("head_dim")
    usual = size is None or size * config["num_attention_heads"] == config["hidden_size"]
    return {} if usual else {"head_dim": size}


def _biases(config: Config) -> Arguments:
    attention = bool(config.get("attention_bias", False))
    return {"qkv_bias": attention, "output_bias": attention}


def _llama(config: Config) -> Arguments:
    mlp = bool(config.get("mlp_bias", False))
    return {**rotation(config, THETA), **_biases(config), "ff_bias": mlp}


def _mistral(config: Config) -> Arguments:
    kinds = [SLIDING] * config["num_hidden_layers"]
    return {**rotation(config, THETA), **_window(config, config["sliding_window"], kinds)}


def _qwen_window(config: Config) -> Arguments:
    count, first = config["num_hidden_layers"], config["max_window_layers"]
    kinds = config.get("layer_types") or ["full"] * first + [SLIDING] * (count - first)
    return _window(config, _size(config), kinds[:count])


def _qwen2(config: Config) -> Arguments:
    return {**rotation(config, THETA), **_qwen_window(config), "qkv_bias": True}


def _qwen3(config: Config) -> Arguments:
    found = {**rotation(config, THETA), **_qwen_window(config), **_biases(config)}
    return {**found, "qk_norm": True}


def _smollm3(config: Config) -> Arguments:
    count, every = config["num_hidden_layers"], config.get("no_rope_layer_interval", 4)
    turned = config.get("no_rope_layers") or [(i + 1) % every for i in range(count)]
    unrotated = tuple(index for index, turns in enumerate(turned[:count]) if not turns)
    kinds, size, used = config.get("layer_types"), config.get("sliding_window"), _size(config)
    if kinds is None:
        kinds, size = ["full" if turns else SLIDING for turns in turned], used
    return {
        **_llama(config),
        **rotation(config, 2_000_000.0),
        # Where kinds are given, transformers does not ask whether a window is used.
        **_window(config, size, kinds[:count]),
        "unrotated": unrotated,
    }


def _written(arguments: Mapping[str, Any]) -> Arguments:
    scaling, heads = arguments["rope_scaling"], arguments["num_heads"]
    return {
        # Some of transformers' configurations have defaults of their own where these are left out.
        "num_key_value_heads": arguments["num_kv_heads"] or heads,
        "head_dim": arguments["head_dim"] or arguments["hidden_dim"] // heads,
        "rope_theta": arguments["theta"],
        "rope_scaling": None if scaling is None else dict(scaling),
    }


def _written_biases(arguments: Mapping[str, Any]) -> Arguments:
    biases = arguments["qkv_bias"], arguments["output_bias"]
    if len(set(biases)) > 1:
        raise UsageError("qkv_bias={} and output_bias={}".format(*biases))
    return {**_written(arguments), "attention_bias": biases[0]}


def _written_windows(arguments: Mapping[str, Any]) -> Arguments:
    window, windowed, count = (arguments[key] for key in ("window", "windowed", "num_layers"))
    windowed = range(count) if windowed is None else windowed
    near = set() if window is None else set(windowed)
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "layer_types": [SLIDING if i in near else "full_attention" for i in range(count)],
    }


def _write_llama(arguments: Mapping[str, Any]) -> Arguments:
    return {**_written_biases(arguments), "mlp_bias": arguments["ff_bias"]}


def _write_mistral(arguments: Mapping[str, Any]) -> Arguments:
    return {**_written(arguments), "sliding_window": arguments["window"]}


def _write_qwen2(arguments: Mapping[str, Any]) -> Arguments:
    if not arguments["qkv_bias"]:
        raise UsageError("qkv_bias=False")
    return {**_written(arguments), **_written_windows(arguments)}


def _write_qwen3(arguments: Mapping[str, Any]) -> Arguments:
    if not arguments["qk_norm"]:
        raise UsageError("qk_norm=False")
    return {**_written_biases(arguments), **_written_windows(arguments)}


def _write_smollm3(arguments: Mapping[str, Any]) -> Arguments:
    turned = [int(i not in arguments["unrotated"]) for i in range(arguments["num_layers"])]
    written = {**_write_llama(arguments), **_written_windows(arguments)}
    # Transformers' own padding token is beyond smaller vocabularies, which it refuses.
    return {**written, "no_rope_layers": turned, "pad_token_id": None}


QWEN: dict[str, Any] = {
    "vocab_size": 151_936,
    "intermediate_size": 22_016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32_768,
    "sliding_window": WINDOW,
    "max_window_layers": 28,
    "tie_word_embeddings": False,
}


def _converter(
    model_type: str,
    classes: str,
    read: Callable[[Config], Arguments],
    write: Callable[[Mapping[str, Any]], Arguments],
    *,
    graph: tuple[str, ...],
    fixed: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Converter:
    return Converter(
        model_type=model_type,
        prefix="model.",
        heads={
            "features": Head(f"{classes}Model"),
            "causal-lm": Head(f"{classes}ForCausalLM", ("lm_head",)),
            "text-classification": Head(f"{classes}ForSequenceClassification", ("score",)),
        },
        ignored=r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
        tied={"lm_head.weight": "embed_tokens.weight"},
        sizes=SIZES,
        fixed={"hidden_act": "silu", **(fixed or {})},
        defaults={**DEFAULTS, **defaults},
        harmless=("is_decoder", "max_position_embeddings", "max_window_layers", "rope_interleaved"),
        settings=("unrotated", "window", "windowed"),
        graph=graph,
        read=lambda config: {**read(config), **_width(config)},
        write=write,
        weights=WEIGHTS,
    )


LLAMA = _converter(
    "llama",
    "Llama",
    _llama,
    _write_llama,
    graph=("qk_norm", "unrotated", "window"),
    vocab_size=32_000,
    intermediate_size=11_008,
    max_position_embeddings=2048,
    tie_word_embeddings=False,
)
MISTRAL = _converter(
    "mistral",
    "Mistral",
    _mistral,
    _write_mistral,
    graph=("qkv_bias", "output_bias", "ff_bias", "qk_norm", "unrotated", "windowed"),
    vocab_size=32_000,
    intermediate_size=14_336,
    max_position_embeddings=131_072,
    sliding_window=WINDOW,
    tie_word_embeddings=False,
    num_key_value_heads=8,
)
QWEN2 = _converter(
    "qwen2",
    "Qwen2",
    _qwen2,
    _write_qwen2,
    graph=("output_bias", "ff_bias", "qk_norm", "unrotated"),
    # Of its models of images and texts.
    fixed={"use_mrope": False},
    **QWEN,
)
QWEN3 = _converter(
    "qwen3",
    "Qwen3",
    _qwen3,
    _write_qwen3,
    graph=("ff_bias", "unrotated"),
    **QWEN,
    head_dim=128,
)
SMOLLM3 = _converter(
    "smollm3",
    "SmolLM3",
    _smollm3,
    _write_smollm3,
    graph=("qk_norm",),
    vocab_size=128_256,
    hidden_size=2048,
    intermediate_size=11_008,
    num_hidden_layers=36,
    num_attention_heads=16,
    max_position_embeddings=32_768,
    tie_word_embeddings=True,
    num_key_value_heads=4,
)
CONVERTERS = (LLAMA, MISTRAL, QWEN2, QWEN3, SMOLLM3)
