"""The parts of a training: batches, augmentation, tokenizers, names of Keras."""

import os
import subprocess
import sys
from itertools import chain

import keras
import numpy as np
import pytest
from PIL import Image

from zoo_recipes.arrays.sources import PreparedArrays, Windows, windows
from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.augmentation.changes import TextMarks, text_marks, token_crop, token_dropout
from zoo_recipes.compiling.components import make_loss, make_metric, make_optimizer
from zoo_recipes.configs import CompileConfig, Component, TokenizerConfig
from zoo_recipes.evaluation.measuring import measure
from zoo_recipes.recipe import as_recipe
from zoo_recipes.reporting.report import draw_curves
from zoo_recipes.run import write_json
from zoo_recipes.training.batches import Batches
from zoo_registry import UsageError, ZooError
from zoo_system.durable import write


def numbers_of(batches, epoch=0, first=0):
    return [targets.tolist() for _, targets in batches.of_epoch(epoch, first)]


def test_every_example_comes_once_an_epoch_in_an_order_of_its_own():
    source = PreparedArrays({"x": np.arange(23)}, np.arange(23))
    batches = Batches(source, batch_size=5, seed=7)
    first = numbers_of(batches)
    assert [len(batch) for batch in first] == [5, 5, 5, 5, 3]
    assert sorted(chain(*first)) == list(range(23))
    second = numbers_of(batches, epoch=1)
    assert sorted(chain(*second)) == list(range(23))
    assert second != first
    resumed = Batches(source, batch_size=5, seed=7)
    assert numbers_of(resumed, epoch=1, first=3) == second[3:]
    assert numbers_of(resumed, epoch=1, first=5) == []
    assert numbers_of(Batches(source, batch_size=5, seed=8)) != first


@pytest.mark.parametrize(
    "change",
    [
        Component(name="random_translation", arguments={"height_factor": 0.3, "width_factor": 0}),
        Component(name="rand_augment"),
    ],
    ids=lambda change: change.name,
)
def test_image_augmentation_follows_from_seed_epoch_and_step(change):
    images = np.random.default_rng(0).uniform(0, 255, (8, 8, 8, 3)).astype("float32")
    source = PreparedArrays({"image": images}, np.arange(8))

    def images_of(epoch, first=0):
        batches = Batches(source, batch_size=4, seed=1, augmentation=[change])
        made = list(batches.of_epoch(epoch, first))
        return np.concatenate([inputs["image"] for inputs, _ in made])

    np.testing.assert_array_equal(images_of(2), images_of(2))
    np.testing.assert_array_equal(images_of(2)[4:], images_of(2, first=1))
    assert np.abs(images_of(2) - images_of(3)).max() > 1


IDS = np.array([[2, 10, 11, 12, 13, 3, 0, 0], [2, 10, 3, 0, 0, 0, 0, 0]], np.int32)
TEXT = {"token_ids": IDS, "padding_mask": (IDS > 0).astype(np.int32)}
BERT_MARKS = TextMarks(unknown_id=1, head=1, tail=1)


def test_token_dropout_spares_marks_and_padding():
    everything = token_dropout(TEXT, np.random.default_rng(0), marks=BERT_MARKS, rate=1.0)
    assert everything["token_ids"].tolist() == [
        [2, 1, 1, 1, 1, 3, 0, 0],
        [2, 1, 3, 0, 0, 0, 0, 0],
    ]
    nothing = token_dropout(TEXT, np.random.default_rng(0), marks=BERT_MARKS, rate=0.0)
    np.testing.assert_array_equal(nothing["token_ids"], IDS)


@pytest.mark.parametrize("seed", range(20))
def test_token_crop_keeps_a_part_between_the_marks(seed):
    cropped = token_crop(TEXT, np.random.default_rng(seed), marks=BERT_MARKS, rate=1.0)
    for ids, mask, whole in zip(cropped["token_ids"], cropped["padding_mask"], IDS, strict=True):
        real = ids[mask == 1].tolist()
        assert (ids[mask == 0] == 0).all()
        assert real[0] == 2
        assert real[-1] == 3
        inside = "".join(map(chr, real[1:-1]))
        assert inside
        assert inside in "".join(map(chr, whole.tolist()))


def test_marks_of_a_tokenizer():
    texts = ["a cat", "a dog"]
    wordpiece = make_tokenizer(TokenizerConfig(kind="wordpiece", vocab_size=30), texts)
    bpe = make_tokenizer(TokenizerConfig(kind="bpe", vocab_size=300), texts)
    assert text_marks(wordpiece) == TextMarks(unknown_id=1, head=1, tail=1)
    assert text_marks(bpe) == TextMarks(unknown_id=1)
    framed = make_tokenizer(TokenizerConfig(kind="bpe", vocab_size=300, framed=True), texts)
    assert text_marks(framed) == TextMarks(unknown_id=1, head=1, tail=1)
    assert framed.encode("cat").tokens[0] == "[CLS]"
    assert text_marks(None) == TextMarks()


def test_windows_hold_every_token_and_the_one_after_it():
    tokenizer = make_tokenizer(TokenizerConfig(kind="char", vocab_size=20), ["abc", "de"])
    source = windows(tokenizer, ["abc", "de"], 4, "token_ids")
    assert tokenizer.decode(source.stream, skip_special_tokens=False) == "[EOS]abc[EOS]de[EOS]"
    assert source.characters == 5
    assert len(source) == 1
    for shift in (0, 1, 6, 10**9):
        inputs, targets = source.take(np.array([0]), shift)
        np.testing.assert_array_equal(inputs["token_ids"][:, 1:], targets[:, :-1])
    with pytest.raises(UsageError, match=r"^The split has 8 tokens: too few for one window of 9\."):
        windows(tokenizer, ["abc", "de"], 8, "token_ids")


def test_bits_per_character_of_a_model_that_knows_nothing():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    embedded = keras.layers.Embedding(16, 16, embeddings_initializer="zeros")(ids)
    model = keras.Model(ids, embedded)
    source = Windows("token_ids", np.arange(50, dtype=np.int32) % 16, 8, characters=98)
    recipe = as_recipe({"model": {"name": "gpt-nano"}, "dataset": {"name": "pydoc"}}, "mine")
    metrics = measure(model, recipe, source)
    assert metrics["bits_per_character"] == pytest.approx(49 * 4 / 98)
    assert metrics["loss"] == pytest.approx(np.log(16))


@pytest.mark.slow
def test_tokenizers_are_the_same_in_every_process(data_dir):
    kinds = ("char", "bpe", "wordpiece")
    code = (
        "import sys, hashlib\n"
        "from zoo_system.fast_keras import fast_keras; fast_keras()\n"
        "from zoo_recipes.datasets.loading import *; from zoo_recipes.datasets.reading import *\n"
        "from zoo_recipes.arrays.vocabulary import *\n"
        "b = open_dataset('language_id', data_dir=sys.argv[1])\n"
        "texts = read_split(b, 'train', input='text', label='label').raws\n"
        "for kind in sys.argv[2:]:\n"
        "    made = make_tokenizer(TokenizerConfig(kind=kind, vocab_size=6000), texts)\n"
        "    print(hashlib.sha256(made.to_str().encode()).hexdigest())"
    )
    shown = set()
    for threads, seed in (("1", "1"), ("4", "2"), ("4", "3")):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(data_dir), *kinds]
        shown.add(subprocess.check_output(command, env=environment, text=True))
    assert len(shown) == 1
    assert len(set(shown.pop().split())) == len(kinds)


def test_names_of_keras():
    schedule = Component(name="cosine_decay", arguments={"warmup_steps": 0.1})
    optimizer = Component(name="adamw", arguments={"learning_rate": 0.5})
    config = CompileConfig(optimizer=optimizer, schedule=schedule)
    made = make_optimizer(config, steps=1000)
    assert isinstance(made, keras.optimizers.AdamW)
    rates = made.get_config()["learning_rate"]["config"]
    assert (rates["warmup_steps"], rates["decay_steps"]) == (100, 900)
    assert (rates["initial_learning_rate"], rates["warmup_target"]) == (0.0, 0.5)
    for name, peak_at in (("polynomial_decay", 100), ("one_cycle", 300)):
        arguments = {"warmup_steps": 0.1} if name == "polynomial_decay" else {}
        cycle = Component(name=name, arguments=arguments)
        found = make_optimizer(CompileConfig(optimizer=optimizer, schedule=cycle), steps=1000)
        rates = [float(found._learning_rate(step)) for step in range(1001)]
        assert np.argmax(rates) == peak_at
        assert max(rates) == pytest.approx(0.5)
        assert rates[1000] < 0.001
        again = keras.optimizers.deserialize(keras.optimizers.serialize(found))
        assert float(again._learning_rate(50)) == pytest.approx(rates[50])
    assert make_loss(Component(name="sparse_categorical_crossentropy")).get_config()["from_logits"]
    assert isinstance(make_loss(Component(name="mse")), keras.losses.MeanSquaredError)
    top = Component(name="SparseTopKCategoricalAccuracy", arguments={"k": 3})
    assert make_metric(top).get_config()["k"] == 3
    assert make_metric(Component(name="accuracy")) == "accuracy"


def test_a_schedule_ends_with_the_training_also_where_gradients_are_accumulated():
    optimizer = Component(name="sgd", arguments={"gradient_accumulation_steps": 4})
    config = CompileConfig(optimizer=optimizer, schedule=Component(name="cosine_decay"))
    made = make_optimizer(config, steps=100)
    weight = keras.Variable([1.0])
    made.build([weight])
    rates = []
    for _ in range(100):
        rates.append(float(made.learning_rate))
        made.apply([keras.ops.ones(1)])
    plain = make_optimizer(CompileConfig(schedule=Component(name="cosine_decay")), steps=100)
    assert rates == pytest.approx([float(plain._learning_rate(step)) for step in range(100)])
    with pytest.raises(UsageError, match="the whole training has 3 steps, so no weight would"):
        make_optimizer(config, steps=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: make_optimizer(CompileConfig(optimizer=Component(name="rmspro")), 1),
            "compile.optimizer = \"rmspro\": Keras has no such name. Did you mean 'RMSprop'?",
        ),
        (
            lambda: make_optimizer(
                CompileConfig(
                    optimizer=Component(name="adam", arguments={"learnin_rate": 3}),
                ),
                1,
            ),
            "compile.optimizer.learnin_rate: Adam takes no 'learnin_rate'. "
            "Did you mean 'learning_rate'?",
        ),
        (
            lambda: make_loss(Component(name="sparse_crossentropy")),
            'compile.loss = "sparse_crossentropy": Keras has no such name. '
            "Did you mean 'BinaryCrossentropy'?",
        ),
        (
            lambda: make_metric(Component(name="acuracy")),
            "compile.metrics = \"acuracy\": Keras has no such name. Did you mean 'Accuracy'?",
        ),
    ],
)
def test_wrong_names_of_keras(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("optimizer", "schedule", "message"),
    [
        (
            {"learning_rate": "abc"},
            None,
            "compile.optimizer.learning_rate='abc' must be float (input should be a valid number).",
        ),
        (
            {"learning_rate": "abc"},
            {"name": "cosine_decay"},
            "compile.optimizer.learning_rate='abc' must be float (input should be a valid number).",
        ),
        (
            {"weight_decay": "abc"},
            None,
            "compile.optimizer.weight_decay='abc' must be float (input should be a valid number).",
        ),
        (
            {"clipnorm": True},
            None,
            "compile.optimizer.clipnorm=True must be float (input should be a valid number).",
        ),
        (
            {"learning_rate": -1},
            None,
            "compile.optimizer.learning_rate=-1 must be a number from 0 on.",
        ),
        (
            {},
            {"name": "cosine_decay", "warmup_steps": -0.1},
            "compile.schedule.warmup_steps=-0.1 must be a number from 0 on.",
        ),
        (
            {"use_ema": "yes"},
            None,
            "compile.optimizer.use_ema='yes' must be bool (input should be a valid boolean).",
        ),
        (
            {},
            {"name": "exponential_decay", "decay_rate": 0.5, "warmup_steps": "abc"},
            "compile.schedule.warmup_steps='abc' must be float (input should be a valid number).",
        ),
        (
            {},
            {"name": "piecewise_constant_decay", "boundaries": ["a"], "values": [1.0, 2.0]},
            "compile.schedule.boundaries=['a'] must be list[float] "
            "(input should be a valid number).",
        ),
    ],
)
def test_what_is_no_number_for_keras(optimizer, schedule, message):
    config = CompileConfig(
        optimizer=Component(name="adam", arguments=optimizer),
        schedule=schedule and Component(name=schedule.pop("name"), arguments=schedule),
    )
    with pytest.raises(UsageError) as caught:
        make_optimizer(config, 100)
    assert str(caught.value) == message


def test_powers_may_be_negative():
    config = CompileConfig(
        optimizer=Component(name="adafactor", arguments={"beta_2_decay": -0.7}),
        schedule=None,
    )
    assert make_optimizer(config, 100).beta_2_decay == -0.7


def test_curves_are_drawn(tmp_path):
    history = {"loss": [2.0, 1.0], "val_loss": [2.1, 1.5], "accuracy": [0.2, 0.6]}
    draw_curves(history, "title", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 432)
        assert len(picture.convert("RGB").getcolors(maxcolors=100_000)) > 50


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"a": 1})

    def fail(partial):
        partial.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(ZooError) as caught:
        write(path, fail)
    assert str(caught.value) == (f"'{path}' cannot be written: [Errno 28] No space left on device")
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]
