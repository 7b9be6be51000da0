"""Layouts that people have: every example is of the file, the line and the label that it stands in.

The files are written by hand here, so that what is right is known without reading them.
"""

import gzip
import json
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from zoo_recipes.custom_data.columns import DATES
from zoo_recipes.custom_data.images import pixels as pixels_of
from zoo_recipes.custom_data.layouts import layout_of
from zoo_registry import UsageError

RED, GREEN, BLUE = (200, 30, 30), (30, 102, 30), (20, 20, 220)


def read(path, **columns):
    layout = layout_of(path)
    content = layout.read(path, columns)
    assert layout.kind(path, columns) == content.kind
    return content


def told(content):
    """Return place and label of each example."""
    label = content.kind.label
    return {example.location: example.values[label] for example in content.examples}


def splits(content):
    return {example.location: example.split for example in content.examples}


def problems(content):
    return [str(problem) for problem in content.problems]


def paint(file, colour=RED, size=(6, 4)):
    file.parent.mkdir(parents=True, exist_ok=True)
    # No two pictures are the same: in one corner stands the hash of the name.
    image = Image.new("RGB", size, colour)
    image.putpixel((0, 0), tuple(crc32(file.name.encode()) >> shift & 255 for shift in (0, 8, 16)))
    image.save(file)
    return file


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refused(path, **columns):
    with pytest.raises(UsageError) as caught:
        read(path, **columns)
    return str(caught.value)


def test_folders_of_splits_with_words_around_them_as_intel_scenes_have(tmp_path):
    for part in ("seg_train", "seg_test"):
        for label, colour in (("sea", BLUE), ("forest", GREEN)):
            paint(tmp_path / part / part / label / f"{label}-{part}.png", colour)
    paint(tmp_path / "seg_pred" / "seg_pred" / "7.png")
    content = read(tmp_path)
    assert told(content) == {
        f"{part}/{part}/{label}/{label}-{part}.png": label
        for part in ("seg_train", "seg_test")
        for label in ("sea", "forest")
    }
    assert {place.split("/")[0]: split for place, split in splits(content).items()} == {
        "seg_train": "train",
        "seg_test": "test",
    }
    assert content.notes == ["seg_pred/ is left out: its 1 files have no class"]
    assert content.features["label"].names == ["forest", "sea"]


def test_folders_that_are_no_classes(tmp_path):
    paint(tmp_path / "a" / "train" / "cat" / "1.png")
    paint(tmp_path / "a" / "train" / "dog" / "2.png")
    paint(tmp_path / "a" / "test" / "3.png")
    content = read(tmp_path / "a")
    assert told(content) == {"train/cat/1.png": "cat", "train/dog/2.png": "dog"}
    assert content.notes == ["test/ is left out: its 1 files have no class"]

    paint(tmp_path / "a" / "extra" / "cat" / "4.png")
    assert refused(tmp_path / "a") == (
        f"'{tmp_path / 'a'}' has folders named after splits (train) and others beside them "
        "(extra): take these out, or name all after train, validation and test."
    )
    for part in ("train", "test"):
        paint(tmp_path / "b" / part / f"{part}.png")
    assert refused(tmp_path / "b").startswith(
        f"'{tmp_path / 'b'}' has folders named after splits (test, train) and no folders of classes"
    )
    for part in ("images", "masks"):
        paint(tmp_path / "c" / part / "1.png")
    assert refused(tmp_path / "c") == (
        f"'{tmp_path / 'c'}' has the folders images, masks, which are not classes, and they are "
        "not laid out as YOLO, COCO or Pascal VOC have boxes: YOLO needs data.yaml or classes.txt "
        "beside images/ and labels/. There is no task here that learns masks."
    )
    for name in ("cat", "dog", "test"):
        paint(tmp_path / "d" / name / f"{name}.png")
    assert "a split with no folders of classes in it, or a class?" in refused(tmp_path / "d")
    # Vehicles: a train is a class like any other.
    for name in ("car", "bus", "train"):
        paint(tmp_path / "e" / name / f"{name}.png")
    assert set(told(read(tmp_path / "e")).values()) == {"car", "bus", "train"}


def test_masks_beside_pictures_are_no_pictures(tmp_path):
    for label in ("benign", "malignant"):
        paint(tmp_path / label / f"{label} (1).png")
        paint(tmp_path / label / f"{label} (1)_mask.png")
    content = read(tmp_path)
    assert told(content) == {f"{label}/{label} (1).png": label for label in ("benign", "malignant")}
    assert problems(content)[0] == (
        "benign/benign (1)_mask.png: looks like the mask of benign (1).png, and no task here "
        "learns masks"
    )


def yolo(folder):
    for name in ("train/images/a", "train/images/b", "valid/images/c"):
        paint(folder / f"{name}.jpg", size=(200, 100))
    write(folder / "train/labels/a.txt", "1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.1 0.1\n")
    write(folder / "valid/labels/c.txt", "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    write(folder / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n")
    return folder


def test_yolo(tmp_path):
    content = read(yolo(tmp_path / "farm"))
    found = {
        example.location: [
            (box.label, *(round(x) for x in (box.left, box.top, box.right, box.bottom)))
            for box in example.values["objects"].boxes
        ]
        for example in content.examples
    }
    # The centre, width and height in fractions of 200x100; the second has no list, so no boxes.
    assert found == {
        "train/images/a.jpg": [("dog", 80, 30, 120, 70), ("cat", 10, 5, 30, 15)],
        "train/images/b.jpg": [],
        "valid/images/c.jpg": [("cat", 50, 25, 150, 75)],
    }
    assert splits(content) == {
        "train/images/a.jpg": "train",
        "train/images/b.jpg": "train",
        "valid/images/c.jpg": "validation",
    }
    assert problems(content) == []
    # As coco128.yaml says it: what is trained on is measured too, which is not a split.
    write(
        tmp_path / "farm/data.yaml", "train: train/images\nval: train/images\nnames: [cat, dog]\n"
    )
    assert set(splits(read(tmp_path / "farm")).values()) == {"train", "validation"}
    assert splits(read(tmp_path / "farm"))["train/images/a.jpg"] == "train"


def test_what_is_wrong_with_yolo(tmp_path):
    folder = yolo(tmp_path / "farm")
    write(folder / "train/labels/a.txt", "2 0.5 0.5 0.2 0.4\n0 120 40 30 20\n0 0.5\nx\n")
    write(folder / "train/labels/zz.txt", "0 0.5 0.5 0.2 0.4\n")
    assert problems(read(folder)) == [
        "train/labels/a.txt:1: class 2 is none of the 2 that are named",
        "train/labels/a.txt:2: is in pixels: boxes of YOLO are fractions of the image, 0 to 1",
        "train/labels/a.txt:3: has 2 numbers, not a class and x, y, width and height",
        "train/labels/a.txt:4: is not a box: x",
        "train/labels/zz.txt: there is no image of that name",
    ]
    (folder / "data.yaml").unlink()
    assert "which are not classes" in refused(folder)
    write(folder / "classes.txt", "cat\ndog\n")
    assert read(folder).features["objects"].feature["label"].names == ["cat", "dog"]


def test_pictures_with_a_table(tmp_path):
    for name in ("ab12", "cd34", "ef56"):
        paint(tmp_path / "dogs" / "train" / f"{name}.jpg")
    write(tmp_path / "dogs" / "labels.csv", "id,breed\nab12,boxer\ncd34,poodle\nxx,boxer\n")
    content = read(tmp_path / "dogs")
    assert told(content) == {"labels.csv:2": "boxer", "labels.csv:3": "poodle"}
    assert problems(content) == ["labels.csv:4: there is no image 'xx'"]
    assert content.notes == ["1 images are left out: no row names them"]

    # The imagefolder of Hugging Face: a table in the folder of each split.
    rows = {"train": [("1.png", 0.5), ("2.png", 3)], "test": [("3.png", -1.25)]}
    for part, pairs in rows.items():
        for name, _ in pairs:
            paint(tmp_path / "hf" / part / name)
        lines = [json.dumps({"file_name": name, "age": age}) for name, age in pairs]
        write(tmp_path / "hf" / part / "metadata.jsonl", "\n".join(lines))
    content = read(tmp_path / "hf", target="age")
    assert content.kind.tasks[0] == "image-regression"
    assert told(content) == {
        "test/metadata.jsonl:1": -1.25,
        "train/metadata.jsonl:1": 0.5,
        "train/metadata.jsonl:2": 3.0,
    }
    assert splits(content)["test/metadata.jsonl:1"] == "test"

    write(tmp_path / "dogs" / "labels.csv", "id,breed,age\nab12,boxer,3\ncd34,poodle,4\n")
    assert set(told(read(tmp_path / "dogs")).values()) == {"boxer", "poodle"}
    write(tmp_path / "dogs" / "labels.csv", "id,owner,age\nab12,Ann,3\ncd34,Bo,4\n")
    assert refused(tmp_path / "dogs") == (
        f"'{tmp_path / 'dogs' / 'labels.csv'}' has the columns id, owner, age: say which is the "
        "class of an image, such as --column label=breed, or the number to be predicted, "
        "--column target=age."
    )


def test_captions_are_no_classes(tmp_path):
    for name in ("1", "2"):
        paint(tmp_path / f"{name}.jpg")
    write(tmp_path / "metadata.csv", "file_name,text\n1.jpg,a cat\n2.jpg,a cat\n")
    assert "say which is the class of an image" in refused(tmp_path)
    assert set(told(read(tmp_path, label="text")).values()) == {"a cat"}


def test_tables_of_a_contest(tmp_path):
    for name in ("train/1", "train/2", "test/3"):
        paint(tmp_path / f"{name}.jpg")
    write(tmp_path / "train.csv", "id,label\n1,cat\n2,dog\n")
    write(tmp_path / "test.csv", "id\n3\n")
    # What everybody is to hand in is not a label.
    write(tmp_path / "sample_submission.csv", "id,label\n3,0.5\n")
    content = read(tmp_path)
    assert told(content) == {"train.csv:2": "cat", "train.csv:3": "dog"}
    assert content.notes == ["1 images are left out: no row names them"]
    (tmp_path / "train.csv").unlink()
    (tmp_path / "test.csv").unlink()
    assert "folders named after splits (test, train) and no folders of classes" in refused(tmp_path)


def test_class_folders_of_texts(tmp_path):
    for part in ("train", "test"):
        for label in ("pos", "neg"):
            write(tmp_path / "imdb" / part / label / "0_9.txt", f"A {label} film of {part}.")
    write(tmp_path / "imdb" / "train" / "unsup" / "1_0.txt", "Who knows?")
    content = read(tmp_path / "imdb")
    assert {
        (e.location, e.split, e.values["text"], e.values["label"]) for e in content.examples
    } == {
        (f"{part}/{label}/0_9.txt", part, f"A {label} film of {part}.", label)
        for part in ("train", "test")
        for label in ("pos", "neg")
    }
    assert content.notes == ["train/unsup/ is left out: its 1 files have no class"]
    assert "causal-lm" in content.kind.tasks
    # Newsgroups: no suffix, an encoding of old.
    for label, text in (("sci.space", "Caf\xe9"), ("rec.autos", "Motor")):
        write(tmp_path / "news" / label / "49960", text.encode("latin-1"))
    content = read(tmp_path / "news")
    assert told(content) == {"rec.autos/49960": "rec.autos", "sci.space/49960": "sci.space"}
    assert content.examples[1].values["text"] == "Café"
    # One folder of texts has no classes.
    write(tmp_path / "books" / "austen" / "emma.txt", "Emma Woodhouse, handsome, clever, and rich.")
    assert read(tmp_path / "books").kind.name == "passages of plain text"


def squad(text, start, **more):
    asked = {"id": "1", "question": "Who?", "answers": [{"text": text, "answer_start": start}]}
    paragraph = {"context": "Ada wrote it. Bob read it.", "qas": [{**asked, **more}]}
    return {"version": "1.1", "data": [{"title": "T", "paragraphs": [paragraph]}]}


def test_squad(tmp_path):
    content = read(write(tmp_path / "squad.json", json.dumps(squad("Bob", 14))))
    (example,) = content.examples
    assert example.location == "squad.json:1"
    assert example.values == {
        "question": "Who?",
        "context": "Ada wrote it. Bob read it.",
        "answers": {"text": ["Bob"], "answer_start": [14]},
    }
    assert content.kind.tasks == ("question-answering",)
    content = read(write(tmp_path / "squad.json", json.dumps(squad("Bob", 13))))
    assert problems(content) == ["squad.json:1: answer 'Bob' should be at 13: there is ' Bo'"]
    content = read(write(tmp_path / "squad.json", json.dumps(squad("", 0, is_impossible=True))))
    assert content.notes == ["1 questions have no answer: nothing is learned from them"]
    row = {"id": 7, "question": "Who?", "context": "Ada.", "answers": {"text": ["Ada"]}}
    row["answers"]["answer_start"] = [0]
    content = read(write(tmp_path / "hf.jsonl", json.dumps(row)))
    assert told(content) == {"hf.jsonl:1": {"text": ["Ada"], "answer_start": [0]}}
    assert content.notes == ["columns that are not read: id"]


def test_pairs_of_texts_in_classes(tmp_path):
    lines = ["sentence1,sentence2,gold_label", "It rains.,It is wet.,entailment", "A,B,-"]
    content = read(write(tmp_path / "snli.csv", "\n".join(lines)))
    assert content.kind.input == ("premise", "hypothesis")
    assert told(content) == {"snli.csv:2": "entailment"}
    assert problems(content) == ["snli.csv:3: gold_label '-' is none: the annotators did not agree"]
    text = "sentence1\tsentence2\tscore\nA cat.\tA dog.\t2.5\n"
    content = read(write(tmp_path / "sts.tsv", text))
    assert content.kind.tasks == ("text-regression",)
    assert told(content) == {"sts.tsv:2": 2.5}


def test_tagged_words_in_rows_and_in_txt(tmp_path):
    rows = [
        {"id": 0, "tokens": ["EU", "rejects"], "ner_tags": [3, 0]},
        {"id": 1, "tokens": ["EU"], "ner_tags": [3, 0]},
    ]
    content = read(write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert content.kind.tasks == ("token-classification",)
    assert told(content) == {"t.jsonl:1": ["3", "0"]}
    assert problems(content) == ["t.jsonl:2: has 1 words and 2 tags"]
    sentence = "EU NNP B-ORG\nrejects VBZ O\nGerman JJ B-MISC\ncall NN O\n. . O\n\n"
    content = read(write(tmp_path / "conll.txt", sentence * 3))
    assert content.kind.name == "tagged words"
    assert told(content)["conll.txt:7"] == ["B-ORG", "O", "B-MISC", "O", "O"]
    verse = "Roses are\nViolets are\n\n" * 20
    assert read(write(tmp_path / "verse.txt", verse)).kind.name == "passages of plain text"


IRIS = "sepal,petal,kind\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,?,virginica\n"


def test_tables_of_numbers_and_categories(tmp_path):
    content = read(write(tmp_path / "iris.csv", IRIS), label="kind")
    assert content.kind.name == "rows of numbers and categories in classes"
    assert (content.kind.input, content.kind.label) == (("sepal", "petal"), "kind")
    assert told(content) == {
        "iris.csv:2": "setosa",
        "iris.csv:3": "versicolor",
        "iris.csv:4": "virginica",
    }
    assert content.examples[2].values == {"sepal": "6.3", "petal": "?", "kind": "virginica"}
    # Nothing says what is to be told.
    assert "which is the class, --column label=petal" in refused(tmp_path / "iris.csv")
    content = read(tmp_path / "iris.csv", target="sepal")
    assert told(content) == {"iris.csv:2": 5.1, "iris.csv:3": 7.0, "iris.csv:4": 6.3}
    assert problems(read(tmp_path / "iris.csv", target="petal")) == [
        "iris.csv:4: target '?' is not a number"
    ]


def test_columns_that_say_nothing_are_left_out_and_told(tmp_path):
    lines = ["PassengerId,Survived,Name,Sex,Age"]
    lines += [f"{n},{n % 2},Person {n},{'mf'[n % 2]},{n * 7 % 50}" for n in range(1, 30)]
    content = read(write(tmp_path / "titanic.csv", "\n".join(lines)), label="Survived")
    assert content.kind.input == ("Sex", "Age")
    assert content.notes == [
        "column 'PassengerId' is left out: it numbers the rows",
        "column 'Name' is left out: it has a value of its own in almost every row",
        "columns of numbers: Age",
        "columns of categories: Sex",
    ]
    assert told(content)["titanic.csv:4"] == "1"


def test_dates_are_told(tmp_path):
    lines = ["a,day,month,label"]
    lines += [
        f"{n * 7 % 50},{n % 28 + 1}.3.20{n:02},2024-{n % 4 + 1:02},{n % 2}" for n in range(60)
    ]
    content = read(write(tmp_path / "t.csv", "\n".join(lines)))
    assert content.notes == [
        f"column 'day' is left out: it {DATES}",
        "columns of numbers: a",
        "columns of categories: month",
        f"column 'month' {DATES}; as it is, each date is a category",
    ]


def test_a_cell_that_is_no_number_does_not_make_categories_of_a_column(tmp_path):
    rows = [f"{n * 3},{n % 4},{'ab'[n % 2]}" for n in range(60)]
    rows[5], rows[6], rows[7] = "12a,1,b", "1e999,2,a", "21,3+,b"
    content = read(write(tmp_path / "t.csv", "\n".join(["age,children,label", *rows])))
    assert problems(content) == [
        "t.csv:7: column 'age' holds numbers, and '12a' is none",
        "t.csv:8: column 'age' holds 1e999",
    ]
    assert content.kind.input == ("age", "children")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["0", "1", "1"], "in classes"),
        (["1.5", "2", "3"], "with a number each"),
        ([str(n * 3) for n in range(40)], "with a number each"),
        ([str(n) for n in range(77)], "in classes"),
        (["yes", "no"], "in classes"),
    ],
)
def test_numbers_and_classes_are_told_apart(values, kind, tmp_path):
    rows = [f"{n % 7},{value}" for n, value in enumerate(values)]
    content = read(write(tmp_path / "t.csv", "\n".join(["a,y", *rows])))
    assert content.kind.name == f"rows of numbers and categories {kind}"
    assert content.kind.outcome == "y"


@pytest.mark.parametrize(
    ("written", "right"),
    [
        (["3,5", "1.234,25", "-2"], ["3.5", "1234.25", "-2"]),
        (["1,234.5", "7", "12,000"], ["1234.5", "7", "12000"]),
        (["0,5", "", "1"], ["0.5", "", "1"]),
    ],
)
def test_decimal_commas(written, right, tmp_path):
    rows = [f"{value};{'ab'[at % 2]}" for at, value in enumerate(written)]
    content = read(write(tmp_path / "t.csv", "\n".join(["size;label", *rows])))
    assert [example.values["size"] for example in content.examples] == right


UMLAUT = "text,label\nschön,gut\nà la carte,neu\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings(encoding, tmp_path):
    content = read(write(tmp_path / "t.csv", UMLAUT.encode(encoding)))
    assert [e.values["text"] for e in content.examples] == ["schön", "à la carte"]
    said = ["t.csv is not UTF-8: it was read as Windows-1252, of Western Europe"]
    assert content.notes == (said if encoding == "cp1252" else [])


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", "хорошо"), ("cp1250", "zażółcić"), ("cp1253", "καλό")]
)
def test_other_encodings_are_refused(encoding, text, tmp_path):
    path = write(tmp_path / "t.csv", f"text,label\n{text},1\n".encode(encoding))
    assert refused(path) == (
        f"'{path}' is not UTF-8, and does not look like Windows-1252 either: save it as UTF-8."
    )


def test_compressed_tables_and_json(tmp_path):
    path = write(tmp_path / "t.csv.gz", gzip.compress(UMLAUT.encode()))
    assert told(read(path)) == {"t.csv.gz:2": "gut", "t.csv.gz:3": "neu"}
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert told(read(write(tmp_path / "t.json", json.dumps(rows)))) == {
        "t.json:1": "1",
        "t.json:2": "0",
    }
    lines = "\n".join(map(json.dumps, rows))
    assert told(read(write(tmp_path / "lines.json", lines))) == {
        "lines.json:1": "1",
        "lines.json:2": "0",
    }
    path = write(tmp_path / "broken.csv.gz", b"text,label\n")
    assert refused(path).startswith(f"'{path}' cannot be unpacked: ")


def test_tsv_as_pandas_writes_it(tmp_path):
    import pandas

    frame = pandas.DataFrame({"text": ['He said "no"', "two\nlines", "plain"], "label": [1, 0, 1]})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    content = read(tmp_path / "t.tsv")
    assert [e.values["text"] for e in content.examples] == frame["text"].tolist()
    assert told(content) == {"t.tsv:2": "1", "t.tsv:3": "0", "t.tsv:5": "1"}


def test_a_long_cell(tmp_path):
    text = "word " * 40_000
    content = read(write(tmp_path / "t.csv", f"text,label\n{text},1\n"))
    assert content.examples[0].values["text"] == text.strip()


def test_columns_by_number_of_a_file_with_a_header(tmp_path):
    rows = "".join(f"good {n},pos\nbad {n},neg\n" for n in range(3))
    content = read(write(tmp_path / "t.csv", "text,label\n" + rows), text="1", label="2")
    assert set(told(content).values()) == {"pos", "neg"}
    assert content.notes == ["the first row of t.csv was taken for a header"]
    content = read(write(tmp_path / "u.csv", "Phrase,Mood\n" + rows), text="1", label="2")
    assert problems(content) == [
        "u.csv:1: looks like a header, as no other row is of class 'Mood': name columns by it, "
        "such as --column label=Mood, or leave it out"
    ]
    content = read(write(tmp_path / "v.csv", rows), text="1", label="2")
    assert told(content)["v.csv:1"] == "pos"
    assert content.notes == []


def test_shards_named_after_splits(tmp_path):
    for part in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(tmp_path / "data" / f"{part}.csv", f"text,label\n{part},1\n")
    assert {place.split("-")[0]: split for place, split in splits(read(tmp_path / "data")).items()}
    assert sorted(splits(read(tmp_path / "data")).values()) == ["test", "train", "train"]


def test_pixels_of_every_mode(tmp_path):
    """A picture of each mode becomes what Pillow's own arithmetic says of its colours."""
    modes = {"a": "L", "b": "RGB", "c": "P", "d": "CMYK", "e": "RGBA", "f": "1"}
    for name, mode in modes.items():
        image = Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
        image.putpixel((0, 0), image.getpixel((1, 1)))
        ending = "tif" if mode == "CMYK" else "png"
        (tmp_path / "x" / name).mkdir(parents=True)
        image.save(tmp_path / "x" / name / f"{name}.{ending}")
    deep = np.full((4, 4), 65535, np.uint16)
    (tmp_path / "x" / "g").mkdir()
    Image.fromarray(deep).save(tmp_path / "x" / "g" / "g.png")
    content = read(tmp_path / "x")
    assert problems(content) == []
    for example in content.examples:
        pixels = pixels_of(example.values["image"], 3)
        assert pixels.shape == (4, 4, 3)
        assert pixels.min() == 255, example.location


def test_float_pictures_of_0_to_1_are_not_read_as_black(tmp_path):
    for name, top in (("a", 1.0), ("b", 200.0)):
        (tmp_path / name).mkdir()
        image = Image.fromarray(np.linspace(0, top, 16, dtype=np.float32).reshape(4, 4))
        image.save(tmp_path / name / "1.tif")
    content = read(tmp_path)
    assert told(content) == {"b/1.tif": "b"}
    assert problems(content) == [
        "a/1.tif: is not an image: An image of mode F holds 0..1, and here pixels go from 0 to "
        "255: multiply them by 255."
    ]


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (255, "next to black: no pixel is above 1 of 255"),
        (4095, "the brightest pixel of all images is 16 of 255"),
        (65535, None),
    ],
)
def test_deep_pictures_that_are_not_used_to_their_depth(top, said, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pixels = np.linspace(0, top, 16).astype(np.uint16).reshape(4, 4)
        Image.fromarray(pixels if name == "a" else pixels.T.copy()).save(tmp_path / name / "1.png")
    if top == 255:
        assert said in refused(tmp_path)
    else:
        notes = read(tmp_path).notes
        assert [note.startswith(said) for note in notes] == ([True] if said else [])
