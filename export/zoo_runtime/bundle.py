"""A bundle: verified files of one model and all that is needed to run them without Keras."""

from __future__ import annotations

import shlex
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_registry import UsageError, did_you_mean
from zoo_runtime import archive, files
from zoo_runtime.agreement import check_agreement, files_of_steps
from zoo_runtime.answers.generation import proceed, translate
from zoo_runtime.answers.prediction import Prediction, answer, as_texts, prepare
from zoo_runtime.errors import BundleError, MissingRuntimeError
from zoo_runtime.formats import find
from zoo_runtime.manifest import ASSETS, MANIFEST, MAX_MANIFEST, TRAIN_FORMAT, Artifact, Manifest
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.running import (
    Options,
    Runner,
    check_installed,
    check_threads,
    is_installed,
    open_runner,
)
from zoo_runtime.running.training import Trainer, open_trainer
from zoo_runtime.tensors import Array
from zoo_system import folders


@dataclass(frozen=True)
class Bundle:
    """A folder that :func:`load_bundle` has checked.

    Args:
        path: The folder.
        manifest: What it says about itself.
        trusted: Whether its artifacts are loaded without being tried in another process first.
        origin: What it was loaded from, as messages call it: the folder, or a zip.
    """

    path: Path
    manifest: Manifest
    trusted: bool = False
    origin: Path | None = None
    _runners: dict[tuple[str, Options], Runner] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __str__(self) -> str:
        return str(self.origin or self.path)

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
            raise UsageError(f"Bundle '{self}' has no format '{runtime}'.{hint} It has: {has}.")
        return by_name[name]

    def runner(
        self,
        runtime: str | None = None,
        threads: int | None = None,
        provider: str | None = None,
    ) -> Runner:
        """Return the artifact of a format loaded in its runtime; it is loaded once.

        Args:
            runtime: Name of a format; the first one whose runtime is installed by default.
            threads: Threads to use.
            provider: What computes: an execution provider of onnxruntime, ``xnnpack``,
                ``builtin``, ``reference`` or a delegate's library for LiteRT.

        Raises:
            BundleError: The artifact is damaged; if this machine has not run it before, that is
                found out in another process.
        """
        artifact, options = self.artifact(runtime), Options(threads, provider)
        key = (artifact.format, options)
        if key not in self._runners:
            with self._opening(artifact, options) as path:
                self._runners[key] = open_runner(
                    find(artifact.format),
                    path,
                    artifact.inputs,
                    artifact.outputs,
                    batch_sizes=artifact.batch_sizes,
                    options=options,
                    nan_inputs=self.manifest.nan_inputs,
                )
        return self._runners[key]

    @contextmanager
    def _opening(self, artifact: Artifact, options: Options) -> Iterator[Path]:
        """Give the path of an artifact that was tried, to open it while its hash is watched."""
        from zoo_runtime.verification import prove  # it reads bundles itself

        check_threads(options.threads)
        check_installed(find(artifact.format))
        path = files.safe_path(self.path, artifact.path)
        if self.trusted:
            yield path
            return
        prove(self, artifact, options)
        with self.as_recorded(artifact.path):
            yield path

    @contextmanager
    def as_recorded(self, part: str) -> Iterator[None]:
        """Check the hashes of an artifact's or folder's files again, around what opens them.

        Args:
            part: A file or folder of the bundle; the files that hold its larger weights belong to
                it.

        Raises:
            BundleError: A file is not the one that was loaded, before or after.
        """
        names = [
            name
            for name in self.manifest.files
            if name == part or name.startswith((f"{part}/", f"{part}."))
        ]
        with files.as_recorded(self.path, names, self.manifest.files, Path(str(self))):
            yield

    @property
    def assets(self) -> Path:
        """Folder of the files that preprocessing names, their hashes checked again.

        Raises:
            BundleError: One of them was changed since the bundle was loaded.
        """
        for name in () if self.trusted else files_of_steps(self.manifest):
            with self.as_recorded(name):
                pass
        return self.path / ASSETS

    def run(
        self,
        inputs: Mapping[str, Any],
        runtime: str | None = None,
        threads: int | None = None,
        provider: str | None = None,
    ) -> dict[str, Array]:
        """Run model inputs, already preprocessed, and return the raw outputs by name.

        Args:
            inputs: Arrays by input name, batch first.
            runtime: Name of a format; the first one whose runtime is installed by default.
            threads: Threads to use.
            provider: What computes, as for :meth:`runner`.

        Raises:
            UsageError: Inputs that the model does not take, or no such format or provider.
        """
        return self.runner(runtime, threads, provider).run(inputs)

    def predict(
        self,
        x: Any,
        runtime: str | None = None,
        top_k: int | None = None,
        threads: int | None = None,
        *,
        provider: str | None = None,
        max_tokens: int | None = None,
    ) -> list[Prediction]:
        """Preprocess raw inputs, run them and say what the outputs mean.

        Args:
            x: One raw input, such as the path of an image, a text, a pair of question and text or
                of user and item in a tuple, an array, or a row of a table as a mapping; or a list
                of them. Words that are to be tagged may be a list or tuple each.
            runtime: Name of a format; the first one whose runtime is installed by default.
            top_k: How many of the most probable answers to list; five by default, or one part
                of a text.
            threads: Threads to use.
            provider: What computes, as for :meth:`runner`.
            max_tokens: How many tokens a language model adds to each text.

        Returns:
            One prediction for each raw input.

        Raises:
            UsageError: An input that preprocessing cannot take.
        """
        raws: Sequence[Any] = as_texts(self.manifest, x if isinstance(x, list) else [x])
        runner = self.runner(runtime, threads, provider)
        if self.manifest.task == "seq2seq" and raws and isinstance(raws[0], str):
            texts = translate(runner, self.manifest, self._preprocessor(), raws)
            return [Prediction({}, text=text) for text in texts]
        assets = self.assets
        arrays, ends = prepare(self.manifest, assets, raws)
        outputs = runner.run(arrays)
        found = answer(self.manifest, assets, outputs, raws=raws, ends=ends, top_k=top_k)
        if max_tokens is None:
            return found
        if self.manifest.task != "causal-lm":
            raise UsageError(f"max_tokens is for language models; '{self.name}' is none.")
        made = [
            proceed(runner, self.manifest, self._preprocessor(), raw, max_tokens) for raw in raws
        ]
        return [replace(row, text=text) for row, text in zip(found, made, strict=True)]

    def _preprocessor(self) -> Preprocessor:
        names = [tensor.name for tensor in self.manifest.inputs]
        return Preprocessor(self.manifest.preprocessing, self.assets, names)

    def to_zip(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the bundle as one file that :func:`load_bundle` reads too.

        Args:
            path: The zip; the same bundle always gives the same bytes.
            force: Whether a file that is there is replaced.

        Raises:
            UsageError: The file is there already.
        """
        return archive.pack(self.path, list(self.manifest.files), Path(path), force=force)

    def trainer(self, threads: int | None = None) -> Trainer:
        """Return a model whose head learns from examples of this device; each call loads anew.

        Args:
            threads: Threads to use.

        Raises:
            UsageError: The bundle has no ``tflite:train``: export it with ``--train``.
            MissingRuntimeError: ai-edge-litert is not installed.
            BundleError: The artifact is damaged, as for :meth:`runner`.

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
        with self._opening(self.artifact(TRAIN_FORMAT), Options(threads)) as path:
            return open_trainer(path, threads=threads)

    def _first_installed(self) -> Artifact:
        needed = []
        for artifact in self.artifacts:
            row = find(artifact.format)
            if is_installed(row):
                return artifact
            needed.append(row.requires)
        raise MissingRuntimeError(
            f"No runtime for bundle '{self}' is installed: pip install {' or '.join(needed)}"
        )


def load_bundle(path: str | Path, *, trusted: bool = False) -> Bundle:
    """Read a bundle and check every byte of it; neither TensorFlow nor Keras is imported.

    Args:
        path: The folder that :func:`zoo_export.export` wrote, or a zip of it.
        trusted: Whether its artifacts may be loaded at once. By default each is first tried in
            another process, the first time that it is used on a machine: a file that was changed
            together with its hash could end this one.

    Raises:
        UsageError: There is no such folder, or it is no bundle.
        BundleError: A file is missing, cut, changed or extra, or the manifest is not valid.
    """
    folder = Path(path)
    if not folder.is_file():
        return _load_folder(folder, trusted=trusted)
    unpacked = archive.unpack(folder)
    try:
        bundle = _load_folder(unpacked, trusted=trusted, origin=folder)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    weakref.finalize(bundle, shutil.rmtree, unpacked, ignore_errors=True)
    return bundle


def _load_folder(folder: Path, *, trusted: bool, origin: Path | None = None) -> Bundle:
    manifest_path, shown = folder / MANIFEST, origin or folder
    if not folder.is_dir():
        raise UsageError(f"There is no bundle '{shown}'.")
    if not manifest_path.is_file():
        made = f" It is a run: `zoo export {shlex.quote(str(shown))}` makes one of it."
        is_run = (folder / folders.INFO).is_file()
        raise UsageError(f"'{shown}' is no bundle: it has no {MANIFEST}.{made if is_run else ''}")
    if manifest_path.stat().st_size > MAX_MANIFEST:
        size = manifest_path.stat().st_size
        raise BundleError(f"'{shown / MANIFEST}' has {size:,} bytes: that is no manifest.")
    manifest = Manifest.read(manifest_path.read_bytes(), f"'{shown / MANIFEST}'")
    files.check_files(folder, manifest.files, shown)
    check_agreement(shown, manifest)
    return Bundle(folder, manifest, trusted, origin)
