"""Work that stops in the middle leaves nothing, or nothing that stays."""

import signal
import subprocess
import sys

import pytest

from zoo_runtime import files

WORKING = """
import sys, time
from pathlib import Path
from zoo_runtime.files import work_folder
with work_folder(Path(sys.argv[1])) as work:
    (work / "part").write_text("half")
    print(work.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def working(tmp_path):
    """Start processes that work on ``tmp_path / "b"``."""
    started = []

    def start():
        command = [sys.executable, "-c", WORKING, str(tmp_path / "b")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, tmp_path / process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_cleans_up(working, tmp_path, number):
    process, work = working()
    assert list(tmp_path.iterdir()) == [work]
    process.send_signal(number)
    assert process.wait(20) == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one(working, tmp_path):
    (killed, left), (_, used) = working(), working()
    own = tmp_path / ".b.settings"
    own.mkdir()
    killed.kill()
    killed.wait()
    assert left.is_dir()
    with files.work_folder(tmp_path / "b") as work:
        # Not that of a process that lives, and nothing that only looks alike.
        assert set(tmp_path.iterdir()) == {own, used, work}


@pytest.mark.parametrize("is_there", [True, False])
def test_the_only_copy_of_what_was_to_be_replaced_stays(tmp_path, is_there):
    left = tmp_path / ".b.abcd1234.unfinished"
    (left / "replaced").mkdir(parents=True)
    if is_there:
        (tmp_path / "b").mkdir()
    files.remove_leftovers(tmp_path)
    assert left.exists() is not is_there


def test_a_program_that_hears_sigterm_goes_on_doing_so(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with files.work_folder(tmp_path / "b"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]
