"""The report of a run: one HTML page with its plots inside, which loads nothing from a host."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from zoo_recipes.reporting import facts
from zoo_recipes.run import HISTORY, Run, read_run
from zoo_system.durable import write_text

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
PAGE = "report.html"
_ROWS = 10
_REPORT_STYLE = """
td:first-child { white-space: nowrap; color: #4a525c; }
td { vertical-align: top; overflow-wrap: anywhere; }
.verdict { color: #1b1f24; font-size: 1.1rem; }
pre { background: #f4f5f7; padding: 0.75rem; overflow-x: auto; }
h3 { font-size: 1rem; margin-bottom: 0.25rem; }
""".lstrip()


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: Of the window.
        body: Pieces of HTML.
        style: CSS beside the shared style.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def image(png: bytes, name: str) -> str:
    """Return a plot that is part of the page."""
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


def draw_curves(history: Mapping[str, Sequence[float]], title: str, path: Path | BinaryIO) -> None:
    """Draw a panel for each metric, training and validation, by epoch.

    Args:
        history: Values of each epoch by metric; those of validation begin with ``val_``.
        title: Above the plot.
        path: The PNG to write, or what takes its bytes.
    """
    panels = {
        name: {
            label: history[key]
            for key, label in ((name, "training"), (f"val_{name}", "validation"))
            if key in history
        }
        for name in history
        if not name.startswith("val_") and name != "learning_rate"
    }
    _draw(panels, title, path)


def curves_png(history: Mapping[str, Sequence[float]]) -> bytes:
    """Return the plot of :func:`draw_curves`, with no title, as the bytes of a PNG."""
    png = BytesIO()
    draw_curves(history, "", png)
    return png.getvalue()


def draw_side_by_side(histories: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Draw a panel for each metric with a curve for each run, by epoch.

    Args:
        histories: Values of each epoch by metric, of each run by its name.
        path: The PNG to write.
    """
    metrics = dict.fromkeys(key for history in histories.values() for key in history)
    panels = {
        metric.replace("val_", "validation "): {
            name: history[metric] for name, history in histories.items() if metric in history
        }
        for metric in metrics
        if metric != "learning_rate"
    }
    _draw(panels, " and ".join(histories) if len(histories) < 4 else "", path)


def _draw(
    panels: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path | BinaryIO
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (name, curves) in zip(axes, panels.items(), strict=True):
        for label, values in curves.items():
            panel.plot(range(1, len(values) + 1), values, marker=".", label=label)
        panel.set(xlabel="epoch", title=name.replace("_", " "))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def report(run: Run | str | Path, *, out: str | Path | None = None) -> Path:
    """Write the page of a run: what was trained on what, what came of it and what it took.

    What ``zoo evaluate`` and ``zoo explain`` have left in the run's folder is on it too.

    Args:
        run: A run or its folder, also one that is not complete.
        out: The file; ``report.html`` in the run's folder by default. It is replaced.

    Returns:
        The file.

    Raises:
        UsageError: No run.
        ZooError: The file cannot be written.
    """
    run = run if isinstance(run, Run) else read_run(run)
    path = Path(out) if out is not None else run.path / PAGE
    text = page(run)
    write_text(path, text)
    return path


def page(run: Run) -> str:
    """Return the report of a run as HTML."""
    body = [
        f"<h1>{escape(run.path.name)}</h1>",
        f"<p>{escape(run.recipe.summary)}</p>",
        f'<p class="verdict">{escape(facts.verdict(run))}</p>',
        table([(name, f"{value:.4f}") for name, value in run.metrics.items()]),
        *_section("How it learned", _curves(run)),
        *_section("What was trained", [table(facts.about(run))]),
        *_section("Data", [table(facts.data(run))]),
        *_section("What it took", [table(rows) for rows in [facts.cost(run.info)] if rows]),
        *_section("Evaluations", _folders(run.path / "evaluations", _evaluation)),
        *_section("Explanations", _folders(run.path / "explanations", _explanation)),
        *_section("What to do with it", [_commands(run)]),
        *_section("Settings", [f"<pre>{escape(run.recipe.to_toml())}</pre>"]),
    ]
    return document(f"Run {run.path.name}", body, _REPORT_STYLE)


def _section(title: str, pieces: Iterable[str]) -> list[str]:
    found = list(pieces)
    return [f"<h2>{title}</h2>", *found] if found else []


def _curves(run: Run) -> Iterator[str]:
    if (run.path / HISTORY).is_file() and run.history:
        yield image(curves_png(run.history), "metrics by epoch")


def _commands(run: Run) -> str:
    lines = "\n".join(f"# {what}\n{command}" for what, command in facts.commands(run))
    return f"<pre>{escape(lines)}</pre>"


def _folders(parent: Path, tell: Callable[[Mapping[str, Any]], Iterator[str]]) -> Iterator[str]:
    """Describe each folder that holds a JSON file, and show its plots."""
    for path in sorted(parent.glob("*/*.json")):
        yield f"<h3>{escape(path.parent.name)}</h3>"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            yield from tell(found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            yield f"<p>{escape(f'{path} is damaged: {error!r}')}</p>"
        pictures = "".join(
            f"<figure>{image(png.read_bytes(), png.stem)}</figure>"
            for png in sorted(path.parent.glob("*.png"))
        )
        yield f'<div class="pictures">{pictures}</div>'


def _evaluation(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{escape(_what(found))}</p>"
    intervals = found.get("intervals") or {}
    rows = [
        (name, f"{value:.4f}", _between(intervals.get(name)))
        for name, value in found["metrics"].items()
    ]
    yield table(rows, ("", "value", "95 % interval"))
    yield from _metric_rows("class", found.get("per_class") or {})
    groups = found.get("groups") or {}
    by_group = {group["name"]: group["metrics"] for group in groups.get("groups", [])}
    yield from _metric_rows(str(groups.get("column")), by_group)


def _what(found: Mapping[str, Any]) -> str:
    parts = (found.get("runtime"), found.get("dataset"), found.get("split"))
    examples = found.get("num_examples")
    return ", ".join(map(str, filter(None, parts))) + (f" ({examples:,})" if examples else "")


def _metric_rows(what: str, named: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    if not named:
        return
    names = list(dict.fromkeys(name for values in named.values() for name in values))
    rows = [
        (label, *(f"{values[name]:.4g}" if name in values else "" for name in names))
        for label, values in named.items()
    ]
    yield table(rows, (what, *names))


def _between(interval: Any) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""


def _explanation(found: Mapping[str, Any]) -> Iterator[str]:
    measured = found["faithfulness"]
    yield table(
        [
            ("Class", f"{found['class']} ({found['score']:.3f}), predicted {found['predicted']}"),
            ("Method", f"{found['method']}, computed by {found['computes']}"),
            (
                "Deletion area",
                f"{measured['deletion_area']:.3f} (random order {measured['random_area']:.3f})",
            ),
        ]
    )
    ranked = sorted(found["features"], key=lambda feature: -abs(feature["value"]))[:_ROWS]
    rows = [(str(feature["name"]), f"{feature['value']:+.4g}") for feature in ranked]
    yield table(rows, ("strongest features", "attribution"))
