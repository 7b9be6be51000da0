"""Predict with a run or a bundle, each in its own runtime."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_models.backend import check_backend
from zoo_registry import UsageError
from zoo_runtime.bundle import Bundle, is_bundle, load_bundle
from zoo_system.untouched import untouched

if TYPE_CHECKING:
    from zoo_recipes.run import Run
    from zoo_runtime.answers.prediction import Prediction


@untouched()
def predict(
    source: Run | Bundle | str | Path,
    x: Any,
    *,
    runtime: str | None = None,
    top_k: int | None = None,
    threads: int | None = None,
    provider: str | None = None,
) -> list[Prediction]:
    """Predict raw inputs with a trained model: images, audio clips, texts, rows or arrays.

    For many calls open it once, with :func:`zoo.load_bundle` or :func:`zoo.load_run`, and call its
    own ``predict``.

    Args:
        source: A run, a bundle, or the folder of either.
        x: A raw input, or a list of them: the path of an image or audio file, a Pillow image, a
            text, a mapping of columns to values, or an array of what the model takes, without the
            batch axis. Of two texts, such as question and context, a tuple.
        runtime: Of a bundle, a format of it such as ``tflite:int8``; the first one whose runtime is
            installed by default.
        top_k: How many of the most probable predictions to list.
        threads: Of a bundle, threads to use.
        provider: Of a bundle, what computes, as for :meth:`zoo.Bundle.runner`.

    Returns:
        A prediction for each input, with what the task calls for: ``label``, ``probability`` and
            ``top``, ``value``, ``text``, ``boxes`` or ``spans``, and ``outputs`` of the model.

    Raises:
        UsageError: Neither a run nor a bundle, or an input that the model does not take.
        BundleError: A damaged bundle.

    Example:
        >>> import tempfile, numpy as np, zoo
        >>> model = zoo.get_model("mlp", input_shape=(4,), hidden_dims=(8,))
        >>> bundle = zoo.export(model, to="onnx", out=f"{tempfile.mkdtemp()}/bundle")
        >>> [prediction] = zoo.predict(bundle, np.ones(4, "float32"))
        >>> prediction.outputs["logits"].shape
        (10,)
    """
    trained = opened(source)
    if isinstance(trained, Bundle):
        return trained.predict(x, runtime, top_k, threads, provider=provider)
    check_backend()
    for name, value in (("threads", threads), ("provider", provider)):
        if value is not None:
            raise UsageError(f"{name}={value!r} is for a bundle, and '{source}' is a run.")
    return trained.predict(x, runtime=runtime, top_k=top_k)


def opened(source: Run | Bundle | str | Path) -> Run | Bundle:
    """Return a run or a bundle, for which what trains is not imported: that would take longer.

    Args:
        source: Either, or the folder of either.

    Raises:
        UsageError: It is neither.
        BundleError: A damaged bundle.
    """
    if isinstance(source, Bundle):
        return source
    with suppress(OSError):  # such as a text in place of a path, of which the other one speaks
        if isinstance(source, str | Path) and is_bundle(Path(source)):
            return load_bundle(source)
    from zoo_recipes.run import open_trained

    return open_trained(source)
