"""Any number of classes a row: how they are written, and what a recipe makes of them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from zoo import evaluate, export
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError

ROWS = (("a sad war film", ("drama", "war")), ("nothing", ()), ("tears, tears", ("drama",)))


def write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path, **columns):
    return layout_of(path).read(path, columns)


def as_table(classes_of):
    return ["text,genres", *(f'"{text}","{classes_of(names)}"' for text, names in ROWS)]


@pytest.mark.parametrize(
    ("name", "lines", "columns"),
    [
        ("bar.csv", as_table("|".join), {"labels": "genres"}),
        ("comma.csv", as_table(", ".join), {"labels": "genres"}),
        ("end.csv", as_table(lambda names: "".join(f"{n};" for n in names)), {"labels": "genres"}),
        ("space.csv", as_table(" ".join), {"labels": "genres"}),
        ("pandas.csv", as_table(lambda names: str(list(names))), {"labels": "genres"}),
        (
            "json.csv",
            as_table(lambda names: json.dumps(names).replace('"', '""')),
            {"labels": "genres"},
        ),
        (
            "columns.csv",
            [
                "id,drama,text,war",
                *(f'7,{int("drama" in n)},"{t}",{"war" in n}' for t, n in ROWS),
            ],
            {"labels": "drama,war"},
        ),
        ("named.jsonl", [json.dumps({"text": t, "labels": n}) for t, n in ROWS], {}),
        ("label.jsonl", [json.dumps({"text": t, "label": n}) for t, n in ROWS], {}),
        ("named.csv", [line.replace("genres", "labels") for line in as_table("|".join)], {}),
    ],
)
def test_classes_are_read_however_they_are_written(name, lines, columns, tmp_path):
    content = read(write(tmp_path / name, lines), **columns)
    assert content.kind.name == "texts with several classes each"
    assert [example.values["labels"] for example in content.examples] == [n for _, n in ROWS]
    assert [example.values["text"] for example in content.examples] == [t for t, _ in ROWS]
    assert content.features["labels"].feature.names == ["drama", "war"]
    assert not content.problems
    assert "1 rows are of no class" in content.notes


def test_columns_without_a_header(tmp_path):
    content = read(write(tmp_path / "t.csv", ["sad,1,0", "loud,0,1"]), text="1", labels="2,3")
    assert [example.values["labels"] for example in content.examples] == [("2",), ("3",)]


def test_what_is_no_class_is_told_by_its_line(tmp_path):
    lines = ["text,drama,war", "a,1,0", "b,maybe,1", "c,,0", "d,0,1"]
    content = read(write(tmp_path / "t.csv", lines), labels="drama,war")
    assert [str(problem) for problem in content.problems] == [
        "t.csv:3: column 'drama' holds 'maybe', not 0 or 1",
        "t.csv:4: column 'drama' is empty",
    ]
    cut = write(tmp_path / "l.jsonl", ['{"text": "a", "labels": "[1, "}', '{"text": "b"}'] * 2)
    assert not read(cut, labels="labels").problems
    bad = write(tmp_path / "b.jsonl", ['{"text": "a", "labels": [["x"]]}'] * 2)
    assert str(read(bad).problems[0]) == (
        "b.jsonl:1: column 'labels' holds lists or objects in a list, not classes"
    )
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "t.csv", labels="drama,wr")
    assert str(caught.value) == (
        f"'{tmp_path / 't.csv'}' has no column 'wr' (--column labels=drama,wr). Did you mean "
        "'war'? It has: text, drama, war."
    )


def test_one_class_with_a_mark_in_it_stays_one_and_is_told(tmp_path):
    path = write(tmp_path / "t.csv", ["text,label", "a,x|y", "b,x", "c,y", "d,x|y"])
    report = inspect_data(path)
    assert list(report.classes) == ["x", "x|y", "y"]
    assert report.notes == [
        "column 'label' is read as one class a row; --column labels=label parts it at '|'"
    ]
    assert list(inspect_data(path, {"labels": "label"}).classes) == ["x", "y"]


def test_pictures_with_several_classes_and_a_group_each(tmp_path):
    for number in range(4):
        Image.new("RGB", (9, 9), (number * 60, 9, 9)).save(tmp_path / f"{number}.png")
    lines = ["file_name,tags,patient", "0.png,a b,p", "1.png,,q", "2.png,b,p", "3.png,a,q"]
    write(tmp_path / "metadata.csv", lines)
    content = read(tmp_path, labels="tags", group="patient")
    assert content.kind.name == "images with several classes each"
    assert [e.values["labels"] for e in content.examples] == [("a", "b"), (), ("b",), ("a",)]
    assert [e.together for e in content.examples] == ["p", "q", "p", "q"]


def test_recipes_that_need_one_class_do_not_take_several(tmp_path):
    path = write(tmp_path / "t.csv", ["x,y,tags", *(f"{n},{n % 7},a|b" for n in range(30))])
    recipe = with_overrides(resolve_recipe("table-mlp"), ["fit.class_weight=balanced"])
    with pytest.raises(UsageError) as caught:
        on_custom_data(recipe, path, columns={"labels": "tags"})
    assert "It needs examples of one class each: fit.class_weight." in str(caught.value)
    put = on_custom_data(
        resolve_recipe("imdb-lstm"),
        write(tmp_path / "s.csv", as_table("|".join)),
        columns={"labels": "genres"},
    )
    assert (put.model.task, put.compile.loss.name) == ("multi-label", "binary_crossentropy")
    assert put.fit.keep_best == "val_f1_micro"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run on points whose classes are where they lie, and a bad row in the middle."""
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (300, 2))
    rows = [f"{x:.4f},{y:.4f},{int(x > 0)},{int(y > 0)},{int(x + y > 0)}" for x, y in points]
    rows.insert(100, "0.5,0.5,1,perhaps,1")
    path = write(folder / "points.csv", ["x,y,right,up,both", *rows])
    recipe = with_overrides(resolve_recipe("table-mlp"), ["fit.epochs=8", "fit.batch_size=16"])
    return train(
        recipe,
        data=path,
        columns={"labels": "right,up,both"},
        on_bad_record="report",
        out=folder / "run",
        data_dir=folder,
        verbose=False,
    )


def rows_by_line(run):
    folder = run.path.parent
    lines = (folder / "points.csv").read_text(encoding="utf-8").splitlines()
    return {f"points.csv:{at}": line.split(",") for at, line in enumerate(lines, 1)}


def test_figures_are_those_of_scikit_learn_on_the_rows_own_classes(run):
    folder = run.path.parent
    found = evaluate(run, data_dir=folder, examples=folder / "examples.csv")
    with (folder / "examples.csv").open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    names, rows = run.info["labels"], rows_by_line(run)
    wanted, given = (
        np.array([[name in json.loads(row[key]) for name in names] for row in answers])
        for key in ("labels", "predicted")
    )
    columns = ["x", "y", "right", "up", "both"]
    true = np.array(
        [[rows[row["location"]][columns.index(name)] == "1" for name in names] for row in answers]
    )
    assert (wanted == true).all()
    assert len(answers) == 30
    assert next(iter(found.metrics)) == "f1_micro"
    assert found.metrics["f1_micro"] == pytest.approx(f1_score(true, given, average="micro"))
    assert found.metrics["f1_macro"] == pytest.approx(f1_score(true, given, average="macro"))
    assert found.metrics["f1_micro"] > 0.9
    assert run.metrics["f1_micro"] == pytest.approx(found.metrics["f1_micro"])


@pytest.mark.filterwarnings("ignore:groups of")
def test_a_slice_by_one_of_the_classes_is_the_rows_own(run):
    """Where a class is the slice, one group is all of it and the other has none of it."""
    folder = run.path.parent
    found = evaluate(run, data_dir=folder, slice_by="right", examples=folder / "by.csv")
    with (folder / "by.csv").open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert {group.name for group in found.groups.groups} == {"0", "1"}
    assert all(("right" in json.loads(row["labels"])) == (row["group"] == "1") for row in answers)


def test_a_bundle_names_all_classes_of_a_raw_row(run):
    folder = run.path.parent
    bundle = export(run.path, to=["tflite"], out=folder / "bundle")
    assert bundle.manifest.labels == ("both", "right", "up")
    raws = [{"x": "0.9", "y": "0.9"}, {"x": "-0.9", "y": "-0.8"}, {"x": "0.9", "y": "-0.4"}]
    assert [set(answer.labels) for answer in bundle.predict(raws)] == [
        {"right", "up", "both"},
        set(),
        {"right", "both"},
    ]


def test_a_recipe_of_classes_tells_numbers_where_somebody_says_so(tmp_path):
    path = write(tmp_path / "t.csv", ["x,y,mass", *(f"{n},{n % 7},{2 * n}.5" for n in range(60))])
    put = on_custom_data(resolve_recipe("table-mlp"), path, columns={"target": "mass"})
    assert (put.model.task, put.compile.loss.name) == ("regression", "mse")
    with pytest.raises(UsageError, match="trains image-classification"):
        on_custom_data(resolve_recipe("digits-cnn"), path, columns={"target": "mass"})
    texts = write(tmp_path / "s.csv", ["text,stars", *(f"film {n},{n}.5" for n in range(60))])
    with pytest.raises(UsageError, match="holds texts with a number each"):
        on_custom_data(resolve_recipe("movie-reviews-minilm"), texts)
    put = on_custom_data(resolve_recipe("movie-reviews-minilm"), texts, columns={"target": "stars"})
    assert (put.model.task, put.fit.keep_best) == ("text-regression", "val_loss")
    run = train(
        with_overrides(resolve_recipe("table-mlp"), ["fit.epochs=1", "model.hidden_dims=[4]"]),
        data=path,
        columns={"target": "mass"},
        out=tmp_path / "run",
        data_dir=tmp_path,
        verbose=False,
    )
    assert run.model().output_names == ["value"]
    assert {"mae", "rmse", "r2"} <= set(run.metrics)
