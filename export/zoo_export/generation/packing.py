"""The sections of a ``.litertlm`` file: a LiteRT file, a tokenizer and what LiteRT-LM must know."""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo_export.generation.dialect import Language
from zoo_runtime.errors import ExportError
from zoo_system import durable

_NEVER = (1 << 31) - 1


def builder_module(name: str) -> Any:
    """Import a module of litert-lm-builder.

    Raises:
        ExportError: It is not installed.
    """
    try:
        return importlib.import_module(f"litert_lm_builder.{name}")
    except ImportError as error:
        raise ExportError("it needs litert-lm-builder: pip install 'kerazoo[litertlm]'") from error


def pack(path: Path, model: bytes, context: int, language: Language, about: dict[str, str]) -> None:
    """Write a ``.litertlm`` file.

    Args:
        path: The file.
        model: The LiteRT file with ``prefill_N`` and ``decode``.
        context: Tokens that its cache has.
        language: Tokenizer, start and stop tokens, template and sampler.
        about: What the file says of itself, by key.
    """
    library = builder_module("litertlm_builder")
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        (folder / "metadata.pb").write_bytes(_metadata(context, language).SerializeToString())
        bundle = library.LitertLmFileBuilder()
        for key, value in about.items():
            bundle.add_system_metadata(library.Metadata(key, value, library.DType.STRING))
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of each of its steps
            bundle.add_llm_metadata(str(folder / "metadata.pb"))
            _add_tokenizer(bundle, language.tokenizer)
            bundle.add_tflite_model(
                str(folder / "model.tflite"),
                library.TfLiteModelType.PREFILL_DECODE,
                prefer_activation_type="fp32",
            )
            durable.write(path, lambda part: _build(bundle, part))


def _build(bundle: Any, path: Path) -> None:
    with path.open("wb") as file:
        bundle.build(file)


def _add_tokenizer(bundle: Any, path: str) -> None:
    if path.endswith(".json"):
        bundle.add_hf_tokenizer(path)
    else:
        bundle.add_sentencepiece_tokenizer(path)


def _metadata(context: int, language: Language) -> Any:
    message = builder_module("runtime.proto.llm_metadata_pb2").LlmMetadata()
    if language.start is not None:
        message.start_token.token_ids.ids.append(language.start)
    # It wants one: where nothing ends a text, that is a token that is never written.
    for token in language.stops or (_NEVER,):
        message.stop_tokens.add().token_ids.ids.append(token)
    message.max_num_tokens = context
    message.llm_model_type.generic_model.SetInParent()
    if language.template is not None:
        message.jinja_prompt_template = language.template
    kinds = builder_module("runtime.proto.sampler_params_pb2").SamplerParameters
    sampler, message.sampler_params.k = language.sampler, 1
    message.sampler_params.type = kinds.GREEDY
    if sampler.get("do_sample"):
        message.sampler_params.type = kinds.TOP_P
        message.sampler_params.k = sampler["top_k"]
        message.sampler_params.p = sampler["top_p"]
        message.sampler_params.temperature = sampler["temperature"]
    return message


def sections(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the kind of each section of a ``.litertlm`` file, and where it begins and ends."""
    schema = builder_module("litertlm_header_schema_py_generated")
    peek = builder_module("litertlm_peek")
    kinds = {v: k for k, v in vars(schema.AnySectionDataType).items() if isinstance(v, int)}
    header = peek.read_litertlm_header(str(path), io.StringIO()).SectionMetadata()
    for at in range(header.ObjectsLength()):
        row = header.Objects(at)
        yield kinds[row.DataType()], row.BeginOffset(), row.EndOffset()


def section(path: Path, kind: str) -> bytes:
    """Return the content of the first section of a kind, such as ``TFLiteModel``."""
    begin, end = next((a, b) for name, a, b in sections(path) if name == kind)
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(end - begin)
