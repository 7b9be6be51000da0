"""``zoo new-plugin``: a package that brings models, data or formats, complete and tested."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from zoo_registry import UsageError, did_you_mean
from zoo_registry.plugins import OURS, normalized
from zoo_system.durable import locked_folder, rename, unwritable

# As package indexes have names: https://packaging.python.org/specifications/name-normalization
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_TEMPLATES = "plugin_template"
# Endings that say of a package that it is a plugin, and nothing of what it brings.
_ENDINGS = re.compile(r"(^kerazoo-)|(-(zoo|kerazoo|plugin|models))+$")


@dataclass(frozen=True)
class Part:
    """What one kind adds to a package.

    Args:
        what: In a few words.
        group: Of its entry point.
        name: The public name; placeholders as in the templates.
        target: What the entry point holds.
        files: Template by path, with what the file is.
        imports: Lines that the module of specs needs.
        command: A line for the README.
    """

    what: str
    group: str
    name: str
    target: str
    files: Mapping[str, tuple[str, str]]
    imports: str = ""
    command: str = ""


PARTS = {
    "model": Part(
        what="a model",
        group="zoo.models",
        name="<<prefix>>-highway",
        target="<<package>>.specs:HIGHWAY",
        files={
            "src/<<package>>/highway.py": ("highway", "the builder; it alone imports Keras"),
            "MODEL_CARD.md": ("card", "what the model is for, its licence and limits"),
            "tests/test_model.py": ("test_model", "what the kit cannot know of the model"),
        },
        imports="ModelSpec TensorSpec",
        command="zoo show <<prefix>>-highway",
    ),
    "dataset": Part(
        what="a data set",
        group="zoo.datasets",
        name="<<snake>>_spirals",
        target="<<package>>.specs:SPIRALS",
        files={"src/<<package>>/spirals.py": ("spirals", "a TensorFlow Datasets builder")},
        imports="DatasetSpec",
    ),
    "recipe": Part(
        what="a recipe",
        group="zoo.recipes",
        name="<<prefix>>-spirals",
        target="<<package>>.specs:SPIRALS_RECIPE",
        files={
            "src/<<package>>/<<prefix>>-spirals.toml": ("recipe", "the recipe, with its result"),
            "tests/test_recipe.py": ("test_recipe", "trains, exports and predicts"),
        },
        command="zoo train <<prefix>>-spirals\nzoo export runs/<<prefix>>-spirals --to tflite,onnx",
    ),
    "format": Part(
        what="an export format",
        group="zoo.formats",
        name="<<prefix>>-keras",
        target="<<package>>.specs:KERAS_FILE",
        files={"src/<<package>>/keras_file.py": ("keras_file", "its converter and its runtime")},
    ),
    "tracker": Part(
        what="a tracker",
        group="zoo.trackers",
        name="<<prefix>>-lines",
        target="<<package>>.epoch_lines:EpochLines",
        files={"src/<<package>>/epoch_lines.py": ("epoch_lines", "follows a training")},
    ),
}
# A recipe trains the model on the data set.
_NEEDS = {"recipe": ("model", "dataset", "recipe")}
USUAL = ("model", "dataset", "recipe")


def new_plugin(
    name: str, *, kinds: Sequence[str] = USUAL, parent: str | Path = "."
) -> dict[str, str]:
    """Write a package that is a plugin, with tests that run the conformance kit.

    Args:
        name: Of the distribution, such as ``"acme-zoo"``; the folder is called so too.
        kinds: ``model``, ``dataset``, ``recipe`` (with the two), ``format`` and ``tracker``.
        parent: The folder that it is written to.

    Returns:
        What each file is, by its path in the package.

    Raises:
        UsageError: A name that no distribution or no Python package can have, an unknown kind, or
            a folder that is there already.
        ZooError: It cannot be written.

    Example:
        >>> import tempfile
        >>> written = new_plugin("acme-zoo", kinds=["tracker"], parent=tempfile.mkdtemp())
        >>> [path for path in written if path.startswith("src")]
        ['src/acme_zoo/epoch_lines.py', 'src/acme_zoo/__init__.py', 'src/acme_zoo/py.typed']
    """
    words = _words(name)
    chosen = _chosen(kinds)
    home = Path(parent) / name
    if home.exists() or home.is_symlink():
        raise UsageError(f"'{home}' is there already: choose another name or folder.")
    texts, about = _files(chosen, words)
    try:
        Path(parent).mkdir(parents=True, exist_ok=True)
        with locked_folder(Path(parent), f".{name}-") as work:
            made = work / name
            for path, text in texts.items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            rename(made, home)
    except OSError as error:
        raise unwritable(home, error) from error
    return about


def _words(name: str) -> dict[str, str]:
    """Return what placeholders stand for."""
    distribution = normalized(name)
    package = distribution.replace("-", "_")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not the name of a distribution: use letters, digits and '-', '_' or '.' "
            "between them, such as acme-zoo."
        )
    if not package.isidentifier() or keyword.iskeyword(package):
        raise UsageError(
            f"'{name}' makes no Python package, which would be called '{package}': begin with a "
            "letter, and use no word of Python."
        )
    if package in sys.stdlib_module_names or distribution in OURS or package.startswith("zoo"):
        raise UsageError(
            f"'{name}' would hide the package '{package}': choose another, such as acme-{name}."
        )
    prefix = _ENDINGS.sub("", distribution) or distribution
    snake = prefix.replace("-", "_")
    camel = "".join(word.capitalize() for word in prefix.split("-"))
    words = {"distribution": distribution, "package": package, "prefix": prefix}
    return {**words, "snake": snake, "camel": camel}


def _chosen(kinds: Sequence[str]) -> dict[str, Part]:
    if not kinds:
        raise UsageError(f"Choose what the plugin brings: {', '.join(PARTS)}.")
    for kind in kinds:
        if kind not in PARTS:
            hint = did_you_mean(kind, PARTS)
            raise UsageError(f"There is no kind '{kind}'.{hint} There are: {', '.join(PARTS)}.")
    wanted = {need for kind in kinds for need in _NEEDS.get(kind, (kind,))}
    return {kind: part for kind, part in PARTS.items() if kind in wanted}


def _files(chosen: Mapping[str, Part], words: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Return the text of each file, and what it is."""
    parts = chosen.values()
    templates = {path: row for part in parts for path, row in part.files.items()}
    templates |= {
        "tests/test_names.py": ("test_names", "whose the names are"),
        ".github/workflows/ci.yml": ("ci", "lint, types and tests on every push"),
        ".gitignore": ("gitignore", "what is not kept"),
        "pyproject.toml": ("pyproject", "the entry points: public name, and what it stands for"),
        "README.md": ("readme", "how it is used"),
    }
    about = {_filled(path, words): what for path, (_, what) in templates.items()}
    texts = {_filled(path, words): _template(name) for path, (name, _) in templates.items()}
    package = f"src/{words['package']}"
    what = _listed(part.what for part in parts)
    texts[f"{package}/__init__.py"] = f'"""A Kerazoo plugin with {what}."""\n'
    texts[f"{package}/py.typed"] = ""
    about |= {f"{package}/__init__.py": "the package", f"{package}/py.typed": "it has types"}
    specs = _specs(chosen)
    if specs:
        texts[f"{package}/specs.py"] = specs
        about[f"{package}/specs.py"] = "what listings read: data only, nothing heavy is imported"
    rows = (f"| `{path}` | {said} |" for path, said in about.items() if path != "README.md")
    filled = {
        "what": what,
        "entries": "".join(_entry(part) for part in parts),
        "names": _names(chosen),
        "commands": "".join(f"{part.command}\n" for part in parts if part.command),
        "files": "\n".join(rows),
    }
    # What is filled in has placeholders of its own.
    return {p: _filled(_filled(text, filled), words) for p, text in texts.items()}, about


def _specs(chosen: Mapping[str, Part]) -> str:
    """Return the module of specs, empty if nothing of the package stands in one."""
    kinds = [kind for kind in chosen if (files("zoo") / _TEMPLATES / f"specs_{kind}.txt").is_file()]
    if not kinds:
        return ""
    names = sorted(name for kind in kinds for name in chosen[kind].imports.split())
    imports = ["from pathlib import Path\n"] if "recipe" in kinds else []
    ours = f"from zoo import {', '.join(names)}\n" if names else ""
    ours += "from zoo_export import Format\n" if "format" in kinds else ""
    text = "\n".join([*imports, *([ours] if ours else [])])
    about = '"""What Kerazoo reads to list and describe: data only, nothing heavy is imported."""\n'
    bodies = "\n".join(_template(f"specs_{kind}") for kind in kinds)
    return f"{about}\n{text}\n{bodies}"


def _names(chosen: Mapping[str, Part]) -> str:
    rows = "".join(f'    ("{kind}", "{part.name}"),\n' for kind, part in chosen.items())
    return f"[\n{rows}]"


def _entry(part: Part) -> str:
    return f'\n[project.entry-points."{part.group}"]\n{part.name} = "{part.target}"\n'


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _template(name: str) -> str:
    return (files("zoo") / _TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"<<{word}>>", value)
    return text
