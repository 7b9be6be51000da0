"""The losses of CenterNet, a detector that finds objects as points (https://arxiv.org/abs/1904.07850)."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo_runtime.answers.boxes import HEATMAP, OFFSET, SIZE

NAME = "centernet"


class HeatmapFocal(keras.losses.Loss):
    """Focal loss with less penalty near the center of an object, of each image by its objects.

    Args:
        alpha: How much less a cell counts that is right already.
        beta: How much less one counts that is near a middle.

    Example:
        >>> loss = HeatmapFocal()
        >>> right, wrong = [[[[1.0], [0.0]]]], [[[[0.0], [1.0]]]]
        >>> logits = [[[[9.0], [-9.0]]]]
        >>> [round(float(loss(target, logits)), 4) for target in (right, wrong)]
        [0.0, 17.9958]
    """

    def __init__(self, alpha: float = 2.0, beta: float = 4.0, **kwargs: Any) -> None:
        super().__init__(name="heatmap_focal", **kwargs)
        self.alpha, self.beta = alpha, beta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, float (batch,).

        Args:
            y_true: float (batch, rows, columns, classes), 1 at a middle and less around it.
            y_pred: Logits of the same shape.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        probable = ops.sigmoid(y_pred)
        there = ops.cast(ops.equal(y_true, 1.0), y_pred.dtype)
        missed = there * (1 - probable) ** self.alpha * ops.log_sigmoid(y_pred)
        far = (1 - ops.cast(y_true, y_pred.dtype)) ** self.beta
        invented = (1 - there) * far * probable**self.alpha * ops.log_sigmoid(-y_pred)
        objects = ops.sum(there, axis=(1, 2, 3))
        return -ops.sum(missed + invented, axis=(1, 2, 3)) / ops.maximum(objects, 1.0)


class L1AtMiddles(keras.losses.Loss):
    """L1 loss of two values in the cells that are centers of objects, divided by their number.

    Args:
        weight: Factor.

    Example:
        >>> loss = L1AtMiddles(weight=0.1)
        >>> wanted, given = [[[[3.0, 2.0, 1.0], [0.0, 0.0, 0.0]]]], [[[[1.0, 1.0], [5.0, 5.0]]]]
        >>> round(float(loss(wanted, given)), 4)
        0.3
    """

    def __init__(self, weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(name="l1_at_middles", **kwargs)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, float (batch,).

        Args:
            y_true: float (batch, rows, columns, 3), of which the last is 1 at a middle, else 0.
            y_pred: float (batch, rows, columns, 2).
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        wanted, there = y_true[..., :2], y_true[..., 2:]
        distance = ops.sum(ops.abs(y_pred - wanted) * there, axis=(1, 2, 3))
        return self.weight * distance / ops.maximum(ops.sum(there, axis=(1, 2, 3)), 1.0)


def centernet(
    alpha: float = 2.0, beta: float = 4.0, size_weight: float = 0.1, offset_weight: float = 1.0
) -> dict[str, Any]:
    """Return the loss of each output of CenterNet; the defaults are the paper's.

    Args:
        alpha: Of :class:`HeatmapFocal`.
        beta: The same.
        size_weight: Factor of the loss of heights and widths, in cells.
        offset_weight: Factor of the loss of positions within a cell.

    Example:
        >>> sorted(centernet())
        ['heatmap', 'offset', 'size']
    """
    return {
        HEATMAP: HeatmapFocal(alpha, beta),
        SIZE: L1AtMiddles(size_weight),
        OFFSET: L1AtMiddles(offset_weight),
    }
