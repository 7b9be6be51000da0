"""The result of an explanation: attributions by feature, their files, plots and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.explanation.perturbation import Faithfulness
from zoo_recipes.explanation.target import Array, AttributionTarget, Features, SpanTarget, pieces
from zoo_recipes.reporting.report import document, image
from zoo_recipes.run import write_json

INPUT, HEAT_MAP, CURVES = "input.png", "heat-map.png", "faithfulness.png"
# For and against the class, as in ColorBrewer's RdBu, which colour-blind readers can tell apart.
FOR, AGAINST = (178, 24, 43), (33, 102, 172)
_WIDTH = 336
_STRONGEST = 0.85
INFO = "explanation.json"
PAGE = "index.html"
_ROWS = 20
_STYLE = """
.text { color: #1b1f24; font-size: 1.15rem; line-height: 2.1; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.text span { padding: 0.2em 0; border-radius: 0.2em; }
td.bar { width: 50%; }
.bar div { height: 0.9rem; border-radius: 0.15rem; min-width: 1px; }
""".lstrip()


def plots(
    features: Features, values: Array, elements: Array, measured: Faithfulness, label: str
) -> dict[str, bytes]:
    """Return PNG files by name: curves, a heat map of images and audio clips, and an image itself.

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
    fraction = np.abs(strength) * _STRONGEST
    grey = image.mean(axis=-1, keepdims=True) * 0.6 + 255 * 0.4
    return np.asarray(grey * (1 - fraction) + colour * fraction)


def _png(pixels: Array) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    times = max(1, round(_WIDTH / image.width))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    return _bytes(lambda file: image.save(file, "PNG"))


def _wave(features: Features, values: Array) -> bytes:
    figure = _figure(7, 2)
    panel = figure.subplots()
    clip = features.inputs[features.name][0]
    seconds = np.arange(len(clip)) / features.sample_rate
    panel.plot(seconds, clip, color="#1b1f24", linewidth=0.6)
    for (start, end), value in zip(features.spans, strengths(values), strict=True):
        panel.axvspan(
            *(start / features.sample_rate, end / features.sample_rate),
            color=np.divide(FOR if value > 0 else AGAINST, 255),
            alpha=abs(float(value)) * _STRONGEST,
            linewidth=0,
        )
    panel.set(xlabel="seconds", xlim=(0, len(clip) / features.sample_rate))
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
        panel.plot(measured.fractions, curve, color="#b2182b", label=f"strongest first: {area:.3f}")
        panel.plot(
            *(measured.fractions, random, "--"),
            color="#666666",
            label=f"random order: {measured.random_area:.3f}",
        )
        panel.fill_between(measured.fractions, curve, alpha=0.12, color="#b2182b")
        panel.set(xlabel="fraction of the features", title=name)
        panel.grid(alpha=0.3)
        panel.legend(title="area", fontsize="small")
    left.set_ylabel(f"score of {label}"[:40])
    return _bytes(lambda file: figure.savefig(file, dpi=110, format="png"))


def _bytes(save: Any) -> bytes:
    file = BytesIO()
    save(file)
    return file.getvalue()


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """What in one input a prediction depends on.

    Args:
        model: Name of the model or recipe.
        path: Folder of the run or bundle.
        computes: What computed: ``Keras`` or an export format.
        method: How it was found.
        paper: Where the method is from.
        features: The input, and what it is cut into.
        target: The class that is explained.
        score: Its probability, or the value of a regression.
        best: The most probable class.
        values: What each feature does to the logit, float (features,); more speaks for the class.
        elements: The same for each element of the input, in the layout of its arrays.
        facts: What the method tells of itself, such as its completeness gap.
        faithfulness: Its curves.
    """

    model: str
    path: Path
    computes: str
    method: str
    paper: str
    features: Features
    target: AttributionTarget | SpanTarget
    score: float
    best: str
    values: Array
    elements: Array
    facts: Mapping[str, float | str]
    faithfulness: Faithfulness

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Names and values of the features, the strongest first, whatever their sign."""
        order = np.argsort(-np.abs(self.values), kind="stable")
        return [(self.features.names[at], float(self.values[at])) for at in order]

    @property
    def answer(self) -> str:
        """The class, and where the prediction is, of a model that has one at every token."""
        at = self.target.at
        return f"'{self.target.label}' {at.words}" if at else self.target.label

    @property
    def is_faithful(self) -> bool:
        """Whether the class is lost sooner in the order of the explanation than in a random one."""
        return self.faithfulness.deletion_area < self.faithfulness.random_area

    def to_dict(self) -> dict[str, Any]:
        """Return what programs read: all but the arrays of the elements."""
        measured = self.faithfulness
        spans = self.features.spans or [None] * len(self.features)
        named = zip(self.features.names, self.values.tolist(), spans, strict=True)
        return {
            "model": self.model,
            "path": str(self.path),
            "computes": self.computes,
            "method": self.method,
            "paper": self.paper,
            "input": self.features.kind,
            "class": self.target.label,
            **({"at": asdict(self.target.at)} if self.target.at else {}),
            "score": self.score,
            "predicted": self.best,
            "features": [
                {"name": name, "value": value, **({"span": list(span)} if span else {})}
                for name, value, span in named
            ],
            "facts": dict(self.facts),
            "faithfulness": {
                "deletion_area": measured.deletion_area,
                "insertion_area": measured.insertion_area,
                "random_area": measured.random_area,
                "fractions": measured.fractions.tolist(),
                "deletion": measured.deletion.tolist(),
                "insertion": measured.insertion.tolist(),
                "random": measured.random.tolist(),
            },
        }

    def plots(self) -> dict[str, bytes]:
        """Return PNG files by name: curves, and a heat map of an image or an audio clip."""
        label = self.target.label
        return plots(self.features, self.values, self.elements, self.faithfulness, label)

    def write(self, folder: Path) -> None:
        """Write the page, its plots, the numbers and the arrays into a folder.

        Args:
            folder: It is there and empty.
        """
        for name, png in self.plots().items():
            (folder / name).write_bytes(png)
        (folder / PAGE).write_text(page(self), encoding="utf-8")
        np.savez_compressed(folder / "attributions.npz", values=self.values, elements=self.elements)
        write_json(folder / INFO, self.to_dict())

    def _repr_html_(self) -> str:
        # A frame keeps the page's style from that of the notebook.
        return f'<iframe srcdoc="{escape(page(self))}" width="100%" height="900"></iframe>'


def page(explanation: Explanation) -> str:
    """Return the HTML of an explanation."""
    measured = explanation.faithfulness
    title = f"Why {explanation.answer}: {explanation.model} by {explanation.method}"
    images = {name: image(png, name) for name, png in explanation.plots().items()}
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(about(explanation))}</p>",
        _input(explanation, images),
        f"<p>{_swatch(FOR)} speaks for {escape(explanation.target.label)}, {_swatch(AGAINST)} "
        "against it.</p>",
        "<h2>The strongest features</h2>",
        _table(explanation),
        "<h2>Is it true?</h2>",
        f"<p>{escape(verdict(explanation))} Deletion area {measured.deletion_area:.3f}, insertion "
        f"area {measured.insertion_area:.3f}, random order {measured.random_area:.3f}.</p>",
        images[CURVES],
        "<h2>How it was found</h2>",
        f'<p>{escape(explanation.method)} (<a href="{explanation.paper}">paper</a>)'
        f"{escape(''.join(f'; {fact}' for fact in facts(explanation)))}.</p>",
    ]
    return document(title, body, _STYLE)


def about(explanation: Explanation) -> str:
    """Return in a sentence what is explained."""
    predicted = f"{explanation.answer} ({explanation.score:.3f})"
    other = "" if explanation.best == explanation.target.label else f", not {explanation.best}"
    return f"{explanation.path}, computed by {explanation.computes}: {predicted}{other}."


def verdict(explanation: Explanation) -> str:
    """Return in a sentence whether the explanation is better than a random one."""
    if explanation.is_faithful:
        return "Without its strongest features the score falls sooner than in a random order."
    return (
        "Without its strongest features the score falls no sooner than in a random order: do not "
        "rely on this explanation."
    )


def facts(explanation: Explanation) -> list[str]:
    """Return what the method tells of itself, each as ``name value``."""
    return [
        f"{name} {value if isinstance(value, str) else f'{value:.4g}'}"
        for name, value in explanation.facts.items()
    ]


def _input(explanation: Explanation, images: dict[str, str]) -> str:
    if explanation.features.kind == "image":
        captions = {INPUT: "What the model sees", HEAT_MAP: "What its prediction depends on"}
        figures = (
            f"<figure>{images[name]}<figcaption>{caption}</figcaption></figure>"
            for name, caption in captions.items()
        )
        return f'<div class="pictures">{"".join(figures)}</div>'
    if explanation.features.kind == "sound":
        return images[HEAT_MAP]
    if explanation.features.kind == "text":
        return f'<p class="text">{"".join(_coloured(explanation))}</p>'
    return ""


def _coloured(explanation: Explanation) -> Iterable[str]:
    found = pieces(explanation.features, explanation.values)
    largest = max(abs(value) for _, value in found if value is not None) or 1.0
    for text, value in found:
        if value is None:
            yield escape(text)
        else:
            colour = _rgb(value, abs(value) / largest * 0.6)
            yield f'<span style="background: {colour}" title="{value:.4g}">{escape(text)}</span>'


def _table(explanation: Explanation) -> str:
    ranked = explanation.ranked[:_ROWS]
    largest = abs(ranked[0][1]) or 1.0
    rows = (
        f'<tr><td>{escape(name)}</td><td class="number">{value:+.4g}</td><td class="bar">'
        f'<div style="width: {abs(value) / largest:.1%}; background: {_rgb(value, 1)}"></div>'
        "</td></tr>"
        for name, value in ranked
    )
    return f"<table>{''.join(rows)}</table>"


def _swatch(colour: tuple[int, int, int]) -> str:
    name = "Red" if colour == FOR else "blue"
    return f'<b style="color: rgb{colour}">{name}</b>'


def _rgb(value: float, strength: float) -> str:
    red, green, blue = FOR if value > 0 else AGAINST
    return f"rgba({red}, {green}, {blue}, {strength:.3f})"
