"""A table of one's own, from the rows of a CSV file to predictions in every runtime."""

import csv
import json

import numpy as np
import pytest

import zoo
from zoo import evaluate
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.training.training import train
from zoo_registry import UsageError

FORMATS = ("tflite", "onnx", "saved_model")


@pytest.fixture(scope="module")
def penguins():
    """Return rows as text: a number with gaps, a number with a decimal comma, a category."""
    rng = np.random.default_rng(0)
    rows = []
    for at in range(240):
        kind = ("adelie", "chinstrap", "gentoo")[at % 3]
        bill = rng.normal({"adelie": 38, "chinstrap": 49, "gentoo": 48}[kind], 1.5)
        island = rng.choice({"adelie": ["a", "b"], "chinstrap": ["b"], "gentoo": ["c"]}[kind])
        mass = 3000 + 700 * (kind == "gentoo") + 20 * bill + rng.normal(0, 50)
        rows.append(
            {
                "row id": at,
                "bill, mm": "NA" if at % 17 == 0 else f"{bill:.2f}".replace(".", ","),
                "isla/nd": island,
                "mass": f"{mass:.1f}".replace(".", ","),
                "species": kind,
            }
        )
    return rows


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(penguins, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    recipe = with_overrides(resolve_recipe("table-mlp"), ["fit.epochs=15"])
    return train(
        recipe,
        data=write(folder / "penguins.csv", penguins),
        columns={"label": "species"},
        out=folder / "run",
        data_dir=folder,
        verbose=False,
    )


@pytest.fixture(scope="module")
def bundle(run):
    return zoo.export(run.path, to=list(FORMATS), out=run.path.parent / "bundle")


def test_the_report_says_what_a_table_holds(run):
    report = inspect_data(run.recipe.dataset.name, {"label": "species"})
    assert report.kind == "rows of numbers and categories in classes"
    assert report.recipes[0] == "table-mlp"
    assert report.notes == [
        "column 'row id' is left out: it numbers the rows",
        "columns of numbers: bill, mm, mass",
        "columns of categories: isla/nd",
    ]
    assert report.refusal is None
    report = inspect_data(run.recipe.dataset.name, {"target": "mass"})
    assert report.recipes == ["table-regression"]


def test_rows_whose_class_is_likely_wrong(penguins, tmp_path):
    rows = [dict(row) for row in penguins]
    rows[2]["species"] = "adelie"
    path = write(tmp_path / "t.csv", rows)
    suspects = inspect_data(path, {"label": "species"}, label_errors=True).suspects
    assert (suspects[0].location, suspects[0].looks_like) == ("t.csv:4", "gentoo")


def test_columns_are_frozen_and_described(run, measured_again):
    dataset = run.recipe.dataset
    assert dataset.input == ("bill, mm", "isla/nd", "mass")
    assert dataset.columns == {"label": "species"}
    columns = json.loads((run.assets / "columns.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in columns] == list(dataset.input)
    assert columns[1]["categories"] == ["a", "b", "c"]
    assert columns[0]["gaps"]
    assert not columns[2]["gaps"]
    # The decimal comma is one: a bill of 47 mm, not of 4,700.
    assert 40 < columns[0]["mean"] < 50
    assert measured_again(run, data_dir=run.path.parent) == run.metrics


def test_as_good_as_scikit_learn_on_the_same_rows(run):
    from sklearn.ensemble import HistGradientBoostingClassifier

    dataset = run.recipe.dataset
    builder = open_dataset(dataset.name, **dataset.reading, data_dir=run.path.parent)
    parts = [
        read_split(builder, split, input=dataset.input, label="species")
        for split in ("train", "test")
    ]

    def numbers(rows):
        # Bill, island and mass.
        return [[float("nan") if b == "NA" else float(b), "abc".index(i), m] for b, i, m in rows]

    (x, y), (x_test, y_test) = [(numbers(part.raws), part.labels) for part in parts]
    trees = HistGradientBoostingClassifier(categorical_features=[1]).fit(np.float64(x), y)
    reference = trees.score(np.float64(x_test), y_test)
    assert reference > 0.9
    assert run.metrics["accuracy"] >= reference - 0.05


def test_a_slice_by_a_column_of_the_table(run):
    found = evaluate(run, slice_by="isla/nd", data_dir=run.path.parent)
    assert {group.name for group in found.groups.groups} <= {"a", "b", "c"}
    # On island c there are gentoos only, and there gentoos are all.
    rates = found.groups.rates["gentoo"]
    assert rates["c"].wanted == 1
    assert rates["b"].wanted == 0


def test_every_runtime_answers_as_keras_does_from_raw_rows(run, bundle, penguins, tmp_path, cli):
    rows = [row for row in penguins if row["bill, mm"] != "NA"][:20]
    raws = [
        {key: float(row[key].replace(",", ".")) for key in ("bill, mm", "mass")}
        | {"isla/nd": row["isla/nd"], "species": "whatever"}
        for row in rows
    ]
    labels = [prediction.label for prediction in bundle.predict(raws)]
    right = sum(label == row["species"] for label, row in zip(labels, rows, strict=True))
    assert right >= 18
    by_format = [[p.label for p in bundle.predict(raws, runtime=name)] for name in FORMATS]
    assert by_format[0] == by_format[1] == by_format[2]

    # From the file itself, commas and all.
    path = write(tmp_path / "new.csv", rows)
    told = json.loads(cli("predict", bundle.path, path, "--json").stdout)
    assert [row["label"] for row in told] == by_format[0]
    assert [row["location"] for row in told] == [f"new.csv:{n}" for n in range(2, 22)]
    one = cli("predict", bundle.path, json.dumps(raws[0]), "--json")
    assert json.loads(one.stdout)["label"] == by_format[0][0]
    # A gap, and an island that nobody has seen.
    odd = {"bill, mm": None, "isla/nd": "atlantis", "mass": "?"}
    assert bundle.predict(odd)[0].label in {"adelie", "chinstrap", "gentoo"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"bill, mm": 1, "island": "a", "mass": 2},
            "Input 0 has no column 'isla/nd'. Did you mean 'island'? It needs: bill, mm, isla/nd, "
            "mass.",
        ),
        (
            {"bill, mm": "long", "isla/nd": "a", "mass": 2},
            "Column 'bill, mm' holds numbers, and 'long' is not one.",
        ),
        (
            [1, 2],
            "Input 0 is 2 values: a row is a mapping of column to value, or one value for each of "
            "bill, mm, isla/nd, mass.",
        ),
    ],
)
def test_rows_that_cannot_be_taken(raw, message, bundle):
    with pytest.raises(UsageError) as caught:
        bundle.predict([raw])
    assert str(caught.value) == message


def test_a_few_new_rows_are_measured_as_the_run_reads_them(run, penguins, tmp_path):
    # So few that a column of them alone would look like something else.
    few = [{**row, "mass": "3500"} for row in penguins[1:9]]
    found = evaluate(run, data=write(tmp_path / "few.csv", few), data_dir=tmp_path)
    assert found.num_examples == 8
    few = [{key: row[key] for key in ("bill, mm", "mass", "species")} for row in few]
    with pytest.raises(UsageError, match=r"has no feature 'isla/nd' \(dataset.input\)"):
        evaluate(run, data=write(tmp_path / "less.csv", few), data_dir=tmp_path)


def test_recipes_that_do_not_take_a_table(run, pictures):
    path = run.recipe.dataset.name
    recipe = resolve_recipe("resume-bias")
    with pytest.raises(UsageError) as caught:
        on_custom_data(recipe, path, columns={"label": "species"})
    assert str(caught.value) == (
        f"Recipe 'resume-bias' has no preprocessing step 'table', and '{path}' holds rows of "
        "numbers and categories in classes. Recipes for them: table-mlp."
    )
    recipe = resolve_recipe("table-regression")
    with pytest.raises(UsageError) as caught:
        on_custom_data(recipe, path, columns={"label": "mass"})
    assert str(caught.value) == (
        f"Recipe 'table-regression' trains regression, and '{path}' holds rows of numbers and "
        "categories in classes, for classification. Its column 'mass' is taken for a class: "
        "--column target=mass says otherwise. Recipes for them: table-mlp."
    )
    with pytest.raises(UsageError, match="Recipe 'table-mlp' trains classification"):
        on_custom_data(resolve_recipe("table-mlp"), pictures)


def test_a_number_told_of_rows(penguins, tmp_path):
    rows = [{**row, "mass": row["mass"]} for row in penguins]
    recipe = with_overrides(resolve_recipe("table-regression"), ["fit.epochs=25"])
    run = train(
        recipe,
        data=write(tmp_path / "penguins.csv", rows),
        columns={"target": "mass"},
        out=tmp_path / "run",
        data_dir=tmp_path,
        verbose=False,
    )
    # The noise that nobody can tell is 50: r2 of a perfect model about .98.
    assert run.metrics["r2"] > 0.9
    assert run.metrics["rmse"] ** 2 == pytest.approx(run.metrics["loss"], rel=1e-4)
    bundle = zoo.export(run.path, to=["onnx"], out=tmp_path / "bundle")
    row = {"bill, mm": 38.0, "isla/nd": "a", "species": "adelie"}
    assert bundle.predict(row)[0].value == pytest.approx(3000 + 20 * 38, abs=150)
