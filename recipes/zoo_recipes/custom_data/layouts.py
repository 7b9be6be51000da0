"""The ways of laying out data that are understood, and which of them a path has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zoo_recipes.custom_data.answers import ANSWERS, is_squad, read_squad
from zoo_recipes.custom_data.arrays import arrays_kind, is_arrays, read_arrays
from zoo_recipes.custom_data.audio import AUDIO, is_audio_folder, read_audio_folder
from zoo_recipes.custom_data.boxes import BOXES
from zoo_recipes.custom_data.coco import is_coco, read_coco
from zoo_recipes.custom_data.content import Columns, Kind, Layout
from zoo_recipes.custom_data.files import files_of, meaning_of_path
from zoo_recipes.custom_data.image_tables import (
    image_table_kind,
    is_image_table,
    read_image_table,
)
from zoo_recipes.custom_data.images import IMAGES, is_image_folder, read_images
from zoo_recipes.custom_data.parallel import PAIRS, is_parallel, read_parallel
from zoo_recipes.custom_data.tables import is_table, read_table, table_kind
from zoo_recipes.custom_data.tags import TAGS, is_tagged, read_tagged
from zoo_recipes.custom_data.texts import (
    CLASS_TEXTS,
    TEXT,
    is_class_texts,
    is_text,
    read_class_texts,
    read_texts,
)
from zoo_recipes.custom_data.voc import is_voc, read_voc
from zoo_recipes.custom_data.yolo import is_yolo, read_yolo
from zoo_registry import UsageError


def _always(kind: Kind) -> Callable[[Path, Columns], Kind]:
    return lambda path, columns: kind


LAYOUTS = (
    Layout(
        "images with boxes, COCO: images and instances*.json, or another JSON file of COCO's",
        is_coco,
        _always(BOXES),
        read_coco,
    ),
    Layout(
        "images with boxes, Pascal VOC: Annotations/*.xml and JPEGImages/, or both in one folder",
        is_voc,
        _always(BOXES),
        read_voc,
    ),
    Layout(
        "images with boxes, YOLO: data.yaml or classes.txt, and images/ and labels/",
        is_yolo,
        _always(BOXES),
        read_yolo,
    ),
    Layout(
        "images whose classes or numbers are in a table: labels.csv, metadata.csv, metadata.jsonl",
        is_image_table,
        image_table_kind,
        read_image_table,
    ),
    Layout(
        "images: a folder for each class, also below train/, validation/ and test/",
        is_image_folder,
        _always(IMAGES),
        read_images,
    ),
    Layout(
        "audio clips: a folder for each class, also below train/, validation/ and test/",
        is_audio_folder,
        _always(AUDIO),
        read_audio_folder,
    ),
    Layout(
        "texts: a folder of .txt files for each class, also below train/, validation/ and test/",
        is_class_texts,
        _always(CLASS_TEXTS),
        read_class_texts,
    ),
    Layout(
        "questions about texts: JSON as SQuAD has it",
        is_squad,
        _always(ANSWERS),
        read_squad,
    ),
    Layout(
        "tables: .csv, .tsv, .xlsx, .json, .jsonl or .parquet with text and label, premise, "
        "hypothesis and label, source and target, user, item and rating, tokens and tags, or "
        "numbers and categories with a label or target; also a folder with train.csv, "
        "validation.csv and test.csv",
        is_table,
        table_kind,
        read_table,
    ),
    Layout(
        "tagged words: .conll, .bio, .iob or .iob2, one word and its tag a line",
        is_tagged,
        _always(TAGS),
        read_tagged,
    ),
    Layout("plain text: a .txt file, or a folder of them", is_text, _always(TEXT), read_texts),
    Layout(
        "pairs of texts: a folder with files in twos, such as train.src and train.tgt",
        is_parallel,
        _always(PAIRS),
        read_parallel,
    ),
    Layout(
        "arrays: .npz with x and y, or x_train and y_train", is_arrays, arrays_kind, read_arrays
    ),
)


def layout_of(path: Path) -> Layout:
    """Return how the data at a path are laid out, from the names of the files alone.

    Raises:
        UsageError: Nothing is there, or nothing that is understood.
    """
    if not files_of(path):
        raise UsageError(f"'{path}' is empty: there are no data in it.")
    for layout in LAYOUTS:
        if layout.matches(path):
            return layout
    if other := meaning_of_path(path):
        raise UsageError(f"There are no data at '{path}'.{other}")
    known = "".join(f"\n  {layout.what}" for layout in LAYOUTS)
    raise UsageError(f"'{path}' is not laid out as any data that are understood:{known}")
