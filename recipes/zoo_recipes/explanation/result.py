"""An explanation: what each part of an input does to an answer, and whether that is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.explanation.faithfulness import Faithfulness
from zoo_recipes.explanation.features import Features
from zoo_recipes.explanation.target import Array, SpanTarget, Target
from zoo_recipes.run import write_json

INFO = "explanation.json"
PAGE = "index.html"


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """What in one input an answer hangs on.

    Args:
        model: Name of the model or recipe.
        place: Folder of the run or bundle.
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
    place: Path
    computes: str
    method: str
    paper: str
    features: Features
    target: Target | SpanTarget
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
        """The class, and where the answer is, of a model that has one at every token."""
        place = self.target.place
        return f"'{self.target.label}' {place.words}" if place else self.target.label

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
            "place": str(self.place),
            "computes": self.computes,
            "method": self.method,
            "paper": self.paper,
            "input": self.features.kind,
            "class": self.target.label,
            **({"at": asdict(self.target.place)} if self.target.place else {}),
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
                "shares": measured.shares.tolist(),
                "deletion": measured.deletion.tolist(),
                "insertion": measured.insertion.tolist(),
                "random": measured.random.tolist(),
            },
        }

    def write(self, folder: Path) -> None:
        """Write the page, its pictures, the numbers and the arrays into a folder.

        Args:
            folder: It is there and empty.
        """
        from zoo_recipes.explanation.page import page
        from zoo_recipes.explanation.pictures import pictures

        for name, png in pictures(self).items():
            (folder / name).write_bytes(png)
        (folder / PAGE).write_text(page(self), encoding="utf-8")
        np.savez_compressed(folder / "attributions.npz", values=self.values, elements=self.elements)
        write_json(folder / INFO, self.to_dict())

    def _repr_html_(self) -> str:
        from html import escape

        from zoo_recipes.explanation.page import page

        # A frame keeps the page's style from that of the notebook.
        return f'<iframe srcdoc="{escape(page(self))}" width="100%" height="900"></iframe>'


def pieces(features: Features, values: Array) -> list[tuple[str, float | None]]:
    """Return a text in pieces with their values; ``None`` is between the tokens.

    Tokens that share a character, as bytes of one do, are one piece.

    Args:
        features: Of a text.
        values: Of the features.

    Example:
        >>> spans = ((0, 1), (2, 3))
        >>> two = Features("text", {}, {}, "", np.array([0, 1]), ("a", "b"), spans, "a b")
        >>> pieces(two, np.array([2.0, -1.0]))
        [('a', 2.0), (' ', None), ('b', -1.0)]
    """
    merged: list[tuple[int, int, float]] = []
    for (start, end), value in zip(features.spans, values.tolist(), strict=True):
        if merged and start < merged[-1][1]:
            first, last, before = merged.pop()
            merged.append((first, max(last, end), before + value))
        else:
            merged.append((start, end, value))
    found: list[tuple[str, float | None]] = []
    at = 0
    for start, end, value in merged:
        found += [(features.text[at:start], None), (features.text[start:end], value)]
        at = end
    found.append((features.text[at:], None))
    return [(text, value) for text, value in found if text]
