"""The routes of a server: what each reads of a request and sends for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from zoo_registry import did_you_mean
from zoo_runtime.generation.texts import Piece
from zoo_runtime.optional import need
from zoo_runtime.serving.bodies import as_json, parse_object
from zoo_runtime.serving.exchange import WHAT, Endpoint, Exchange, Service
from zoo_runtime.serving.failures import RequestError, inference_body, openai_body, stopping
from zoo_runtime.serving.models import TensorModel, TextModel
from zoo_runtime.serving.queueing import Job
from zoo_runtime.serving.raws import PREDICTION, RAW
from zoo_runtime.serving.tensors import BINARY, LENGTH_HEADER, check_wanted, read_request, response
from zoo_runtime.serving.text_answers import Answer
from zoo_runtime.serving.texts import Asked, read_chat, read_completion
from zoo_runtime.tensors import Arrays

_JSON = "application/json"
_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache"}


def build_app(model: TextModel | TensorModel, service: Service) -> Any:
    """Return the ASGI application that serves a model.

    Args:
        model: What is served.
        service: Its limits and figures.

    Raises:
        MissingPackageError: starlette is not installed.
    """
    routing = need("starlette.routing", WHAT)
    served = Served(model, service)
    rows = [
        ("GET", "/health", served.health, openai_body),
        ("GET", "/metrics", served.metrics_page, openai_body),
        ("GET", "/v1/models", served.list_models, openai_body),
        ("GET", "/v1/models/{model:path}", served.show_model, openai_body),
        ("POST", "/v1/completions", served.complete, openai_body),
        ("POST", "/v1/chat/completions", served.chat, openai_body),
        ("GET", "/v2", served.about, inference_body),
        ("GET", "/v2/health/live", served.live, inference_body),
        ("GET", "/v2/health/ready", served.ready, inference_body),
        ("GET", "/v2/models/{model:path}/ready", served.model_ready, inference_body),
        ("POST", "/v2/models/{model:path}/infer", served.infer, inference_body),
        ("GET", "/v2/models/{model:path}", served.describe, inference_body),
    ]
    routes = [
        routing.Route(path, Endpoint(handle, path, service, write), methods=[method])
        for method, path, handle, write in rows
    ]

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        del app
        yield
        await asyncio.to_thread(service.worker.close)

    applications = need("starlette.applications", WHAT)
    handlers = {404: _no_route, 405: _no_route}
    return applications.Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _no_route(request: Any, error: Any) -> Any:
    path = request.url.path
    write = inference_body if path.startswith("/v2") else openai_body
    body = write(RequestError(error.status_code, f"There is no {request.method} {path} here."))
    responses = need("starlette.responses", WHAT)
    headers = {**(error.headers or {}), "content-type": _JSON}
    return responses.Response(as_json(body), error.status_code, headers)


class Served:
    """A handler for each route.

    Args:
        model: What is served.
        service: Its limits and figures.
    """

    def __init__(self, model: TextModel | TensorModel, service: Service) -> None:
        self.model, self._service, self._metrics = model, service, service.metrics
        self._max_body = service.limits.max_body
        self._created = int(time.time())
        worker = service.worker
        self._metrics.watch("zoo_queue", "Requests that wait.", lambda: worker.waiting)
        self._metrics.watch("zoo_running", "Requests that are computed.", lambda: worker.running)

    async def health(self, exchange: Exchange) -> None:
        """Say whether requests are taken."""
        if not self._service.worker.is_ready:
            raise stopping()
        await exchange.answer(as_json({"status": "ok"}))

    async def metrics_page(self, exchange: Exchange) -> None:
        """Show what was counted."""
        content, kind = self._metrics.page(exchange.request.headers.get("accept", ""))
        await exchange.answer(content, {"content-type": kind})

    async def list_models(self, exchange: Exchange) -> None:
        """List the one model."""
        await exchange.answer(as_json({"object": "list", "data": [self._model()]}))

    async def show_model(self, exchange: Exchange) -> None:
        """Show the model of a name."""
        self._check_name(exchange.request.path_params["model"])
        await exchange.answer(as_json(self._model()))

    def _model(self) -> dict[str, Any]:
        about = {"object": "model", "created": self._created, "owned_by": "kerazoo"}
        return {"id": self.model.name, **about}

    async def complete(self, exchange: Exchange) -> None:
        """Continue texts."""
        data = await asyncio.to_thread(parse_object, await exchange.body(self._max_body))
        model = self._texts(data)
        await self._write(exchange, model, read_completion(data))

    async def chat(self, exchange: Exchange) -> None:
        """Answer in a conversation."""
        data = await asyncio.to_thread(parse_object, await exchange.body(self._max_body))
        model = self._texts(data)
        asked, messages = read_chat(data)
        # A template may take its time: others are served meanwhile.
        prompt = await asyncio.to_thread(model.generator.conversation, messages)
        await self._write(exchange, model, replace(asked, prompts=[prompt]))

    def _texts(self, data: Mapping[str, Any]) -> TextModel:
        name = data.get("model")
        if not isinstance(name, str):
            raise RequestError(400, "The request has no 'model'.", param="model")
        self._check_name(name)
        if not isinstance(self.model, TextModel):
            said = f"'{name}' is not a language model: POST /v2/models/{name}/infer."
            raise RequestError(404, said, "wrong_task", "model")
        return self.model

    def _tensors(self, exchange: Exchange) -> TensorModel:
        name = exchange.request.path_params["model"]
        self._check_name(name)
        if not isinstance(self.model, TensorModel):
            raise RequestError(404, f"'{name}' is a language model: POST /v1/completions.")
        return self.model

    def _check_name(self, name: str) -> None:
        known = self.model.name
        if name != known:
            hint = did_you_mean(name, [known])
            said = f"There is no model '{name}'.{hint} There is: {known}."
            raise RequestError(404, said, "model_not_found", "model")

    async def _write(self, exchange: Exchange, model: TextModel, asked: Asked) -> None:
        begun, answer = time.perf_counter(), Answer(asked)
        job = model.submit(asked)
        exchange.jobs.append(job)
        # What is wrong with a request is known before its first part: it still has a status then.
        first = await exchange.unless_gone(anext(job, None))
        self._metrics.first_token.observe(time.perf_counter() - begun)
        if asked.streams:
            await exchange.start(200, _STREAM)
            await exchange.unless_gone(_stream(exchange, answer, first, job))
        else:
            await exchange.unless_gone(_collect(answer, first, job))
            await exchange.answer(as_json(answer.whole()))
        usage = answer.usage()
        self._metrics.tokens.labels("prompt").inc(usage["prompt_tokens"])
        self._metrics.tokens.labels("completion").inc(usage["completion_tokens"])

    async def about(self, exchange: Exchange) -> None:
        """Say what this server is."""
        about = {"name": "kerazoo", "version": version("kerazoo-runtime"), "extensions": [BINARY]}
        await exchange.answer(as_json(about))

    async def live(self, exchange: Exchange) -> None:
        """Say that the server answers."""
        await exchange.answer(as_json({"live": True}))

    async def ready(self, exchange: Exchange) -> None:
        """Say whether requests are taken."""
        is_ready = self._service.worker.is_ready
        await exchange.answer(as_json({"ready": is_ready}), status=200 if is_ready else 503)

    async def model_ready(self, exchange: Exchange) -> None:
        """Say whether requests for a model are taken."""
        name, is_ready = exchange.request.path_params["model"], self._service.worker.is_ready
        self._check_name(name)
        body = as_json({"name": name, "ready": is_ready})
        await exchange.answer(body, status=200 if is_ready else 503)

    async def describe(self, exchange: Exchange) -> None:
        """Show the inputs and outputs of a model."""
        await exchange.answer(as_json(self._tensors(exchange).metadata()))

    async def infer(self, exchange: Exchange) -> None:
        """Run a model."""
        model = self._tensors(exchange)
        content = await exchange.body(self._max_body)
        length = exchange.request.headers.get(LENGTH_HEADER)
        arrays: Arrays
        request, arrays = await asyncio.to_thread(read_request, content, length)
        known, prepared = [tensor.name for tensor in model.runner.outputs], None
        if arrays.keys() == {RAW} and arrays[RAW].dtype == object:
            prepared = await asyncio.to_thread(model.raws.prepare, arrays[RAW])
            arrays, known = prepared.arrays, [PREDICTION, *known]
        check_wanted(request, known)
        job = model.submit(arrays)
        exchange.jobs.append(job)
        outputs = await exchange.unless_gone(anext(job))
        if prepared is not None:
            found = await asyncio.to_thread(model.raws.predictions, prepared, outputs)
            outputs = {PREDICTION: found, **(outputs if request.outputs else {})}
        body, headers = await asyncio.to_thread(response, model.name, request, outputs)
        await exchange.answer(body, headers)


async def _collect(answer: Answer, piece: Piece | None, job: Job) -> None:
    while piece is not None:
        if piece.completion is not None:
            answer.completions[piece.row] = piece.completion
        piece = await anext(job, None)


async def _stream(exchange: Exchange, answer: Answer, piece: Piece | None, job: Job) -> None:
    for row in range(answer.asked.texts):
        begun = answer.first(row)
        if begun is not None:
            await exchange.event(begun)
    while piece is not None:
        if piece.completion is not None:
            answer.completions[piece.row] = piece.completion
        for part in answer.part(piece):
            await exchange.event(part)
        piece = await anext(job, None)
    last = answer.last()
    if last is not None:
        await exchange.event(last)
    await exchange.event("[DONE]")
    await exchange.write(b"", more=False)
