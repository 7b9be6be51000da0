"""A step of training that gives the same bits whenever it runs: its sums have one order.

TensorFlow adds the gradients of a tensor that is used three times or more with one ``AddN``, which
begins with the summand whose memory it may write the sum to: the first that no other operator still
reads. Which that is depends on how far other threads have come, and so does the last digit.
``tf.config.experimental.enable_op_determinism`` does not know of it. So gradients are added two at
a time here, whose order does not matter, and Grappler may not make one sum of several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from zoo_recipes.training.batches import Batch

# With it Grappler marks the sums that it has been at, and lets such be. Without its other changes
# of arithmetic a transformer would take a quarter longer.
_SEEN = {"_grappler_ArithmeticOptimizer_AddOpsRewriteStage": tf.compat.v1.AttrValue(b=True)}


def train_step(model: Any) -> Callable[[Batch], Any]:
    """Return what trains on a batch and returns the metrics, as ``keras.Model.train_step`` does.

    Args:
        model: Compiled and built.
    """
    tracker = loss_tracker(model)

    def run(data: Batch) -> Any:
        gradients, loss = gradients_of(model, data)
        model.optimizer.apply_gradients(
            list(zip(gradients, model.trainable_variables, strict=True))
        )
        size = tf.shape(keras.tree.flatten(data[0])[0])[0]
        tracker.update_state(loss, sample_weight=size)
        return model.get_metrics_result()

    # No `reduce_retracing`: a graph for batches of any size rounds otherwise than one for this
    # size, and a training that goes on would not know which of them had been used.
    step: Callable[[Batch], Any] = tf.function(run, jit_compile=model.jit_compile, autograph=False)
    return step


def loss_tracker(model: Any) -> Any:
    """Return the metric that holds the mean loss of an epoch."""
    return next(metric for metric in model.metrics if metric.name == "loss")


def gradients_of(model: Any, data: Batch, factor: Any = None) -> tuple[list[Any], Any]:
    """Return the gradient of each trained variable, and the loss; the metrics are updated.

    Args:
        model: Compiled and built.
        data: Inputs, targets, and weights of the examples where there are such.
        factor: The loss is multiplied by it.

    Returns:
        ``None`` is in place of a gradient that the loss does not need. The gradients are scaled as
        the optimizer wants them, the loss is not.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    # TensorFlow has no public way to say it.
    with tf.compat.v1.get_default_graph()._attr_scope(_SEEN):
        outputs = model(x, training=True)
        loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
        if factor is not None:
            loss *= tf.cast(factor, loss.dtype)
        gradients = tf.gradients(
            model.optimizer.scale_loss(loss),
            [variable.value for variable in model.trainable_variables],
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
    model.compute_metrics(x, y, outputs, sample_weight=weights)
    return gradients, loss
