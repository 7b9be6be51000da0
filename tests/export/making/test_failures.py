"""Exports that fail: a clear message, nothing left behind, the parent alive."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from export_layers import (
    Hanging,
    Hungry,
    Killed,
    KilledOnce,
    Noisy,
    NotANumber,
    Whiten,
    WrongAtZero,
)

import zoo_registry
from zoo_export import ExportError, export, exporting, load_bundle
from zoo_export.exporting import put_in_place
from zoo_export.making import children, conversion
from zoo_export.reading import source
from zoo_recipes.run import load_run
from zoo_registry import Registry, UnknownNameError, UsageError
from zoo_runtime import files
from zoo_runtime.formats import Format
from zoo_system.processes import how_it_ended


def _refused(model, tmp_path, **options):
    with pytest.raises(ExportError) as caught:
        export(model, out=tmp_path / "out" / "bundle", **options)
    assert _left(tmp_path) == []
    return caught.value


def _left(tmp_path):
    return [path.name for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def _no_child_waits():
    children.close()


def _children():
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "zoo_export.making.child"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.split()


# -- what a format cannot hold ------------------------------------------------------------------


@pytest.mark.slow
def test_an_operator_that_needs_flex_is_named_with_its_layer(dense, tmp_path):
    error = _refused(dense(Whiten(name="whiten")), tmp_path, to=["tflite", "onnx"])

    assert str(error) == (
        "Model 'small' cannot be exported to tflite: LiteRT has no built-in operator for "
        "Cholesky (layer 'whiten').\n"
        "Model 'small' cannot be exported to onnx: ONNX has no operator for "
        "Cholesky (layer 'whiten').\n"
        "Nothing was written."
    )
    assert {(blame.operator, blame.layer) for blame in error.blames} == {("Cholesky", "whiten")}


@pytest.mark.slow
def test_one_format_that_fails_keeps_the_others_from_being_handed_out(dense, tmp_path):
    seen = []

    _refused(
        dense(Whiten()),
        tmp_path,
        to=["saved_model", "onnx"],
        on_event=lambda event: seen.append((event.format, event.state)),
    )

    assert sorted(seen) == [
        ("onnx", "failed"),
        ("onnx", "started"),
        ("saved_model", "started"),
        ("saved_model", "verified"),
    ]


# -- a child process that dies, hangs, starves or lies ------------------------------------------


@pytest.mark.slow
def test_a_killed_child(dense, tmp_path):
    error = _refused(dense(Killed()), tmp_path, to=["onnx"])

    assert str(error).startswith(
        "Model 'small' cannot be exported to onnx: the converting process was killed by SIGKILL, "
        "most often for lack of memory. Its last words:\n"
    )
    assert "about to die" in str(error)


@pytest.mark.slow
def test_a_child_does_one_job_after_another_and_is_not_blamed_for_an_earlier_one(dense, tmp_path):
    export(dense(), out=tmp_path / "first", to=["onnx"])
    (first,) = children._waiting
    marker = tmp_path / "marker"

    export(dense(KilledOnce(str(marker))), out=tmp_path / "second", to=["onnx"])

    assert first.process.returncode == -signal.SIGKILL
    # It holds code of this test's own, which may be another one when the next export comes.
    assert children._waiting == []
    marker.unlink()
    error = _refused(dense(KilledOnce(str(marker))), tmp_path / "alone", to=["onnx"])
    assert "was killed by SIGKILL" in str(error)


@pytest.mark.slow
def test_a_child_begins_while_the_model_is_read_and_ends_if_it_is_refused(
    dense, tmp_path, monkeypatch
):
    seen, read = [], exporting.read_source

    def noted(request):
        seen.append(_children())
        return read(request)

    monkeypatch.setattr(exporting, "read_source", noted)
    export(dense(), out=tmp_path / "first", to="onnx")
    (child,) = children._waiting
    assert seen == [[str(child.process.pid)]]

    children.close()
    with pytest.raises(ExportError, match="is NaN in 100% of its values"):
        export(dense(NotANumber()), out=tmp_path / "second")
    assert len(seen[1]) == 1
    assert _children() == []


@pytest.mark.slow
@pytest.mark.parametrize(("free", "before"), [(1 << 40, ["started"]), (1 << 20, [])])
def test_keras_makes_the_samples_while_a_child_converts_where_memory_allows(
    dense, tmp_path, monkeypatch, free, before
):
    events, seen, make = [], [], source.reference_samples

    def noted(*arguments):
        seen.append([*events])
        return make(*arguments)

    monkeypatch.setattr(source, "reference_samples", noted)
    monkeypatch.setattr(conversion, "free_bytes", lambda: free)
    bundle = export(
        dense(), out=tmp_path / "b", to=["onnx"], on_event=lambda event: events.append(event.state)
    )
    assert bundle.artifacts[0].verification.ok
    assert seen == [before]
    assert events == ["started", "verified"]


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "processes"), [(600, 1), (0, 2)])
def test_a_second_child_begins_where_the_first_takes_longer_than_a_start(
    dense, tmp_path, monkeypatch, seconds, processes
):
    monkeypatch.setattr(conversion, "_START_SECONDS", seconds)
    bundle = export(dense(), out=tmp_path / "b", to=["onnx", "saved_model", "tflite"])
    assert len(bundle.artifacts) == sum(child.jobs for child in children._waiting) == 3
    assert len(children._waiting) == processes


@pytest.mark.slow
def test_a_conversion_that_ends_its_process_loses_its_own_format_alone(
    dense, tmp_path, monkeypatch
):
    monkeypatch.setattr(conversion, "_START_SECONDS", 600)  # one process has all of them
    row = Format(
        name="deadly",
        suffix=".deadly",
        converter="export_layers:die",
        runtime="zoo_runtime.running.sessions:open_onnx",
        requires="onnxruntime",
        module="onnxruntime",
    )
    _formats_of_a_plugin(monkeypatch).add("deadly", row)
    failed = {}

    bundle = export(
        dense(),
        to=["onnx", "deadly", "saved_model"],
        out=tmp_path / "b",
        keep_going=True,
        on_event=lambda event: failed.update({event.format: event.error} if event.error else {}),
    )

    assert [artifact.format for artifact in bundle.artifacts] == ["onnx", "saved_model"]
    assert list(failed) == ["deadly"]
    assert failed["deadly"].startswith("the converting process was killed by SIGKILL")


@pytest.mark.slow
def test_a_child_of_other_surroundings_takes_no_job(dense, tmp_path, monkeypatch):
    export(dense(), out=tmp_path / "first", to=["onnx"])
    (first,) = children._waiting

    monkeypatch.setenv("KERAZOO_TEST_OF_SURROUNDINGS", "1")
    export(dense(), out=tmp_path / "second", to=["onnx"])
    (second,) = children._waiting
    export(dense(), out=tmp_path / "third", to=["onnx"])

    assert first.process.returncode is not None
    assert [child.process for child in children._waiting] == [second.process]


@pytest.mark.slow
def test_a_child_out_of_memory(dense, tmp_path):
    error = _refused(dense(Hungry()), tmp_path, to=["saved_model"])

    assert "cannot be exported to saved_model: it ran out of memory" in str(error)


@pytest.mark.slow
def test_a_child_that_hangs_is_killed_at_the_time_limit(dense, tmp_path):
    error = _refused(dense(Hanging()), tmp_path, to=["tflite"], time_limit=12)

    assert "cannot be exported to tflite: it took longer than 12 s." in str(error)
    assert _children() == []


@pytest.mark.slow
def test_a_file_that_gives_other_numbers(dense, tmp_path):
    error = _refused(dense(Noisy()), tmp_path, to=["onnx"])

    assert "cannot be exported to onnx: output 'logits' of shape [" in str(error)
    assert "differs from Keras by" in str(error)


@pytest.mark.slow
def test_a_file_that_gives_other_numbers_for_zeros_alone(dense, tmp_path):
    error = _refused(dense(WrongAtZero()), tmp_path, to=["onnx"])

    assert str(error) == (
        "Model 'small' cannot be exported to onnx: output 'logits' of the artifact is NaN in 100% "
        "of its values.\nNothing was written."
    )


def test_a_model_that_gives_nan_in_keras(dense, tmp_path):
    error = _refused(dense(NotANumber()), tmp_path)

    assert str(error) == (
        "output 'logits' of model 'small' in Keras itself is NaN in 100% of its values: the inputs "
        "were drawn, from N(0, 1) and then from 0 to 1, and may be outside of what it is made for: "
        "give real ones (samples={name: array})"
    )


@pytest.mark.slow
def test_ctrl_c_ends_the_children_and_leaves_nothing(dense, tmp_path):
    running = []

    def interrupt_once_running():
        while not _children():
            time.sleep(0.1)
        running.extend(_children())
        _thread.interrupt_main()

    threading.Thread(target=interrupt_once_running, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        export(dense(Hanging()), out=tmp_path / "bundle", to=["onnx", "tflite"])

    assert running
    assert _children() == []
    assert list(tmp_path.iterdir()) == []


# -- places that cannot be written to -----------------------------------------------------------


@pytest.fixture
def mounted(tmp_path):
    """A tmpfs of a given size, really full when it is full and really read-only if so mounted."""
    mounts = []

    def mount(options):
        folder = tmp_path / "mounted"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [40, 400, 800])
def test_a_full_disk(dense, mounted, kilobytes):
    folder = mounted(f"size={kilobytes}k")
    # 270 kB of weights: the disk fills up in the parent, or in the child.
    model = dense(keras.layers.Dense(256), size=256)

    with pytest.raises(ExportError) as caught:
        export(model, out=folder / "bundle", to=["saved_model", "onnx"])

    assert "No space left on device" in str(caught.value) or "disk is full" in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_read_only_place(dense, mounted):
    folder = mounted("ro")

    with pytest.raises(ExportError) as caught:
        export(dense(), out=folder / "bundle")

    assert str(caught.value).startswith(f"'{folder / 'bundle'}' cannot be written: Read-only file")


def test_a_file_where_a_folder_should_be(dense, tmp_path):
    (tmp_path / "taken").write_text("mine")

    with pytest.raises(ExportError, match="cannot be written: "):
        export(dense(), out=tmp_path / "taken" / "bundle")
    assert (tmp_path / "taken").read_text() == "mine"


def test_an_existing_folder_is_refused(dense, tmp_path):
    (tmp_path / "bundle").mkdir()

    with pytest.raises(UsageError) as caught:
        export(dense(), out=tmp_path / "bundle")

    assert str(caught.value) == (
        f"'{tmp_path / 'bundle'}' exists: choose another one (--out), or replace it (--force, "
        "force=True)."
    )


def test_force_does_not_replace_what_is_no_bundle(dense, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match="is not a bundle: it will not be replaced"):
        export(dense(), out=tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_force_replaces_a_bundle_only_by_a_finished_one(dense, bundle_copy):
    before = (bundle_copy / "manifest.json").read_bytes()
    with pytest.raises(ExportError):
        export(dense(Noisy()), out=bundle_copy, to=["onnx"], force=True)
    assert (bundle_copy / "manifest.json").read_bytes() == before

    replaced = export(dense(name="newer"), out=bundle_copy, to=["onnx"], force=True)

    assert replaced.name == "newer"
    assert sorted(path.name for path in bundle_copy.iterdir()) == [
        "README.md",
        "assets",
        "manifest.json",
        "newer.onnx",
    ]
    assert [path.name for path in bundle_copy.parent.iterdir()] == [bundle_copy.name]


@pytest.mark.parametrize(
    ("force", "name", "message"),
    [
        (
            False,
            "thesis.txt",
            "'{}' exists: choose another one (--out), or replace it (--force, force=True).",
        ),
        (
            False,
            "manifest.json",
            "'{}' exists: choose another one (--out), or replace it (--force, force=True).",
        ),
        (
            True,
            "thesis.txt",
            "'{}' is not a bundle: it will not be replaced, with force or without.",
        ),
    ],
)
def test_what_appears_during_the_work_is_kept(tmp_path, force, name, message):
    out, work = tmp_path / "out", tmp_path / "work"
    (work / "bundle").mkdir(parents=True)
    out.mkdir()
    (out / name).write_text("mine")

    with pytest.raises(UsageError) as caught:
        files.put_in_place(work / "bundle", out, work, force=force)

    assert str(caught.value) == message.format(out)
    assert (out / name).read_text() == "mine"


@pytest.mark.slow
def test_what_appears_during_an_export_is_kept(dense, tmp_path):
    def write(event):
        if event.state == "verified":
            (tmp_path / "bundle").mkdir()
            (tmp_path / "bundle" / "thesis.txt").write_text("mine")

    with pytest.raises(UsageError, match=r"bundle' exists: choose another one \(--out\), "):
        export(dense(), out=tmp_path / "bundle", to="onnx", on_event=write)

    assert (tmp_path / "bundle" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_that_cannot_be_loaded_is_not_put_in_place(tmp_path):
    (tmp_path / "work" / "bundle").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"is not a bundle \(manifest\.json is missing\)"):
        put_in_place(tmp_path / "work", tmp_path / "out", force=False)

    assert not (tmp_path / "out").exists()


# -- wrong use ----------------------------------------------------------------------------------


def test_a_misspelt_format(dense, tmp_path):
    with pytest.raises(UnknownNameError, match=r"no format 'onx'\. Did you mean 'onnx'\?"):
        export(dense(), to=["onx"], out=tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": []}, "There is no format to export to: name at least one (to=...)."),
        ({"name": "a/b"}, "'a/b' cannot name files: use letters, digits, '.', '_' and '-'"),
        ({"task": "image-clasification"}, "Did you mean 'image-classification'?"),
        ({"labels": ["a", "b"]}, "Model 'small' has 3 logits and there are 2 labels."),
        (
            {"sequence_length": 9},
            "Model 'small' has no variable sequence: leave sequence_length=9 out.",
        ),
        (
            {"image_size": 48},
            "Model 'small' takes no images of another size: leave image_size=48x48 out.",
        ),
        (
            {"samples": {"feature": np.zeros((1, 4))}},
            "There is no input 'feature'. Did you mean 'features'? Inputs: features.",
        ),
        ({"samples": {"features": np.full((1, 4), np.nan)}}, "The samples hold NaN or infinite"),
        ({"preprocessing": [{"step": "imag"}]}, "There is no step 'imag'. Did you mean 'image'?"),
        (
            {"to": ["onnx", "tflite"], "train_batch": 4},
            "train_batch=4 is for tflite:train, not for onnx, tflite. Leave it out, or export "
            "tflite:train too.",
        ),
        ({"to": "tflite:train", "train_batch": "8"}, "train_batch=8: a step of training takes 1"),
        ({"sequence_length": 0}, "sequence_length=0 must be a whole number of steps from 1, such"),
        ({"image_size": 2.5}, "image_size=2.5 must be a number of pixels, such as 224, or height"),
        ({"to": "tflite", "batch_sizes": 8}, "batch_sizes=8: give different whole numbers from 1"),
        (
            {"to": "tflite", "rnn": ["loop"]},
            "There is no rnn='['loop']'. Did you mean 'loop'? There",
        ),
        ({"optimize": 3}, "There is no optimize='3'. There is: onnxruntime."),
    ],
)
def test_wrong_arguments(dense, tmp_path, options, message):
    with pytest.raises(UsageError) as caught:
        export(dense(), out=tmp_path / "b", **options)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_something_that_is_no_model():
    with pytest.raises(
        UsageError, match=r"A dict cannot be exported: give a keras\.Model, a run folder or"
    ):
        export({})


def test_a_model_without_symbolic_inputs(tmp_path):
    class Bare(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UsageError, match=r"its inputs are not known: call it once on an example"):
        export(Bare(name="bare"), out=tmp_path / "b")


def test_text_as_input(tmp_path):
    inputs = keras.Input((), dtype="string", name="text")
    model = keras.Model(inputs, keras.layers.Identity(name="same")(inputs), name="m")
    with pytest.raises(UsageError, match="Input 'text' of model 'm' is of dtype string: do in"):
        export(model, out=tmp_path / "b")


def test_a_quantized_model(dense, tmp_path):
    model = dense(keras.layers.Dense(4, name="hidden"))
    model.quantize("int8")
    with pytest.raises(UsageError, match="Layer 'hidden' of model 'small' is quantized by Keras"):
        export(model, out=tmp_path / "b")


def test_samples_that_the_model_cannot_take(tmp_path):
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    model = keras.Model(tokens, keras.layers.Embedding(10, 2, name="vectors")(tokens), name="words")
    with pytest.raises(ExportError, match=r"Model 'words' fails in Keras on inputs of shapes"):
        export(model, samples={"token_ids": np.full((1, 3), 99)}, out=tmp_path / "b")


@pytest.mark.slow
def test_layers_of_the_running_script_reach_another_process(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import keras, numpy as np, zoo_export\n"
        "SCALE = np.float32(2)\n"
        "class Twice(keras.layers.Layer):\n"
        "    def __init__(self, table):\n"
        "        super().__init__(name='twice')\n"
        "        self.table = table\n"
        "    def call(self, x): return SCALE * x + self.table\n"
        "@keras.saving.register_keras_serializable('mine')\n"
        "class Same(keras.layers.Layer):\n"
        "    def call(self, x): return x\n"
        "x = keras.Input((2,), name='x')\n"
        "y = Same()(Twice(np.ones(2, 'float32'))(x))\n"
        "y = keras.layers.Lambda(lambda x: x - SCALE, name='y')(y)\n"
        "bundle = zoo_export.export(keras.Model(x, y), to='onnx', out='b', name='mine')\n"
        "print(bundle.run({'x': np.full((1, 2), 20)}, runtime='onnx')['y'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[[39.0, 39.0]]", done.stderr


# -- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_incomplete_run(make_run, tmp_path, status):
    run = make_run(status=status)
    with pytest.raises(UsageError) as caught:
        export(run, out=tmp_path / "b")
    assert str(caught.value) == (
        f"Run '{run}' is {status}, not complete: train it to the end before exporting it."
    )


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"is not a run folder \(run\.json is missing\)\."):
        export(tmp_path, out=tmp_path / "b")


def test_a_run_and_a_bundle_are_paths_wherever_one_is_taken(make_run, exported, tmp_path):
    run = load_run(make_run())
    bundle = export(run, to="onnx", out=tmp_path / "bundle")
    assert run.info.provenance.items() <= bundle.manifest.provenance.items()
    assert load_bundle(bundle) == load_bundle(bundle.path)
    assert load_run(run) == run
    with pytest.raises(UsageError, match=r"is not a run folder .* It is a bundle: `zoo predict "):
        export(exported, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["model.keras", "examples.npz", "run.json"])
def test_a_run_whose_file_was_cut(make_run, tmp_path, name):
    run = make_run()
    (run / name).write_bytes((run / name).read_bytes()[:100])
    with pytest.raises((UsageError, ExportError), match=f"run|{name}"):
        export(run, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


# -- formats of plugins -------------------------------------------------------------------------


def _formats_of_a_plugin(monkeypatch):
    fresh = Registry(
        "format",
        group="zoo.formats",
        builtin="zoo_runtime.formats:FORMATS",
        coerce="zoo_runtime.formats:as_format",
        separator="_",
    )
    monkeypatch.setattr(zoo_registry, "formats", fresh)
    return fresh


@pytest.mark.slow
def test_a_format_of_a_plugin_takes_the_same_road(dense, tmp_path, monkeypatch):
    row = Format(
        name="onnx_copy",
        suffix=".copy.onnx",
        converter="zoo_export.converters.onnx.convert:convert",
        runtime="zoo_runtime.running.sessions:open_onnx",
        requires="onnxruntime",
        module="onnxruntime",
    )
    _formats_of_a_plugin(monkeypatch).add("onnx_copy", row)

    bundle = export(dense(), to=["onnx_copy"], out=tmp_path / "b")

    assert bundle.artifacts[0].path == "small.copy.onnx"
    assert bundle.run({"features": np.zeros((2, 4))}, runtime="onnx_copy")["logits"].shape == (2, 3)


def test_a_format_of_the_wrong_type():
    with pytest.raises(TypeError, match="format 'x' is a int: it must be a Format"):
        zoo_registry.formats.add("x", 3)


@pytest.mark.parametrize("inner", [False, True])
def test_names_of_layers_that_tensorflow_does_not_take(dense, tmp_path, inner):
    layer = keras.layers.Dense(4, name="dichte ö")
    with pytest.raises(UsageError) as caught:
        export(dense(keras.Sequential([layer]) if inner else layer), out=tmp_path / "b")
    assert str(caught.value) == (
        "Layer 'dichte ö' of model 'small' has a name that TensorFlow does not take: call it by "
        "letters a to z, digits, '_', '-' and '.' (name=...)."
    )
    assert list(tmp_path.iterdir()) == []


def test_names_of_inputs_of_which_nothing_is_left(tmp_path):
    inputs = keras.Input((4,), name="年")
    with pytest.raises(UsageError) as caught:
        export(keras.Model(inputs, keras.layers.Dense(2)(inputs), name="m"), out=tmp_path / "b")
    assert str(caught.value) == (
        "Model 'm' has the input '年': give it a name that begins with a letter a to z, as "
        "TensorFlow drops what is before one."
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_names_of_models_and_inputs_with_other_letters(tmp_path, kind):
    inputs, layer = keras.Input((4,), name="größe"), keras.layers.Dense(2, name="logits")
    if kind == "functional":
        model = keras.Model(inputs, layer(inputs), name="_m ö")
    else:
        model = keras.Sequential([inputs, layer], name="_m ö")
    bundle = export(model, name="m", out=tmp_path / "b")
    assert model.name == "_m ö"
    for artifact in bundle.artifacts:
        assert ([t.name for t in artifact.inputs], [t.name for t in artifact.outputs]) == (
            ["gr__e"],
            ["logits"],
        )


def test_signals_without_a_name():
    process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 35)"])
    process.wait()
    assert how_it_ended(process, b"", "its process") == "its process was killed by signal 35"


def test_a_bundle_is_not_written_into_what_it_is_to_hold(tmp_path):
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs), name="m")
    (tmp_path / "words.txt").write_text("a")
    with pytest.raises(UsageError, match=r"lies in the assets '.+', which the bundle is to hold"):
        export(model, to="onnx", out=tmp_path / "b", assets=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["words.txt"]
