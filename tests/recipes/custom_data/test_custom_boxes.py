"""Images with boxes, as COCO and Pascal VOC have them, and all that can be wrong with them."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from zoo_recipes.custom_data.images import pixels
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.report import inspect_data
from zoo_recipes.custom_data.splitting import PARTS
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import class_names
from zoo_registry import UsageError

WIDTH, HEIGHT = 40, 20
# Left, top, width, height and class of the boxes of three images; the second has none.
BOXES = [[(2, 3, 10, 8, "cat"), (20, 0, 20, 20, "dog")], [], [(0, 0, 40, 5, "dog")]]


@pytest.fixture
def image(tmp_path):
    rng = np.random.default_rng(0)

    def save(name, size=(HEIGHT, WIDTH)):
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(file)

    return save


def coco_tables(first=0, name="{}.png"):
    numbers = range(first, first + len(BOXES))
    rows = [(n, box) for n, boxes in zip(numbers, BOXES, strict=True) for box in boxes]
    return {
        "images": [
            {"id": n, "file_name": name.format(n), "height": HEIGHT, "width": WIDTH}
            for n in numbers
        ],
        "annotations": [
            {"id": at, "image_id": n, "category_id": {"dog": 7, "cat": 90}[label], "bbox": box}
            for at, (n, (*box, label)) in enumerate(rows)
        ],
        "categories": [{"id": 90, "name": "cat"}, {"id": 7, "name": "dog"}],
    }


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def write_xml(path, boxes, *, name, size=(HEIGHT, WIDTH), prolog=""):
    things = "".join(
        f"<object><name>{label}</name><difficult>{int(label == 'cat')}</difficult><bndbox>"
        f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for x, y, w, h, label in boxes
    )
    text = (
        f"{prolog}<annotation><filename>{name}</filename><size><width>{size[1]}</width>"
        f"<height>{size[0]}</height></size>{things}</annotation>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def shapes(feature):
    spec = feature.get_tensor_spec()
    return {name: (part.shape.as_list(), part.dtype.name) for name, part in spec.items()}


def as_tfds_has_them(builder, name, flag):
    """Return whether image and objects are those of a set of tensorflow-datasets."""
    known = tfds.builder(name).info.features["objects"]
    own = shapes(builder.info.features["objects"])
    return own == {key: shapes(known)[key] for key in ("bbox", "label", flag)}


def test_coco_with_splits(image, tmp_path):
    for part, first in (("train", 0), ("val", 3), ("test", 6)):
        for number in range(first, first + 3):
            image(f"{part}2017/{number}.png")
        file = f"annotations/instances_{part}2017.json"
        write_json(tmp_path / "own" / file, coco_tables(first))
    # COCO has other files beside these.
    write_json(tmp_path / "own/annotations/captions_train2017.json", {"images": 1})
    builder = open_dataset(str(tmp_path / "own"), data_dir=tmp_path / "made")
    assert as_tfds_has_them(builder, "coco/2017", "is_crowd")
    assert class_names(builder, "objects") == ["dog", "cat"]  # in the order of their ids
    for part in PARTS:
        found = read_split(builder, part, input="image", label="objects")
        by_count = {len(objects["label"]): objects for objects in found.labels}
        assert sorted(by_count) == [0, 1, 2]
        np.testing.assert_array_equal(by_count[2]["label"], [1, 0])
        np.testing.assert_allclose(
            by_count[2]["bbox"], [[0.15, 0.05, 0.55, 0.3], [0, 0.5, 1, 1]], atol=1e-6
        )


def test_coco_with_a_file_in_the_folder_of_each_split(image, tmp_path):
    for part in ("train", "valid", "test"):
        for number in range(3):
            image(f"{part}/{number}.png")
        write_json(tmp_path / "own" / part / "_annotations.coco.json", coco_tables())
    report = inspect_data(tmp_path / "own")
    assert report.problems == []
    assert report.splits == {"train": 3, "validation": 3, "test": 3}


def test_voc_with_lists(image, tmp_path):
    lists = tmp_path / "own/VOC2007/ImageSets/Main"
    lists.mkdir(parents=True)
    for number in range(10):
        image(f"VOC2007/JPEGImages/{number}.png")
        xml = tmp_path / f"own/VOC2007/Annotations/{number}.xml"
        write_xml(xml, BOXES[number % 3], name=f"{number}.png")
    (lists / "train.txt").write_text("0\n1\n2\n")
    (lists / "val.txt").write_text("3  1\n4 -1\n5  0\n")
    (lists / "test.txt").write_text("6\n7\n8\n")
    (lists / "cat_train.txt").write_text("9 1\n")
    builder = open_dataset(str(tmp_path / "own"), data_dir=tmp_path / "made")
    assert as_tfds_has_them(builder, "voc/2007", "is_difficult")
    assert class_names(builder, "objects") == ["cat", "dog"]
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 3,
        "validation": 3,
        "test": 3,
    }
    found = read_split(builder, "train", input="image", label="objects")
    two = next(objects for objects in found.labels if len(objects["label"]) == 2)
    np.testing.assert_array_equal(two["is_difficult"], [True, False])
    np.testing.assert_allclose(two["bbox"][0], [0.15, 0.05, 0.55, 0.3], atol=1e-6)
    (lists / "test.txt").write_text("6\n7\n2\n99\n")
    assert list(map(str, layout_of(tmp_path / "own").read(tmp_path / "own", {}).problems)) == [
        "VOC2007/ImageSets/Main/test.txt:3: '2' has been listed before, at "
        "VOC2007/ImageSets/Main/train.txt:3",
        "VOC2007/ImageSets/Main/test.txt:4: there is no annotation '99.xml'",
    ]


def test_every_problem_of_coco_has_its_place(image, tmp_path):
    for number in range(8):
        image(f"images/{number}.png", size=(HEIGHT, WIDTH) if number != 5 else (30, 30))
    (tmp_path / "own/images/6.png").write_bytes(b"no picture")
    tables = coco_tables()
    rows = [
        {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(3, 9)
    ]
    tables["images"] += [*rows, dict(rows[0]), {"id": 20, "file_name": "0.png"}]
    wrong = [
        {"id": 50, "image_id": 4, "category_id": 8, "bbox": [0, 0, 5, 5]},
        {"id": 51, "image_id": 99, "category_id": 7, "bbox": [0, 0, 5, 5]},
        {"id": 52, "image_id": 7, "category_id": 7, "bbox": [30, 0, 15, 5]},
        {"id": 53, "image_id": 7, "category_id": 7, "bbox": [3, 3, 0, 5]},
        {"id": 54, "image_id": 4, "category_id": 7, "bbox": [1, 2, 3]},
        {"id": 55, "image_id": 0, "category_id": 7, "bbox": [0, 0, 40, 20], "iscrowd": 1},
    ]
    tables["annotations"] += wrong
    write_json(tmp_path / "own/my.json", tables)
    with pytest.raises(UsageError) as caught:
        open_dataset(str(tmp_path / "own"), data_dir=tmp_path / "made")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("have 10 problems:")
    assert lines[1:-1] == [
        "  my.json, image 3: is there twice",
        "  my.json, annotation 50: has category 8, which is not among the categories",
        "  my.json, annotation 51: is of image 99, which is not among the good images",
        "  my.json, annotation 54: has no bbox of four numbers: [1, 2, 3]",
        "  my.json, image 5: the image has 30x30 pixels, its annotation says 40x20",
        "  my.json, image 6: is not an image: cannot identify image file",
        "  my.json, annotation 52: has a box that leaves its image of 40x20: 30, 0, 45, 5 "
        "(left, top, right, bottom)",
        "  my.json, annotation 53: has a box without area: 3, 3, 3, 8 (left, top, right, bottom)",
        "  my.json, image 8: there is no image '8.png'",
        "  my.json, image 20: the image has been annotated before, at my.json, image 0",
    ]
    report = inspect_data(tmp_path / "own")
    assert sum(report.splits.values()) == 3
    assert {name: sum(row.values()) for name, row in report.classes.items()} == {"dog": 3, "cat": 1}
    assert report.boxes["an image"] == (0, 1, 3, 3)
    content = layout_of(tmp_path / "own").read(tmp_path / "own", {})
    assert [row["is_crowd"] for row in content.examples[0].values["objects"]()] == [0, 0, 1]


def test_xml_that_is_none_and_xml_that_attacks(image, tmp_path):
    for number in range(4):
        image(f"{number}.png")
    own = tmp_path / "own"
    write_xml(own / "0.xml", BOXES[0], name="0.png")
    lol = '<!DOCTYPE a [<!ENTITY b "ha">]>'
    write_xml(own / "1.xml", BOXES[0], name="1.png", prolog=lol)
    (own / "2.xml").write_text("<annotation>\n<object></annotation>")
    write_xml(own / "3.xml", [(0, 0, 5, 5, "")], name="unknown.jpg")
    assert list(map(str, layout_of(own).read(own, {}).problems)) == [
        "1.xml: declares a document type or entities, which are not read",
        "2.xml: is not valid XML: mismatched tag: line 2, column 10",
        "3.xml, object 1: has no name",
    ]


def test_json_that_is_no_coco(image, tmp_path):
    image("1.png")
    write_json(tmp_path / "own/instances.json", {"images": [], "annotations": {}})
    content = layout_of(tmp_path / "own").read(tmp_path / "own", {})
    assert list(map(str, content.problems)) == [
        "instances.json: is not an annotation of COCO: it has no list 'annotations' of objects"
    ]


# -- pictures that their camera turned ------------------------------------------------------------


def turned_pictures(folder, turns, *, drawn_before, size=(30, 40)):
    """Write pictures with one white field, of which COCO has the box, and return where each is."""
    height, width = size
    tables = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "field"}]}
    for number, turn in enumerate(turns):
        stored = np.zeros((height, width), np.uint8)
        stored[4:9, 10:22] = 255
        exif = Image.Exif()
        exif[0x0112] = turn
        file = folder / f"{number}.png"
        Image.fromarray(stored).save(file, exif=exif)
        seen = stored
        if not drawn_before:
            with Image.open(file) as picture:
                seen = np.asarray(ImageOps.exif_transpose(picture))
        rows, columns = np.nonzero(seen)
        corner = [int(columns.min()), int(rows.min())]
        box = [*corner, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
        tables["images"].append(
            {"id": number, "file_name": file.name, "height": seen.shape[0], "width": seen.shape[1]}
        )
        tables["annotations"].append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": box}
        )
    write_json(folder / "instances.json", tables)


def fields_and_boxes(folder):
    """Yield where the white field of each picture is, and where its box says."""
    content = layout_of(folder).read(folder, {})
    assert not content.problems
    for example in content.examples:
        rows, columns, _ = np.nonzero(pixels(example.values["image"], 3))
        [box] = example.values["objects"].boxes
        field = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        yield field, [box.left, box.top, box.right, box.bottom]


@pytest.mark.parametrize("drawn_before", [True, False])
def test_boxes_of_pictures_that_their_camera_turned(tmp_path, drawn_before):
    """The size beside a box tells how its picture lay; those of half a turn go with the others."""
    turned_pictures(tmp_path, range(1, 9), drawn_before=drawn_before)
    pairs = list(fields_and_boxes(tmp_path))
    assert len(pairs) == 8
    for field, box in pairs:
        assert box == field
    notes = inspect_data(tmp_path).notes
    said = (
        "7 images are turned as their camera says, and their boxes with them: the sizes beside "
        "the boxes are those of before"
    )
    assert (said in notes) is drawn_before


def test_boxes_of_turned_pictures_of_which_nothing_tells(tmp_path):
    turned_pictures(tmp_path, [3, 6], drawn_before=False, size=(40, 40))
    assert all(box == field for field, box in fields_and_boxes(tmp_path))
    assert inspect_data(tmp_path).notes == [
        "2 images are turned as their camera says, and their boxes are taken as drawn after it: "
        "no size beside the boxes tells"
    ]


def test_a_list_with_a_line_that_cannot_be_read_leaves_its_picture_out(tmp_path, image):
    for name in ("a.png", "b.png"):
        image(name)
    own = tmp_path / "own"
    (own / "classes.txt").write_text("cat\n", encoding="utf-8")
    (own / "a.txt").write_bytes(b"0 .5 .5 .2 .2\n0 .2 \x81\x8d .1 .1\n")
    (own / "b.txt").write_text("0 .5 .5 .2 .2\n", encoding="utf-8")
    content = layout_of(own).read(own, {})
    assert [example.location for example in content.examples] == ["b.png"]
    assert [problem.location for problem in content.problems] == ["a.txt:2"]
