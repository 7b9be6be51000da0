"""The TFDS builder of the user's own data."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.custom_data.content import (
    DIGEST,
    FILES_VERSION,
    LOCATION,
    NUMBER,
    VERSION,
    Content,
    Example,
)
from zoo_recipes.custom_data.files import watched


class OwnData(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Data of the user's own files.

    Args:
        content: What was read.
        parts: The examples of each split.
        config: Names the data and their content.
        file: Name of data that are one file, ``""`` for a folder: what it is called must not move
            its examples.
        data_dir: Where prepared datasets are.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        content: Content,
        parts: Mapping[str, Sequence[Example]],
        config: str,
        file: str,
        data_dir: Path,
    ) -> None:
        self._content = content
        self._parts = parts
        self._file = file
        self._keeps_files = content.kind.version == FILES_VERSION
        named = tfds.core.BuilderConfig(name=config, version=content.kind.version)
        super().__init__(data_dir=data_dir, config=named)

    def _info(self) -> Any:
        features = {**self._content.features, LOCATION: tfds.features.Text()}
        if self._keeps_files:
            features |= {NUMBER: tfds.features.Scalar(np.int64), DIGEST: tfds.features.Text()}
        return self.dataset_info_from_configs(
            description=f"A person's own {self._content.kind.name}.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        ends = accumulate(map(len, self._parts.values()), initial=0)
        return {
            part: self._generate_examples(found, first)
            for (part, found), first in zip(self._parts.items(), ends, strict=False)
        }

    def _generate_examples(
        self, examples: Sequence[Example], first: int
    ) -> Iterator[tuple[str, Any]]:
        for number, example in enumerate(watched(examples, "preparing"), first):
            # TFDS puts examples into the order of the hashes of these keys: only what each of them
            # carries tells which record it is.
            key = example.location.removeprefix(self._file)
            values = {name: _value(value) for name, value in example.values.items()}
            if self._keeps_files:
                values |= {NUMBER: number, DIGEST: example.digest}
            yield key, {**values, LOCATION: key.encode("utf-8", "surrogateescape")}


def _value(value: Any) -> Any:
    if isinstance(value, Path):
        return value.read_bytes()
    return value() if callable(value) else value
