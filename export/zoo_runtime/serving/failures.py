"""What a server answers where it cannot answer: a status, and words for the client."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo_registry import UsageError, ZooError
from zoo_runtime.errors import MissingPackageError
from zoo_runtime.schema import MisfitError


@dataclass(eq=False)  # an exception has a hash
class RequestError(Exception):
    """A request that is not answered as it was meant.

    Args:
        status: Of HTTP.
        message: What failed and what to do.
        code: A word for programs, as OpenAI's API has them.
        param: The field at fault.
        wait: Seconds after which the same request may be answered.
        again: Whether a client may repeat the request; ``None`` leaves it to the client.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    wait: float | None = None
    again: bool | None = None

    def __str__(self) -> str:
        return self.message

    @property
    def headers(self) -> dict[str, str]:
        """Of the response."""
        found = {} if self.wait is None else {"retry-after": str(max(1, math.ceil(self.wait)))}
        # Read by OpenAI's clients, which repeat what took too long by themselves.
        return found if self.again is None else {**found, "x-should-retry": str(self.again).lower()}


def stopping() -> RequestError:
    """Return what is answered by a server that ends."""
    return RequestError(503, "The server is stopping.", "stopping", wait=1)


def as_request_error(error: BaseException) -> RequestError | None:
    """Return what the client is answered for an error of ours; ``None`` for one that is a fault.

    Example:
        >>> as_request_error(UsageError("There is no input 'x'.")).status
        400
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, MissingPackageError):
        return RequestError(501, str(error), "missing_package", again=False)
    if isinstance(error, MisfitError):
        return RequestError(400, str(error), "invalid_type", error.key)
    if isinstance(error, UsageError):
        return RequestError(400, str(error))
    return RequestError(500, str(error), again=False) if isinstance(error, ZooError) else None


def openai_body(error: RequestError) -> Mapping[str, Any]:
    """Return an error as OpenAI's API writes it."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    if error.status == 429:
        kind = "rate_limit_error"
    about = {"type": kind, "param": error.param, "code": error.code}
    return {"error": {"message": error.message, **about}}


def inference_body(error: RequestError) -> Mapping[str, Any]:
    """Return an error as the Open Inference Protocol writes it."""
    return {"error": error.message}
