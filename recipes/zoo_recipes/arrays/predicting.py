"""A model as a function of arrays, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo_models.saved import by_name, fed
from zoo_recipes.arrays.sources import Arrays
from zoo_registry import UsageError

# Takes inputs by name, batch first; returns outputs by name.
Predictor = Callable[[Arrays], Mapping[str, Any]]
LOGITS = "logits"
# What a model gives for a whole example, the first of them that it has.
EMBEDDINGS = ("sentence_embedding", "pooled_output")


def keras_predictor(model: Any, jit_compile: Any = False) -> Predictor:
    """Return what computes the outputs of a Keras model as a graph.

    Args:
        model: A functional model.
        jit_compile: XLA or not, as Keras takes it.
    """
    model.compile(jit_compile=jit_compile)
    return lambda inputs: by_name(model, model.predict_on_batch(fed(model, inputs)))


def eager_predictor(model: Any) -> Predictor:
    """Return what computes the outputs of a Keras model layer by layer.

    On a CPU the graph of a GPT takes twelve times as long; that of other models is faster.
    """
    return lambda inputs: by_name(model, model(fed(model, inputs), training=False))


def only_logits(outputs: Mapping[str, Any]) -> Any:
    """Return the output that figures are counted on: the logits, or the only one that there is.

    Raises:
        UsageError: Several, none of them logits.

    Example:
        >>> only_logits({"logits": [1.0], "features": [2.0]})
        [1.0]
    """
    if LOGITS in outputs:
        return outputs[LOGITS]
    if len(outputs) > 1:
        raise UsageError(
            f"The model gives {', '.join(outputs)}: figures are counted on one output, '{LOGITS}'."
        )
    return next(iter(outputs.values()))


def only_embedding(outputs: Mapping[str, Any]) -> Any:
    """Return the output that is the embedding of an example, or the only one that there is.

    Raises:
        UsageError: Several, none of them known as an embedding.

    Example:
        >>> only_embedding({"sequence_output": [1.0], "pooled_output": [2.0]})
        [2.0]
    """
    found = [outputs[name] for name in EMBEDDINGS if name in outputs]
    if not found and len(outputs) > 1:
        raise UsageError(
            f"The model gives {', '.join(outputs)}, and none of them is {' or '.join(EMBEDDINGS)}."
        )
    return found[0] if found else next(iter(outputs.values()))
