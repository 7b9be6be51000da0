"""Servers for tests: ``zoo serve`` in a process, or a server in a thread of this one."""

import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx2 as httpx

from zoo_runtime.serving.models import Limits
from zoo_runtime.serving.server import Server

HTTP = httpx.Client()


class Process:
    """``zoo serve`` in a process of its own."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "zoo.cli", "serve", *map(str, arguments), "--port", "0"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        self.said = self.process.stdout.readline()
        assert self.said, self.process.communicate()[1]
        self.address = re.search(r"http://127\.0\.0\.1:\d+", self.said)[0]

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def served(trained, runtime=None, **limits):
    """Give a server in a thread, and its address."""
    server, is_up = Server(trained, Limits(**limits), runtime=runtime), threading.Event()
    run = lambda: server.run("127.0.0.1", 0, lambda _: is_up.set())  # noqa: E731
    thread = threading.Thread(target=run)
    thread.start()
    assert is_up.wait(30)
    try:
        yield server, server.address
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


def figures(address):
    rows = re.findall(r"^(zoo_\w+)(?:\{.*\})? (\S+)$", HTTP.get(f"{address}/metrics").text, re.M)
    return {name: float(value) for name, value in rows}


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
