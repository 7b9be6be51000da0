"""`zoo serve` of other models: the Open Inference Protocol, batches that grow, limits of time."""

import asyncio
import base64
import io
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx2 as httpx
import numpy as np
import pytest
import soundfile
from fuzz_subjects import save_tokenizer
from PIL import Image
from serving_processes import figures, served

from zoo_registry import UsageError
from zoo_runtime.running import Runner
from zoo_runtime.serving.failures import RequestError
from zoo_runtime.serving.models import _are_independent
from zoo_runtime.serving.queueing import Job, Worker
from zoo_runtime.serving.raws import RawInputs
from zoo_runtime.tensors import Tensor

pytestmark = [pytest.mark.slow]
NAME = "digits-net"
HTTP = httpx.Client(timeout=30)


@pytest.fixture(scope="module")
def address(exported):
    with served(exported, "onnx", max_body=1_000_000, timeout=30) as (_, address):
        yield address


@pytest.fixture(scope="module")
def images(digits):
    return digits[0][:6]


def tensor(images, **change):
    shape = list(images.shape)
    values = images.reshape(-1).tolist()
    return {"name": "image", "shape": shape, "datatype": "FP32", "data": values} | change


def infer(address, *inputs, **more):
    body = {"inputs": list(inputs), **more}
    return HTTP.post(f"{address}/v2/models/{NAME}/infer", json=body)


def test_a_model_describes_itself(address):
    found = HTTP.get(f"{address}/v2/models/{NAME}").json()
    assert found["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert found["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
    assert (found["name"], found["platform"]) == (NAME, "onnx")
    assert found["parameters"]["labels"][3] == "digit 3"
    assert HTTP.get(f"{address}/v2/models/{NAME}/ready").json() == {"name": NAME, "ready": True}
    assert HTTP.get(f"{address}/v2/health/live").json() == {"live": True}
    assert HTTP.get(f"{address}/v2/health/ready").json() == {"ready": True}
    assert HTTP.get(f"{address}/v2").json()["extensions"] == ["binary_tensor_data"]
    missing = HTTP.get(f"{address}/v2/models/digit-net/ready")
    assert missing.status_code == 404
    assert "Did you mean 'digits-net'?" in missing.json()["error"]
    answer = HTTP.post(f"{address}/v1/completions", json={"model": NAME, "prompt": "a"})
    assert answer.status_code == 404
    assert f"POST /v2/models/{NAME}/infer" in answer.json()["error"]["message"]


def test_tensors_give_what_the_bundle_gives(address, exported, images):
    wanted = exported.run({"image": images}, "onnx")["logits"]
    for data in (images.reshape(-1).tolist(), images.tolist()):
        found = infer(address, tensor(images, data=data), id="42").json()
        (output,) = found["outputs"]
        assert (found["model_name"], found["id"]) == (NAME, "42")
        assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [6, 10])
        np.testing.assert_allclose(np.reshape(output["data"], (6, 10)), wanted, atol=1e-6)
    head = {key: value for key, value in tensor(images).items() if key != "data"}
    parameters = {"binary_data_size": images.nbytes}
    text = json.dumps(
        {
            "inputs": [{**head, "parameters": parameters}],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
        }
    ).encode()
    answer = HTTP.post(
        f"{address}/v2/models/{NAME}/infer",
        content=text + images.tobytes(),
        headers={"inference-header-content-length": str(len(text))},
    )
    end = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:end])["outputs"][0]["parameters"] == {"binary_data_size": 240}
    found = np.frombuffer(answer.content[end:], "<f4").reshape(6, 10)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "imag"}, "There is no input 'imag'. Did you mean 'image'?"),
        ({"datatype": "FLOAT"}, "has the datatype 'FLOAT'. There are: BOOL, INT8"),
        ({"datatype": "INT8"}, "is of datatype INT8, and its data has other values."),
        ({"shape": [6, 8, 9, 1]}, "has the shape [6, 8, 9, 1], and its data 384 values."),
        ({"shape": [-6, 8, -8, 1]}, "has the shape [-6, 8, -8, 1]"),
        ({"shape": [6, 64]}, "got an array of shape (6, 64)."),
        ({"shape": [6, 8, 8, "1"]}, "inputs[0].shape[3] must be a value of type int"),
        ({"data": [1, [2]]}, "has lists of different lengths."),
        ({"data": [None] * 384}, "its data has other values."),
        ({"data": ["1"] * 384}, "its data has other values."),
        ({"data": [2**80] * 384}, "its data has other values."),
        ({"data": [300] * 384, "datatype": "UINT8"}, "numbers that UINT8 cannot hold."),
        ({"data": 5}, "has no list of values ('data')."),
        ({"parameters": {"binary_data_size": 9}}, "binary_data_size is 9"),
    ],
)
def test_a_tensor_that_the_model_does_not_take(address, images, change, words):
    answer = infer(address, tensor(images, **change))
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_request_that_is_wrong_as_a_whole(address, images):
    for body, words in [
        ({"inputs": []}, "Input 'image' is missing."),
        ({}, "The request has no 'inputs'."),
        ({"inputs": [tensor(images), tensor(images)]}, "Input 'image' is there twice."),
        ({"inputs": [tensor(images)], "outputs": [{"name": "logit"}]}, "Did you mean 'logits'?"),
    ]:
        answer = HTTP.post(f"{address}/v2/models/{NAME}/infer", json=body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
    large = infer(address, tensor(np.repeat(images, 900, axis=0)))
    assert (large.status_code, large.headers["x-should-retry"]) == (413, "false")
    wrong = HTTP.post(
        f"{address}/v2/models/{NAME}/infer",
        content=b"{}",
        headers={"inference-header-content-length": "9"},
    )
    assert "inference-header-content-length is '9'" in wrong.json()["error"]


def png(image):
    content = io.BytesIO()
    Image.fromarray(image[..., 0].astype(np.uint8)).save(content, "png")
    return content.getvalue()


def test_files_in_place_of_tensors(address, exported, images):
    """An image is base64 in JSON, or as it is behind it; the answer is that of `zoo predict`."""
    files = [png(image) for image in images]
    wanted = exported.predict([Image.open(io.BytesIO(file)) for file in files], "onnx")
    raw = {"name": "raw", "shape": [6], "datatype": "BYTES"}
    in_json = raw | {"data": [base64.b64encode(file).decode() for file in files]}
    (output,) = infer(address, in_json).json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("prediction", "BYTES", [6])
    for row, text in zip(wanted, output["data"], strict=True):
        found = json.loads(text)
        assert found["label"] == row.label
        assert found["probability"] == pytest.approx(row.probability, abs=1e-6)
        assert len(found["top"]) == 5
    behind = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    head = json.dumps(
        {
            "inputs": [raw | {"parameters": {"binary_data_size": len(behind)}}],
            "outputs": [{"name": "logits"}, {"name": "prediction"}],
        }
    ).encode()
    answer = HTTP.post(
        f"{address}/v2/models/{NAME}/infer",
        content=head + behind,
        headers={"inference-header-content-length": str(len(head))},
    )
    logits, texts = answer.json()["outputs"]
    assert texts["data"] == output["data"]
    assert np.argmax(np.reshape(logits["data"], (6, 10)), 1).tolist() == [r.index for r in wanted]
    for data, words in [
        (["no base64!"], "Input 'raw' is not a file in base64"),
        (["YWJj"], "An image of 3 bytes cannot be read as an image: cannot identify image file"),
        # The name of a file on the server is never opened.
        ([base64.b64encode(b"/etc/passwd").decode()], "An image of 11 bytes cannot be read"),
        ([5], "its data is text, not int."),
    ]:
        answer = infer(address, raw | {"shape": [1], "data": data})
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_texts_sounds_and_rows_in_place_of_tensors(tmp_path):
    save_tokenizer(tmp_path / "tokenizer.json")
    sound = io.BytesIO()
    soundfile.write(sound, np.linspace(-0.5, 0.5, 8), 8000, format="wav", subtype="FLOAT")

    def prepared(step, values, *inputs):
        about = {"name": "m", "task": None, "labels": None, "assets": tmp_path}
        tensors = [Tensor(name, "int32", ("batch", 4)) for name in inputs]
        trained = SimpleNamespace(**about, preprocessing=[step], inputs=tensors)
        array = np.empty(np.shape(values), object)
        array[...] = values
        return RawInputs(trained).prepare(array)

    text = {"step": "tokenize", "length": 4, "segment_ids": True}
    for values in (["ab", "c"], [b"ab", b"c"]):
        found = prepared(text, values, "token_ids", "segment_ids")
        np.testing.assert_array_equal(found.arrays["token_ids"], [[2, 3, 0, 0], [4, 0, 0, 0]])
        assert found.ends.tolist() == [1, 0]
    found = prepared(text, [["a", "b"]], "token_ids", "segment_ids", "padding_mask")
    assert found.raws == [("a", "b")]
    assert found.arrays["segment_ids"].tolist() == [[0, 1, 0, 0]]
    step = {"step": "audio", "sample_rate": 8000, "length": 8}
    found = prepared(step, [sound.getvalue()], "audio")
    np.testing.assert_allclose(found.arrays["audio"], [np.linspace(-0.5, 0.5, 8)], atol=1e-6)
    with pytest.raises(UsageError, match="A file of 3 bytes cannot be read as audio"):
        prepared(step, [b"abc"], "audio")
    with pytest.raises(UsageError, match="Input 'raw' is not text in UTF-8"):
        prepared(text, [b"\xff"], "token_ids")
    with pytest.raises(UsageError, match="'m' has no step that makes its inputs of texts or files"):
        prepared({"step": "array", "input": "x", "shape": [4]}, [b"1"], "x")


def test_many_clients_get_the_rows_of_their_own(address, exported, digits):
    rows = digits[0][:60]
    wanted = exported.run({"image": rows}, "onnx")["logits"]
    before = figures(address)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: infer(address, tensor(rows[i : i + 1])).json(), range(60)))
    for row, answer in zip(wanted, found, strict=True):
        np.testing.assert_allclose(answer["outputs"][0]["data"], row, atol=1e-5)
    after = figures(address)
    assert after["zoo_batch_rows_sum"] - before["zoo_batch_rows_sum"] == 60
    assert after["zoo_batch_rows_count"] - before["zoo_batch_rows_count"] < 60


def test_jobs_that_wait_together_are_run_together_and_fail_alone():
    """The batch grows to its limit by what waits; what is wrong with one is told to that one."""
    gate, runs = threading.Event(), []

    def work(jobs):
        gate.wait(10)
        runs.append([job.task for job in jobs])
        if any(job.task == "bad" for job in jobs):
            raise UsageError("bad rows")
        for job in jobs:
            job.give(job.task * 2)

    async def ask():
        worker = Worker(work, max_queue=6, max_rows=4)
        jobs = [Job(task, 1, key) for task, key in [(1, "a"), (2, "a"), (3, "b"), (4, "a")]]
        jobs += [Job("bad", 2, "a"), Job(5, 1, "a"), Job(6, 1, None)]
        for job in jobs:
            worker.submit(job)
            if job is jobs[0]:
                while worker.waiting:
                    await asyncio.sleep(0.001)
        with pytest.raises(RequestError, match="6 requests wait already") as caught:
            worker.submit(Job(7))
        assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "1")
        worker.cancel(jobs[5])
        gate.set()
        found = []
        for job in (*jobs[:5], jobs[6]):
            try:
                found.append(await anext(job))
            except UsageError as error:
                found.append(str(error))
        worker.close()
        with pytest.raises(RequestError, match="server is stopping"):
            worker.submit(Job(8))
        return found

    assert asyncio.run(ask()) == [2, 4, 6, 8, "bad rows", 12]
    assert runs == [[1], [2, 4, "bad"], [2], [4], ["bad"], [3], [6]]


def test_rows_that_depend_on_each_other_are_not_joined():
    """As in a file that quantizes by the range of its whole batch."""

    class Session:
        def __init__(self, axis):
            self.axis = axis

        def run(self, arrays):
            x = arrays["x"]
            return {"y": np.round(x / np.abs(x).max(axis=self.axis, keepdims=True) * 127)}

    rows = [{"x": np.array([[1, 2, 3], [2, 9, 4]], np.float32)}]
    x, y = Tensor("x", "float32", ("batch", 3)), Tensor("y", "float32", ("batch", 3))
    assert _are_independent(Runner(Session(axis=1), [x], [y]), rows)
    assert not _are_independent(Runner(Session(axis=None), [x], [y]), rows)


def test_what_takes_too_long_is_told_so(exported):
    with served(exported, "onnx", timeout=0.3) as (server, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = [f"POST /v2/models/{NAME}/infer HTTP/1.1", f"host: {host}", "content-length: 9"]
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 Request Timeout")
        # The only thread of the model is held: the request waits for its turn in vain.
        held, row = threading.Event(), tensor(np.zeros((1, 8, 8, 1)))
        run, server.model.worker._work = server.model.worker._work, lambda jobs: held.wait(10)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(infer, address, row)
            while not server.model.worker.running:
                pass
            second = infer(address, row)
            assert second.status_code == 503
            assert "waited 0.3 s (--timeout) for its turn" in second.json()["error"]
            assert int(second.headers["retry-after"]) >= 1
            assert first.result().status_code == 504
        held.set()
        server.model.worker._work = run
        assert infer(address, row).status_code == 200
