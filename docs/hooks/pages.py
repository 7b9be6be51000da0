"""What the site makes of pages: tables and pictures in them, links out of docs/ to the sources.

MkDocs calls the functions by their names; mkdocs.yml names this file.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

from docs.hooks.charts import CHARTS
from docs.hooks.reference import TABLES

ROOT = Path(__file__).parents[2]
SOURCES = "https://github.com/kerazoo/kerazoo"
_REFERENCE = re.compile(r"<!-- reference: (.+?) -->")
_PICTURE = re.compile(r"<!-- picture: (.+?) -->")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.+?)\\[)\]]</\1>', re.DOTALL)
# A line of Chinese that ends goes on in the next one without a space.
_BROKEN_LINE = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u9fff\uff00-\uffef])")
_LINK = re.compile(r"(\]\()((?:\.\./)+[^)\s]+)(\))")


def on_config(config: Any) -> Any:
    """Put the pages of a folder in the place of the folder in the navigation."""
    entries = [_with_pages(entry, Path(config.docs_dir)) for entry in config.nav]
    config.nav = [entry for entry in entries if all(entry.values())]
    return config


def _with_pages(entry: dict[str, Any], docs: Path) -> dict[str, Any]:
    [(title, inside)] = entry.items()
    if not (isinstance(inside, str) and inside.endswith("/")):
        return entry
    pages = sorted((docs / inside).glob("*.md"), key=lambda page: (page.stem != "index", page))
    names = [f"{inside}{page.name}" for page in pages if not page.stem.endswith(".zh")]
    return {title: names}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the reference, join lines, lead links out of ``docs/`` to the repository."""
    written = _REFERENCE.sub(lambda found: _table(found[1]), _BROKEN_LINE.sub("", markdown))
    return _LINK.sub(lambda found: f"{found[1]}{_target(found[2], page)}{found[3]}", written)


def on_page_content(html: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers draw by themselves, and draw the pictures."""

    def formula(found: re.Match[str]) -> str:
        written = unescape(found[2])
        if found[1] == "span":
            return str(convert(written))
        return f'<div class="formula">{convert(written, display="block")}</div>'

    # Markdown would take SVG apart.
    drawn = _PICTURE.sub(lambda found: CHARTS[found[1]](), html)
    return _FORMULA.sub(formula, drawn)


@cache
def _table(name: str) -> str:
    # Each language has a build of its own.
    return TABLES[name]()


def _target(link: str, page: Any) -> str:
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")
    path, mark, heading = posixpath.normpath(posixpath.join(folder, link)).partition("#")
    if path.startswith("docs/") or not (ROOT / path).exists():
        return link
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{SOURCES}/{kind}/main/{path}{mark}{heading}"
