"""Your own data checked, split and prepared; nothing wrong is passed over in silence."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from zoo_recipes.configs import DatasetConfig
from zoo_recipes.custom_data.content import Columns, Content, Example, Kind, Problem
from zoo_recipes.custom_data.files import files_of, listed_once, location, split_of
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.records import Records, save_records
from zoo_recipes.custom_data.splitting import folded, split
from zoo_registry import UsageError, ZooError
from zoo_system.durable import made_in_place

SHOWN = 20
NOTE = "own_data.json"


def contradictions(content: Content) -> list[Problem]:
    """Return the examples whose content is in another class too, each with where it is so."""
    return [problem for _, problem in _contradicted(content)]


def without_contradictions(content: Content) -> Content:
    """Return the content with what contradicts itself among the problems.

    What the data themselves put into validation or test stays: no model is measured on less than
    they meant to be.
    """
    found = {id(e): problem for e, problem in _contradicted(content) if e.split in {None, "train"}}
    good = [example for example in content.examples if id(example) not in found]
    return replace(content, examples=good, problems=[*content.problems, *found.values()])


def _contradicted(content: Content) -> Iterator[tuple[Example, Problem]]:
    labels = content.labels()
    if labels is None:
        return
    classes: defaultdict[str, dict[str, Example]] = defaultdict(dict)
    for example, label in zip(content.examples, labels, strict=True):
        classes[example.digest].setdefault(label, example)
    for example, label in zip(content.examples, labels, strict=True):
        others = [other for name, other in classes[example.digest].items() if name != label]
        if others:
            text = (
                f"is in class '{label}', and {others[0].location} in another with the same content"
            )
            yield example, Problem(example.location, text)


def refuse_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Refuse data with problems: the first twenty of them, and how many there are.

    Raises:
        UsageError: There are any.
    """
    if not problems:
        return
    raise UsageError(
        f"The data at '{path}' have {listed(problems)}\nMend them, or leave these records "
        'out with --on-bad-record report (on_bad_record="report").'
    )


def refuse_contradictions(path: Path, problems: Sequence[Problem]) -> None:
    """Refuse data with the same content in several classes.

    Raises:
        UsageError: There is any.
    """
    if problems:
        raise UsageError(
            f"The data at '{path}' contradict themselves. They have {listed(problems)}\nMend them, "
            "or leave them out with --set dataset.on_contradiction=drop."
        )


def listed(problems: Sequence[object]) -> str:
    """Return how many problems there are, and the first twenty, one a line."""
    return f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}:{shown(problems)}"


def shown(problems: Sequence[object], most: int = SHOWN) -> str:
    """Return the first ones, one a line, and how many more there are."""
    lines = "".join(f"\n  {problem}" for problem in problems[:most])
    more = len(problems) - most
    return lines + (f"\n  ... and {more:,} more" if more > 0 else "")


def refuse_empty(path: Path, content: Content) -> None:
    """Refuse data without a good example.

    Raises:
        UsageError: There is none.
    """
    if not content.examples:
        problems = f" They have {listed(content.problems)}" if content.problems else ""
        raise UsageError(f"The data at '{path}' have no good example.{problems}")


def refuse_unusable(
    path: Path, content: Content, parts: Mapping[str, list[Example]], where: str = ""
) -> None:
    """Refuse data that nothing can be learned from.

    Args:
        path: Of the data.
        content: What was read.
        parts: The examples of each split.
        where: Which splits these are, such as `` in fold 1 of 5``.

    Raises:
        UsageError: No example, an empty split, one class only, or a class with no example to
            train on.
    """
    refuse_empty(path, content)
    named = content.classes()
    if named is not None:
        _refuse_no_classes(path, named)
    empty = next((part for part, examples in parts.items() if not examples), None)
    if empty is not None:
        count = len(content.examples)
        different = len({example.digest for example in content.examples})
        # Copies go into one split.
        distinct = f", of which {different} are different," if different < count else ""
        raise UsageError(
            f"Of {count} examples at '{path}'{distinct} none falls to {empty}{where}: give "
            f"more, or {'fewer folds' if where else 'splits of your own'}."
        )
    if named is not None:
        _refuse_unseen(
            path, content, named, {example.location for example in parts["train"]}, where
        )


def _refuse_no_classes(path: Path, classes: Sequence[Sequence[str]]) -> None:
    named = [name for names in classes for name in names]
    labels = set(named)
    if not labels:
        raise UsageError(f"No example at '{path}' is of any class.")
    if len(labels) == 1 and len(named) == len(classes):
        raise UsageError(f"All examples at '{path}' are in class '{named[0]}'.")
    if len(labels) > max(20, len(named) / 2):
        raise UsageError(
            f"The labels at '{path}' are not classes: {len(labels):,} different ones in "
            f"{len(classes):,} examples, such as '{named[0]}'."
        )


def _refuse_unseen(
    path: Path, content: Content, classes: Sequence[Sequence[str]], trained: set[str], where: str
) -> None:
    pairs = zip(content.examples, classes, strict=True)
    seen = {name for example, names in pairs if example.location in trained for name in names}
    unseen = {name for names in classes for name in names} - seen
    if unseen:
        raise UsageError(
            f"No example of class '{min(unseen)}' at '{path}' falls to train{where}: give more, or "
            f"{'fewer folds' if where else 'splits of your own'}."
        )


def sizes_of(examples: Sequence[Example]) -> dict[str, tuple[float, float, float, float]]:
    """Return the quantiles of each size, such as ``height``; none where examples differ in them."""
    import numpy as np

    if not examples or len({len(example.size) for example in examples}) > 1:
        return {}
    columns = np.asarray([example.size for example in examples]).T
    names = {1: ("length",), 2: ("height", "width")}.get(len(columns))
    names = names or tuple(f"axis {at}" for at in range(len(columns)))
    return {name: quantiles(column) for name, column in zip(names, columns, strict=True)}


def quantiles(column: Any) -> tuple[float, float, float, float]:
    """Return the least, the median, the 95th percentile and the largest of some numbers."""
    import numpy as np

    found = np.quantile(column, [0, 0.5, 0.95, 1], method="nearest")
    low, middle, high, top = (np.round(found, 2) if column.dtype.kind == "f" else found).tolist()
    return low, middle, high, top


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """Where custom data are, and how they are to be read.

    Args:
        path: File or folder.
        columns: Role to column, such as ``{"text": "review"}``.
        on_bad_record: ``error``, or ``report``: leave bad records out and say which.
        on_contradiction: What is done with the same content in several classes: ``keep``, ``drop``
            it but from splits of the data's own for validation and test, or ``error``.
        to_train: Whether they are for a training, or for measuring a model that there is: that
            needs no split to have examples of everything.
        folds: Of a cross-validation, in place of splits.
    """

    path: Path
    columns: Columns = field(default_factory=dict)
    on_bad_record: str = "error"
    on_contradiction: str = "keep"
    to_train: bool = True
    folds: int | None = None

    def kind(self) -> Kind:
        """Return what the data hold, from their names and at most the head of a file.

        Raises:
            UsageError: Nothing is there, or nothing that is understood.
        """
        return layout_of(self.path).kind(self.path, self.columns)

    @property
    def version(self) -> str:
        """The version of what is prepared of them."""
        return self.kind().version

    def fingerprint(self, version: str) -> str:
        """Return 12 hexadecimal digits that tell how the data are read, and all that they hold.

        They stay the same where the data are moved or renamed.

        Args:
            version: Of what is prepared from files.

        Raises:
            UsageError: Nothing is there.
        """
        settings: dict[str, Any] = {"columns": dict(self.columns), "bad": self.on_bad_record}
        if self.on_contradiction != "keep":
            settings["contradictions"] = self.on_contradiction
        settings |= {} if self.to_train else {"to_train": False}
        settings |= {"folds": self.folds} if self.folds else {}
        digest = hashlib.sha256(json.dumps([version, settings], sort_keys=True).encode())
        for file in files_of(self.path):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            name = f"\n{self._name(file)}\n{content}"
            digest.update(name.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:12]

    def _name(self, file: Path) -> str:
        """Return what of a file's name says how it is read."""
        if file == self.path:
            return f"{split_of(file, self.path) or ''}{file.suffix.lower()}"
        return location(file, self.path)


@listed_once()
def prepared(own: OwnData, data_dir: str | Path | None = None) -> Any:
    """Return the prepared builder of custom data; content prepared before is not read again.

    Args:
        own: The data.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.

    Raises:
        UsageError: Data that are not understood or have problems, all of them found before
            anything is written.
    """
    import tensorflow_datasets as tfds

    version = own.version
    name = f"{slug(own.path)}-{own.fingerprint(version)}"
    base = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    home = base / "own_data" / name / version
    if not (home / NOTE).is_file():
        _prepare(own, name, home)
    return tfds.builder_from_directory(home)


def note_of(builder: Any) -> dict[str, Any] | None:
    """Return what is noted of custom data: kind, splits, what was left out; ``None`` for others."""
    path = Path(str(builder.data_dir), NOTE)
    if not path.is_file():
        return None
    note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return note


def records_of(
    builder: Any, dataset: DatasetConfig, locations: Sequence[str] | None
) -> Records | None:
    """Return which records of custom data examples are; ``None`` for other data.

    Args:
        builder: A prepared ``tfds.core.DatasetBuilder``.
        dataset: Of the recipe, which names the data.
        locations: Of the examples, as they were prepared.
    """
    if locations is None or note_of(builder) is None:
        return None
    path = Path(dataset.name).expanduser().absolute()
    # A file may have been renamed since.
    file = path.name if path.is_file() else ""
    named = [file + where for where in locations]
    return Records(path, dataset.columns, Path(str(builder.data_dir)), named)


def show_custom_data(builder: Any, dataset: DatasetConfig) -> None:
    """Print to standard error what custom data hold, how they are split, and what was left out.

    Args:
        builder: A prepared ``tfds.core.DatasetBuilder``.
        dataset: Of the recipe, which names the splits.
    """
    from rich.console import Console

    note = note_of(builder)
    if note is None:
        return
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    used = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = {part: builder.info.splits[name].num_examples for part, name in used.items() if name}
    splits = ", ".join(f"{part} {count:,}" for part, count in counts.items())
    console.print(f"data: {note['kind']}: {splits} ({note['splits']})")
    if note["left_out"]:
        console.print(f"left out: {listed(note['left_out'])}")
    found = note["contradictions"]
    if found:
        console.print(
            f"{len(found):,} are in several classes and kept; --set dataset.on_contradiction=drop "
            f"does not train on them:{shown(found, most=3)}"
        )


def slug(path: Path) -> str:
    """Return a name for data that any file system takes.

    Example:
        >>> slug(Path("/data/My flowers.csv"))
        'my-flowers'
    """
    resolved = path.resolve()
    stem = resolved.name if resolved.is_dir() else resolved.stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "data"


def _prepare(own: OwnData, name: str, home: Path) -> None:
    import tensorflow_datasets as tfds

    from zoo_recipes.custom_data.builder import OwnData as Builder

    content = layout_of(own.path).read(own.path, own.columns)
    if own.on_bad_record == "error":
        refuse_problems(own.path, content.problems)
    if own.on_contradiction == "error":
        refuse_contradictions(own.path, contradictions(content))
    if own.on_contradiction == "drop":
        content = without_contradictions(content)
    made = folded(own.path, content, own.folds) if own.folds else split(content)
    parts = made.parts
    if own.to_train:
        for where, view in made.views():
            refuse_unusable(own.path, content, view, where)
    else:
        refuse_empty(own.path, content)
        parts = {part: examples for part, examples in parts.items() if examples}
    note = {
        "kind": content.kind.name,
        "splits": made.rule,
        "made_splits": made.are_made,
        "left_out": [str(problem) for problem in content.problems],
        "contradictions": [str(problem) for problem in contradictions(content)],
        "sizes": sizes_of(content.examples),
    }

    def make(folder: Path) -> Path:
        builder = Builder(
            content=content,
            parts=parts,
            config=name,
            file=own.path.name if own.path.is_file() else "",
            data_dir=folder,
        )
        tfds.disable_progress_bar()
        try:
            # What it prints is about a folder that is renamed in a moment.
            with redirect_stdout(StringIO()):
                builder.download_and_prepare()
        finally:
            tfds.enable_progress_bar()
        made = Path(str(builder.data_dir))
        save_records(made, content, own.path.name if own.path.is_file() else "")
        (made / NOTE).write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")
        return made

    try:
        made_in_place(home, make)
    except OSError as error:
        raise ZooError(f"Data '{own.path}' cannot be prepared in '{home}': {error}") from error
