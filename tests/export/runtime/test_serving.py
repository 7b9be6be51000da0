"""`zoo serve` of a language model, asked by OpenAI's own client: one process for all tests."""

import json
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import numpy as np
import openai
import pytest
from serving_processes import Process, figures, served, wait_for

from zoo_registry import UsageError
from zoo_runtime import load_bundle
from zoo_runtime.serving.models import Limits
from zoo_runtime.serving.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("writer")]
HTTP = httpx.Client(timeout=60)
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)
JSON = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}}}
SCHEMA = {**JSON, "required": ["age"], "additionalProperties": False}


@pytest.fixture(scope="module")
def server(byte_writer, tmp_path_factory):
    template = tmp_path_factory.mktemp("chat") / "template.jinja"
    template.write_text(TEMPLATE)
    limits = ("--max-queue", "2", "--max-body", "1M", "--max-batch", "8")
    process = Process(byte_writer, "--chat-template", template, *limits)
    yield process
    process.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def generator(byte_writer):
    return load_bundle(byte_writer).text_generator()


def test_completions_are_those_of_the_library(client, generator):
    texts = ["Once", "é😀"]
    given = {"max_tokens": 12, "temperature": 0.9, "top_p": 0.8, "seed": 3, "n": 2}
    made = client.completions.create(model="writer", prompt=texts, **given)
    named = {"max_new_tokens": 12, "num_return_sequences": 2}
    kept = {name: given[name] for name in ("temperature", "top_p", "seed")}
    wanted = generator.complete(texts, **named, **kept)
    assert [choice.text for choice in made.choices] == [text.text for text in wanted]
    assert [choice.index for choice in made.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in made.choices} == {"length"}
    read = sum(len(text.encode()) for text in texts)
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (read, 48)
    assert (made.object, made.model, made.usage.total_tokens) == (
        "text_completion",
        "writer",
        read + 48,
    )
    # The same as tokens, as programs that evaluate models send them.
    tokens = generator.tokenizer.encode("Once").ids
    (alone,) = client.completions.create(model="writer", prompt=tokens, **given | {"n": 1}).choices
    assert alone.text == generator.complete(["Once"], max_new_tokens=12, **kept)[0].text


def test_probabilities_are_those_of_the_whole_model(client, server, byte_writer, generator):
    given = {"model": "writer", "max_tokens": 6, "temperature": 0, "logprobs": 3}
    made = client.completions.create(prompt="Once", **given).choices[0]
    (wanted,) = generator.complete(["Once"], max_new_tokens=6, do_sample=False)
    tokens = [*generator.tokenizer.encode("Once").ids, *wanted.tokens]
    bundle = load_bundle(byte_writer)
    row = np.array([tokens], np.int32)
    arrays = {t.name: row if t.name == "token_ids" else np.ones_like(row) for t in bundle.inputs}
    logits = bundle.run(arrays)["logits"][0, 3:-1].astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    own = logs[np.arange(6), wanted.tokens]
    np.testing.assert_allclose(made.logprobs.token_logprobs, own, atol=1e-4)
    best = np.sort(logs)[:, :-4:-1]
    # Pieces of characters have one text.
    for found, values in zip(made.logprobs.top_logprobs, best, strict=True):
        assert np.abs(values[:, None] - [*found.values()]).min(axis=0).max() < 1e-4
    assert made.logprobs.text_offset[0] == 0
    # The same in a stream, and drawn hotter: it is the model that says them.
    parts = [*client.completions.create(prompt="Once", stream=True, **given)]
    told = [p.choices[0].logprobs.token_logprobs for p in parts if p.choices[0].logprobs]
    np.testing.assert_allclose(np.concatenate(told), own, atol=1e-4)
    chat = {**given, "logprobs": True, "top_logprobs": 2, "temperature": 9, "seed": 3}
    messages = [{"role": "user", "content": "Hi"}]
    answer = client.chat.completions.create(messages=messages, **chat).choices[0]
    assert [len(each.top_logprobs) for each in answer.logprobs.content] == [2] * 6
    first = answer.logprobs.content[0]
    assert bytes(first.bytes).decode() == first.token
    assert first.logprob < first.top_logprobs[0].logprob
    pieces = client.chat.completions.create(messages=messages, stream=True, **chat)
    chunks = [each.choices[0].logprobs for each in pieces]
    told = [token.logprob for chunk in chunks if chunk for token in chunk.content]
    assert told == [each.logprob for each in answer.logprobs.content]
    answer = HTTP.post(
        f"{server.address}/v1/chat/completions",
        json={"model": "writer", "messages": messages, "top_logprobs": 2},
    )
    assert answer.json()["error"]["message"] == "'top_logprobs' goes with 'logprobs': true."


def test_a_stream_is_the_text_in_parts_of_whole_characters(client):
    given = {
        "model": "writer",
        "prompt": "a",
        "max_tokens": 150,
        "temperature": 2,
        "seed": 1,
        "n": 2,
    }
    whole = client.completions.create(**given)
    parts, finish, usages = ["", ""], {}, []
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.completions.create(**given, **options))
    for chunk in chunks:
        usages.append(chunk.usage)
        for choice in chunk.choices:
            parts[choice.index] += choice.text
            finish[choice.index] = choice.finish_reason
    assert parts == [choice.text for choice in whole.choices]
    assert "\N{REPLACEMENT CHARACTER}" in parts[0]  # bytes that are no character at all
    assert len(chunks) > 20
    assert finish == {0: "length", 1: "length"}
    assert usages[-1] == whole.usage
    assert set(usages[:-1]) == {None}


def test_a_conversation_goes_through_the_template(client, generator):
    messages = [
        {"role": "developer", "content": "be kind"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "hé"}, {"type": "text", "text": "!"}],
        },
    ]
    given = {"model": "writer", "messages": messages, "max_completion_tokens": 20, "temperature": 0}
    made = client.chat.completions.create(**given)
    text = "<system>be kind<user>hé!<bot>"
    (wanted,) = generator.complete([text], max_new_tokens=20, temperature=0)
    (choice,) = made.choices
    assert (choice.message.role, choice.message.content) == ("assistant", wanted.text)
    assert made.usage.prompt_tokens == len(text.encode())
    chunks = list(client.chat.completions.create(**given, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == wanted.text
    assert chunks[-1].choices[0].finish_reason == "length"
    stop = wanted.text[3:5]
    stopped = client.chat.completions.create(**given, stop=stop)
    assert stopped.choices[0].message.content == wanted.text[: wanted.text.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"


def test_a_text_follows_a_schema(client):
    kind = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    given = {"temperature": 1.5, "n": 8, "max_tokens": 400, "seed": 5}
    body = {"response_format": kind}
    made = client.completions.create(model="writer", prompt="a", **given, extra_body=body)
    done = [choice for choice in made.choices if choice.finish_reason == "stop"]
    assert len(done) > 4  # others are all spaces, which a schema allows
    for choice in done:
        assert 0 <= json.loads(choice.text)["age"] <= 99
    messages = [{"role": "user", "content": "hi"}]
    (choice,) = client.chat.completions.create(
        model="writer", messages=messages, extra_body={"regex": "yes|no"}
    ).choices
    assert choice.message.content in {"yes", "no"}


REFUSED = [
    ({"model": "writter"}, 404, "There is no model 'writter'. Did you mean 'writer'?"),
    ({"logprobs": 21}, 400, "'logprobs' is 21: it must be 0 to 20."),
    ({"frequency_penalty": 0.5}, 400, "'frequency_penalty' is not offered"),
    ({"temprature": 1}, 400, "unknown key 'temprature'. Did you mean 'temperature'?"),
    ({"temperature": "hot"}, 400, "The request.temperature must be float or null, not str 'hot'."),
    ({"temperature": -1}, 400, "temperature=-1 is not a number from 0 on."),
    ({"max_tokens": -1}, 400, "'max_tokens' is -1: it must be 0 or more."),
    ({"n": 0}, 400, "'n' is 0: it must be 1 or more."),
    ({"n": 9}, 400, "asks for 9 texts, and this server writes 8 at a time (--max-batch)"),
    ({"n": 2, "temperature": 0}, 400, "would be 2 times the same text"),
    ({"prompt": ""}, 400, "The prompt '' has no token"),
    ({"prompt": [3, 256]}, 400, "the token 256: the model has the tokens 0 to 255."),
    ({"prompt": [-1]}, 400, "The prompt has the token -1"),
    ({"prompt": [2**40]}, 400, "The prompt has the token 1099511627776"),
    ({"prompt": {"a": 1}}, 400, "The request.prompt must be"),
    ({"prompt": "a" * 1025}, 400, "has 1,025 tokens and the model has 1,024 positions"),
    ({"stream_options": {"include_usage": True}}, 400, "goes with 'stream': true"),
    ({"response_format": {"type": "xml"}}, 400, "'response_format' has the type 'xml'"),
    ({"response_format": {"type": "json_schema"}}, 400, "json_schema.schema must be an object"),
    ({"regex": "(("}, 400, "The grammar cannot be followed"),
    ({"stream": True, "top_p": 7}, 400, "top_p=7 is not a number above 0 up to 1."),
    ({"messages": []}, 400, "The request has no message."),
    ({"messages": [{"content": "a"}]}, 400, "messages.0 needs a 'role'."),
    ({"messages": [{"role": "tool", "content": "a"}]}, 400, "refuses the messages: no tools"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        400,
        "messages.0.content has a part of type 'image_url': this server reads text.",
    ),
]


def test_what_is_wrong_is_said_as_openai_says_it(client, server):
    for change, status, words in REFUSED:
        kind = "chat/completions" if "messages" in change else "completions"
        body = {"model": "writer", "max_tokens": 2, **change}
        if kind == "completions":
            body = {"prompt": "a", **body}
        with pytest.raises(openai.APIStatusError) as caught:
            client.post(f"/{kind}", body=body, cast_to=object)
        assert caught.value.status_code == status, change
        assert words in caught.value.body["message"], change
        assert caught.value.body["type"] == "invalid_request_error"
    for content in (b"", b"{", b"\xff", b"[1]", b"[" * 50_000, b'{"n": NaN}'):
        answer = HTTP.post(f"{server.address}/v1/completions", content=content)
        assert answer.status_code == 400, content
        assert answer.json()["error"]["message"].startswith("The body is ")
    # Half a character is text in JSON, and in the answer of a program as well.
    answer = HTTP.post(
        f"{server.address}/v1/completions", content=rb'{"model": "writer", "prompt": "\ud800"}'
    )
    assert answer.status_code == 400
    said = r"The prompt is not text in UTF-8: '\ud800' (character 0) is half a character"
    assert said in answer.json()["error"]["message"]


def test_eight_clients_at_once(byte_writer, generator):
    prompts = [f"client {index}" for index in range(8)]
    with served(load_bundle(byte_writer), max_queue=8) as (_, address):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)

        def ask(prompt):
            given = {"model": "writer", "prompt": prompt, "seed": 2, "max_tokens": 20}
            return client.completions.create(**given, stream=True)

        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(
                lambda prompt: "".join(c.choices[0].text for c in ask(prompt)), prompts
            )
            found = list(asked)
        wait_for(lambda: figures(address)["zoo_running"] == 0)
        values = figures(address)
    wanted = [generator.complete([text], max_new_tokens=20, seed=2)[0].text for text in prompts]
    assert found == wanted
    assert values["zoo_first_token_seconds_count"] == 8


def test_a_full_queue_and_clients_that_hang_up(client, server):
    given = {"model": "writer", "prompt": "a", "max_tokens": 1000, "n": 4, "temperature": 1}

    def is_at(running, waiting):
        values = figures(server.address)
        return (values["zoo_running"], values["zoo_queue"]) == (running, waiting)

    streams = [client.completions.create(**given, stream=True)]
    with ThreadPoolExecutor(2) as pool:
        # They wait for their first part, so they wait in threads.
        waiting = [pool.submit(hang_up_after, server.address, given, 1.5) for _ in range(2)]
        wait_for(lambda: is_at(1, 2))
        with pytest.raises(openai.RateLimitError, match="2 requests wait already") as caught:
            client.completions.create(**given)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.body["code"] == "queue_full"
        begun = time.monotonic()
        streams[0].close()
        for each in waiting:
            each.result()
    wait_for(lambda: is_at(0, 0))
    assert time.monotonic() - begun < 15
    # None of them was written to its end, and the next one is.
    (choice,) = client.completions.create(**given | {"n": 1, "max_tokens": 3}).choices
    assert choice.finish_reason == "length"
    statuses = HTTP.get(f"{server.address}/metrics").text
    assert 'zoo_requests_total{endpoint="/v1/completions",status="499"}' in statuses


def hang_up_after(address, body, seconds):
    host, port = address.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + content)
        time.sleep(seconds)


def test_a_body_is_limited_while_it_is_read(server):
    def memory():
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])

    before, block = memory(), b"x" * 100_000
    for content in (block * 1000, (block for _ in range(1000))):
        answer = HTTP.post(f"{server.address}/v1/completions", content=content)
        assert answer.status_code == 413
        assert "longer than 1,000,000 bytes" in answer.json()["error"]["message"]
    assert memory() - before < 30_000
    assert HTTP.get(f"{server.address}/health").json() == {"status": "ok"}


def test_only_this_machine_is_served(server):
    answer = HTTP.get(f"{server.address}/v1/models", headers={"host": "evil.example:80"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_host")
    port = server.address.rpartition(":")[2]
    assert HTTP.get(f"http://localhost:{port}/v1/models").json()["data"][0]["id"] == "writer"
    answer = HTTP.get(f"{server.address}/v1/completions")
    assert (answer.status_code, answer.json()["error"]["type"]) == (405, "invalid_request_error")
    answer = HTTP.get(f"{server.address}/v2/models/writer")
    assert answer.json() == {"error": "'writer' is a language model: POST /v1/completions."}


def test_it_says_where_it_is_and_ends_when_it_is_asked(server, byte_writer):
    assert re.match(
        r"Serving 'writer' \(causal-lm, onnx\) at http://127\.0\.0\.1:\d+\n", server.said
    )
    taken = int(server.address.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1, port {taken}: Address alre"):
        Server(load_bundle(byte_writer), Limits()).run("127.0.0.1", taken)
    other = Process(byte_writer)
    body = {"model": "writer", "prompt": "a", "max_tokens": 60, "stream": True}
    with HTTP.stream("POST", f"{other.address}/v1/completions", json=body) as stream:
        parts = stream.iter_lines()
        next(parts)
        other.process.send_signal(signal.SIGINT)
        assert list(parts)[-2] == "data: [DONE]"  # what is answered is answered to its end
    assert other.end(signal.SIGTERM) == (0, "stopped\n")


def test_threads_generate_with_one_bundle(generator):
    prompts = ["a", "bc", "é", "defg" * 20]

    def write(prompt):
        return [text.text for text in generator.complete([prompt], max_new_tokens=60, seed=4)]

    wanted = [write(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, prompts)) == wanted
