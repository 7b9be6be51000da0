"""Words completed by a real bash."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
TRY = """
eval "$(zoo completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_zoo_completion zoo
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tra"], ["trackers", "train"]),
        (["train", "digits"], ["digits-cnn", "digits-lstm", "digits-mlp"]),
        (["show", "bert-t"], ["bert-tiny"]),
        (["recipe", "mnist5k-l"], ["mnist5k-lenet5"]),
        (["predict", ""], ["bundles/mine", "runs/mine"]),
        (["reproduce", "runs"], ["runs/mine"]),
        (["verify", ""], ["bundles/mine"]),
        (["models", "--task", "text-cl"], ["text-classification"]),
        (["export", "runs/mine", "--to", "tflite,save"], ["tflite,saved_model"]),
        (["train", "digits-cnn", "--fold"], ["--folds"]),
    ],
)
def test_words_are_completed(tmp_path: Path, words: list[str], found: list[str]) -> None:
    for folder, file in (("runs/mine", "run.json"), ("bundles/mine", "manifest.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", TRY.format(words=shlex.join(["zoo", *words]))],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == found


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete --no-files")])
def test_other_shells_have_a_script(shell: str, word: str) -> None:
    words = [sys.executable, "-m", "zoo.cli", "completion", shell]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert word in done.stdout
    assert "_ZOO_COMPLETE" in done.stdout
