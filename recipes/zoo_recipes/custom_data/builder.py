"""The TFDS builder of the user's own data."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from zoo_recipes.custom_data.content import LOCATION, VERSION, Content, Example
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
        named = tfds.core.BuilderConfig(name=config, version=self.VERSION)
        super().__init__(data_dir=data_dir, config=named)

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=f"A person's own {self._content.kind.name}.",
            features=tfds.features.FeaturesDict(
                {**self._content.features, LOCATION: tfds.features.Text()}
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {part: self._generate_examples(found) for part, found in self._parts.items()}

    def _generate_examples(self, examples: Sequence[Example]) -> Iterator[tuple[str, Any]]:
        for example in watched(examples, "preparing"):
            # TFDS puts examples into the order of the hashes of these keys: only what each of them
            # carries tells which record it is.
            key = example.location.removeprefix(self._file)
            values = {name: _value(value) for name, value in example.values.items()}
            yield key, {**values, LOCATION: key.encode("utf-8", "surrogateescape")}


def _value(value: Any) -> Any:
    # Images are decoded one by one, when they are written.
    return value() if callable(value) else value
