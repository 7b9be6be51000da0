"""Requests of OpenAI's API for texts: what they may ask for.

The fields are those of https://platform.openai.com/docs/api-reference/completions and
``.../chat``; beside them, under the names of transformers, some of a ``GenerationConfig``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_runtime.schema import MisfitError, read
from zoo_runtime.serving.failures import RequestError

# Tokens where a request does not say: of a completion those of the reference.
_COMPLETION_TOKENS, _CHAT_TOKENS = 16, 512
# Of so many tokens probabilities are given at each one, as in the reference.
_MOST_LOGPROBS = 20
# Fields of the reference that ask for what this server does not do, unless their value is one of
# these: refused by name, since an answer without it would be another one.
_NOT_OFFERED: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0, 0.0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "prediction": (None,),
    "presence_penalty": (None, 0, 0.0),
    "suffix": (None, ""),
    "tool_choice": (None, "none"),
    "tools": (None, []),
    "web_search_options": (None,),
}
# Fields of the reference that say nothing about the text.
_WITHOUT_EFFECT = {
    *("user", "metadata", "store", "service_tier", "safety_identifier", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort"),
    "verbosity",
}


@dataclass(frozen=True)
class StreamOptions:
    """Of a stream.

    Args:
        include_usage: Whether it ends with the numbers of tokens.
        include_obfuscation: Of no effect.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


@dataclass(frozen=True)
class ResponseFormat:
    """What a text is.

    Args:
        type: ``text``, ``json_object`` or ``json_schema``.
        json_schema: Its name and its ``schema``.
    """

    type: str
    json_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What both kinds of request say of how a text is written.

    Args:
        model: The name of a served model.
        n: Texts for each prompt.
        stop: Strings that end a text.
        regex: What a text matches.
        overflow: ``slide`` where a text that is longer than the model's positions goes on.
        stream: Whether parts of texts are sent as they are written.
    """

    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    n: int | None = None
    stop: str | tuple[str, ...] | None = None
    seed: int | None = None
    regex: str | None = None
    overflow: str | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


@dataclass(frozen=True, kw_only=True)
class CompletionRequest(Sampling):
    """A body of ``/v1/completions``.

    Args:
        prompt: A text, tokens, or a list of one of these.
        logprobs: Of how many of the most probable tokens each probability is wanted.
    """

    prompt: str | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, ...], ...]
    logprobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChatRequest(Sampling):
    """A body of ``/v1/chat/completions``.

    Args:
        messages: The conversation.
        logprobs: Whether the probability of each token is wanted.
        top_logprobs: Of how many of the most probable tokens it is wanted too.
    """

    messages: tuple[Mapping[str, Any], ...]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Asked:
    """What a text generator is asked for.

    Args:
        model: The name that the request gave.
        prompts: Texts or tokens.
        count: Texts for each prompt.
        options: As :meth:`zoo_runtime.generation.generator.TextGenerator.stream` takes them.
        is_chat: Whether it is a conversation.
        streams: Whether parts are wanted.
        with_usage: Whether a stream ends with numbers of tokens.
    """

    model: str
    prompts: Sequence[str | Sequence[int]]
    count: int
    options: Mapping[str, Any]
    is_chat: bool
    streams: bool
    with_usage: bool

    @property
    def texts(self) -> int:
        """How many texts are written."""
        return len(self.prompts) * self.count


def read_completion(data: Mapping[str, Any]) -> Asked:
    """Return what a body of ``/v1/completions`` asks for.

    Raises:
        RequestError: It asks for what is not offered.
        UsageError: A field that there is not, is missing or has another type.

    Example:
        >>> read_completion({"model": "gpt", "prompt": "Once", "max_tokens": 8}).prompts
        ['Once']
        >>> read_completion({"model": "gpt", "prompt": "Once", "echo": True})
        Traceback (most recent call last):
        zoo_runtime.serving.failures.RequestError: 'echo' is not offered by this server.
    """
    request = read(CompletionRequest, _offered(data), "The request")
    given = request.prompt
    is_one = isinstance(given, str) or (given and all(isinstance(part, int) for part in given))
    prompts: list[Any] = [given] if is_one else list(given)
    if not prompts:
        raise RequestError(400, "The request has no prompt.", param="prompt")
    tokens = _first(request.max_tokens, _COMPLETION_TOKENS)
    return _asked(request, prompts, tokens, _logprobs("logprobs", request.logprobs))


def read_chat(data: Mapping[str, Any]) -> tuple[Asked, list[dict[str, str]]]:
    """Return what a body of ``/v1/chat/completions`` asks for, without prompts, and its messages.

    Raises:
        RequestError: It asks for what is not offered.
        UsageError: A field that there is not, is missing or has another type.
    """
    request = read(ChatRequest, _offered(data), "The request")
    if not request.messages:
        raise RequestError(400, "The request has no message.", param="messages")
    messages = [_message(index, row) for index, row in enumerate(request.messages)]
    tokens = _first(request.max_completion_tokens, request.max_tokens, _CHAT_TOKENS)
    wanted = _logprobs("top_logprobs", request.top_logprobs)
    if wanted is not None and not request.logprobs:
        raise RequestError(400, "'top_logprobs' goes with 'logprobs': true.", param="top_logprobs")
    if request.logprobs:
        wanted = wanted or 0
    return _asked(request, [], tokens, wanted, is_chat=True), messages


def _logprobs(name: str, wanted: int | None) -> int | None:
    if wanted is not None and not 0 <= wanted <= _MOST_LOGPROBS:
        raise RequestError(
            400, f"'{name}' is {wanted}: it must be 0 to {_MOST_LOGPROBS}.", param=name
        )
    return wanted


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


def _offered(data: Mapping[str, Any]) -> dict[str, Any]:
    for name, neutral in _NOT_OFFERED.items():
        value = data.get(name)
        if not any(type(value) is type(each) and value == each for each in neutral):
            raise RequestError(
                400, f"'{name}' is not offered by this server.", "unsupported_parameter", name
            )
    dropped = _NOT_OFFERED.keys() | _WITHOUT_EFFECT
    return {name: value for name, value in data.items() if name not in dropped}


def _message(index: int, row: Mapping[str, Any]) -> dict[str, str]:
    where = f"messages.{index}"
    role, content = row.get("role"), row.get("content")
    if not isinstance(role, str):
        raise RequestError(400, f"{where} needs a 'role'.", param=f"{where}.role")
    if isinstance(content, list):
        content = "".join(_part(f"{where}.content", part) for part in content)
    if not isinstance(content, str):
        raise RequestError(400, f"{where} needs a 'content'.", param=f"{where}.content")
    # What OpenAI calls a developer, templates of open models call the system.
    return {"role": "system" if role == "developer" else role, "content": content}


def _part(where: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind != "text" or not isinstance(part.get("text"), str):
        raise RequestError(
            400, f"{where} has a part of type {kind!r}: this server reads text.", param=where
        )
    return str(part["text"])


def _asked(
    request: Sampling,
    prompts: Sequence[Any],
    tokens: int,
    logprobs: int | None,
    *,
    is_chat: bool = False,
) -> Asked:
    options: dict[str, Any] = {
        name: getattr(request, name)
        for name in (
            *("temperature", "repetition_penalty", "no_repeat_ngram_size", "seed", "regex"),
            "overflow",
        )
    }
    if request.temperature != 0:  # else the most probable token, whatever others are left out
        options |= {name: getattr(request, name) for name in ("top_p", "top_k", "min_p")}
    stops = (request.stop,) if isinstance(request.stop, str) else request.stop or ()
    count = 1 if request.n is None else request.n
    for name, value, least in (("max_tokens", tokens, 0), ("n", count, 1)):
        if value < least:
            raise RequestError(400, f"'{name}' is {value}: it must be {least} or more.", param=name)
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            400, "'stream_options' goes with 'stream': true.", param="stream_options"
        )
    options |= {"max_new_tokens": tokens, "stop_strings": stops or None}
    options |= {"num_return_sequences": None if count == 1 else count, "logprobs": logprobs}
    options |= _format(request.response_format)
    usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    return Asked(request.model, prompts, count, options, is_chat, bool(request.stream), usage)


def _format(wanted: ResponseFormat | None) -> dict[str, Any]:
    if wanted is None or wanted.type == "text":
        return {}
    if wanted.type == "json_object":
        return {"json_schema": {"type": "object"}}
    if wanted.type != "json_schema":
        raise RequestError(
            400,
            f"'response_format' has the type {wanted.type!r}: there are text, json_object and "
            "json_schema.",
            param="response_format.type",
        )
    schema = (wanted.json_schema or {}).get("schema")
    if not isinstance(schema, Mapping):
        raise MisfitError(
            "response_format.json_schema.schema",
            "an object",
            schema,
            "response_format.json_schema.schema",
        )
    return {"json_schema": schema}
