"""Pictures of an explanation: what the model takes, the heat map over it, the curves."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

from zoo_recipes.explanation.faithfulness import Faithfulness
from zoo_recipes.explanation.target import Array, Features

INPUT, HEAT_MAP, CURVES = "input.png", "heat-map.png", "faithfulness.png"
# For and against the class, as in ColorBrewer's RdBu, which colour-blind people tell apart.
FOR, AGAINST = (178, 24, 43), (33, 102, 172)
_WIDTH = 336
_STRONGEST = 0.85


def pictures(
    features: Features, values: Array, elements: Array, measured: Faithfulness, label: str
) -> dict[str, bytes]:
    """Return PNG files by name: curves, a heat map of images and sounds, and an image itself.

    Args:
        features: The input, and what it is cut into.
        values: Of each feature, float (features,).
        elements: Of each element of the input.
        measured: The curves.
        label: The class that is explained.
    """
    found = {CURVES: _curves(measured, label)}
    if features.kind == "image":
        image = _shown(features.inputs[features.name][0])
        found |= {INPUT: _png(image), HEAT_MAP: _png(_heated(image, elements))}
    if features.kind == "sound":
        found[HEAT_MAP] = _wave(features, values)
    return found


def strengths(values: Array) -> Array:
    """Return values in -1..1; of very many the strongest percent are cut off.

    Example:
        >>> strengths(np.array([4.0, -2.0, 0.0]))
        array([ 1. , -0.5,  0. ])
    """
    sizes = np.abs(values)
    largest = np.quantile(sizes, 0.99) if sizes.size > 1000 else sizes.max()
    # A map of zeros but for a few pixels has no size at that quantile.
    largest = largest or sizes.max()
    return np.clip(values / largest, -1, 1) if largest else np.zeros_like(values)


def _shown(image: Array) -> Array:
    """Return an image as RGB in 0..255, float (height, width, 3)."""
    low, high = image.min(), image.max()
    if low < 0 or high > 255 or high <= 1:
        image = (image - low) / max(high - low, 1e-9) * 255
    return np.asarray(np.broadcast_to(image, (*image.shape[:2], 3)), np.float64)


def _heated(image: Array, elements: Array) -> Array:
    strength = strengths(elements.reshape(*image.shape[:2], -1).sum(axis=-1))[..., np.newaxis]
    colour = np.where(strength > 0, FOR, AGAINST)
    share = np.abs(strength) * _STRONGEST
    grey = image.mean(axis=-1, keepdims=True) * 0.6 + 255 * 0.4
    return np.asarray(grey * (1 - share) + colour * share)


def _png(pixels: Array) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    times = max(1, round(_WIDTH / image.width))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    return _bytes(lambda file: image.save(file, "PNG"))


def _wave(features: Features, values: Array) -> bytes:
    figure = _figure(7, 2)
    panel = figure.subplots()
    sound = features.inputs[features.name][0]
    seconds = np.arange(len(sound)) / features.sample_rate
    panel.plot(seconds, sound, color="#1b1f24", linewidth=0.6)
    for (start, end), value in zip(features.spans, strengths(values), strict=True):
        panel.axvspan(
            *(start / features.sample_rate, end / features.sample_rate),
            color=np.divide(FOR if value > 0 else AGAINST, 255),
            alpha=abs(float(value)) * _STRONGEST,
            linewidth=0,
        )
    panel.set(xlabel="seconds", xlim=(0, len(sound) / features.sample_rate))
    panel.margins(y=0.05)
    return _bytes(lambda file: figure.savefig(file, dpi=110, format="png"))


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _curves(measured: Faithfulness, label: str) -> bytes:
    figure = _figure(7, 2.8)
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, "deletion", measured.deletion, measured.deletion_area, measured.random),
        (right, "insertion", measured.insertion, measured.insertion_area, measured.random[::-1]),
    )
    for panel, name, curve, area, random in panels:
        panel.plot(measured.shares, curve, color="#b2182b", label=f"strongest first: {area:.3f}")
        panel.plot(
            *(measured.shares, random, "--"),
            color="#666666",
            label=f"random order: {measured.random_area:.3f}",
        )
        panel.fill_between(measured.shares, curve, alpha=0.12, color="#b2182b")
        panel.set(xlabel="share of the features", title=name)
        panel.grid(alpha=0.3)
        panel.legend(title="area", fontsize="small")
    left.set_ylabel(f"score of {label}"[:40])
    return _bytes(lambda file: figure.savefig(file, dpi=110, format="png"))


def _bytes(save: Any) -> bytes:
    file = BytesIO()
    save(file)
    return file.getvalue()
