"""The page of an explanation: one HTML file with its pictures and style inside."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from zoo_recipes.explanation.pictures import AGAINST, CURVES, FOR, HEAT_MAP, INPUT, pictures
from zoo_recipes.explanation.result import pieces
from zoo_recipes.reporting.pages import document, image

if TYPE_CHECKING:
    from zoo_recipes.explanation.result import Explanation

_ROWS = 20
_STYLE = """
.text { color: #1b1f24; font-size: 1.15rem; line-height: 2.1; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.text span { padding: 0.2em 0; border-radius: 0.2em; }
td.bar { width: 50%; }
.bar div { height: 0.9rem; border-radius: 0.15rem; min-width: 1px; }
""".lstrip()


def page(explanation: Explanation) -> str:
    """Return the HTML of an explanation."""
    measured = explanation.faithfulness
    title = f"Why {explanation.answer}: {explanation.model} by {explanation.method}"
    images = {name: image(png, name) for name, png in pictures(explanation).items()}
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
    said = f"{explanation.answer} ({explanation.score:.3f})"
    other = "" if explanation.best == explanation.target.label else f", not {explanation.best}"
    return f"{explanation.place}, computed by {explanation.computes}: {said}{other}."


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
        captions = {INPUT: "What the model sees", HEAT_MAP: "What its answer hangs on"}
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
