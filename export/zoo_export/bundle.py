"""A bundle: verified files of one model and all that is needed to run them without Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_export import files
from zoo_export.errors import BundleError, MissingRuntimeError
from zoo_export.formats import find
from zoo_export.manifest import ASSETS, MANIFEST, Artifact, Manifest
from zoo_export.runtime import Runner, check_installed, is_installed, open_runner
from zoo_export.runtime.prediction import Prediction, answer, prepare
from zoo_export.runtime.training import Trainer, open_trainer
from zoo_export.tensors import Array
from zoo_registry import UsageError, did_you_mean

TRAIN_FORMAT = "tflite:train"


@dataclass(frozen=True)
class Bundle:
    """A folder that :func:`load_bundle` has checked.

    Args:
        path: The folder.
        manifest: What it says about itself.
    """

    path: Path
    manifest: Manifest
    _runners: dict[tuple[str, int | None], Runner] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """Name of the model or recipe."""
        return self.manifest.name

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """One converted model for each format."""
        return self.manifest.artifacts

    def artifact(self, runtime: str | None = None) -> Artifact:
        """Return the artifact of a format, or the first one whose runtime is installed.

        Raises:
            UsageError: The bundle has no such format.
            MissingRuntimeError: No runtime for any of its formats is installed.
        """
        by_name = {artifact.format: artifact for artifact in self.artifacts}
        if runtime is None:
            return self._first_installed()
        name = find(runtime).name
        if name not in by_name:
            hint = did_you_mean(runtime, by_name)
            has = ", ".join(by_name)
            raise UsageError(
                f"Bundle '{self.path}' has no format '{runtime}'.{hint} It has: {has}."
            )
        return by_name[name]

    def runner(self, runtime: str | None = None, threads: int | None = None) -> Runner:
        """Return the artifact of a format loaded in its runtime; it is loaded once.

        Args:
            runtime: Name of a format; the first one whose runtime is installed by default.
            threads: Threads to use.
        """
        artifact = self.artifact(runtime)
        key = (artifact.format, threads)
        if key not in self._runners:
            self._runners[key] = open_runner(
                find(artifact.format),
                files.safe_path(self.path, artifact.path),
                artifact.inputs,
                artifact.outputs,
                threads,
            )
        return self._runners[key]

    def run(
        self, inputs: Mapping[str, Any], runtime: str | None = None, threads: int | None = None
    ) -> dict[str, Array]:
        """Run model inputs, already preprocessed, and return the raw outputs by name.

        Args:
            inputs: Arrays by input name, batch first.
            runtime: Name of a format; the first one whose runtime is installed by default.
            threads: Threads to use.

        Raises:
            UsageError: Inputs that the model does not take, or no such format.
        """
        return self.runner(runtime, threads).run(inputs)

    def predict(
        self,
        x: Any,
        runtime: str | None = None,
        top_k: int | None = None,
        threads: int | None = None,
    ) -> list[Prediction]:
        """Preprocess raw inputs, run them and say what the outputs mean.

        Args:
            x: One raw input, such as the path of an image, a text or an array, or a list of them.
            runtime: Name of a format; the first one whose runtime is installed by default.
            top_k: How many of the most probable answers to list; five by default.
            threads: Threads to use.

        Returns:
            One prediction for each raw input.

        Raises:
            UsageError: An input that preprocessing cannot take.
        """
        raws: Sequence[Any] = x if isinstance(x, list) else [x]
        arrays, ends = prepare(self.manifest, self.path / ASSETS, raws)
        outputs = self.run(arrays, runtime, threads)
        return answer(self.manifest, self.path / ASSETS, outputs, ends, top_k)

    def trainer(self, threads: int | None = None) -> Trainer:
        """Return a model whose head learns from examples of this device; each call loads anew.

        Args:
            threads: Threads to use.

        Raises:
            UsageError: The bundle has no ``tflite:train``: export it with ``--train``.
            MissingRuntimeError: ai-edge-litert is not installed.

        Example:
            >>> import keras, numpy as np, tempfile, zoo_export
            >>> inputs = keras.Input((4,), name="features")
            >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
            >>> bundle = zoo_export.export(
            ...     model, to=["tflite:train"], out=tempfile.mkdtemp() + "/tiny", name="tiny"
            ... )
            >>> trainer, rows = bundle.trainer(), {"features": np.eye(4)}
            >>> losses = [trainer.step(rows, [0, 1, 2, 0], learning_rate=0.5) for _ in range(9)]
            >>> losses[-1] < losses[0]
            True
        """
        artifact = self.artifact(TRAIN_FORMAT)
        check_installed(find(TRAIN_FORMAT))
        return open_trainer(files.safe_path(self.path, artifact.path), threads=threads)

    def _first_installed(self) -> Artifact:
        needed = []
        for artifact in self.artifacts:
            row = find(artifact.format)
            if is_installed(row):
                return artifact
            needed.append(row.requires)
        raise MissingRuntimeError(
            f"No runtime for bundle '{self.path}' is installed: pip install {' or '.join(needed)}"
        )


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check every byte of it; neither TensorFlow nor Keras is imported.

    Args:
        path: The folder that :func:`zoo_export.export` wrote.

    Raises:
        UsageError: There is no such folder, or it is no bundle.
        BundleError: A file is missing, cut, changed or extra, or the manifest is not valid.
    """
    folder = Path(path)
    manifest_path = folder / MANIFEST
    if not folder.is_dir():
        raise UsageError(f"There is no bundle '{folder}'.")
    if not manifest_path.is_file():
        raise UsageError(f"'{folder}' is no bundle: it has no {MANIFEST}.")
    try:
        text = manifest_path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"'{manifest_path}' is not text: {error}.") from error
    manifest = Manifest.from_json(text, f"'{manifest_path}'")
    files.check_files(folder, manifest.files)
    _check_artifacts(folder, manifest)
    return Bundle(folder, manifest)


def _check_artifacts(folder: Path, manifest: Manifest) -> None:
    if not manifest.artifacts:
        raise BundleError(f"Bundle '{folder}' lists no artifact.")
    for artifact in manifest.artifacts:
        files.safe_path(folder, artifact.path)
        inside = f"{artifact.path}/"
        if not any(n == artifact.path or n.startswith(inside) for n in manifest.files):
            raise BundleError(f"Artifact '{artifact.path}' of bundle '{folder}' has no file.")
