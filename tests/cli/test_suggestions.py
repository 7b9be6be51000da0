"""What commands say next can be typed as it stands, and an error of many lines fills no table."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli.main import cli, main
from zoo_recipes.run import load_run
from zoo_recipes.tuning import study
from zoo_recipes.tuning.space import Trial
from zoo_registry import UsageError

TRACE = "UnimplementedError: Graph execution error:\n\nDetected at node adam/Cast\n  File ..."


def say(*words: object) -> str:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False).output


def following(output: str) -> list[str]:
    """Return the words of the command that is suggested, as a shell reads them."""
    return shlex.split(output.rstrip().splitlines()[-1].removeprefix("Next: "))


def write_run(folder: Path, status: str, error: str | None = None) -> None:
    folder.mkdir(parents=True)
    info = {"format_version": 1, "status": status, "recipe": {"name": "mine"}, "error": error}
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")


def test_runs_whose_names_have_spaces_and_an_error_of_many_lines(tmp_path: Path) -> None:
    root = tmp_path / "my runs"
    for name in ("a b", "ü"):
        write_run(root / name, "complete")
    write_run(root / "failed", "failed", TRACE)
    output = say("runs", "--root", root, "--sort", "name")
    assert f"{root}/failed: UnimplementedError: Graph execution error: [...]\n" in output
    assert "Detected at node" not in output
    first, second = sorted([f"{root}/a b", f"{root}/ü"])
    assert following(output) == ["zoo", "runs", "compare", first, second]


def test_a_failed_run_is_told_in_one_line(tmp_path: Path) -> None:
    write_run(tmp_path / "a b", "failed", TRACE)
    with pytest.raises(UsageError) as raised:
        load_run(tmp_path / "a b")
    assert str(raised.value) == (
        f"Run '{tmp_path}/a b' failed: UnimplementedError: Graph execution error: [...]. "
        f"Go on with it: zoo train --resume '{tmp_path}/a b'"
    )


@pytest.mark.parametrize("spelled", ["a", "./a", "b/../a", "link"])
def test_a_run_is_not_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, "complete")
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["runs", "compare", "a", "b", spelled])
    assert done.exit_code == 2
    assert done.output.endswith(
        f"Error: 'a' and '{Path(spelled)}' are the same run: name each run once, and two or more.\n"
    )


def test_the_road_in_a_folder_with_a_space(tmp_path: Path) -> None:
    run, bundle = tmp_path / "a b" / "run", tmp_path / "a b" / "bundle"
    short = ["--set", "fit.epochs=1", "--set", "dataset.train=train[:10%]"]
    trained = say("train", "digits-mlp", "--out", run, *short)
    assert following(trained) == ["zoo", "export", str(run), "--to", "tflite,onnx,saved_model"]
    assert following(say("report", run)) == ["zoo", "card", str(run)]
    assert following(say("card", run)) == ["zoo", "export", str(run)]
    shutil.copytree(run, tmp_path / "a b" / "other")
    compared = say("runs", "compare", run, tmp_path / "a b" / "other")
    assert following(compared)[3:5] == [str(run), str(tmp_path / "a b" / "other")]
    exported = say("export", run, "--to", "onnx", "--out", bundle)
    assert following(exported) == ["zoo", "verify", str(bundle)]
    assert following(say("verify", bundle)) == ["zoo", "predict", str(bundle), "IMAGE.png"]
    benched = say("bench", bundle, "--runs", "1")
    assert following(benched)[:3] == ["zoo", "bench", str(bundle)]


def test_a_search_that_is_interrupted_says_how_to_go_on_with_the_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, on_trial: Callable[[Trial], None], **__: object) -> None:
        on_trial(Trial(3, "complete", {"compile.optimizer.learning_rate": 0.001}, 0.9))
        raise KeyboardInterrupt("saved at epoch 1. Go on with `zoo train --resume a/trials/0004`")

    monkeypatch.setattr(study, "tune", stop)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    words = ["zoo", "tune", "digits-cnn", "--force", "--trials", "2", "--out", "my search"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 130
    assert capsys.readouterr().err.split("\n") == [
        "trial 3: complete 0.9000  learning_rate 0.001",
        "",
        "interrupted: the search is kept. Go on with `zoo tune digits-cnn --trials 2 "
        "--out 'my search'`",
        "",
    ]


@pytest.mark.parametrize("words", [("export",), ("bench",), ("data",), ("verify",)])
def test_a_word_that_is_longer_than_the_name_of_any_file(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main([*words, "x" * 300])
    said = capsys.readouterr().err
    assert done.value.code == 2
    assert "OSError" not in said
    assert said.count("\n") == 1
    assert len(said) < 500
