"""Keras to SavedModel, each weight stored once."""

from __future__ import annotations

from typing import Any

from zoo_export.converters import pixels_in_graph, warm_up
from zoo_export.converters.exportable import exportable_operations
from zoo_export.converters.tracing import Conversion, blame, holder, trace
from zoo_runtime.errors import ExportError
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ImageStep
from zoo_runtime.running.compute_operators import COMPUTE
from zoo_runtime.running.sessions import SIGNATURE

IMAGE_SIGNATURE, IMAGE_INPUT = "serving_image_bytes", "image_bytes"


def convert(conversion: Conversion) -> dict[str, Any]:
    """Write a SavedModel whose signature takes named tensors, and return what it holds.

    ``model.export`` stores every weight twice; a plain ``tf.Module`` stores it once. Where the
    preprocessing is one image, a second signature takes the bytes of image files. A sample
    request for TensorFlow Serving stands beside, so that a server's first answer is not slow.
    """
    import tensorflow as tf

    function, concrete = trace(conversion)
    _refuse_effects(concrete.graph, conversion.model)
    module = holder(concrete)
    module.serve = function
    with exportable_operations():  # TensorFlow traces anew what it saves
        signatures = {SIGNATURE: concrete, **_of_images(conversion, function)}
        tf.saved_model.save(module, str(conversion.path), signatures=signatures)
    name = conversion.about.get("name", "")
    warm_up.write(conversion.path, name, SIGNATURE, conversion.samples[0])
    return {"signature": SIGNATURE, "signatures": sorted(signatures)}


def _refuse_effects(graph: Any, model: Any) -> None:
    definition = graph.as_graph_def()
    functions = definition.library.function
    known = COMPUTE | {function.signature.name for function in functions}
    nodes = [*definition.node, *(node for function in functions for node in function.node_def)]
    foreign = sorted({node.op for node in nodes} - known)
    if foreign:
        blames = blame(graph, model, foreign)
        raise ExportError(
            f"it does more than compute: {', '.join(map(str, blames))}. No file of a bundle "
            "prints, reads, writes or calls Python",
            blames,
        )


def _of_images(conversion: Conversion, function: Any) -> dict[str, Any]:
    import tensorflow as tf

    steps = [as_step(step) for step in conversion.about.get("preprocessing", ())]
    names = [tensor.name for tensor in conversion.inputs]
    if len(steps) != 1 or not isinstance(steps[0], ImageStep) or names != [steps[0].input]:
        return {}
    step = steps[0]

    def serve(image_bytes: Any) -> Any:
        return function(**{step.input: pixels_in_graph.decode_batch(step, image_bytes)})

    spec = tf.TensorSpec([None], tf.string, IMAGE_INPUT)
    serving = tf.function(serve, autograph=False)
    return {IMAGE_SIGNATURE: serving.get_concrete_function(image_bytes=spec)}
