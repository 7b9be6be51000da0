"""Runtimes that continue texts by themselves: LiteRT-LM, which has tokenizer, cache and sampler."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.optional import need
from zoo_runtime.running.compiled import IN_MEMORY, SHARES_IN_MEMORY
from zoo_runtime.tensors import BATCH, STRING, Array, Arrays, Tensor

PROMPT, NEW, TEXT = "prompt", "max_new_tokens", "text"
# What a file of such a format takes and gives; the texts are the most probable ones.
INPUTS = (Tensor(PROMPT, STRING, (BATCH,)), Tensor(NEW, "int32", (BATCH,)))
OUTPUTS = (Tensor(TEXT, STRING, (BATCH,)),)


class Writer(Protocol):
    """A loaded file that continues texts; what a runtime target of such a format returns."""

    @property
    def sampling(self) -> tuple[str, ...]:
        """The options of :meth:`stream` by which a token is drawn."""
        ...

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return :data:`OUTPUTS` for :data:`INPUTS`: the most probable texts."""
        ...

    def stream(self, prompt: str, max_new_tokens: int, **sampler: float) -> Iterator[str]:
        """Yield the parts of one text as they are written.

        Args:
            prompt: What the text goes on from.
            max_new_tokens: How many tokens are added at most.
            sampler: How a token is drawn, by some of :attr:`sampling`; what the file says by
                default. ``temperature`` 0 with ``top_k`` 1 is the most probable token.
        """
        ...

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text, without the one that begins every text."""
        ...

    def rendered(self, messages: Sequence[dict[str, str]]) -> str:
        """Return what the file's chat template makes of messages, up to the answer's beginning."""
        ...


class _LiteRTLM:
    sampling = ("temperature", "top_k", "top_p", "seed")

    def __init__(self, library: Any, engine: Any) -> None:
        # An engine has one cache.
        self._lock = threading.Lock()
        self._library, self._engine = library, engine

    def run(self, arrays: Arrays) -> dict[str, Array]:
        pairs = zip(arrays[PROMPT], arrays[NEW], strict=True)
        texts = [
            "".join(self.stream(str(prompt), int(count), top_k=1, temperature=0.0))
            for prompt, count in pairs
        ]
        return {TEXT: np.array(texts)}

    def stream(self, prompt: str, max_new_tokens: int, **sampler: float) -> Iterator[str]:
        if max_new_tokens == 0:
            return
        config = self._library.SamplerConfig(**sampler) if sampler else None
        with (
            self._lock,
            self._engine.create_session(
                apply_prompt_template=False, sampler_config=config, max_output_tokens=max_new_tokens
            ) as session,
        ):
            session.run_prefill([prompt])
            for reply in session.run_decode_async():
                yield reply.texts[0]

    def tokenize(self, text: str) -> list[int]:
        return list(self._engine.tokenize(text))

    def rendered(self, messages: Sequence[dict[str, str]]) -> str:
        *before, last = messages
        with self._lock, self._engine.create_conversation(messages=before or None) as conversation:
            return str(conversation.render_message_to_string(last))


def open_litertlm(path: Path, *, threads: int | None = None, provider: str = "cpu") -> Writer:
    """Load a ``.litertlm`` file in LiteRT-LM.

    Args:
        path: The file.
        threads: Threads to use.
        provider: ``cpu``.

    Raises:
        MissingPackageError: litert-lm-api is not installed.
        UsageError: A provider that is not there.
    """
    library = need("litert_lm", "Format 'litertlm'")
    if provider != "cpu":
        raise UsageError(f"There is no provider '{provider}' of litert-lm-api here. There is: cpu.")
    library.set_min_log_severity(library.LogSeverity.FATAL)
    engine = library.Engine(
        str(path),
        backend=library.Backend.CPU(thread_count=threads),
        # Its own is beside the file, where a bundle has nothing else.
        cache_dir=IN_MEMORY if SHARES_IN_MEMORY else ":nocache",
    )
    return _LiteRTLM(library, engine)
