"""Between a request and its response: limits, errors, figures, clients that hang up."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

from zoo_runtime.optional import need
from zoo_runtime.serving.bodies import as_json, read_body
from zoo_runtime.serving.failures import RequestError, as_request_error, stopping
from zoo_runtime.serving.metrics import Metrics
from zoo_runtime.serving.models import Limits
from zoo_runtime.serving.queueing import Job, Worker

WHAT = "A server"
# What others record as the status of a request whose client hung up.
_HUNG_UP = 499
# Seconds in which a client that reads nothing may still take the last words.
_LAST_WORDS = 1.0
_LOG = logging.getLogger("zoo.serving")
T = TypeVar("T")
# Of ASGI: what a server calls an application with.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class GoneError(Exception):
    """The client has hung up."""


class Exchange:
    """A request, and the response to it while it is sent.

    Args:
        scope: Of ASGI.
        receive: Of ASGI.
        send: Of ASGI.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        requests = need("starlette.requests", WHAT)
        self.request = requests.Request(scope, receive)
        self._receive, self._send = receive, send
        self.status: int | None = None
        self.jobs: list[Job] = []

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of the response."""
        self.status = status
        rows = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": rows})

    async def write(self, content: bytes, *, more: bool = True) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def answer(
        self, content: bytes, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> None:
        """Send a whole response; JSON if its headers do not say otherwise."""
        head = {"content-type": "application/json", "content-length": str(len(content))}
        await self.start(status, {**head, **(headers or {})})
        await self.write(content, more=False)

    async def event(self, data: Any) -> None:
        """Send an event of a stream."""
        content = data.encode() if isinstance(data, str) else as_json(data)
        await self.write(b"data: " + content + b"\n\n")

    async def body(self, limit: int) -> bytes:
        """Return the body of the request.

        Raises:
            RequestError: It is longer than the limit.
            GoneError: The client has hung up.
        """
        gone = need("starlette.requests", WHAT).ClientDisconnect
        try:
            return await read_body(self.request.headers, self.request.stream(), limit)
        except gone:
            raise GoneError from None

    async def unless_gone(self, wanted: Awaitable[T]) -> T:
        """Await something while the client is there.

        Raises:
            GoneError: The client has hung up before.
        """
        work, gone = asyncio.ensure_future(wanted), asyncio.ensure_future(self._until_gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise GoneError
            return work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, eq=False)
class Service:
    """What all endpoints of a server have in common.

    Args:
        worker: Runs the model.
        limits: What is taken.
        metrics: What is counted.
        only_local: Whether clients must name this machine as the host: a page in a browser can
            have a name of its own lead here, and could then read the answers.
    """

    worker: Worker
    limits: Limits
    metrics: Metrics
    only_local: bool = False

    def too_late(self, jobs: list[Job]) -> RequestError:
        """Return what is answered when a request has taken too long.

        Args:
            jobs: What was submitted for it.
        """
        limit = f"{self.limits.timeout:g} s (--timeout)"
        if not jobs:
            return RequestError(408, f"The body did not come within {limit}.", "timeout")
        if not any(job.is_started for job in jobs):
            said = f"The request waited {limit} for its turn."
            return RequestError(503, said, "timeout", wait=self.worker.expected_wait)
        return RequestError(504, f"The request took longer than {limit}.", "timeout", again=False)


Handler = Callable[[Exchange], Awaitable[None]]


class Endpoint:
    """A route: its handler within the time limit, what it raises as an answer, and its figures.

    Args:
        handle: Reads the request and sends the response.
        path: Of the route.
        service: What all endpoints have in common.
        write: Makes the body of the answer for an error.
    """

    def __init__(
        self,
        handle: Handler,
        path: str,
        service: Service,
        write: Callable[[RequestError], Mapping[str, Any]],
    ) -> None:
        self._handle, self._path, self._service, self._write = handle, path, service, write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        begun, metrics = time.perf_counter(), self._service.metrics
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        finally:
            for job in exchange.jobs:
                self._service.worker.cancel(job)
            metrics.requests.labels(self._path, str(exchange.status or _HUNG_UP)).inc()
            metrics.seconds.labels(self._path).observe(time.perf_counter() - begun)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            if self._service.only_local:
                _check_local(exchange.request.headers.get("host", ""))
            async with asyncio.timeout(self._service.limits.timeout):
                await self._handle(exchange)
        except TimeoutError:
            await self._fail(exchange, self._service.too_late(exchange.jobs))
        except GoneError:
            exchange.status = _HUNG_UP
        except asyncio.CancelledError:  # the server has waited long enough for this one
            await self._fail(exchange, stopping())
        except Exception as error:
            found = as_request_error(error)
            if found is None:
                _LOG.exception("%s", self._path)
                found = RequestError(500, "The server failed; its log says why.", again=False)
            await self._fail(exchange, found)

    async def _fail(self, exchange: Exchange, error: RequestError) -> None:
        body = self._write(error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                if exchange.status is None:
                    await exchange.answer(as_json(body), error.headers, error.status)
                    return
                # A stream has begun: what went wrong is its last event.
                exchange.status = error.status
                await exchange.event(body)
                await exchange.write(b"", more=False)


def _check_local(host: str) -> None:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").lower()
    if not name:  # of HTTP/1.0, which browsers do not speak
        return
    try:
        is_local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_local = name == "localhost" or name.endswith(".localhost")
    if not is_local:
        raise RequestError(
            403,
            f"The request is for the host {name!r}, and this server answers those for this machine "
            "alone: call it 127.0.0.1, or start it with --host.",
            "wrong_host",
        )
