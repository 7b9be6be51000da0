"""A folder in Hugging Face's layout: its configuration, its files, its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.weights.tensors import PICKLES
from zoo_registry import UsageError

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
IMAGES = "preprocessor_config.json"
# Of Pillow, by number, as ImageStep names them.
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# What transformers names the classes of a configuration that does not.
LABEL = "LABEL_{}"
_DEFAULT_CLASSES = 2
_WHITE = 255
# Settings of rotary positions, in either of the tables that they have stood in.
ROPE_TABLES = ("rope_scaling", "rope_parameters")
# What is read before the family is known.
_KINDS: Mapping[str, tuple[type, str]] = {
    "model_type": (str, "word"),
    "architectures": (list, "list"),
    **dict.fromkeys(ROPE_TABLES, (dict, "table")),
}


@dataclass(frozen=True)
class Snapshot:
    """A folder with ``config.json`` and safetensors, or one safetensors file alone.

    Args:
        path: The folder or the file.
    """

    path: Path

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.path.parent if self.path.is_file() else self.path

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """What ``config.json`` says, as it stands; empty for a file alone.

        Raises:
            UsageError: It is missing or damaged.
        """
        if self.path.is_file():
            return {}
        file = self.path / CONFIG
        if not file.is_file():
            raise UsageError(f"'{self.path}' is no Hugging Face snapshot: it has no {CONFIG}.")
        config = read_json(file)
        for key, (kind, what) in _KINDS.items():
            if config.get(key) is not None and not isinstance(config[key], kind):
                raise UsageError(f"'{file}': {key}={config[key]!r} is no {what}.")
        return config

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` says, with the images' mean and deviation where a file has them.

        Newer files have the settings of rotary positions in a table of their own; here they stand
        beside the others, and the kind of the positions is ``rope_type``, which was ``type`` once.

        Raises:
            UsageError: A file is missing or damaged.
        """
        own = dict(self.own_config)
        for name in ROPE_TABLES:
            if isinstance(own.get(name), Mapping):
                own[name] = _with_rope_type(own[name])
        if own.get("rope_scaling") == {"rope_type": "default"}:
            own["rope_scaling"] = None
        tables = (own.get("rope_parameters") or {}, own, self._pixels)
        return {key: value for table in tables for key, value in table.items()}

    @cached_property
    def processor(self) -> dict[str, Any]:
        """What is done to an image before the model; empty where no file says it."""
        file = self.folder / IMAGES
        if file.is_file():
            return read_json(file)
        return of_timm(self.own_config.get("pretrained_cfg"))

    @property
    def _pixels(self) -> dict[str, Any]:
        """Mean and deviation of pixels in 0..1, for images of 0..255, from all settings of them."""
        if not self.processor or self.path.is_file():
            return {}
        said = self.processor
        normalized = said.get("do_normalize", True) is not False
        factor = said.get("rescale_factor", 1 / _WHITE)
        if not _is_number(factor) or factor <= 0:
            raise UsageError(f"'{self.folder / IMAGES}': rescale_factor={factor!r} scales nothing.")
        scale = _WHITE * factor if said.get("do_rescale", True) is not False else _WHITE
        found = {}
        for key, neutral in (("image_mean", 0.0), ("image_std", 1.0)):
            values = said.get(key) if normalized else neutral
            if values is not None:
                numbers = _numbers(self.folder, key, values)
                self._check_channels(key, numbers)
                found[key] = [value / scale for value in numbers]
            elif abs(scale - 1) > 1e-6:
                raise UsageError(
                    f"'{self.folder / IMAGES}' scales pixels by {scale:g}/255 and gives no {key}."
                )
        return found

    def _check_channels(self, key: str, numbers: list[float]) -> None:
        """Refuse means and deviations of neither one channel, nor red, green, blue, nor all."""
        counts = {1, 3, self.own_config.get("num_channels")}
        if len(numbers) not in counts or (key == "image_std" and min(numbers) <= 0):
            raise UsageError(
                f"'{self.folder / IMAGES}': {key}={numbers!r} is not a number above 0 for each "
                "channel."
            )

    @cached_property
    def files(self) -> dict[str, Path]:
        """The safetensors files by name.

        Raises:
            UsageError: There are none, one is missing, or one is outside the folder.
        """
        if self.path.is_file():
            return {self.path.name: self.path}
        index = self.path / INDEX
        if not index.is_file():
            return {SINGLE: self._inside(SINGLE)}
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
            raise UsageError(f"'{index}' is damaged: it has no table 'weight_map'.")
        return {name: self._inside(name) for name in sorted(set(places.values()))}

    @cached_property
    def labels(self) -> list[str] | None:
        """Names of the classes; transformers' own where the configuration has none for its head.

        Raises:
            UsageError: They are no list of names by number.
        """
        pretrained = self.own_config.get("pretrained_cfg") or {}
        listed = self.own_config.get("label_names") or pretrained.get("label_names")
        if isinstance(listed, list) and listed:
            return [str(name) for name in listed]
        named = self.own_config.get("id2label")
        if named:
            return self._named(named)
        count = self.own_config.get("num_labels")
        architectures = self.own_config.get("architectures") or ("",)
        if count is None and "Classification" in str(architectures[0]):
            count = _DEFAULT_CLASSES
        if count is None:
            return None
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UsageError(f"'{self.path / CONFIG}': num_labels={count!r} is no number.")
        return [LABEL.format(index) for index in range(count)]

    def _named(self, named: Any) -> list[str]:
        try:
            by_index = {int(key): name for key, name in named.items()}
        except (AttributeError, TypeError, ValueError):
            by_index = {}
        if sorted(by_index) != list(range(len(named))) or not by_index:
            raise UsageError(
                f"'{self.path / CONFIG}': id2label must name the classes 0, 1, ... by number, not "
                f"{str(named)[:80]}."
            )
        return [str(by_index[index]) for index in sorted(by_index)]

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


def of_timm(said: Any) -> dict[str, Any]:
    """Return timm's settings of images in the words of transformers.

    Example:
        >>> of_timm({"input_size": [3, 224, 224], "crop_pct": 0.875})["size"]
        {'shortest_edge': 256}
    """
    if not isinstance(said, Mapping) or "input_size" not in said:
        return {}
    _, height, width = said["input_size"]
    fraction = said.get("crop_pct") or 1
    crop = {"height": height, "width": width}
    numbers = {word: number for number, word in RESAMPLING.items()}
    filter_name = said.get("interpolation") or "bicubic"
    larger = {"shortest_edge": int(min(height, width) / fraction)}
    # `squash` ignores the proportions of the image, as we do where nothing is cut off.
    squashed = said.get("crop_mode") == "squash"
    found = {
        "image_mean": said.get("mean"),
        "image_std": said.get("std"),
        "resample": numbers.get(filter_name, filter_name),
        "size": crop if squashed else larger,
        **({} if squashed else {"do_center_crop": True, "crop_size": crop}),
    }
    return {key: value for key, value in found.items() if value is not None}


def _with_rope_type(table: Mapping[str, Any]) -> dict[str, Any]:
    kind = table.get("rope_type", table.get("type", "default"))
    return {**{key: value for key, value in table.items() if key != "type"}, "rope_type": kind}


def _numbers(folder: Path, key: str, values: Any) -> list[float]:
    listed = values if isinstance(values, list) else [values]
    if not listed or not all(_is_number(value) for value in listed):
        raise UsageError(f"'{folder / IMAGES}': {key}={values!r} are no numbers.")
    return [float(value) for value in listed]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_json(file: Path) -> dict[str, Any]:
    """Return the table in a JSON file.

    Raises:
        UsageError: It is damaged.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{file}' is damaged: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"'{file}' is damaged: it holds no table.")
    return data
