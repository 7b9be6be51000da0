"""Answers of OpenAI's API to requests for texts, whole and in the parts of a stream."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from zoo_runtime.generation.search import STOP
from zoo_runtime.generation.texts import Completion, Piece
from zoo_runtime.serving.texts import Asked


@dataclass
class Answer:
    """The answer to a request, as it is written.

    Args:
        asked: The request.
    """

    asked: Asked
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    completions: dict[int, Completion] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = "chatcmpl" if self.asked.is_chat else "cmpl"
        self.id = f"{kind}-{uuid.uuid4().hex}"

    def whole(self) -> dict[str, Any]:
        """Return the body of a response with all texts."""
        kind = "chat.completion" if self.asked.is_chat else "text_completion"
        choices = [
            self._choice(Piece(row, text.text, text, text.logprobs), "message")
            for row, text in sorted(self.completions.items())
        ]
        return {**self._head(kind), "choices": choices, "usage": self.usage()}

    def first(self, row: int) -> dict[str, Any] | None:
        """Return the part of a stream before a text, if there is one."""
        if not self.asked.is_chat:
            return None
        delta = {"role": "assistant", "content": ""}
        return self._chunk([{**self._place(Piece(row, "")), "delta": delta}])

    def part(self, piece: Piece) -> list[dict[str, Any]]:
        """Return the parts of a stream for a part of a text."""
        if not self.asked.is_chat:
            return [self._chunk([self._choice(piece, "")])]
        told = Piece(piece.row, piece.text, None, piece.logprobs)
        is_said = bool(piece.text or piece.logprobs)
        parts = [{**self._place(told), "delta": {"content": piece.text}}] if is_said else []
        if piece.completion is not None:
            parts.append({**self._place(replace(piece, logprobs=())), "delta": {}})
        return [self._chunk([each]) for each in parts]

    def last(self) -> dict[str, Any] | None:
        """Return the part of a stream with the numbers of tokens, if it is wanted."""
        if not self.asked.with_usage:
            return None
        return {**self._chunk([]), "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Return how many tokens were read and written."""
        rows = self.completions.items()
        read = sum(text.prompt_tokens for row, text in rows if row % self.asked.count == 0)
        written = sum(len(text.tokens) for _, text in rows)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.asked.model,
        }

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.asked.is_chat else "text_completion"
        usage = {"usage": None} if self.asked.with_usage else {}
        return {**self._head(kind), "choices": choices, **usage}

    def _choice(self, piece: Piece, name: str) -> dict[str, Any]:
        if not self.asked.is_chat:
            return {**self._place(piece), "text": piece.text}
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {**self._place(piece), name: message}

    def _place(self, piece: Piece) -> dict[str, Any]:
        end = piece.completion
        reason = None if end is None else "stop" if end.finish == STOP else "length"
        return {"index": piece.row, "finish_reason": reason, "logprobs": self._logprobs(piece)}

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        """Return how probable the tokens of a part were, in the form of either kind of answer."""
        rows = piece.logprobs
        if not rows:
            return None
        if self.asked.is_chat:
            content = [
                {
                    **_chat_token(row.text, row.logprob),
                    "top_logprobs": [_chat_token(text, value) for text, value in row.top],
                }
                for row in rows
            ]
            return {"content": content, "refusal": None}
        begin = self._offsets.get(piece.row, 0)
        ends = list(itertools.accumulate((len(row.text) for row in rows), initial=begin))
        self._offsets[piece.row] = ends[-1]
        return {
            "tokens": [row.text for row in rows],
            "token_logprobs": [row.logprob for row in rows],
            "top_logprobs": [dict(row.top) for row in rows] if rows[0].top else None,
            "text_offset": ends[:-1],
        }


def _chat_token(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode())}
