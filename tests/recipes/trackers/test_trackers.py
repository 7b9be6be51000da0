"""Trackers of plugins: one that works, and all that broken ones may do to a training."""

import json

import pytest
from click.testing import CliRunner

import zoo_registry
from zoo.cli.main import cli
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import StoppedError, read_run
from zoo_recipes.training.training import resume, train
from zoo_recipes.tuning.study import tune
from zoo_registry import PluginError, Registry, UnknownNameError, UsageError

QUICK = ["fit.epochs=2", "dataset.train=train[:25%]"]
DIARY = """
import json
from zoo import Tracker, UsageError

class Diary(Tracker):
    "What it is told, line by line in a file."

    def __init__(self, argument=""):
        super().__init__(argument.partition("?")[0])
        if not argument:
            raise UsageError("Tracker 'diary' needs a file: diary:log.jsonl.")

    def begin(self, run):
        self.run = run
        run.note["parts"] = run.note.get("parts", 0) + 1
        self.say(began=run.settings["name"], seed=run.settings["seed"])

    def epoch(self, number, metrics, ended):
        assert ended > 1e9
        self.say(epoch=number, loss=metrics["loss"])

    def update(self):
        self.run.note["updates"] = self.run.note.get("updates", 0) + 1

    def end(self, status):
        files = [path.name for path in self.run.files()]
        self.say(ended=status, metrics=self.run.metrics, files=files)
        self.run.note["page"] = "https://diary/1"

    def say(self, **words):
        with open(self.argument, "a") as file:
            file.write(json.dumps(words) + "\\n")
"""
BROKEN = """
import os, sys, time
from zoo import Tracker

class Begins(Tracker):
    def begin(self, run):
        print("hello")
        os.chdir("/")
        sys.exit(3)

class Epochs(Tracker):
    seen = []
    def epoch(self, number, metrics, ended):
        self.seen.append(number)
        metrics.clear()
        if len(self.seen) == 1:
            raise ConnectionError("gone for a while")

class Hangs(Tracker):
    late = False
    def epoch(self, number, metrics, ended):
        late, self.late = self.late, True
        time.sleep(0 if late else 600)

class Notes(Tracker):
    def begin(self, run):
        self.run = run
    def update(self):
        self.run.note = {"never": float("nan")}

class Ends(Tracker):
    def __init__(self, argument=""):
        "It does not even call ours."
    def end(self, status):
        raise KeyboardInterrupt

class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")

class Refuses(Tracker):
    def __init__(self, argument=""):
        raise Mute

def other(argument):
    return 3
"""
ENTRIES = "".join(
    f"{name} = broken_trackers:{name.capitalize()}\n"
    for name in ("begins", "epochs", "hangs", "notes", "ends", "refuses")
)


@pytest.fixture
def trackers(site, monkeypatch):
    """Install both plugins."""
    site.install("diary-zoo", "[zoo.trackers]\ndiary = diary:Diary\n", "1.2", diary=DIARY)
    broken = f"[zoo.trackers]\n{ENTRIES}other = broken_trackers:other\nnone = no_module:A\n"
    site.install("broken-zoo", broken, broken_trackers=BROKEN)
    registry = Registry("tracker", group="zoo.trackers", coerce="zoo_registry.specs:as_function")
    monkeypatch.setattr(zoo_registry, "trackers", registry)
    return registry


@pytest.fixture
def quick():
    return with_overrides(resolve_recipe("digits-mlp"), QUICK)


def stop_after_the_first(epoch, metrics):
    raise StoppedError


@pytest.mark.slow
def test_a_plugin_follows_a_training_and_goes_on_with_it(trackers, quick, tmp_path, data_dir):
    where = {"data_dir": data_dir, "verbose": False, "checkpoint_seconds": 0}
    log, folder = tmp_path / "log.jsonl", tmp_path / "run"
    asked = {"trackers": [f"diary:{log}?password=secret"], **where}
    with pytest.raises(StoppedError):
        train(quick, out=folder, on_epoch=stop_after_the_first, **asked)
    first = read_run(folder).info["trackers"]["diary"]
    assert (first["argument"], first["note"]["parts"]) == (str(log), 1)
    assert "secret" not in (folder / "run.json").read_text(encoding="utf-8")
    run = resume(folder, **where)  # by itself, as it began
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line.get("ended") for line in lines if "ended" in line] == ["interrupted", "complete"]
    losses = {line["epoch"]: line["loss"] for line in lines if "epoch" in line}
    assert [*losses.values()] == pytest.approx(run.history["loss"])
    assert lines[0] == {"began": "digits-mlp", "seed": 0}
    assert lines[-1]["metrics"] == run.metrics
    files = {path.name for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}
    assert set(lines[-1]["files"]) == files
    note = read_run(folder).info["trackers"]["diary"]["note"]
    assert (note["parts"], note["page"]) == (2, "https://diary/1")
    assert note["updates"] >= 2


@pytest.mark.slow
def test_broken_ones_harm_nothing(trackers, quick, tmp_path, data_dir, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = {"data_dir": data_dir, "verbose": False}
    plain = train(quick, out=tmp_path / "plain", **where)
    capfd.readouterr()
    names = ["begins", "epochs", "hangs", "notes", "ends"]
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "1")
    with pytest.warns(UserWarning, match="which itself has everything") as warned:
        run = train(quick, out="run", trackers=names, on_epoch=lambda *_: None, **where)
    assert capfd.readouterr().out == ""
    assert run.status == "complete"
    assert (run.metrics, run.history) == (plain.metrics, plain.history)
    messages = [str(each.message) for each in warned if "itself has" in str(each.message)]
    lacks = "failed, and lacks a part of run 'run', which itself has everything: "

    def told(name, reason):
        return f"Tracker '{name}' of 'broken-zoo' 1.0 {lacks}{reason}"

    ends = "would have ended this program"
    no_json = "ValueError: Out of range float values are not JSON compliant"
    # Of an epoch and of the clock, either may be the first.
    assert sorted(message.partition(": nan")[0] for message in messages) == [
        told("begins", f"RuntimeError: SystemExit: 3 {ends}"),
        told("begins", f"RuntimeError: SystemExit: 3 {ends}"),
        told("ends", f"RuntimeError: KeyboardInterrupt {ends}"),
        told("epochs", "ConnectionError: gone for a while"),
        told(
            "hangs", "TimeoutError: it took longer than 3 s (ZOO_PLUGIN_SECONDS sets another limit)"
        ),
        told("notes", no_json),
        told("notes", no_json),
    ]
    import broken_trackers

    # The one that could not be sent comes again, with all that it missed.
    assert broken_trackers.Epochs.seen == [0, 0, 1]
    assert {*run.info["trackers"]} == {"epochs", "hangs", "notes", "ends"}
    # A tracker that is gone does not keep a run from going on.
    with pytest.raises(StoppedError):
        train(quick, out="stopped", trackers=["ends"], on_epoch=stop_after_the_first, **where)
    monkeypatch.setattr(broken_trackers, "Ends", None)
    trackers._values.clear()
    with pytest.warns(UserWarning, match="the training goes on without a tracker: tracker 'ends'"):
        assert resume("stopped", **where).metrics == plain.metrics


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (["diry:x"], UnknownNameError, "There is no tracker 'diry'. Did you mean 'diary'? `zoo t"),
        (["diary"], UsageError, "Tracker 'diary' needs a file: diary:log.jsonl."),
        (["diary:x", "diary:y"], UsageError, "Tracker 'diary' is asked for twice: one training"),
        (["refuses"], PluginError, "Tracker 'refuses' of 'broken-zoo' 1.0 failed: Mute"),
        (["other"], PluginError, "TypeError: it made a int, not a Tracker"),
        (["none"], PluginError, "tracker 'none' of plugin 'broken-zoo' 1.0 cannot be used: Modu"),
        (["energy:deu"], UsageError, "Country 'deu' is not one whose grid is known"),
        (["mlflow"], UsageError, "Tracker 'mlflow' needs the URI of a store or a folder: mlflow:"),
        ("diary:x", UsageError, "trackers='diary:x' is not a list of texts, such as ['mlflow:logs"),
        ([3], UsageError, "trackers=[3] is not a list of texts"),
    ],
)
def test_what_cannot_follow_is_refused_before_anything_is_written(
    trackers, quick, tmp_path, data_dir, asked, error, message
):
    for call, more in ((train, {}), (tune, {"trials": 1})):
        with pytest.raises(error) as caught:
            call(quick, out=tmp_path / "out", data_dir=data_dir, trackers=asked, **more)
        assert message in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_the_command_line_names_them(trackers, tmp_path, data_dir):
    def say(*words):
        return CliRunner().invoke(cli, [*words])

    listed = json.loads(say("trackers", "--json").stdout)
    summaries = {row["name"]: (row["owner"], row["summary"]) for row in listed}
    assert {"energy", "mlflow"} <= {name for name, (by, _) in summaries.items() if by == "kerazoo"}
    assert summaries["diary"][0] == "diary-zoo"
    rows = json.loads(say("plugins", "--no-build", "--json").stdout)
    states = {row["name"]: (row["group"], row["status"], row["reason"]) for row in rows}
    assert states["diary"] == ("zoo.trackers", "ok", "")
    assert states["none"][:2] == ("zoo.trackers", "broken")
    assert "ModuleNotFoundError" in states["none"][2]
    training = ("train", "digits-mlp", "--out", str(tmp_path / "run"), "--data-dir", str(data_dir))
    twice = say(*training, "--mlflow", "logs", "--track", "mlflow:others")
    assert "'mlflow' is asked for twice" in str(twice.exception)
    alone = say(*training, "--workers", "2", "--track", "diary:x")
    assert "track does not go with workers that are launched here" in str(alone.exception)
    log = tmp_path / "log.jsonl"
    done = say(*training, "--set", "fit.epochs=1", "--track", f"diary:{log}", "--json")
    assert json.loads(done.stdout)["trackers"]["diary"]["argument"] == str(log)
    assert json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["ended"] == "complete"
