"""The body of a request, limited while it is read, and the JSON in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn

from zoo_runtime.serving.failures import RequestError


async def read_body(headers: Mapping[str, str], chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the body of a request.

    Args:
        headers: Of the request, in lower case.
        chunks: What comes of the body; no more of it is read once it is too long.
        limit: Bytes at most.

    Raises:
        RequestError: It is longer, whether it says so itself or not.
    """
    said = headers.get("content-length", "")
    if said.isdecimal() and int(said) > limit:
        raise _too_long(limit)
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise _too_long(limit)
    return bytes(content)


def _too_long(limit: int) -> RequestError:
    return RequestError(
        413,
        f"The body is longer than {limit:,} bytes: send less at a time, or start the server with "
        "a larger --max-body.",
        "body_too_large",
        again=False,
    )


def parse_object(content: bytes) -> dict[str, Any]:
    r"""Return the JSON object that a body holds.

    Raises:
        RequestError: It holds something else.

    Example:
        >>> parse_object(b'{"model": "gpt"}')
        {'model': 'gpt'}
    """
    try:
        data = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise RequestError(400, "The body is not JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise RequestError(400, f"The body is not JSON: {error}.", "invalid_json") from error
    if not isinstance(data, dict):
        raise RequestError(
            400, f"The body is a {type(data).__name__}, and not a JSON object.", "invalid_json"
        )
    return data


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def as_json(value: Any) -> bytes:
    r"""Return JSON in UTF-8; half a character, which has no encoding, is escaped.

    Example:
        >>> as_json({"text": "é\udc80"})
        b'{"text":"\xc3\xa9\\udc80"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "backslashreplace")
