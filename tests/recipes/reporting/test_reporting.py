"""What a run says of itself: its cost, its page, its model card and its log in MLflow."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from zoo import explain
from zoo.cli.main import cli
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.reporting import facts
from zoo_recipes.reporting.card import _license, card
from zoo_recipes.reporting.report import report
from zoo_recipes.run import INFO, StoppedError, load_run, read_run, write_json
from zoo_recipes.trackers.mlflow import store_of
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("runs")]
QUICK = ["fit.epochs=2", "dataset.train=train[:25%]"]


def stop_after_the_first(epoch, metrics):
    raise StoppedError


@pytest.fixture(scope="module")
def stopped_and_resumed(data_dir, tmp_path_factory):
    """What run.json held when the training stopped, and the run that went on from there."""
    folder = tmp_path_factory.mktemp("runs") / "digits-mlp"
    where = {"data_dir": data_dir, "verbose": False, "checkpoint_seconds": 0}
    recipe = with_overrides(resolve_recipe("digits-mlp"), QUICK)
    log = str(folder.parent / "log")
    with pytest.raises(StoppedError):
        train(recipe, out=folder, on_epoch=stop_after_the_first, energy="DEU", mlflow=log, **where)
    return read_run(folder).info, resume(folder, **where)


@pytest.fixture(scope="module")
def run(stopped_and_resumed):
    return stopped_and_resumed[1]


def test_what_goes_on_adds_to_the_cost(stopped_and_resumed):
    before, after = (info["cost"] for info in (stopped_and_resumed[0], stopped_and_resumed[1].info))
    assert 0 < before["seconds"] < after["seconds"] < 300
    assert 0 < before["cpu_seconds"] < after["cpu_seconds"]
    assert 100 < before["peak_memory_mb"] <= after["peak_memory_mb"]
    old, new = before["energy"], after["energy"]
    assert 0 < old["kwh"] < new["kwh"]
    assert sum(new["kwh_by_part"].values()) == pytest.approx(new["kwh"], rel=0.01)
    # Germany's grid gives some hundred grams a kilowatt hour.
    assert 0.1 < new["kg_co2eq"] / new["kwh"] < 1
    assert new["seconds"] == pytest.approx(after["seconds"], abs=1)
    assert new["country"] == "DEU"
    assert re.fullmatch(r"codecarbon [\d.]+: .*CPU (measured|estimated) \(.*", new["found_by"])
    assert [device["type"] for device in stopped_and_resumed[1].info["devices"]].count("CPU") == 1


def test_a_country_without_a_grid_is_refused_before_anything_is_written(tmp_path, data_dir):
    with pytest.raises(UsageError) as error:
        train("digits-mlp", out=tmp_path / "run", data_dir=data_dir, energy="deu")
    assert str(error.value) == (
        "Country 'deu' is not one whose grid is known: give the three capital letters of "
        "ISO 3166, such as DEU."
    )
    assert not (tmp_path / "run").exists()
    said = CliRunner().invoke(cli, ["train", "digits-mlp", "--energy"], env={})
    assert "--energy needs the country of whose grid it comes: --country DEU" in said.output


def test_mlflow_has_the_whole_training_in_one_run(stopped_and_resumed):
    from mlflow import MlflowClient

    before, run = stopped_and_resumed
    log = run.info["mlflow"]
    assert log == before["mlflow"]
    client = MlflowClient(tracking_uri=log["uri"])
    found = client.get_run(log["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.params["fit.epochs"] == "2"
    assert found.data.params["compile.optimizer.name"] == "adamw"
    assert found.data.metrics["test_accuracy"] == pytest.approx(run.metrics["accuracy"])
    losses = [point.value for point in client.get_metric_history(log["run_id"], "loss")]
    assert losses == pytest.approx(run.history["loss"])
    files = {path.name for path in run.path.iterdir() if path.is_file()}
    assert {file.path for file in client.list_artifacts(log["run_id"])} == files
    local = client.download_artifacts(log["run_id"], INFO)
    with Path(local).open(encoding="utf-8") as file:
        assert json.load(file)["status"] == "complete"


def test_a_server_that_is_not_there_costs_no_training(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    recipe = with_overrides(resolve_recipe("digits-mlp"), [*QUICK, "fit.epochs=1"])
    uri = "http://me:secret@127.0.0.1:9"
    with pytest.warns(UserWarning, match="MLflow at 'http://127.0.0.1:9' failed") as warned:
        run = train(recipe, out=tmp_path / "run", data_dir=data_dir, verbose=False, mlflow=uri)
    assert run.status == "complete"
    assert "secret" not in (run.path / INFO).read_text(encoding="utf-8")
    # Once when it began and once in the end, not for each epoch.
    assert sum("which itself has everything" in str(warning.message) for warning in warned) == 2


def test_where_mlflow_keeps_what(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = (f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri())
    assert store_of(".") == store_of("sqlite:///mlflow.db") == store_of(tmp_path.as_uri()) == here


class Links(HTMLParser):
    """Collects the addresses that a page names, and its text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data):
        self.text += data


def read_page(path):
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    assert all(address.startswith("data:image/png;base64,") for address in links.addresses)
    assert not {"script", "link", "iframe"} & set(links.tags)
    return links


def test_the_page_shows_the_run_and_what_was_found_out_about_it(run, tmp_path):
    image = tmp_path / "digit.png"
    Image.new("L", (8, 8), 200).save(image)
    explain(run, str(image), out=run.path / "explanations" / "grey")
    evaluation = run.path / "evaluations" / "keras-digits"
    evaluation.mkdir(parents=True)
    figures = {"metrics": {"f1_macro": 0.87}, "intervals": {"f1_macro": [0.8, 0.9]}}
    per_class = {"<i>seven</i>": {"recall": 0.625}, "eight": {}}
    write_json(evaluation / "evaluation.json", {**figures, "per_class": per_class})
    Image.new("RGB", (4, 4)).save(evaluation / "confusion.png")
    (run.path / "evaluations" / "broken").mkdir()
    (run.path / "evaluations" / "broken" / "evaluation.json").write_text("{", encoding="utf-8")

    page = read_page(report(run))
    assert len(page.addresses) == 1 + 3 + 1  # curves, the explanation's, the confusion matrix
    for said in (
        f"accuracy {run.metrics['accuracy']:.4f} on the test split",
        "fit.epochs 2 (not 40)",
        run.info["dataset"]["fingerprint"],
        "359 examples",
        "Resumedat epoch 1, step 6",
        f"{run.info['cost']['energy']['kwh']:.3g} kWh",
        "0.8000 to 0.9000",
        "<i>seven</i>0.625",
        "broken/evaluation.json is damaged",
        "Deletion area",
        f"zoo reproduce {run.path}",
    ):
        assert said in page.text
    settings = page.text[page.text.index("Settings") + len("Settings") :]
    assert tomllib.loads(settings)["name"] == "digits-mlp"


def test_a_run_that_failed_has_a_page_too(run, tmp_path):
    info = {**run.info, "status": "failed", "error": "no disk", "metrics": {}, "finished": None}
    for name in ("cost", "devices"):  # older versions did not record them
        del info[name]
    write_json(tmp_path / INFO, info)
    page = read_page(report(tmp_path, out=tmp_path / "page.html"))
    assert page.addresses == []
    assert "There is no result: the training failed: no disk." in page.text
    assert f"zoo train --resume {tmp_path}" in page.text


def test_the_card_is_one_of_the_hub_and_its_program_runs(run):
    from huggingface_hub import ModelCard, metadata_load

    said = CliRunner().invoke(cli, ["card", str(run.path)], catch_exceptions=False)
    assert said.output.splitlines()[0] == str(run.path / "README.md")
    data = metadata_load(run.path / "README.md")
    assert data["library_name"] == "keras"
    assert data["pipeline_tag"] == "image-classification"
    assert data["license"] == "cc-by-4.0"
    assert data["datasets"] == ["digits"]
    assert data["metrics"] == ["accuracy"]
    grams = run.info["cost"]["energy"]["kg_co2eq"] * 1000
    assert data["co2_eq_emissions"]["emissions"] == pytest.approx(grams)
    found = ModelCard.load(run.path / "README.md")
    results = {result.metric_type: result for result in found.data.eval_results}
    assert results["accuracy"].metric_value == run.metrics["accuracy"]
    assert (results["accuracy"].dataset_name, results["accuracy"].dataset_split) == (
        *("digits", "test"),
    )
    headings = re.findall(r"^## (.+)$", found.text, re.MULTILINE)
    assert headings == [
        *("How to use it", "Training data", "Training procedure", "Evaluation", "Limits"),
        *("Environmental impact", "Citation"),
    ]
    (program,) = re.findall(r"```python\n(.*?)```", found.text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=run.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\['\d', '\d', '\d'\]", done.stdout.strip())


def test_a_card_of_an_unfinished_run_is_refused(run, tmp_path):
    write_json(tmp_path / INFO, {**run.info, "status": "interrupted"})
    with pytest.raises(UsageError, match="was interrupted"):
        card(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("BSD-3-Clause (chatterbot-corpus)", {"license": "bsd-3-clause"}),
        ("CC-BY-NC-ND-4.0 (TED talks)", {"license": "cc-by-nc-nd-4.0"}),
        ("AG News: non-commercial", {"license": "other", "license_name": "ag-news-non-commercial"}),
    ],
)
def test_licences_in_the_words_of_the_hub(text, found):
    assert _license(text) == found


def test_what_came_out_is_held_against_what_was_promised(run):
    promised = run.recipe.expected
    for value, said in (
        (promised.value + 0.001, "accuracy 0.9890 on the test split: the 0.988 ± 0.015 that"),
        (promised.value - 0.1, "accuracy 0.8880 on the test split: 0.1000 below the 0.988 ± 0.015"),
    ):
        other = replace(run, info=replace(run.info, metrics={"accuracy": value}))
        assert facts.verdict(other).startswith(said)
    recipe = resolve_recipe("digits-mlp").to_dict()
    assert facts.changes(replace(run, info=replace(run.info, recipe=recipe))) == {}
    assert load_run(run.path).status == "complete"
