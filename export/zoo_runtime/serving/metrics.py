"""What a server counts and measures, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo_runtime.optional import need

# Seconds: from a small model's answer to a long text.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server; each has a registry of its own.

    Attributes:
        requests: By endpoint and status.
        seconds: From the first byte of a request to the last one of its response, by endpoint.
        first_token: Seconds to the first part of a text.
        tokens: By ``kind``: of prompts and of completions.
        batch_rows: Rows that were run together.
    """

    def __init__(self) -> None:
        library = self._library = need("prometheus_client", "A server")
        self.registry = library.CollectorRegistry()
        given = {"registry": self.registry}
        self.requests = library.Counter(
            "zoo_requests", "Requests that were answered.", ["endpoint", "status"], **given
        )
        self.seconds = library.Histogram(
            "zoo_request_seconds",
            "Seconds from a request to the end of its response.",
            ["endpoint"],
            buckets=_SECONDS,
            **given,
        )
        self.first_token = library.Histogram(
            "zoo_first_token_seconds",
            "Seconds from a request to the first part of its text.",
            buckets=_SECONDS,
            **given,
        )
        self.tokens = library.Counter("zoo_tokens", "Tokens read and written.", ["kind"], **given)
        self.batch_rows = library.Histogram(
            "zoo_batch_rows", "Rows that were run together.", buckets=_ROWS, **given
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value that is read when somebody looks.

        Args:
            name: Of the gauge.
            text: What it is.
            value: Returns it.
        """
        self._library.Gauge(name, text, registry=self.registry).set_function(value)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return all values, and the type of what is returned.

        Args:
            accept: The types that the client reads, as its header says.
        """
        write: Any
        write, kind = self._library.exposition.choose_encoder(accept)
        return write(self.registry), kind
