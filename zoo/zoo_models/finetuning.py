"""What training may change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from zoo_models.calling import carried_over
from zoo_registry import UsageError

if TYPE_CHECKING:
    import keras

HEAD = re.compile(r"head_\w+|logits|\w+_logits")
BLOCK = re.compile(r"((?:.+_)?block_\d+)")


def set_trainable(model: Any, part: str, number: int = 0) -> None:
    """Freeze everything that training is to leave alone.

    Frozen batch normalization runs on its saved statistics, which stay as they are.

    Args:
        model: A functional model of the zoo.
        part: ``"all"``, ``"head"`` (the layers that make the task's outputs), ``"last"`` (the
            head, the last blocks and what stands behind them) or ``"lora"`` (the head, and
            LoRA adapters of the dense layers of all blocks,
            https://arxiv.org/abs/2106.09685).
        number: Blocks, or the rank.

    Raises:
        UsageError: A model without a head, fewer blocks than asked for, or no dense layer in
            them.

    Example:
        >>> import zoo
        >>> model = zoo.get_model("cifar10-cnn", trainable="head")
        >>> [weight.path for weight in model.trainable_weights]
        ['logits/kernel', 'logits/bias']
    """
    if part == "lora":
        _adapt(model, number)
        return
    layers = [layer for layer in model.layers if layer.weights]
    first = _first_trained(model.name, layers, part, number)
    for index, layer in enumerate(layers):
        layer.trainable = index >= first or (part != "all" and _is_head(layer))


def merge_lora(model: keras.Model) -> Any:
    """Return ``model`` with the LoRA adapters of ``trainable="lora:8"`` merged into its weights.

    Args:
        model: A functional ``keras.Model``.

    Returns:
        The model itself if it has no adapters, else a new one of the plain
        architecture, all of it trainable, with the same outputs.

    Example:
        >>> import zoo
        >>> model = zoo.get_model("bert-tiny", vocab_size=8, trainable="lora:4")
        >>> model.count_params() - zoo.merge_lora(model).count_params()
        18432
    """
    import keras

    adapted = [layer for layer in model._flatten_layers() if getattr(layer, "lora_enabled", False)]
    if not adapted:
        return model
    adapters = {
        id(variable)
        for layer in adapted
        for variable in layer.weights
        if variable.name.startswith("lora_")
    }
    # A Dense layer has a kernel, an Embedding its table.
    merged = {
        id(getattr(layer, f"_{name}")): getattr(layer, name)
        for layer in adapted
        for name in ("kernel", "embeddings")
        if hasattr(layer, f"_{name}")
    }
    values = [
        merged.get(id(variable), variable)
        for variable in model.weights
        if id(variable) not in adapters
    ]
    plain = keras.models.clone_model(model, clone_function=_without_adapter)
    for variable, value in zip(plain.weights, values, strict=True):
        variable.assign(value)
    return carried_over(model, plain)


def _adapt(model: Any, rank: int) -> None:
    import keras

    dense = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Dense) and BLOCK.match(layer.kernel.path)
    ]
    if not dense:
        raise UsageError(
            f"trainable='lora:{rank}': model '{model.name}' has no dense layers in blocks; choose "
            "trainable='last:1' or 'head'."
        )
    for layer in dense:
        layer.enable_lora(rank)
    trained = {id(v) for layer in dense for v in (layer.lora_kernel_a, layer.lora_kernel_b)}
    for layer in model.layers:
        for variable in [] if _is_head(layer) else layer.trainable_variables:
            variable.trainable = id(variable) in trained
        if not layer.trainable_variables:
            layer.trainable = False  # batch normalization keeps its statistics


def _without_adapter(layer: Any) -> Any:
    config = layer.get_config()
    left_out = ("lora_rank", "lora_alpha", "trainable")
    return type(layer).from_config({k: v for k, v in config.items() if k not in left_out})


def _first_trained(name: str, layers: list[Any], part: str, number: int) -> int:
    """Return the index from which on all layers are trained."""
    if part == "all":
        return 0
    if part == "head":
        if not any(_is_head(layer) for layer in layers):
            raise UsageError(
                f"trainable='head': model '{name}' has no head with weights of its own; choose "
                "another task, or trainable='last:1'."
            )
        return len(layers)
    blocks = [match[1] if (match := BLOCK.match(layer.name)) else None for layer in layers]
    named = list(dict.fromkeys(block for block in blocks if block))
    if number > len(named):
        ask = f"ask for 1 to {len(named)}" if named else "choose 'head'"
        raise UsageError(
            f"trainable='last:{number}': model '{name}' has {len(named)} blocks; {ask}."
        )
    return blocks.index(named[-number])


def _is_head(layer: Any) -> bool:
    return HEAD.fullmatch(layer.name) is not None
