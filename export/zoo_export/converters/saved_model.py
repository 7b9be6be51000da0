"""Keras to SavedModel, each weight stored once."""

from __future__ import annotations

from typing import Any

from zoo_export.converters.tracing import SIGNATURE, Conversion, holder, trace


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write a SavedModel with one signature of named tensors.

    ``model.export`` stores every weight twice; a plain ``tf.Module`` stores it once.
    """
    import tensorflow as tf

    function, concrete = trace(conversion)
    module = holder(concrete)
    module.serve = function
    tf.saved_model.save(module, str(conversion.path), signatures={SIGNATURE: concrete})
    return {"signature": SIGNATURE}
