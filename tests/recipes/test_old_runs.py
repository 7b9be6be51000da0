"""Run folders and model files that earlier versions left, and what they had become here.

``old_runs/0.1`` was trained by the first version (commit 53dec6d), ``old_runs/before_run_info`` by
the last one whose ``run.json`` no type described. ``bert_of_zoo_layers.keras`` was saved when the
layers were in ``zoo.layers``.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zoo_recipes.run import INFO, load_run, read_run
from zoo_registry import UsageError
from zoo_runtime.run_info import (
    Cost,
    Device,
    Energy,
    RunInfo,
    TeacherInfo,
    TrackerInfo,
    WeightsInfo,
    read_run_info,
)

OLD_RUNS = Path(__file__).parent / "old_runs"
OLD_FILE = Path(__file__).parents[1] / "zoo" / "bert_of_zoo_layers.keras"
ALL = ("0.1", "before_run_info")
# What the model answered where it was saved.
LOGITS = [-0.0016989564755931497, -0.0004421700141392648, -0.001517514232546091]


@pytest.mark.parametrize("name", ALL)
def test_a_run_of_an_earlier_version_is_loaded_with_its_model(name):
    run = load_run(OLD_RUNS / name)
    assert (run.status, run.recipe.name, run.info.task) == (
        *("complete", "digits-mlp"),
        "image-classification",
    )
    assert run.info.labels == tuple("0123456789")
    assert run.info.dataset.splits["test"].examples == 16
    assert run.info.workers == 1
    model = run.model()
    assert model.count_params() == run.info.model.num_params == 310
    with np.load(run.path / "examples.npz") as stored:
        right = model.predict(stored["x/image"], verbose=0).argmax(axis=1) == stored["y"]
    assert right.mean() == run.metrics["accuracy"]


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_says_what_was_read(name, tmp_path):
    """Every key of the file is there again, and nothing that the file's version would not read."""
    before = json.loads((OLD_RUNS / name / INFO).read_text(encoding="utf-8"))
    read_run_info(OLD_RUNS / name).write(tmp_path)
    after = json.loads((tmp_path / INFO).read_text(encoding="utf-8"))
    nothing = {"decoding": None, "workers": 1}
    assert said(after) == said({**nothing, **before})


def said(data):
    """Return the data without what says nothing."""
    if not isinstance(data, dict):
        return data
    found = {key: said(value) for key, value in data.items()}
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def test_all_that_a_training_may_say_is_written_and_read(tmp_path):
    info = read_run_info(OLD_RUNS / "before_run_info")
    weights = WeightsInfo(source="hf://a/b", sha256={"model.safetensors": "0a"})
    energy = Energy(kwh=0.1, kwh_by_part={"cpu": 0.1}, seconds=2.5, country="DEU", found_by="x")
    full = replace(
        info,
        model=replace(info.model, weights=weights),
        dataset=replace(info.dataset, own={"splits": "made"}),
        shared={"test": 3},
        truncated={"train": 2},
        devices=(Device(type="CPU", name="a"), Device(type="GPU", name="b")),
        cost=Cost(seconds=3, cpu_seconds=4.5, peak_memory_mb=8.0, energy=energy),
        resumed=("epoch 1, step 6",),
        restarts=({"cause": "worker 1", "from": "the beginning"},),
        teacher=TeacherInfo(sha256="0b"),
        mlflow={"uri": "http://localhost", "run_id": "c"},
        trackers={"diary": TrackerInfo(argument="a", note={"at": None})},
        other={"notes": ["mine"]},
    )
    full.write(tmp_path)
    assert read_run_info(tmp_path) == full
    assert dict(full) == json.loads((tmp_path / INFO).read_text(encoding="utf-8"))
    assert full["dataset"]["splits"]["test"]["examples"] == 16
    assert full["notes"] == ["mine"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ...}, "' is damaged: it has no 'labels'."),
        ({"model": {}}, "' is damaged: it has no 'model.name'."),
        ({"mlflow": [1]}, "' is damaged: mlflow cannot be [1]."),
        ({"cost": {"energy": {"kwh": True}}}, "' is damaged: cost.energy.kwh cannot be True."),
        ({"metrics": {"loss": float("nan")}}, "' is damaged: metrics.loss cannot be nan."),
        (
            {"trackers": {"a": {"note": {}}}},
            "' is damaged: run.json.trackers['a'] has no 'argument'.",
        ),
        ({"started": "2026-11-22T05:09:28"}, "' is damaged: started cannot be '2026-11-22T05:09:"),
        ({"license": "\ud800"}, "' is damaged: 'utf-8' codec can't encode character '\\ud800'"),
        ({"format_version": 99}, "' has format 99; this Kerazoo reads 1."),
    ],
)
def test_a_run_json_that_no_training_leaves(tmp_path, changes, said):
    data = {**json.loads((OLD_RUNS / "0.1" / INFO).read_text(encoding="utf-8")), **changes}
    data = {key: value for key, value in data.items() if value is not ...}
    (tmp_path / INFO).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UsageError) as error:
        load_run(tmp_path)
    assert said in str(error.value)


def test_the_readers_of_a_run_agree(tmp_path):
    """Weights, export and the run itself refuse the same file with the same words."""
    import zoo

    shutil.copytree(OLD_RUNS / "0.1", tmp_path / "run")
    data = json.loads((tmp_path / "run" / INFO).read_text(encoding="utf-8"))
    for text in (json.dumps({**data, "format_version": 99}), "{", json.dumps({**data, "task": 1})):
        (tmp_path / "run" / INFO).write_text(text, encoding="utf-8")
        told = set()
        for use in (
            lambda: read_run(tmp_path / "run"),
            lambda: zoo.export(tmp_path / "run", to="onnx", out=tmp_path / "bundle"),
            lambda: zoo.get_model("mnist-mlp", weights=tmp_path / "run"),
        ):
            with pytest.raises(UsageError) as error:
                use()
            told.add(str(error.value))
        assert len(told) == 1, told


def test_layers_are_found_wherever_their_modules_were(fresh_python):
    code = f"""
from pathlib import Path
import numpy as np
import zoo
from zoo_export.reading.keras_files import read_model
ids, mask = np.array([[1, 2, 3, 4]], "int32"), np.ones((1, 4), "int32")
inputs = {{"token_ids": ids, "padding_mask": mask}}
for load in (read_model, zoo.load_model):
    model = load(Path({str(OLD_FILE)!r}))
    np.testing.assert_allclose(np.asarray(model(inputs)), [{LOGITS}], atol=1e-6)
    print(type(model.layers[-1]).__name__, any(
        type(layer).__module__.startswith("zoo_models.layers") for layer in model.layers))
"""
    done = fresh_python(code)
    assert done.stdout.split() == ["Dense", "True"] * 2, done.stderr


def test_a_type_says_what_the_file_says():
    info = RunInfo(status="running", recipe={"name": "mine"})
    assert info["seed"] is None
    assert info.provenance["metrics"] == {}
    with pytest.raises(KeyError):
        info["nothing"]
