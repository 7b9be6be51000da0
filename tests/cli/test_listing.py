"""The commands that list and show, as the user runs them: whole processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def zoo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoo.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_models_lists_the_glob_and_the_next_step() -> None:
    done = zoo("models", "*-cnn")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == (["NAME", "FAMILY", "PARAMETERS", "MULT-ADDS", "TASKS", "SUMMARY"])
    assert "122,570" in lines[1]
    assert lines[-1] == "Next: zoo show cifar10-cnn"
    # The table lines up: every row starts its second column where the header does.
    assert lines[1].index("cnn  ", 12) == lines[0].index("FAMILY")


def test_models_filters() -> None:
    rows = json.loads(zoo("models", "--json", "--task", "causal-lm").stdout)
    ours = [row for row in rows if row["owner"] == "kerazoo"]
    assert {row["family"] for row in ours} == {"gpt", "llama", "rnn"}
    assert {row["owner"] for row in rows} == {"kerazoo", "kerashub"}
    assert zoo("models", "nothing*").stdout.strip().endswith("No model matches 'nothing*'.")
    none = zoo("models", "--max-params", "5", "--task", "causal-lm").stdout
    assert "No model matches '*' with --max-params 5 --task causal-lm." in none
    assert "No dataset matches 'bert'. 'bert' is a model: " in zoo("datasets", "bert").stdout


def test_models_are_filtered_and_sorted_by_size() -> None:
    options = ["--max-params", "5M", "--task", "image-classification", "--sort", "macs"]
    rows = json.loads(zoo("models", "--json", *options).stdout)
    known = [row["macs"] for row in rows if row["macs"]]
    assert known == sorted(known) == [row["macs"] for row in rows[: len(known)]]
    assert {"mobilenet-v3-small", "efficientnet-lite0"} <= {row["name"] for row in rows}
    assert max(row["num_params"] for row in rows) <= 5_000_000
    assert "'5X' is not a number, such as 5000, 5k, 5M or 1.5G." in (
        zoo("models", "--max-params", "5X").stderr
    )


def test_show_counts_what_a_model_costs() -> None:
    done = zoo("show", "lstm-lm", "--batch", "2", "--seq-len", "16", "--json")
    cost = json.loads(done.stdout)["size"]
    assert cost["inputs"]["token_ids"] == [2, 16]
    assert cost["bytes"]["weights"]["float32"] == 4 * cost["num_params"]
    assert cost["bytes"]["training"]["int8"] is None
    shown = zoo("show", "gpt-nano", "--batch", "8").stdout
    assert "cost of        token_ids [8, 128]" in shown
    assert "key/value cache" in shown
    assert "takes no image of another size" in zoo("show", "gpt-nano", "--image-size", "9").stderr


def test_choose_says_why() -> None:
    options = ["--task", "text-classification", "--max-mb", "20", "--examples", "5000"]
    done = zoo("choose", *options)
    first = done.stdout.splitlines()[1]
    assert "bert-tiny" in first
    assert "pretrained weights to fine-tune; 877 parameters an example" in first
    assert done.stdout.rstrip().endswith("Next: zoo train language-id-bert")
    rows = json.loads(zoo("choose", *options, "--json").stdout)
    assert all(row["megabytes"] <= 20 for row in rows)
    assert "The smallest is 'bert-tiny': 17.54 MB" in (
        zoo("choose", "--task", "masked-lm", "--max-mb", "1").stderr
    )


def test_other_libraries_are_counted_and_listed_on_request() -> None:
    lines = zoo("models").stdout.splitlines()
    assert "And 40 of keras: zoo models 'keras/*'" in lines
    assert not any(line.startswith("keras/") for line in lines)
    assert "keras/resnet50v2" in zoo("models", "keras/resnet*").stdout


def test_no_name_and_no_number_is_cut() -> None:
    lines = zoo("models").stdout.splitlines()
    assert any(line.split()[:3] == ["llama-7b", "llama", "6,738,415,616"] for line in lines)
    assert any(line.startswith("vit-small-patch16-224 ") for line in lines)


@pytest.mark.parametrize(
    "command", ["models", "recipes", "datasets", "formats", "trackers", "launchers", "plugins"]
)
def test_every_listing_has_json(command: str) -> None:
    done = zoo(command, "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


def test_formats_lists_the_schemes_of_each() -> None:
    lines = zoo("formats").stdout.splitlines()
    assert lines[0].split() == ["NAME", "FROM", "NEEDS", "SUMMARY"]
    rows = {line.split()[0]: line for line in lines[1:] if line}
    assert "onnx:int8" in rows
    assert rows["tflite:int8"].split()[2] == "calibration"
    assert (
        rows["tflite:float16"]
        .rstrip()
        .endswith("weights in float16, computed in float32: half the bytes")
    )
    assert lines[-1] == "Next: zoo export RUN --to tflite:float16"
    (onnx,) = json.loads(zoo("formats", "onnx", "--json").stdout)
    assert onnx["schemes"][0] == {
        "name": "float16",
        "dtype": "float16",
        "calibrated": False,
        "summary": "weights and arithmetic in float16, float32 inputs and outputs",
    }


def test_show() -> None:
    done = zoo("show", "mnist-mlp")
    assert "118,282" in done.stdout
    assert "image: float32[batch, 28, 28, 1]" in done.stdout
    assert done.stdout.rstrip().endswith(
        "Next: zoo show mnist-mlp --batch 1, or zoo export mnist-mlp --to tflite"
    )
    spec = json.loads(zoo("show", "mnist-mlp", "--json").stdout)
    assert spec["num_params"] == 118_282
    assert spec["origin"]["distribution"] == "kerazoo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["show", "bert-tyni"],
            "error: There is no model 'bert-tyni'. Did you mean 'bert-tiny'? "
            "`zoo models` lists all.\n",
        ),
        (
            ["recipe", "digits-cn"],
            "error: There is no recipe 'digits-cn'. Did you mean 'digits-cnn'? "
            "`zoo recipes` lists all.\n",
        ),
        (["modles"], "Error: There is no command 'modles'. Did you mean 'models'?\n"),
        (["models", "--tsak", "x"], "Error: No such option '--tsak'"),
    ],
)
def test_wrong_use_is_one_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = zoo(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = zoo("show", "bert-tyni", "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_help_lists_every_command() -> None:
    from zoo.cli.main import COMMANDS

    done = zoo("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
        assert zoo(command, "--help").returncode == 0


def test_plugins_shows_what_is_broken_and_why(site) -> None:
    good = "def build():\n    import keras\n    x = keras.Input((2,))\n    return keras.Model(x, x)"
    for name, text in {
        "good": good,
        "broken": "import no_such_module",
        "wrong": "build = 3",
        "failing": "def build(): raise RuntimeError('no weights')",
    }.items():
        site.install(
            f"{name}-zoo", f"[zoo.models]\n{name} = {name}_zoo:build\n", **{f"{name}_zoo": text}
        )
    assert zoo("models").returncode == 0
    done = zoo("plugins")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("zoo.")}
    assert rows["good"].rstrip().endswith("1.0      ok")
    assert "broken: ModuleNotFoundError: No module named 'no_such_module'" in rows["broken"]
    assert "broken: TypeError: model 'wrong' is a int" in rows["wrong"]
    assert "broken: RuntimeError: no weights" in rows["failing"]
    assert "failing-zoo 1.0, zoo.models failing:\nTraceback" in done.stdout
    left_out = zoo("plugins", "--json", ZOO_PLUGINS="good-zoo,absent-zoo")
    listed = json.loads(left_out.stdout)
    # Our own distributions are plugins like any other, and are never left out.
    own = {"kerazoo-data", "kerazoo-runtime"}
    assert {row["status"] for row in listed if row["distribution"] in own} == {"ok"}
    others = [row for row in listed if row["distribution"] not in own]
    statuses = {row["name"]: row["status"] for row in others}
    assert statuses == {
        "good": "ok",
        "broken": "left out",
        "wrong": "left out",
        "failing": "left out",
    }
    assert "ZOO_PLUGINS names 'absent-zoo', which is not installed" in left_out.stderr
