"""Lines of libraries are left out of standard error, and standard error is as before then."""

import os
import subprocess
import sys
import threading
import time

import pytest

from zoo_system.quiet import standard_error_without


def fail():
    with standard_error_without(b"INFO: "):
        os.write(2, b"INFO: of itself\n")
        raise ValueError("damaged")


def test_only_such_lines_are_left_out_unless_it_fails(capfd):
    with standard_error_without(b"INFO: "):
        os.write(2, b"INFO: of itself\nWARNING: of the file\n")
    assert capfd.readouterr().err == "WARNING: of the file\n"
    with pytest.raises(ValueError, match="damaged"):
        fail()
    assert capfd.readouterr().err == "INFO: of itself\n"


def test_threads_leave_standard_error_as_it_was(capfd):
    def hold(seconds):
        with standard_error_without(b"INFO: "):
            os.write(2, b"INFO: of itself\n")
            time.sleep(seconds)

    threads = [threading.Thread(target=hold, args=(0.02 * at,)) for at in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_a_process_without_standard_error_goes_on():
    code = (
        "import os, sys; os.close(2); sys.stderr = None\n"
        "from zoo_system.quiet import quiet_litert\n"
        "with quiet_litert(): print('works')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "works\n")
