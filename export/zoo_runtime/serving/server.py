"""A server from its address to its end."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.generation.files import GENERATING
from zoo_runtime.optional import need
from zoo_runtime.serving.app import build_app
from zoo_runtime.serving.exchange import WHAT, Service
from zoo_runtime.serving.metrics import Metrics
from zoo_runtime.serving.models import Limits, TensorModel, TextModel
from zoo_runtime.trained import Trained

HOST, PORT = "127.0.0.1", 8000
# Seconds in which what is answered may be answered to its end, when the server is asked to stop.
_GRACE = 10


def serve(
    bundle: Trained | str | Path,
    *,
    host: str = HOST,
    port: int = PORT,
    name: str | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    provider: str | None = None,
    chat_template: str | None = None,
    max_body: int = Limits.max_body,
    max_queue: int = Limits.max_queue,
    timeout: float = Limits.timeout,
    max_batch: int = Limits.max_batch,
    on_start: Callable[[Server], None] = lambda server: None,
) -> None:
    """Serve a model over HTTP, until Ctrl-C or the system's request to end.

    A language model answers as OpenAI's API does (``/v1/completions``, ``/v1/chat/completions``),
    any other model by the Open Inference Protocol (``/v2/models/NAME/infer``).

    Args:
        bundle: A bundle or its path; a run, where Keras is installed.
        host: Address that it is reached at: this machine alone by default.
        port: Port; 0 takes a free one.
        name: What clients call the model; its own name by default.
        runtime: Of a bundle, a format of it; its first by default.
        threads: Of a bundle, threads to use.
        provider: Of a bundle, what computes, as for :meth:`zoo_runtime.bundle.Bundle.runner`.
        chat_template: Jinja template of a conversation, in place of the model's own.
        max_body: Bytes of a request.
        max_queue: Requests that wait; one more is answered with status 429.
        timeout: Seconds that a request takes at most, its wait included.
        max_batch: Rows that are run together, and texts of one request.
        on_start: Called once requests are taken.

    Raises:
        MissingPackageError: starlette, uvicorn or prometheus_client is not installed.
        UsageError: An address that cannot be bound, or a limit that is none.
        BundleError: A damaged bundle.
    """
    limits = Limits(max_body, max_queue, timeout, max_batch)
    server = Server(
        bundle if not isinstance(bundle, str | Path) else load_bundle(bundle),
        limits,
        name=name,
        runtime=runtime,
        threads=threads,
        provider=provider,
        chat_template=chat_template,
    )
    server.run(host, port, on_start)


class Server:
    """A model that is loaded and ready to be served.

    Args:
        trained: A run or a bundle.
        limits: What is taken.
        name: What clients call the model.
        runtime: Of a bundle, a format of it.
        threads: Of a bundle, threads to use.
        provider: Of a bundle, what computes.
        chat_template: Template in place of the model's own.
    """

    def __init__(
        self,
        trained: Trained,
        limits: Limits,
        *,
        name: str | None = None,
        runtime: str | None = None,
        threads: int | None = None,
        provider: str | None = None,
        chat_template: str | None = None,
    ) -> None:
        self._uvicorn = need("uvicorn", WHAT)
        need("starlette.applications", WHAT)
        self.limits, self.metrics = limits, Metrics()
        self.trained, self.runtime = trained, trained.runtime(runtime)
        self.name, self.address = name or trained.name, ""
        self._running: Any = None
        self.model: TextModel | TensorModel
        how = {"threads": threads, "provider": provider} if isinstance(trained, Bundle) else {}
        if trained.task in GENERATING:
            texts = trained.text_generator(runtime, **how).with_chat(chat_template)
            texts.try_out()
            self.model = TextModel(self.name, texts, limits, self.metrics)
            return
        if chat_template is not None:
            raise UsageError(f"'{trained}' is not a language model: it has no conversation.")
        runner = trained.runner(runtime, **how)
        self.model = TensorModel(
            self.name, trained, self.runtime, runner, limits=limits, metrics=self.metrics
        )

    def run(
        self, host: str, port: int, on_start: Callable[[Server], None] = lambda server: None
    ) -> None:
        """Answer requests until :meth:`stop`, Ctrl-C or the system's request to end.

        Args:
            host: Address.
            port: Port; 0 takes a free one.
            on_start: Called once requests are taken.

        Raises:
            UsageError: An address that cannot be bound.
        """
        listening = _bound(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{listening.getsockname()[1]}"
        service = Service(self.model.worker, self.limits, self.metrics, only_local=_is_local(host))
        config = self._uvicorn.Config(
            build_app(self.model, service),
            # What goes wrong in a request is answered and recorded by its endpoint.
            log_level="critical",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE,
        )
        self._running = self._uvicorn.Server(config)
        with contextlib.closing(listening), _quiet_end():
            on_start(self)
            try:
                self._running.run(sockets=[listening])
            finally:  # also where a second Ctrl-C has not waited for it
                self.model.worker.close()

    def stop(self) -> None:
        """End, from another thread; what is being answered is answered first."""
        self._running.should_exit = True


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OverflowError as error:
        raise UsageError(f"port={port} is not a port: give 0 to 65535.") from error
    except OSError as error:
        raise UsageError(
            f"The server cannot listen at {host}, port {port}: {error.strerror or error}. Give "
            "another port (0 takes a free one), or an address of this machine."
        ) from error


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    """Let a signal that ended the server be over: it is given to this process again behind it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda number, frame: None) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
