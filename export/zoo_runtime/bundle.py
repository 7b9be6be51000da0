"""A bundle: verified files of one model and all that is needed to run them without Keras."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from zoo_registry import UsageError
from zoo_runtime import files
from zoo_runtime.answers.prediction import Prediction
from zoo_runtime.contents import (
    Contents,
    mark_of_artifact,
    open_decoders_unverified,
    open_unverified,
    read_contents,
)
from zoo_runtime.errors import VerificationError
from zoo_runtime.formats import find
from zoo_runtime.manifest import MANIFEST, TRAIN_FORMAT, Artifact
from zoo_runtime.running import Options, Runner, check_installed, check_threads
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.trained import KERAS, predictions
from zoo_runtime.tried import remember, was_tried
from zoo_runtime.verification import Verification, why
from zoo_system.arguments import explained

if TYPE_CHECKING:
    from zoo_runtime.generation.by_runtime import Generator
    from zoo_runtime.generation.generator import Decoders
    from zoo_runtime.generation.search import Decoder
    from zoo_runtime.running.training import Trainer


@dataclass(frozen=True, repr=False)
class Bundle(Contents):
    """A folder that :func:`load_bundle` has checked, and what its artifacts do."""

    _runners: dict[tuple[str, Options], Runner] = field(
        default_factory=dict, repr=False, compare=False
    )
    _loaded: dict[tuple[str, Options], Callable[[Arrays | None], Decoder]] = field(
        default_factory=dict, repr=False, compare=False
    )
    kind: ClassVar[str] = "bundle"

    def runtime(self, wanted: str | None = None) -> str:
        """Return the format that is run: the one that is wanted, or the first installed.

        Raises:
            UsageError: The bundle has no such format.
            MissingRuntimeError: No runtime for any of its formats is installed.
        """
        if wanted == KERAS:
            raise UsageError(
                f"Bundle '{self}' has no Keras model: use the run that it was made from."
            )
        return self.artifact(wanted).format

    @explained
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
            with self._opening(artifact, options):
                self._runners[key] = open_unverified(self, artifact, options)
        return self._runners[key]

    @contextmanager
    def _opening(self, artifact: Artifact, options: Options) -> Iterator[Path]:
        """Give the path of an artifact that was verified, to open it while its hash is watched."""
        check_threads(options.threads)
        check_installed(find(artifact.format))
        path = files.safe_path(self.path, artifact.path)
        if not self.trusted and not was_tried(mark_of_artifact(self, artifact, options)):
            # For the first time alone: predictions begin without it.
            from zoo_runtime.verifying import ensure_verified

            ensure_verified(self, artifact, options)
        with self.as_recorded(artifact.path):
            yield path

    @explained
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

    @explained
    def predict(
        self,
        x: Any,
        runtime: str | None = None,
        top_k: int | None = None,
        threads: int | None = None,
        *,
        provider: str | None = None,
    ) -> list[Prediction]:
        """Preprocess raw inputs, run them and interpret the outputs.

        Args:
            x: One raw input, such as the path or the bytes of an image, a text, a pair of question
                and text or of user and item in a tuple, an array, or a row of a table as a
                mapping; or a list of them. Words that are to be tagged may be a list or tuple each.
            runtime: Name of a format; the first one whose runtime is installed by default.
            top_k: How many of the most probable answers to list; five by default, or one span
                of a text.
            threads: Threads to use.
            provider: What computes, as for :meth:`runner`.

        Returns:
            One prediction for each raw input.

        Raises:
            UsageError: An input that preprocessing cannot take.
        """
        runner = self.runner(runtime, threads, provider)
        make = partial(self.text_generator, runtime, threads, provider)
        return predictions(self, runner, x, top_k=top_k, generator=make)

    @explained
    def text_generator(
        self,
        runtime: str | None = None,
        threads: int | None = None,
        provider: str | None = None,
    ) -> Generator:
        """Return what generates texts with a language model or a seq2seq model.

        Args:
            runtime: Name of a format; the first one whose runtime is installed by default.
            threads: Threads to use.
            provider: What computes, as for :meth:`runner`.

        Raises:
            UsageError: A model of another task, or one without a tokenizer.
            BundleError: The artifact is damaged, as for :meth:`runner`.
        """
        # Most models write no texts, and a prediction is to begin at once.
        from zoo_runtime.generation.by_runtime import RuntimeGenerator
        from zoo_runtime.generation.trained import recomputing, text_generator

        artifact = self.artifact(runtime)
        if find(artifact.format).writes:
            writer: Any = self.runner(runtime, threads, provider).session
            chat = self.decoding.chat if self.decoding else None
            return RuntimeGenerator(self.name, artifact.format, writer, chat)

        def decoders(length: int | None) -> Decoders:
            found = self._decoders(artifact, Options(threads, provider))
            return found or recomputing(self.runner(runtime, threads, provider), length)

        return text_generator(self, decoders)

    def _decoders(self, artifact: Artifact, options: Options) -> Decoders | None:
        """Return what makes decoders with a cache, loaded once; ``None`` if the file has none."""
        if artifact.generation is None:
            return None
        key = (artifact.format, options)
        if key not in self._loaded:
            with self._opening(artifact, options):
                self._loaded[key] = open_decoders_unverified(self, artifact, options)
        found = self._loaded[key]
        return lambda source, every: found(source)

    def to_zip(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the bundle as one file that :func:`load_bundle` reads too.

        Args:
            path: The zip; the same bundle always gives the same bytes.
            force: Whether a file that is there is replaced.

        Raises:
            UsageError: The file is there already.
            BundleError: A file of the bundle is not the one of its manifest.
        """
        from zoo_runtime.zipped import pack

        names = list(self.manifest.files)
        with self._recorded(names):
            return pack(self.path, names, Path(path), force=force)

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
        from zoo_runtime.running.training import open_trainer

        with self._opening(self.artifact(TRAIN_FORMAT), Options(threads)) as path:
            return open_trainer(path, threads=threads)


def is_bundle(path: Path) -> bool:
    """Return whether a path is the folder of a bundle, or a file that may be one."""
    return path.is_file() or (path / MANIFEST).is_file()


def load_bundle(path: str | Path, *, trusted: bool = False) -> Bundle:
    """Read a bundle; neither TensorFlow nor Keras is imported.

    The manifest is checked, and that the files are there with their sizes. The sha256 of each is
    checked as it is opened; :func:`verify` checks all.

    Args:
        path: The folder that :func:`zoo_export.export` wrote, or a zip of it.
        trusted: Whether its artifacts may be loaded at once. By default each is first run in
            another process, the first time that it is used on a machine: a file that was changed
            together with its hash could end this one.

    Raises:
        UsageError: There is no such folder, or it is not a bundle.
        BundleError: A file is missing, cut or extra, or the manifest is not valid.
    """
    folder = Path(path)
    if not folder.is_file():
        return _bundle(read_contents(folder, trusted=trusted))
    from zoo_runtime.zipped import unpack

    unpacked = unpack(folder)
    try:
        bundle = _bundle(read_contents(unpacked, trusted=trusted, origin=folder))
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    weakref.finalize(bundle, shutil.rmtree, unpacked, ignore_errors=True)
    return bundle


def _bundle(contents: Contents) -> Bundle:
    return Bundle(contents.path, contents.manifest, contents.trusted, contents.origin)


def verify(
    bundle: Bundle | str | Path, *, runtime: str | None = None, provider: str | None = None
) -> list[Verification]:
    """Check every hash, run the saved samples in every runtime and compare with what Keras gave.

    Each artifact runs in a process of its own: a file that ends it is an error here.

    Args:
        bundle: A bundle or its folder.
        runtime: Name of the one format to verify; all by default.
        provider: What computes, as for :meth:`Bundle.runner`; with it a runtime must be named.

    Returns:
        The verification of each artifact on this machine; the agreement on examples is that of the
        export.

    Raises:
        BundleError: A file that is not the one of the manifest, or an artifact that ends the
            process that runs it.
        VerificationError: An artifact disagrees; ``verifications`` has those of all.
        MissingRuntimeError: A runtime is not installed.

    Example:
        >>> import keras, tempfile, zoo_export
        >>> inputs = keras.Input((4,), name="features")
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
        >>> bundle = zoo_export.export(
        ...     model, to=["onnx"], out=tempfile.mkdtemp() + "/tiny", name="tiny"
        ... )
        >>> [row.ok for row in verify(bundle)]
        [True]
    """
    from zoo_runtime.verifying import try_artifact

    if not isinstance(bundle, Bundle):
        bundle = load_bundle(bundle)
    if provider is not None and runtime is None:
        raise UsageError(f"provider='{provider}' belongs to one runtime: name it too (runtime).")
    artifacts = bundle.artifacts if runtime is None else (bundle.artifact(runtime),)
    bundle.check_hashes()
    options = Options(provider=provider)
    results = [try_artifact(bundle, artifact, options) for artifact in artifacts]
    failed = [f"{row.format}: {why(row)}" for row in results if not row.ok]
    if failed:
        raise VerificationError(
            f"Bundle '{bundle}' does not give what Keras gave. {'; '.join(failed)}.", results
        )
    for artifact in artifacts:
        remember(mark_of_artifact(bundle, artifact, options))
    return results
