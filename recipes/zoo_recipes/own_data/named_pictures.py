"""Pictures that annotations call by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zoo_recipes.own_data.content import BadRecordError
from zoo_recipes.own_data.files import place, split_in
from zoo_recipes.own_data.images import is_picture

_ROOTED = re.compile(r"[/\\]|[A-Za-z]:")


@dataclass(frozen=True)
class Pictures:
    """The pictures below a folder, found by the names that annotations call them.

    Args:
        path: The folder.
        files: All files below it.
    """

    path: Path
    files: Sequence[Path]

    @cached_property
    def _by_name(self) -> Mapping[str, list[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for file in filter(is_picture, self.files):
            found[file.name].append(file)
            # Some annotations leave the suffix out.
            if file.stem != file.name:
                found[file.stem].append(file)
        return found

    def find(self, name: str, near: Path) -> Path:
        """Return the picture of a name, such as ``000012.jpg`` or ``train/000012.jpg``.

        Args:
            name: As the annotations have it.
            near: Their file. Of several pictures the one counts that is in a folder of the same
                split, or in the same folder.

        Raises:
            BadRecordError: There is none, or there are several.
        """
        parts = Path(name.replace("\\", "/")).parts
        named = self._by_name.get(parts[-1] if parts else "", ())
        found = [file for file in named if _ends(file, parts)]
        if not found and len(named) == 1 and _ROOTED.match(name):
            found = named  # where it lay on another machine
        if not found:
            raise BadRecordError(f"there is no image '{name}'")
        split = split_in(near, self.path)
        for fits in (
            lambda file: file.parent == near.parent,
            lambda file: split is not None and split_in(file.parent, self.path) == split,
        ):
            found = [file for file in found if fits(file)] or found
        if len(found) > 1:
            places = ", ".join(place(file, self.path) for file in found[:3])
            raise BadRecordError(f"there are several images '{name}': {places}")
        return found[0]


def _ends(file: Path, parts: Sequence[str]) -> bool:
    ends = (file.parts, file.with_suffix("").parts)
    return any(end[-len(parts) :] == tuple(parts) for end in ends)
