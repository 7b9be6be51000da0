"""Every value of a table belongs to the example of its own record, whatever the data are."""

import json
from dataclasses import replace

import numpy as np
import pyarrow
import pytest
import soundfile
from PIL import Image
from pyarrow import parquet

import zoo_registry
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.evaluation.evaluating import file_column, values_of
from zoo_recipes.evaluation.examples import read_for
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import Run
from zoo_runtime.run_info import RunInfo

COUNT = 120
LABELS = [f"class {number}" for number in np.random.default_rng(1).integers(0, 3, COUNT)]
BAD = (4, 77)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def table_of_texts(folder):
    lines = [f'"a text\nnumber {number}",{label}' for number, label in enumerate(LABELS)]
    lines[4], lines[77] = "too,many,columns", ",class 0"
    path = write(folder / "texts.csv", ["text,label", *lines])
    copy = write(folder / "copy.csv", ["text,label", *lines])
    return path, "imdb-lstm", [f"{path}:label", "label", f"{copy}:label"]


def tab_separated(folder):
    lines = [f"text {number}\t{label}" for number, label in enumerate(LABELS)]
    lines[4], lines[77] = "one", "one\ttwo\tthree"
    path = write(folder / "texts.tsv", lines)
    return path, "imdb-lstm", [f"{path}:2", "2"]


def lines_of_json(folder):
    rows = [{"review": f"text {n}", "stars": label} for n, label in enumerate(LABELS)]
    lines = [json.dumps(row) for row in rows]
    lines[4], lines[77] = "{", ""
    path = write(folder / "texts.jsonl", lines)
    return path, "imdb-lstm", [f"{path}:stars", "stars"]


def columns_in_parquet(folder):
    texts = [None if n in BAD else f"text {n}" for n in range(COUNT)]
    path = folder / "texts.parquet"
    parquet.write_table(pyarrow.table({"text": texts, "label": LABELS}), path)
    return path, "imdb-lstm", [f"{path}:label", "label"]


def tables_of_splits(folder):
    for part, numbers in (("train", range(80)), ("val", range(80, 100)), ("test", range(100, 120))):
        lines = [f"text {n},{LABELS[n]}" for n in reversed(numbers)]
        write(folder / "tables" / f"{part}.csv", ["text,label", *lines, ",empty"])
    beside = write(
        folder / "beside.csv", ["g", *[LABELS[n] for n in reversed(range(100, 120))], "x"]
    )
    test = folder / "tables" / "test.csv"
    return folder / "tables", "imdb-lstm", ["label", f"{test}:label", f"{beside}:g"]


def a_column_of_splits(folder):
    splits = ["train", "test", "val", "train"]
    lines = [f"text {n},{label},{splits[n % 4]}" for n, label in enumerate(LABELS)]
    lines[4] = "text,class 0,nowhere"
    path = write(folder / "texts.csv", ["text,label,split", *lines])
    beside = write(folder / "beside.csv", ["g", *LABELS])
    return path, "imdb-lstm", ["label", f"{path}:label", f"{beside}:g"]


def pictures(folder):
    rng = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(LABELS):
        file = folder / "pictures" / label / f"{(number * 7919) % 1000:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(file)
        if number in BAD:
            file.write_bytes(b"no picture")
        rows.append((str(file.relative_to(folder / "pictures")), label))
    whole = write(folder / "a.csv", ["file,g", *(f"{name},{label}" for name, label in rows)])
    short = [f"{name.split('/')[1]},{label}" for name, label in rows]
    bare = write(folder / "b.csv", ["id,g", *(line.replace(".png", "") for line in short)])
    by_order = write(folder / "c.csv", ["g", *(label for _, label in sorted(rows))])
    return folder / "pictures", "digits-mlp", ["label", f"{whole}:g", f"{bare}:g", f"{by_order}:g"]


def arrays(folder):
    x = 255 * np.random.default_rng(0).random((COUNT, 8, 8)).astype(np.float32)
    x[list(BAD)] = np.nan
    np.savez(folder / "own.npz", x=x, y=np.asarray(LABELS))
    table = write(folder / "y.csv", ["y", *LABELS])
    return folder / "own.npz", "digits-mlp", ["y", f"{table}:y"]


def arrays_of_splits(folder):
    x = np.random.default_rng(0).integers(0, 255, (COUNT, 8, 8)).astype(np.uint8)
    y = np.asarray(LABELS)
    parts = {"x_train": x[:90], "y_train": y[:90], "x_test": x[90:], "y_test": y[90:]}
    np.savez(folder / "own.npz", **parts)
    table = write(folder / "y.csv", ["y", *LABELS[90:]])
    return folder / "own.npz", "digits-mlp", ["y", f"{table}:y"]


def sounds(folder):
    for number, label in enumerate(LABELS):
        file = folder / "sounds" / label / f"{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.full(80, number / 200), 8000)
        if number in BAD:
            file.write_bytes(b"no sound")
    named = write(
        folder / "a.csv", ["g,name", *(f"{label},{n}.wav" for n, label in enumerate(LABELS))]
    )
    return folder / "sounds", "asterisk-ds-cnn", ["label", f"{named}:g"]


def pairs_in_files(folder):
    sources = [f"a text {label}|{n}" for n, label in enumerate(LABELS)]
    targets = ["" if n == 4 else f"to {label}|{n}" for n, label in enumerate(LABELS)]
    write(folder / "pairs" / "all.src", sources)
    path = write(folder / "pairs" / "all.tgt", targets)
    path.write_bytes(path.read_bytes().replace(b"|77", b"\xff"))
    table = write(folder / "g.csv", ["g", *LABELS])
    return folder / "pairs", "g2p-transformer", [f"{table}:g"]


def pairs_in_a_table(folder):
    lines = [f"a {label}|{n},to {label}|{n},{label}" for n, label in enumerate(LABELS)]
    lines[4] = "only,two"
    path = write(folder / "pairs.csv", ["source,target,kind", *lines])
    return path, "g2p-transformer", ["kind", f"{path}:kind"]


def tagged_words(folder):
    lines = [f"word{n} O\nthing {label.replace(' ', '_')}\n" for n, label in enumerate(LABELS)]
    lines[4] = "word4 O\nthing\n"
    path = write(folder / "words.conll", lines)
    table = write(folder / "g.csv", ["g", *LABELS])
    return path, "brown-tagger", [f"{table}:g"]


def ratings(folder):
    lines = [f"u{n % 20},i{n // 20},{label.split()[1]},{label}" for n, label in enumerate(LABELS)]
    lines[4] = "u4,i0,none,class 1"
    path = write(folder / "ratings.csv", ["user,item,rating,kind", *lines])
    return path, "movielens-factorization", ["kind", f"{path}:kind"]


def boxes(folder):
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (folder / "farm").mkdir()
    for number, label in enumerate(LABELS):
        name = f"{(number * 7919) % 1000}.png"
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / "farm" / name)
        images.append({"id": number, "file_name": name, "width": 16, "height": 16})
        size = 99 if number in BAD else 8
        kind = int(label.split()[1])
        annotations.append(
            {"id": number, "image_id": number, "category_id": kind, "bbox": [1, 1, size, 8]}
        )
    categories = [{"id": number, "name": f"class {number}"} for number in range(3)]
    found = {"images": images, "annotations": annotations, "categories": categories}
    write(folder / "farm" / "instances.json", [json.dumps(found)])
    rows = [f"{image['file_name']},{label}" for image, label in zip(images, LABELS, strict=True)]
    table = write(folder / "g.csv", ["picture,g", *rows])
    return folder / "farm", "mnist5k-scenes-centernet", [f"{table}:g"]


def class_texts(folder):
    for number, label in enumerate(LABELS):
        text = b"" if number in BAD else b"caf\xe9 number %d" % number
        file = folder / "texts" / label / f"{(number * 7919) % 1000}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    rows = [f"{label},{(n * 7919) % 1000}.txt" for n, label in enumerate(LABELS)]
    table = write(folder / "g.csv", ["g,file", *rows])
    return folder / "texts", "imdb-lstm", ["label", f"{table}:g"]


def pictures_in_a_table(folder):
    rng = np.random.default_rng(0)
    (folder / "table" / "images").mkdir(parents=True)
    for number in range(COUNT):
        pixels = rng.integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "table" / "images" / f"{number}.png")
    rows = [f"{n}.png;{label}" for n, label in enumerate(LABELS)]
    rows[4], rows[77] = "gone.png;class 0", "one cell"
    labels = write(folder / "table" / "labels.csv", ["image;label", *reversed(rows)])
    return folder / "table", "digits-mlp", ["label", f"{labels}:label"]


def yolo(folder):
    rng = np.random.default_rng(0)
    for number, label in enumerate(LABELS):
        pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
        file = folder / "farm" / "images" / f"{(number * 7919) % 1000:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        box = "2" if number in BAD else f"{label[-1]} 0.5 0.5 0.25 0.25"
        write(folder / "farm" / "labels" / f"{file.stem}.txt", [box])
    write(folder / "farm" / "classes.txt", sorted(set(LABELS)))
    rows = [f"{(n * 7919) % 1000:03d}.txt,{label}" for n, label in enumerate(LABELS)]
    table = write(folder / "g.csv", ["file,g", *rows])
    elsewhere = write(folder / "h.csv", ["g,path", *(f"{r[-7:]},/home/ann/{r[:-8]}" for r in rows)])
    by_order = write(folder / "i.csv", ["g", *(row[-7:] for row in sorted(rows))])
    slices = [f"{table}:g", f"{elsewhere}:g", f"{by_order}:g"]
    return folder / "farm", "mnist5k-scenes-centernet", slices


def rows_of_numbers(folder):
    lines = [f"{n},5;{n % 7};{label}" for n, label in enumerate(LABELS)]
    lines[4], lines[77] = "7;8", "inf;1;class 0"
    path = write(folder / "rows.csv", ["size;number;kind", *lines])
    return path, "table-mlp", ["kind", f"{path}:kind"]


def json_array(folder):
    rows = [{"text": f"a text {n}", "label": label} for n, label in enumerate(LABELS)]
    rows[4], rows[77] = 5, {"text": "", "label": "class 0"}
    path = write(folder / "texts.json", [json.dumps(rows)])
    return path, "imdb-lstm", ["label", f"{path}:label"]


def told(examples, classes):
    """Return the label that each example holds itself."""
    if examples.labels is None:
        return None
    found = []
    for raw, label in zip(examples.raws, examples.labels, strict=True):
        if isinstance(label, dict):
            found.append(classes[int(label["label"][0])])
        elif isinstance(label, str | np.str_):
            found.append(str(label).removeprefix("to ").split("|")[0])
        elif np.ndim(label) == 1:
            found.append(classes[int(label[1])].replace("_", " "))
        elif isinstance(raw, tuple):
            found.append(f"class {int(label)}")
        else:
            found.append(classes[int(label)])
    return found


@pytest.mark.parametrize(
    "make",
    [
        table_of_texts,
        tab_separated,
        lines_of_json,
        columns_in_parquet,
        tables_of_splits,
        a_column_of_splits,
        pictures,
        arrays,
        arrays_of_splits,
        sounds,
        pairs_in_files,
        pairs_in_a_table,
        tagged_words,
        ratings,
        boxes,
        class_texts,
        pictures_in_a_table,
        yolo,
        rows_of_numbers,
        json_array,
    ],
)
def test_the_label_as_the_slice_of_itself(make, tmp_path, data_dir):
    path, name, slices = make(tmp_path)
    # Prepared under one name, measured under another one.
    moved = path.rename(path.with_name(f"moved{path.suffix}"))
    columns = {"text": "1", "label": "2"} if path.suffix == ".tsv" else {}
    columns = {"label": "kind"} if path.stem == "rows" else columns
    recipe = on_custom_data(resolve_recipe(name), moved, columns=columns, on_bad_record="report")
    open_dataset(str(moved), **recipe.dataset.reading, data_dir=data_dir)
    moved.rename(path)
    recipe = replace(recipe, dataset=replace(recipe.dataset, name=str(path)))
    spec = zoo_registry.models.get(recipe.model.name)
    task = recipe.model.task or spec.tasks[0]
    run = Run(tmp_path, RunInfo(status="complete", recipe=recipe.to_dict(), task=task))
    for word in slices:
        read = read_for(
            run,
            split=None,
            data=None,
            columns=None,
            group=None if file_column(word) else word,
            other_data=False,
            data_dir=data_dir,
        )
        wanted = told(read.examples, read.examples.classes)
        assert len(set(wanted)) > 1
        assert [str(value) for value in values_of(read, word)] == wanted, word
    if path.stem == "rows":
        # A decimal comma is one here too: numbers of many values are put into four groups.
        sizes = [float(raw[0].replace(",", ".")) for raw in read.examples.raws]
        assert [float(size) for size in values_of(read, f"{path}:size")] == sizes
