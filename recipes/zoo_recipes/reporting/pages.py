"""The house's HTML pages: one file each, with its style and pictures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body { margin: 2rem auto; max-width: 54rem; padding: 0 1rem; background: #fff; color: #1b1f24;
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: 0.25rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
p, figcaption { color: #4a525c; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; }
img { max-width: 100%; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; border-bottom: 1px solid #d0d5dc; }
td, th { padding: 0.15rem 0.75rem 0.15rem 0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; width: 6rem; }
""".strip()


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: Of the window.
        body: Pieces of HTML.
        style: CSS beside that of the house.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def image(png: bytes, name: str) -> str:
    """Return a picture that is part of the page."""
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png).decode()}">'


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Return a table of texts.

    Example:
        >>> table([["loss", "0.5"]])
        '<table><tr><td>loss</td><td>0.5</td></tr></table>'
    """
    lines = [_row(head, "th")] if head else []
    return f"<table>{''.join([*lines, *(_row(row, 'td') for row in rows)])}</table>"


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
