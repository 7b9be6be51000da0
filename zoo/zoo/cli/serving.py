"""``zoo serve``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zoo.cli.generating import read_text
from zoo.cli.options import names_of
from zoo.cli.output import NUMBER, PROVIDER_HELP, next_step, refuse
from zoo_runtime.serving.models import Limits
from zoo_runtime.serving.server import HOST, PORT, Server


@click.command()
@click.argument(
    "source",
    metavar="RUN|BUNDLE",
    type=click.Path(path_type=Path),
    shell_complete=names_of("run", "bundle"),
)
@click.option("--host", default=HOST, show_default=True, help="Address that it is reached at.")
@click.option("--port", type=int, default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--name", help="What clients call the model [its own name].")
@click.option("--runtime", help="Of a bundle: a format of it, its first by default.")
@click.option("--threads", type=click.IntRange(min=1), help="Of a bundle: threads to use.")
@click.option("--provider", help=PROVIDER_HELP)
@click.option("--chat-template", help="A file: the template of a conversation, in Jinja.")
@click.option(
    "--max-body",
    type=NUMBER,
    default=Limits.max_body,
    show_default="32M",
    help="Bytes of a request.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(min=1),
    default=Limits.max_queue,
    show_default=True,
    help="Requests that wait; one more is answered with status 429.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=Limits.timeout,
    show_default=True,
    help="Seconds that a request takes at most, its wait included.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    default=Limits.max_batch,
    show_default=True,
    help="Rows that are run together, and texts of one request.",
)
def serve(
    *,
    source: Path,
    host: str,
    port: int,
    name: str | None,
    runtime: str | None,
    threads: int | None,
    provider: str | None,
    chat_template: str | None,
    **limits: Any,
) -> None:
    """Serve a model over HTTP, to this machine unless --host says otherwise.

    A language model answers as OpenAI's API does (/v1/completions, /v1/chat/completions), any other
    one by the Open Inference Protocol (/v2/models/NAME/infer). /health and /metrics (Prometheus)
    say how it is. Ctrl-C ends it.
    """
    from zoo_models.backend import check_backend
    from zoo_recipes.run import Run, open_trained

    template = None if chat_template is None else read_text("--chat-template", chat_template)
    trained = open_trained(source)
    if isinstance(trained, Run):
        check_backend()
        refuse({"threads": threads, "provider": provider}, "for a bundle")
    server = Server(
        trained,
        Limits(**limits),
        name=name,
        runtime=runtime,
        threads=threads,
        provider=provider,
        chat_template=template,
    )
    server.run(host, port, _say)
    click.echo("stopped", err=True)


def _say(server: Server) -> None:
    name, address = server.name, server.address
    click.echo(f"Serving '{name}' ({server.trained.task}, {server.runtime}) at {address}")
    if server.model.is_text:
        click.echo(f"For clients of OpenAI's API: base_url {address}/v1, model {name}")
        body = json.dumps({"model": name, "prompt": "The "})
        next_step(f"curl {address}/v1/completions -d '{body}'")
    else:
        next_step(f"curl {address}/v2/models/{name}")
