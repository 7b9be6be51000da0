"""The report of a run: one HTML page that holds its pictures and asks no host for anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from zoo_recipes.reporting import facts
from zoo_recipes.reporting.curves import curves_png
from zoo_recipes.reporting.pages import document, image, table
from zoo_recipes.run import HISTORY, Run, read_run
from zoo_system.durable import write_text

PAGE = "report.html"
_ROWS = 10
_REPORT_STYLE = """
td:first-child { white-space: nowrap; color: #4a525c; }
td { vertical-align: top; overflow-wrap: anywhere; }
.verdict { color: #1b1f24; font-size: 1.1rem; }
pre { background: #f4f5f7; padding: 0.75rem; overflow-x: auto; }
h3 { font-size: 1rem; margin-bottom: 0.25rem; }
""".lstrip()


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
    """Tell of each folder that holds a JSON file, and show its pictures."""
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
    yield from _figures("class", found.get("per_class") or {})
    groups = found.get("groups") or {}
    by_group = {group["name"]: group["metrics"] for group in groups.get("groups", [])}
    yield from _figures(str(groups.get("column")), by_group)


def _what(found: Mapping[str, Any]) -> str:
    parts = (found.get("runtime"), found.get("dataset"), found.get("split"))
    examples = found.get("num_examples")
    return ", ".join(map(str, filter(None, parts))) + (f" ({examples:,})" if examples else "")


def _figures(what: str, named: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
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
