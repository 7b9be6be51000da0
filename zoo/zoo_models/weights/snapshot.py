"""A folder in Hugging Face's layout: its configuration, its safetensors, its classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from zoo_models.weights.images import Preparation, preparation, preparation_of_timm
from zoo_models.weights.loading import listed
from zoo_registry import UsageError

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
IMAGES, ADAPTER = "preprocessor_config.json", "adapter_config.json"
# The model card, which begins with what the hubs know of a model, in YAML.
CARD = "README.md"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
# As safetensors calls them; others hold packed or scaled numbers, which mean nothing alone.
_FLOATS = ("F64", "F32", "F16", "BF16")
# What transformers names the classes of a configuration that does not.
LABEL = "LABEL_{}"
_DEFAULT_CLASSES = 2
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
            adapter = (self.path / ADAPTER).is_file()
            hint = (
                " It is an adapter of peft: save what merge_and_unload() gives." if adapter else ""
            )
            held = sorted(self.path.glob("*.gguf"))
            if held:
                hint = f" Give one of its GGUF files alone, such as '{held[0]}'."
            raise UsageError(
                f"'{self.path}' is not a Hugging Face snapshot: it has no {CONFIG}.{hint}"
            )
        config = read_json(file)
        for key, (kind, what) in _KINDS.items():
            if config.get(key) is not None and not isinstance(config[key], kind):
                raise UsageError(f"'{file}': {key}={config[key]!r} is not a {what}.")
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
    def images(self) -> Preparation | None:
        """What is done to an image before the model; nothing where no file says it.

        Raises:
            UsageError: A file is damaged, or its settings are invalid.
        """
        file, own = self.folder / IMAGES, self.own_config
        of_timm = own.get("pretrained_cfg")
        try:
            if file.is_file():
                return preparation(read_json(file), own.get("model_type"), own.get("num_channels"))
            return preparation_of_timm(of_timm) if isinstance(of_timm, Mapping) else None
        except UsageError as error:
            where = file if file.is_file() else self.folder / CONFIG
            raise UsageError(f"'{where}': {error}") from error

    @cached_property
    def license(self) -> str:
        """Licence of the weights as their card or timm's configuration names it, or ``""``."""
        card = self.folder / CARD
        known = _front_matter(card) if card.is_file() else {}
        of_timm = self.own_config.get("pretrained_cfg")
        named = known.get("license") or (of_timm or {}).get("license") or ""
        if named == "other":  # the hub's word for one that has no identifier there
            named = known.get("license_name") or known.get("license_link") or named
        return ", ".join(map(str, named)) if isinstance(named, list) else str(named)

    @property
    def _pixels(self) -> dict[str, Any]:
        if self.images is None or self.path.is_file():
            return {}
        return {"image_mean": list(self.images.mean), "image_std": list(self.images.std)}

    @cached_property
    def files(self) -> dict[str, Path]:
        """The safetensors files by name.

        Raises:
            UsageError: There are none, one is missing, or one is outside the folder.
        """
        if self.path.is_file():
            return {self.path.name: self.path}
        index = self.path / INDEX
        # Of both, transformers takes the one file.
        if (self.path / SINGLE).is_file() or not index.is_file():
            return {SINGLE: self._inside(SINGLE)}
        files = read_json(index).get("weight_map")
        if not isinstance(files, dict) or not all(isinstance(n, str) for n in files.values()):
            raise UsageError(f"'{index}' is damaged: it has no table 'weight_map'.")
        return {name: self._inside(name) for name in sorted(set(files.values()))}

    def opened(self) -> AbstractContextManager[Tensors]:
        """Open the tensors, as :func:`opened` does."""
        return opened(self.files)

    @cached_property
    def labels(self) -> list[str] | None:
        """Names of the classes; transformers' own where the configuration has none for its head.

        Raises:
            UsageError: They are not names by index.
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
            raise UsageError(
                f"'{self.path / CONFIG}': num_labels={count!r} is not a number of classes."
            )
        return [LABEL.format(index) for index in range(count)]

    def _named(self, named: Any) -> list[str]:
        try:
            by_index = {int(key): name for key, name in named.items()}
        except (AttributeError, TypeError, ValueError):
            by_index = {}
        if sorted(by_index) != list(range(len(named))) or not by_index:
            raise UsageError(
                f"'{self.path / CONFIG}': id2label must name the classes 0, 1, ... by index, not "
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
        held = sorted(p.name for p in self.path.iterdir() if p.suffix in {".safetensors", *PICKLES})
        others = [held_name for held_name in held if not held_name.endswith(PICKLES)]
        hint = f" It has {held[0]}, a pickle, which is not read." if held else ""
        if others:
            hint = f" It has {listed(others)}: call what holds the weights {name}."
        raise UsageError(f"'{self.path}' has no {name}.{hint}")


def _with_rope_type(table: Mapping[str, Any]) -> dict[str, Any]:
    kind = table.get("rope_type", table.get("type", "default"))
    return {**{key: value for key, value in table.items() if key != "type"}, "rope_type": kind}


def _front_matter(card: Path) -> dict[str, Any]:
    """Return the table that a model card begins with; a damaged one says nothing."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        return metadata_load(card) or {}
    except (ValueError, OSError, YAMLError):
        return {}


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


class Tensors(Protocol):
    """Tensors by name, each in memory only when it is read."""

    def names(self) -> list[str]:
        """Return the names of all tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; only the header is read."""

    def read(self, name: str) -> Any:
        """Return a tensor as an array."""


class _SafeTensors:
    """The tensors of open safetensors files.

    Args:
        files: Open files by path.
    """

    def __init__(self, files: Mapping[Path, Any]) -> None:
        self._files = files
        self._paths: dict[str, Path] = {}
        for path, file in files.items():
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if name in self._paths:
                    raise UsageError(f"'{self._paths[name]}' and '{path}' both hold {name}.")
                self._paths[name] = path

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._paths)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; only the header is read."""
        return tuple(self._slice(name).get_shape())

    def read(self, name: str) -> Any:
        """Return a tensor as an array.

        Raises:
            UsageError: It holds no floats.
        """
        dtype = self._slice(name).get_dtype()
        if dtype not in _FLOATS:
            raise UsageError(
                f"'{self._paths[name]}': {name} is of type {dtype}, as quantized weights are; "
                f"only {', '.join(_FLOATS)} can be loaded."
            )
        return self._files[self._paths[name]].get_tensor(name)

    def _slice(self, name: str) -> Any:
        return self._files[self._paths[name]].get_slice(name)


@contextmanager
def opened(files: Mapping[str, Path]) -> Iterator[Tensors]:
    """Open safetensors files; nothing but their headers is read before it is asked for.

    Args:
        files: Paths by what to call them in messages.

    Raises:
        UsageError: A file that is damaged or is something else.
    """
    with ExitStack() as stack:
        yield _SafeTensors({path: stack.enter_context(_opened(path)) for path in files.values()})


def _opened(path: Path) -> Any:
    import ml_dtypes  # noqa: F401  # lets NumPy read bfloat16
    from safetensors import SafetensorError, safe_open

    if path.suffix in PICKLES:
        raise UsageError(
            f"'{path}' is a pickle, which can run any code when it is read: use a safetensors file."
        )
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"'{path}' is not a complete safetensors file: {error}. Download it again; a pickle "
            "under this name is not read."
        ) from error
