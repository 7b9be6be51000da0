"""Layers that bring an export into trouble; the child process imports them from here."""

import os
import signal
import sys
import time
from pathlib import Path

import keras


def _converting() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "zoo_export.making.child"


@keras.saving.register_keras_serializable(package="export_tests")
class Scale(keras.layers.Layer):
    """A user's own layer that exports like any other."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

    def call(self, x):
        return x * self.factor


@keras.saving.register_keras_serializable(package="export_tests")
class Whiten(keras.layers.Layer):
    """Needs an operator that neither LiteRT nor ONNX has."""

    def call(self, x):
        outer = keras.ops.matmul(x[:, :, None], x[:, None, :]) + keras.ops.eye(x.shape[-1])
        return x + keras.ops.sum(keras.ops.cholesky(outer), axis=-1)


@keras.saving.register_keras_serializable(package="export_tests")
class Killed(keras.layers.Layer):
    """Dies as a converter out of memory does."""

    def call(self, x):
        if _converting():
            print("about to die", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return x


@keras.saving.register_keras_serializable(package="export_tests")
class KilledOnce(keras.layers.Layer):
    """Ends the process the first time, as what an earlier conversion left behind may do."""

    def __init__(self, marker, **options):
        super().__init__(**options)
        self.marker = marker

    def get_config(self):
        return {**super().get_config(), "marker": self.marker}

    def call(self, x):
        if _converting() and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x


@keras.saving.register_keras_serializable(package="export_tests")
class Hungry(keras.layers.Layer):
    """Asks for more memory than there is."""

    def call(self, x):
        if _converting():
            bytearray(1 << 60)
        return x


@keras.saving.register_keras_serializable(package="export_tests")
class Hanging(keras.layers.Layer):
    """Never comes back."""

    def call(self, x):
        if _converting():
            time.sleep(3600)
        return x


@keras.saving.register_keras_serializable(package="export_tests")
class Noisy(keras.layers.Layer):
    """Gives other numbers in the file than in Keras."""

    def call(self, x):
        return x * 1.001 if _converting() else x


@keras.saving.register_keras_serializable(package="export_tests")
class NotANumber(keras.layers.Layer):
    """Gives NaN in Keras itself."""

    def call(self, x):
        return (x - x) / (x - x)


@keras.saving.register_keras_serializable(package="export_tests")
class WrongAtZero(keras.layers.Layer):
    """Gives NaN in the file where Keras gives zero, and only there."""

    def call(self, x):
        return x * x / x if _converting() else x


def die(conversion):
    """End the process that converts, as a converter that crashes does."""
    os.kill(os.getpid(), signal.SIGKILL)
