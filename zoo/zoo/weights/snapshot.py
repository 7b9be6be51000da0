"""A folder in Hugging Face's layout: its configuration, its files, its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.weights.tensors import PICKLES
from zoo_registry import UsageError

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
IMAGES = "preprocessor_config.json"


@dataclass(frozen=True)
class Snapshot:
    """A folder with ``config.json`` and safetensors, or one safetensors file alone.

    Args:
        path: The folder or the file.
    """

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` and the images' preprocessing say; empty for a file alone.

        Raises:
            UsageError: It is missing or damaged.
        """
        if self.path.is_file():
            return {}
        file = self.path / CONFIG
        if not file.is_file():
            raise UsageError(f"'{self.path}' is no Hugging Face snapshot: it has no {CONFIG}.")
        config = read_json(file)
        images = self.path / IMAGES
        preprocessing = read_json(images) if images.is_file() else {}
        # Newer files have the rotary positions' settings in a table of their own.
        tables = (config.get("rope_parameters") or {}, config)
        return {key: value for table in (preprocessing, *tables) for key, value in table.items()}

    @cached_property
    def files(self) -> dict[str, Path]:
        """The safetensors files by name.

        Raises:
            UsageError: There are none, one is missing, or one is outside the folder.
        """
        if self.path.is_file():
            return {self.path.name: self.path}
        index = self.path / INDEX
        if index.is_file():
            names = sorted(set(read_json(index).get("weight_map", {}).values()))
        else:
            names = [SINGLE]
        return {name: self._inside(name) for name in names}

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes, where the configuration has them."""
        named = self.config.get("id2label")
        return [named[key] for key in sorted(named, key=int)] if named else None

    def _inside(self, name: str) -> Path:
        if Path(name).name != name:
            raise UsageError(
                f"'{self.path / INDEX}' names '{name}', which is outside the snapshot."
            )
        file = self.path / name
        if file.is_file():
            return file
        pickles = sorted(p.name for p in self.path.iterdir() if p.suffix in PICKLES)
        hint = f" It has {pickles[0]}, a pickle, which is not read." if pickles else ""
        raise UsageError(f"'{self.path}' has no {name}.{hint}")


def read_json(file: Path) -> dict[str, Any]:
    """Return the table in a JSON file.

    Raises:
        UsageError: It is damaged.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"'{file}' is damaged: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"'{file}' is damaged: it holds no table.")
    return data
