"""Losses that recipes may name and Keras does not have, and the accuracy that goes with them."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def are_soft_labels(y_true: Any, y_pred: Any) -> bool:
    """Return whether targets are soft labels: a fraction for each class, and not class indices."""
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1] > 1


def are_taught(y_true: Any, y_pred: Any) -> bool:
    """Return whether targets are classes with a teacher's logits behind them."""
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1] + 1


def class_indices(y_true: Any, y_pred: Any) -> Any:
    """Return the class of each step, int32 (batch, ...); of soft labels, the largest one's."""
    if are_soft_labels(y_true, y_pred):
        return ops.cast(ops.argmax(y_true, axis=-1), "int32")
    if are_taught(y_true, y_pred):
        return ops.cast(y_true[..., 0], "int32")
    return ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:-1]), "int32")


@keras.saving.register_keras_serializable(package="kerazoo")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of classes with label smoothing (https://arxiv.org/abs/1512.00567).

    The target of a class is ``1 - label_smoothing``, and ``label_smoothing / num_classes`` is added
    to all of them. Keras smooths one-hot targets only, which a vocabulary is too large for. Where
    images are mixed, targets are soft labels.

    Args:
        label_smoothing: In 0..1.
        from_logits: Whether predictions are logits, or probabilities.
        ignore_class: A class whose steps do not count, such as padding.
        name: Of the loss.

    Example:
        >>> loss = SmoothedCrossentropy(label_smoothing=0.1, from_logits=True)
        >>> round(float(loss([1], [[0.0, 4.0]])), 4)
        0.2181
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "smoothed_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be in 0..1")
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.ignore_class = ignore_class

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each step, float (batch, ...).

        Args:
            y_true: Class indices, int (batch, ...), or soft labels, float (batch, ...,
                num_classes).
            y_pred: float (batch, ..., num_classes).
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        log = ops.log_softmax(y_pred) if self.from_logits else ops.log(y_pred)
        indices = class_indices(y_true, y_pred)
        if are_soft_labels(y_true, y_pred):
            chosen = ops.sum(ops.cast(y_true, log.dtype) * log, axis=-1)
        else:
            chosen = ops.take_along_axis(log, ops.expand_dims(indices, -1), axis=-1)[..., 0]
        smoothing = self.label_smoothing
        losses = -(1 - smoothing) * chosen - smoothing * ops.mean(log, axis=-1)
        if self.ignore_class is None:
            return losses
        counted = ops.cast(ops.not_equal(indices, self.ignore_class), losses.dtype)
        # The mean over all steps becomes the mean over those that count.
        fraction = ops.maximum(ops.mean(counted), 1e-7)
        return losses * counted / fraction

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


@keras.saving.register_keras_serializable(package="kerazoo")
class Distilled(keras.losses.Loss):
    """A loss of the right classes, and the distance to a teacher (https://arxiv.org/abs/1503.02531).

    The distance is the cross-entropy of both models' probabilities with their logits divided by the
    temperature, times its square; less the teacher's own entropy, so that 0 is an equal prediction.

    Args:
        loss: Of the right classes.
        temperature: Above 0.
        weight: Weight of the teacher, in 0..1.
        name: Of the loss.

    Example:
        >>> loss = Distilled(SmoothedCrossentropy(from_logits=True), weight=1.0)
        >>> float(loss([[1.0, 2.0, 3.0]], [[2.0, 3.0]]))
        0.0
    """

    def __init__(
        self,
        loss: Any,
        temperature: float = 4.0,
        weight: float = 0.5,
        name: str = "distilled",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.loss, self.temperature, self.weight = loss, temperature, weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each example, float (batch,).

        Args:
            y_true: float (batch, 1 + num_classes), the class and the teacher's logits; or class
                numbers, int (batch,), where there is no teacher, as in validation.
            y_pred: Logits, float (batch, num_classes).
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        right = self.loss.call(class_indices(y_true, y_pred), y_pred)
        if not are_taught(y_true, y_pred):
            return right
        theirs = ops.log_softmax(ops.cast(y_true[..., 1:], y_pred.dtype) / self.temperature)
        ours = ops.log_softmax(y_pred / self.temperature)
        distance = ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1) * self.temperature**2
        return (1 - self.weight) * right + self.weight * distance

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "temperature": self.temperature,
            "weight": self.weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Distilled:
        """Return the loss that :meth:`get_config` describes."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable(package="kerazoo")
class CountedAccuracy(keras.metrics.MeanMetricWrapper):
    """Fraction of steps with the right class, of those whose target counts.

    Args:
        ignore_class: The target that does not count, if there is one.

    Example:
        >>> metric = CountedAccuracy(ignore_class=-1)
        >>> metric.update_state([[1, 0, -1]], [[[0.0, 4.0], [0.0, 4.0], [0.0, 4.0]]])
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self, ignore_class: int | None = None, name: str = "accuracy", **kwargs: Any
    ) -> None:
        super().__init__(keras.metrics.sparse_categorical_accuracy, name=name, **kwargs)
        self._direction = "up"  # as Keras' own have it, for callbacks that watch it
        self.ignore_class = ignore_class

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Count a batch.

        Args:
            y_true: Class indices, int (batch, ...), or soft labels, float (batch, ...,
                num_classes).
            y_pred: float (batch, ..., num_classes).
            sample_weight: As for any metric of Keras.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        indices = class_indices(y_true, y_pred)
        if self.ignore_class is not None:
            counted = ops.cast(ops.not_equal(indices, self.ignore_class), self.dtype)
            sample_weight = counted if sample_weight is None else counted * sample_weight
        return super().update_state(indices, y_pred, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"ignore_class": self.ignore_class, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="kerazoo")
class MicroF1(keras.metrics.Metric):
    """F1 of all the yeses that were given, whatever class they are of; a logit above 0 is one.

    Args:
        name: Of the metric.

    Example:
        >>> metric = MicroF1()
        >>> metric.update_state([[1, 0, 1]], [[3.0, 2.0, -1.0]])
        >>> round(float(metric.result()), 4)
        0.5
    """

    def __init__(self, name: str = "f1_micro", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.right = self.add_weight(name="right", initializer="zeros")
        self.counted = self.add_weight(name="counted", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Args:
            y_true: 1 for each class that applies, (batch, classes).
            y_pred: Logits, float (batch, classes).
            sample_weight: Of each example, (batch,).
        """
        wanted = ops.cast(ops.convert_to_tensor(y_true) > 0, self.dtype)
        given = ops.cast(ops.convert_to_tensor(y_pred) >= 0, self.dtype)
        weights = 1.0 if sample_weight is None else ops.reshape(sample_weight, (-1, 1))
        self.right.assign_add(ops.sum(weights * wanted * given))
        self.counted.assign_add(ops.sum(weights * (wanted + given)))

    def result(self) -> Any:
        """Return the F1; 0 where nothing was given or wanted."""
        return 2 * self.right / ops.maximum(self.counted, 1e-7)
