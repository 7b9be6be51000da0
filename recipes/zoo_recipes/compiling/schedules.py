"""Learning-rate schedules that recipes may name and Keras does not have."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up to the peak and down again, both along half a cosine (https://arxiv.org/abs/1708.07120).

    Args:
        initial_learning_rate: The peak.
        decay_steps: Updates of the whole cycle.
        warmup_share: Fraction of them on the way up.
        start_factor: What the peak is multiplied by at the start.
        end_factor: The same at the end.

    Example:
        >>> schedule = OneCycle(1.0, 100, warmup_share=0.5, start_factor=0.04, end_factor=0.0)
        >>> [round(float(schedule(step)), 2) for step in (0, 25, 50, 75, 100)]
        [0.04, 0.52, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        warmup_share: float = 0.3,
        start_factor: float = 0.04,
        end_factor: float = 1e-4,
    ) -> None:
        super().__init__()
        if not 0 < warmup_share < 1:
            raise ValueError(f"warmup_share={warmup_share} must be between 0 and 1")
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.warmup_share = warmup_share
        self.start_factor, self.end_factor = start_factor, end_factor

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of an update, from 0 on."""
        done = ops.minimum(ops.cast(step, "float32") / self.decay_steps, 1.0)
        up, down = done / self.warmup_share, (done - self.warmup_share) / (1 - self.warmup_share)
        factor = ops.where(
            up < 1, _between(self.start_factor, 1.0, up), _between(1.0, self.end_factor, down)
        )
        return self.initial_learning_rate * factor

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        names = ("initial_learning_rate", "decay_steps", "warmup_share")
        return {name: getattr(self, name) for name in (*names, "start_factor", "end_factor")}


def _between(start: float, end: float, fraction: Any) -> Any:
    """Return a number on the way from ``start`` to ``end``, along half a cosine."""
    return end + (start - end) * (1 + ops.cos(math.pi * fraction)) / 2


@keras.saving.register_keras_serializable(package="kerazoo")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line from 0 to where another schedule starts, and then that one.

    Args:
        schedule: Counts its updates from the end of the line on.
        warmup_steps: Updates of the line.

    Example:
        >>> decay = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0)
        >>> schedule = WarmUp(decay, warmup_steps=5)
        >>> [round(float(schedule(step)), 2) for step in (0, 2, 5, 10, 15)]
        [0.0, 0.4, 1.0, 0.5, 0.0]
    """

    def __init__(self, schedule: Any, warmup_steps: int) -> None:
        super().__init__()
        self.schedule, self.warmup_steps = schedule, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of an update, from 0 on."""
        step = ops.cast(step, "float32")
        fraction = ops.minimum(step / max(1, self.warmup_steps), 1.0)
        return fraction * self.schedule(ops.maximum(step - self.warmup_steps, 0.0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """Return the schedule that :meth:`get_config` describes."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["warmup_steps"])
