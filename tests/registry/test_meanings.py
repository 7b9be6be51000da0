"""A name in the wrong place: what it is, and the command that takes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo_registry import REGISTRIES, UsageError, meaning_of


def test_every_kind_of_name_is_recognized() -> None:
    for registry in REGISTRIES:
        name = registry.names()[-1]
        said = meaning_of(name, "nothing")
        assert f"'{name}' is a {registry.kind}: `zoo " in said
        assert f"is a {registry.kind}" not in meaning_of(name, registry.kind)


def test_folders_are_recognized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, file in (("runs/mine", "run.json"), ("bundles/mine", "manifest.json")):
        Path(folder).mkdir(parents=True)
        Path(folder, file).touch()
    assert meaning_of("mine", "model") == (
        " There is a run of that name: runs/mine. There is a bundle of that name: bundles/mine."
    )
    assert meaning_of("bundles/mine", "run") == (
        " It is a bundle: `zoo predict bundles/mine INPUT`."
    )
    assert meaning_of("bundles/mine", "bundle") == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("train resnet56", 2, "'resnet56' is a model: `zoo show resnet56`. Recipes with it: cif"),
        ("train digits", 2, "Recipes with it: digits-cnn, digits-lstm, digits-mlp."),
        ("show digits-cnn", 2, "'digits-cnn' is a recipe: `zoo train digits-cnn`."),
        ("check causal-lm", 2, "'causal-lm' is a task: `zoo models --task causal-lm`"),
        ("evaluate digits-cnn", 2, "'digits-cnn' is a recipe: `zoo train digits-cnn`."),
        ("reproduce digits-cnn", 2, "'digits-cnn' is a recipe: `zoo train digits-cnn`."),
        ("train digits-cnn --data digits", 2, "'digits' is a dataset: `zoo datasets digits`."),
        ("export digits-cnn", 2, "'digits-cnn' is a recipe: `zoo train digits-cnn`."),
        ("data resnet56", 2, "There are no data at 'resnet56'. 'resnet56' is a model: `zoo show"),
        ("verify digits-cnn", 2, "'digits-cnn' is a recipe: `zoo train digits-cnn`."),
        ("choose --task digits", 2, "'digits' is a dataset: `zoo datasets digits`. There are: "),
        ("models --task image-clasification", 2, "Did you mean 'image-classification'?"),
        ("models --family resnett", 2, "Did you mean 'resnet'?"),
        ("models --tag visionn", 2, "Did you mean 'vision'?"),
        ("models --tag nothing-like-it", 2, "No model has the tag 'nothing-like-it'. There are: "),
        ("train digits-cnn --epochs 3", 2, "Did you mean --set fit.epochs=VALUE?"),
        ("train digits-cnn --set epochs=3", 2, "Did you mean 'fit.epochs'?"),
        (
            "tune digits-cnn --search learning_rate=1e-4..1e-2",
            2,
            "Did you mean 'compile.optimizer.learning_rate'?",
        ),
    ],
)
def test_the_command_line_says_what_a_word_is(
    words: str, code: int, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "waiting" not in done.stderr  # a line of what never began


def test_python_says_it_too() -> None:
    with pytest.raises(UsageError, match=r"^No model has the task 'causallm'\. Did you mean 'caus"):
        zoo.list_models(task="causallm")
    assert zoo.list_models("bert*", task="causal-lm") == []
    with pytest.raises(UsageError, match=r"'imagenet': there is no such file\. One word is known"):
        zoo.get_model("resnet20", weights="imagenet")
