"""What training may change."""

from __future__ import annotations

import re
from typing import Any

from zoo_registry import UsageError, did_you_mean

HEAD = re.compile(r"head_\w+|logits|\w+_logits")
BLOCK = re.compile(r"((?:.+_)?block_\d+)")
FORMS = ("all", "head", "last:2")


def set_trainable(model: Any, how: str) -> None:
    """Freeze everything that training is to leave alone.

    Frozen batch normalization runs on its stored statistics, which stay as they are.

    Args:
        model: A functional model of the zoo.
        how: ``"all"``, ``"head"`` (the layers that make the task's outputs), or ``"last:N"`` (the
            head, the last N blocks and what stands behind them).

    Raises:
        UsageError: Another word, a model without a head, or fewer blocks than asked for.

    Example:
        >>> import zoo
        >>> model = zoo.get_model("cifar10-cnn", trainable="head")
        >>> [weight.path for weight in model.trainable_weights]
        ['logits/kernel', 'logits/bias']
    """
    layers = [layer for layer in model.layers if layer.weights]
    first = _first_trained(model.name, layers, how)
    for index, layer in enumerate(layers):
        layer.trainable = index >= first or (how != "all" and _is_head(layer))


def _first_trained(name: str, layers: list[Any], how: str) -> int:
    """Return the index from which on all layers are trained."""
    if how == "all":
        return 0
    if how == "head":
        if not any(_is_head(layer) for layer in layers):
            raise UsageError(
                f"trainable='head': model '{name}' has no head with weights of its own; choose "
                "another task, or trainable='last:1'."
            )
        return len(layers)
    found = re.fullmatch(r"last:(\d+)", how)
    if found is None:
        raise UsageError(
            f"trainable='{how}' is not one of: all, head, last:N.{did_you_mean(how, FORMS)}"
        )
    blocks = [match[1] if (match := BLOCK.match(layer.name)) else None for layer in layers]
    named = list(dict.fromkeys(block for block in blocks if block))
    wanted = int(found[1])
    if not 0 < wanted <= len(named):
        raise UsageError(
            f"trainable='{how}': model '{name}' has {len(named)} blocks; ask for 1 to {len(named)}."
        )
    return blocks.index(named[-wanted])


def _is_head(layer: Any) -> bool:
    return HEAD.fullmatch(layer.name) is not None
