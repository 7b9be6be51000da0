"""A training that was broken off ends as if it had not been."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zoo_registry
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.run import held, read_run
from zoo_recipes.training.batches import Batches
from zoo_recipes.training.checkpoints import newest
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError, ZooError

# How often the training is killed; CONTRIBUTING.md says when to ask for more.
KILLS = int(os.environ.get("KERAZOO_TEST_KILLS", "2"))
# Of data sets that are small, percent of the examples.
SHARES = {"asterisk-ds-cnn": 20}
QUICK = ["fit.epochs=2", "fit.batch_size=16", "dataset.train=train[:20%]"]
HARD = [
    *QUICK,
    "fit.epochs=3",
    "dataset.validation=train[90%:]",
    "model.dropout=0.3",
    "compile.optimizer.name=adamw",
]


class PowerCutError(Exception):
    pass


@pytest.fixture
def power_cut(monkeypatch):
    """Breaks the training off before a step."""
    make = Batches._batch

    def at(epoch, step):
        def cut(self, *place):
            if (place[0], place[-1]) == (epoch, step):
                raise PowerCutError
            return make(self, *place)

        monkeypatch.setattr(Batches, "_batch", cut)

    yield at
    monkeypatch.undo()


def same(one, other):
    pairs = zip(one.model().get_weights(), other.model().get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs) and one.history == other.history


CASES = {
    "digits-cnn": HARD,
    "early stopping": [
        *HARD,
        "compile.optimizer.learning_rate=0.1",
        "fit.epochs=6",
        "fit.early_stopping.patience=2",
    ],
    "the best weights": [*HARD, "fit.keep_best=val_accuracy"],
    "moving averages": [
        *HARD,
        "compile.optimizer.use_ema=true",
        "compile.optimizer.ema_momentum=0.9",
        "fit.keep_best=val_loss",
    ],
    "accumulated gradients, a schedule": [
        *HARD,
        "compile.optimizer.gradient_accumulation_steps=3",
        "compile.schedule.name=cosine_decay",
        "compile.schedule.warmup_steps=0.2",
    ],
    "a plateau": [
        *HARD,
        'fit.callbacks=[{name="ReduceLROnPlateau", monitor="val_loss", patience=1, min_delta=1.0}]',
    ],
    "mixed precision": [*HARD, "compile.precision=mixed_float16"],
}


PLACES = [("digits-cnn", place) for place in ((0, 5), (1, 0), (2, 17))]
PLACES += [(case, (1, 11)) for case in CASES] + [("early stopping", (3, 0))]


@pytest.mark.parametrize(("case", "place"), PLACES, ids=str)
def test_it_goes_on_bit_for_bit(case, place, whole, power_cut, data_dir, tmp_path):
    recipe = resolve_recipe("digits-cnn")
    if case == "a plateau":
        recipe = replace(recipe, compile=replace(recipe.compile, schedule=None))
    recipe = with_overrides(recipe, CASES[case])
    power_cut(*place)
    options = {"data_dir": data_dir, "verbose": False, "checkpoint_seconds": 0}
    with pytest.raises(PowerCutError):
        train(recipe, out=tmp_path / "run", **options)
    power_cut(-1, -1)
    assert same(resume(tmp_path / "run", **options), whole(recipe))


@pytest.fixture(scope="module")
def whole(data_dir, tmp_path_factory):
    """The same training without a break, once for each recipe."""
    runs = {}

    def of(recipe):
        key = recipe.to_toml()
        if key not in runs:
            out = tmp_path_factory.mktemp("whole") / "run"
            runs[key] = train(recipe, out=out, data_dir=data_dir, verbose=False, download=True)
        return runs[key]

    return of


SCRIPT = """
import sys
from zoo_system.fast_keras import fast_keras; fast_keras()
from zoo_recipes.overrides import with_overrides
from zoo_recipes.training.training import resume, train
from zoo_recipes.recipe import resolve_recipe
name, out, data_dir, *overrides = sys.argv[1:]
options = {"data_dir": data_dir, "verbose": False, "checkpoint_seconds": 0, "download": True}
if overrides:
    train(with_overrides(resolve_recipe(name), overrides), out=out, **options)
else:
    resume(out, **options)
"""


def killed() -> list[str]:
    """Return two recipes, or all that were measured here where more kills are asked for."""
    if KILLS == 2:
        return ["digits-cnn", "pydoc-gpt"]
    names = [name for name in zoo_registry.recipes.names() if "/" not in name]
    promised = {name: resolve_recipe(name).expected for name in names}
    return [name for name, expected in promised.items() if expected and expected.seeds]


@pytest.mark.slow
@pytest.mark.parametrize("name", killed())
def test_it_survives_kill_9_at_random_steps(name, whole, data_dir, tmp_path):
    # Long enough for all kills.
    small = [f"fit.epochs={4 * KILLS}", f"dataset.train=train[:{SHARES.get(name, 3)}%]"]
    overrides = HARD if name == "digits-cnn" else small
    recipe = with_overrides(resolve_recipe(name), overrides)
    chance = random.Random(KILLS)
    out = tmp_path / "run"
    options = overrides
    for _ in range(KILLS):
        kill_after(chance.randint(1, 9), [name, str(out), str(data_dir), *options], out)
        options = []
        assert read_run(out).status == "running"
    run = resume(out, data_dir=data_dir, verbose=False)
    assert run.status == "complete"
    assert len(run.info["resumed"]) == KILLS
    assert same(run, whole(recipe))


def kill_after(checkpoints: int, arguments: list[str], out: Path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments])
    seen: set[str] = set()
    before = {path.name for path in out.glob("checkpoints/*.npz")}
    while len(seen) < checkpoints:
        assert process.poll() is None, "the training ended before it was killed"
        seen |= {path.name for path in out.glob("checkpoints/*.npz")} - before
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def broken_off(power_cut, data_dir, tmp_path):
    recipe = with_overrides(resolve_recipe("digits-cnn"), QUICK)
    power_cut(1, 4)
    with pytest.raises(PowerCutError):
        train(
            recipe,
            out=tmp_path / "run",
            data_dir=data_dir,
            verbose=False,
            checkpoint_seconds=0,
        )
    power_cut(-1, -1)
    return recipe, tmp_path / "run"


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_is_used(broken_off, whole, data_dir):
    recipe, folder = broken_off
    older, newer = sorted(folder.glob("checkpoints/*.npz"))
    data = bytearray(newer.read_bytes())
    data[len(data) // 2] ^= 0xFF
    newer.write_bytes(data)
    with pytest.warns(UserWarning, match=f"'{newer}' is damaged and is not used: Bad CRC-32"):
        run = resume(folder, data_dir=data_dir, verbose=False)
    assert run.info["resumed"] == ["epoch 2, step 3"]
    assert older.name == "epoch-00002-step-00000003.npz"
    assert same(run, whole(recipe))
    assert not (folder / "checkpoints").exists()


def test_without_any_checkpoint_it_begins_anew(broken_off, whole, data_dir):
    recipe, folder = broken_off
    for path in folder.glob("checkpoints/*.npz"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged and is not used"):
        run = resume(folder, data_dir=data_dir, verbose=False)
    assert same(run, whole(recipe))


def test_a_lost_run_json_is_made_anew(broken_off, whole, data_dir):
    recipe, folder = broken_off
    (folder / ".partial-left.npz").write_bytes(b"of a kill")
    for text in ('{"format_version": 1}', "[", "", None):
        (folder / "run.json").unlink() if text is None else (folder / "run.json").write_text(text)
        with pytest.raises(UsageError, match=r"Make it anew from recipe\.toml .* train --resume"):
            read_run(folder)
    with pytest.warns(UserWarning, match=r"It is made anew from recipe\.toml"):
        run = resume(folder, data_dir=data_dir, verbose=False)
    assert run.info["resumed"] == ["epoch 2, step 4"]
    assert same(run, whole(recipe))
    assert not list(folder.rglob(".partial-*"))


def test_bits_that_flip_in_a_checkpoint_never_stop_a_resume(broken_off, monkeypatch):
    _, folder = broken_off
    older, newer = sorted(folder.glob("checkpoints/*.npz"))
    whole, generator = newer.read_bytes(), random.Random(0)
    # Most of the file is arrays, which a checksum guards: what frames them is at its end.
    places = [generator.randrange(len(whole)) for _ in range(20)]
    places += [len(whole) - 1 - generator.randrange(4000) for _ in range(200)]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << generator.randrange(8)
        newer.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert newest(folder).path in (older, newer)
    load = np.load
    for error in (NotImplementedError("compression type 9"), MemoryError()):

        def read(path, error=error, **options):
            if path == newer:
                raise error
            return load(path, **options)

        monkeypatch.setattr(np, "load", read)
        with pytest.warns(UserWarning, match=f"'{newer}' is damaged and is not used: "):
            assert newest(folder).path == older


def test_two_processes_cannot_train_one_run(broken_off, data_dir):
    _, folder = broken_off
    message = f"'{folder}' is being trained by another process: wait for it, or choose another"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from zoo_recipes.run import held\n"
            "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
            str(folder),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        for attempt in (
            lambda: resume(folder, data_dir=data_dir),
            lambda: train("digits-cnn", out=folder, force=True, data_dir=data_dir),
        ):
            with pytest.raises(UsageError, match=message):
                attempt()
    finally:
        holder.kill()
        holder.wait()
    with held(folder):
        assert (folder / "run.json").is_file()


def test_other_data_are_refused(broken_off, data_dir):
    _, folder = broken_off
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info["dataset"]["fingerprint"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ZooError, match=r"is not the one that run .* began with: fingerprint"):
        resume(folder, data_dir=data_dir, verbose=False)


def test_what_is_complete_has_nothing_to_go_on_with(whole, data_dir):
    run = whole(with_overrides(resolve_recipe("digits-cnn"), QUICK))
    with pytest.raises(UsageError, match="is complete: there is nothing to go on with"):
        resume(run.path, data_dir=data_dir)


def test_a_checkpoint_of_another_model_is_refused(broken_off, data_dir):
    _, folder = broken_off
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info["recipe"]["model"]["overrides"]["filters"] = [8, 8]
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ZooError, match=r"does not fit|or others: another version of Kerazoo"):
        resume(folder, data_dir=data_dir, verbose=False)


def test_sigterm_saves_where_it_is(broken_off, whole, data_dir, monkeypatch):
    recipe, folder = broken_off
    make = Batches._batch

    def ask_to_stop(self, *place):
        if (place[0], place[-1]) == (1, 8):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        return make(self, *place)

    monkeypatch.setattr(Batches, "_batch", ask_to_stop)
    with pytest.raises(KeyboardInterrupt, match=r"saved at epoch 2, step \d+. Go on with `zoo tra"):
        resume(folder, data_dir=data_dir, verbose=False)
    monkeypatch.undo()
    assert read_run(folder).status == "interrupted"
    assert newest(folder).position.step >= 7
    assert same(resume(folder, data_dir=data_dir, verbose=False), whole(recipe))
