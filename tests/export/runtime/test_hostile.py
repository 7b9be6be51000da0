"""Every public way to open an artifact tries it first; what more than computes is never opened."""

import ast
import copy
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hostile_files import change_tflite, make_it_crash, rehash

import zoo_runtime.verifying
from zoo_export import BundleError, bench, load_bundle, verify
from zoo_registry import UsageError
from zoo_runtime import tokenizing
from zoo_runtime.bundle import Bundle
from zoo_runtime.contents import check_agreement
from zoo_runtime.manifest import Decoding, Manifest
from zoo_runtime.preprocessing_checks import check_preprocessing
from zoo_runtime.running.compute_operators import COMPUTE
from zoo_runtime.running.operators import check_onnx, check_saved_model, check_tflite
from zoo_runtime.saved_samples import load_arrays, load_samples
from zoo_runtime.tensors import Tensor
from zoo_system import processes

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for root in ("registry", "export", "zoo", "recipes")
    for path in sorted((ROOT / root).rglob("*.py"))
]
ENDED = r"ended the process that tried it \(SIG(SEGV|ABRT|BUS)\): it is damaged or hostile"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Forget what this machine has tried before."""
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tried"


# -- every way to open an artifact ----------------------------------------------------------------


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    """A bundle that can be trained."""
    import keras

    from zoo_export import export

    features = keras.Input((4,), name="features")
    model = keras.Model(features, keras.layers.Dense(3, name="logits")(features), name="learner")
    return export(model, out=tmp_path_factory.mktemp("learner") / "bundle", to=["tflite:train"])


IMAGE = np.eye(8) * 200
ROWS = {"image": np.zeros((1, 8, 8, 1), np.float32)}


def ran(*words):
    """Call the command line in this process."""
    from zoo.cli.main import cli

    return cli(list(map(str, words)), standalone_mode=False)


def evaluated(bundle):
    from zoo.evaluating import evaluate

    return evaluate(bundle, runtime="tflite")


def explained(bundle):
    from zoo.explaining import explain

    return explain(bundle, IMAGE, runtime="tflite", patches=4)


def taught(bundle):
    from zoo_recipes.configs import DistillationConfig
    from zoo_recipes.training.batches import make_teaching

    config = DistillationConfig(teacher=str(bundle.path), runtime="tflite")
    return make_teaching(bundle, config, None, None, bundle.path)


def written(bundle):
    path = bundle.path.parent / "digit.npy"
    np.save(path, IMAGE)
    return path


WAYS = {
    "Bundle.runner": lambda bundle: bundle.runner("tflite", threads=2),
    "Bundle.run": lambda bundle: bundle.run(ROWS, "tflite", provider="builtin"),
    "Bundle.predict": lambda bundle: bundle.predict(IMAGE, "tflite", None, 1, provider="builtin"),
    "Bundle.trainer": lambda bundle: bundle.trainer(threads=2),
    "Bundle.text_generator": lambda bundle: bundle.text_generator("tflite", threads=2),
    "verify": lambda bundle: verify(bundle, runtime="tflite", provider="builtin"),
    "evaluate": evaluated,
    "explain": explained,
    "a teacher": taught,
    "zoo predict": lambda bundle: ran(
        "predict", bundle.path, written(bundle), "--runtime", "tflite"
    ),
    "zoo verify": lambda bundle: ran("verify", bundle.path, "--runtime", "tflite"),
    "zoo explain": lambda bundle: ran(
        "explain", bundle.path, written(bundle), "--runtime", "tflite"
    ),
}
ASKED = {
    "Bundle.runner": {"threads": 2, "provider": None},
    "Bundle.run": {"threads": None, "provider": "builtin"},
    "Bundle.predict": {"threads": 1, "provider": "builtin"},
    "Bundle.trainer": {"threads": 2, "provider": None},
    "Bundle.text_generator": {"threads": 2, "provider": None},
    "verify": {"threads": None, "provider": "builtin"},
}
# Of the public names of a bundle: those that open an artifact, and those that do not.
OPENS = {"runner", "run", "predict", "trainer", "text_generator"}
OPENS_NOT = {"artifact", "artifacts", "as_recorded", "assets", "check_hashes", "kind", "name"}
OPENS_NOT |= {"runtime", "to_zip"}
# What its manifest holds.
OPENS_NOT |= {"decoding", "inputs", "labels", "outputs", "preprocessing", "sha256"}
OPENS_NOT |= {"task", "training"}


@pytest.mark.slow
@pytest.mark.xdist_group("writer")
def test_every_way_to_open_an_artifact_tries_it_with_the_same_options(
    exported, learner, byte_writer, cache, tmp_path, monkeypatch
):
    subjects = {
        "Bundle.trainer": (learner.path, "learner.train.tflite"),
        "Bundle.text_generator": (byte_writer, "writer.tflite"),
    }
    nothing = SimpleNamespace(recipe=None, examples=None)
    monkeypatch.setattr("zoo_recipes.evaluation.evaluating.read_for", lambda *_, **__: nothing)
    monkeypatch.setattr("zoo_recipes.evaluation.evaluating.source_of", lambda *_: None)
    asked = []
    real = zoo_runtime.verifying.processes.run

    def noted(module, *words, **options):
        if module == zoo_runtime.verifying.__name__:  # a tokenizer is tried by itself
            asked.append(json.loads(words[3]))
        return real(module, *words, **options)

    monkeypatch.setattr(zoo_runtime.verifying.processes, "run", noted)
    for way, use in WAYS.items():
        path, file = subjects.get(way, (exported.path, "digits-net.tflite"))
        folder = tmp_path / way.replace(" ", "-")
        shutil.copytree(path, folder)
        make_it_crash(folder, file)
        asked.clear()
        with pytest.raises(BundleError, match=ENDED):
            use(load_bundle(folder))
        assert len(asked) == 1, way
        assert asked[0] == ASKED.get(way, {"threads": None, "provider": None}), way
    # The tokenizer was tried, and is fine; no artifact is.
    assert len(list(cache.iterdir())) == 1
    # A process of its own for each is what a measurement has anyway.
    (row,) = bench(folder, only=["tflite"], runs=1).rows
    assert "was killed by SIG" in row.error


def test_the_table_has_every_way():
    public = {name for name in dir(Bundle) if not name.startswith("_")}
    assert public - {"path", "manifest", "trusted", "origin"} == OPENS | OPENS_NOT
    assert {f"Bundle.{name}" for name in OPENS} <= set(WAYS)
    calls = {}
    openers = {"open_runner", "open_trainer", "InferenceSession", "Interpreter", "saved_model.load"}
    openers |= {"onnx_session", "litert_interpreter", "load_saved_model"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if re.sub(r"^(onnxruntime|tf|litert)\.", "", name) in openers:
                room = path.relative_to(ROOT).parent.as_posix()
                calls.setdefault(room, set()).add(path.stem)
    # Converters, and the microcontroller's arena, open what they have just written themselves.
    own = ("export/zoo_export/converters", "export/zoo_export/generation")
    converters = [room for room in calls if room.startswith(own)]
    for room in converters:
        del calls[room]
    assert converters
    assert calls == {
        "export/zoo_runtime": {"bundle", "contents", "verifying"},
        "export/zoo_runtime/running": {"sessions", "training"},
        "export/zoo_runtime/generation": {"present", "slices"},
        "export/zoo_export/targets": {"tflm"},
    }


@pytest.mark.slow
def test_a_signature_that_no_sample_has_run(bundle_copy, cache):
    def add_one(model):
        other = copy.deepcopy(model.signatureDefs[0])
        other.signatureKey = b"batch_8"
        model.signatureDefs.append(other)

    change_tflite(bundle_copy, "digits-net.tflite", add_one)
    data = json.loads((bundle_copy / "manifest.json").read_text())
    for sizes, message in (
        ([1], "The file has a signature for batch 8, which its manifest does not list."),
        ([1, 8], f"Bundle '{bundle_copy}' has no sample for batch 8 of 'digits-net.tflite'."),
    ):
        lite = next(row for row in data["artifacts"] if row["format"] == "tflite")
        lite["batch_sizes"] = sizes
        rehash(bundle_copy, artifacts=data["artifacts"])
        with pytest.raises(BundleError, match=re.escape(message)):
            load_bundle(bundle_copy).run(ROWS, "tflite")


@pytest.mark.slow
def test_what_is_opened_is_what_was_hashed(bundle_copy, cache, tmp_path, monkeypatch):
    path = bundle_copy / "digits-net.onnx"
    stamp, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    bundle = load_bundle(bundle_copy)
    bundle.run(ROWS, "tflite")  # of another file nothing is read
    monkeypatch.setattr("onnxruntime.InferenceSession", pytest.fail)
    for opened in (bundle, load_bundle(bundle_copy, trusted=True)):
        for act in (
            lambda opened=opened: opened.run(ROWS, "onnx"),
            lambda opened=opened: opened.to_zip(tmp_path / "bundle.zip"),
            lambda opened=opened: verify(opened, runtime="tflite"),
        ):
            with pytest.raises(BundleError, match=r"digits-net\.onnx' of bundle '.*' was changed"):
                act()
    assert not (tmp_path / "bundle.zip").exists()
    monkeypatch.undo()
    path.unlink()
    path.symlink_to(bundle_copy / "digits-net.tflite")
    said = r"digits-net\.onnx' of bundle '.*' is a link"
    with pytest.raises(BundleError, match=said), bundle.as_recorded("digits-net.onnx"):
        pass
    path.unlink()
    path.write_bytes(content)
    said = "was changed: its sha256 is not the manifest's"
    with pytest.raises(BundleError, match=said), bundle.as_recorded("digits-net.onnx"):
        path.write_bytes(content[::-1])
    path.write_bytes(content)
    said = r"digits-net\.onnx' of bundle '.*' was written to or replaced while it was opened"
    with pytest.raises(BundleError, match=said), bundle.as_recorded("digits-net.onnx"):
        _opened_as_another(path, tmp_path / "kept.onnx")


def _opened_as_another(path, kept):
    """Have another file there while something is opened, and then the one that was."""
    content = path.read_bytes()
    path.rename(kept)
    path.write_bytes(content[::-1])
    path.unlink()
    kept.rename(path)


# -- operators ------------------------------------------------------------------------------------


def save(folder, body):
    """Write a SavedModel whose signature computes ``body``."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(tf.ones([4, 3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
    def serve(x):
        return {"y": body(tf, module, x)}

    module.serve = serve
    tf.saved_model.save(module, str(folder), signatures=serve)


def after(operation, module, x):
    import tensorflow as tf

    with tf.control_dependencies([operation]):
        return tf.identity(x @ module.kernel)


def table_from_file(tf, module, x):
    with tf.init_scope():
        path = Path(module.folder) / "words.txt"
        path.write_text("a\nb\n")
        numbers = tf.lookup.TextFileIndex.LINE_NUMBER
        words = (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, numbers)
        initializer = tf.lookup.TextFileInitializer(str(path), *words)
        module.table = tf.lookup.StaticHashTable(initializer, -1)
    return x + tf.cast(module.table.lookup(tf.constant(["a"])), tf.float32)


def restored(tf, x):
    values = tf.raw_ops.RestoreV2(
        prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return x @ values[0]


HOSTILE = {
    "ReadFile": lambda tf, m, x: after(tf.io.read_file("/etc/hostname"), m, x),
    "WriteFile": lambda tf, m, x: after(tf.io.write_file("/tmp/written", "x"), m, x),
    "PrintV2": lambda tf, m, x: after(tf.print("x", output_stream="file:///tmp/printed"), m, x),
    "MatchingFiles": lambda tf, m, x: after(tf.io.matching_files("/*"), m, x),
    "EagerPyFunc": lambda tf, m, x: tf.py_function(lambda a: a, [x], tf.float32),
    "RestoreV2": lambda tf, m, x: restored(tf, x),
    "ImmutableConst": lambda tf, m, x: (
        x
        @ tf.raw_ops.ImmutableConst(
            dtype=tf.float32, shape=[4, 3], memory_region_name="/etc/hostname"
        )
    ),
    # In a function of the library that only another one calls.
    "ReadFile in a branch": lambda tf, m, x: tf.cond(
        tf.reduce_sum(x) > 0,
        lambda: after(tf.io.read_file("/etc/hostname"), m, x),
        lambda: x @ m.kernel,
    ),
}


@pytest.mark.slow
def test_operators_that_do_more_than_compute(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry
    from tensorflow.python.ops import gen_io_ops, gen_logging_ops, gen_script_ops

    assert all(op_def_registry.get(name) for name in COMPUTE)
    outside = {
        name
        for module in (gen_io_ops, gen_logging_ops, gen_script_ops)
        for name in vars(module)
        if op_def_registry.get(name)
    }
    assert not (COMPUTE & outside) - {"Assert", "Any"}
    for name, body in HOSTILE.items():
        folder = tmp_path / name
        save(folder, body)
        operator = name.partition(" ")[0]
        with pytest.raises(BundleError, match=rf"has the operator {operator} in its function '"):
            check_saved_model(folder)
    save(tmp_path / "fine", lambda tf, module, x: tf.nn.relu(x @ module.kernel))
    check_saved_model(tmp_path / "fine")

    data = (tmp_path / "fine" / "saved_model.pb").read_bytes()
    for name, change in HIJACKS.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "fine", folder)
        model = saved_model_pb2.SavedModel.FromString(data)
        graph = model.meta_graphs[0]
        functions = {f.signature.name: f for f in graph.graph_def.library.function}
        saver = next(name for name in functions if "traced_save" in name)
        caller = next(f for name, f in functions.items() if "signature_wrapper" in name)
        change(graph, caller, saver)
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        with pytest.raises(BundleError, match=r"MergeV2Checkpoints in|has no objects"):
            check_saved_model(folder)
    (tmp_path / "fine" / "saved_model.pbtxt").write_text("")
    with pytest.raises(BundleError, match=r"holds 'saved_model\.pbtxt': one of a bundle has a"):
        check_saved_model(tmp_path / "fine")


def call_by_attribute(graph, caller, saver):
    node = caller.node_def.add(name="n", op="PartitionedCall")
    node.attr["f"].func.name = saver


def implement(graph, caller, saver):
    saving = next(f for f in graph.graph_def.library.function if f.signature.name == saver)
    saving.attr["api_implements"].s = b"x"


def name_it_as_a_signature(graph, caller, saver):
    graph.object_graph_def.nodes[-1].bare_concrete_function.concrete_function_name = saver


# Ways to call the function that writes a checkpoint, which every SavedModel has.
HIJACKS = {
    "attribute": call_by_attribute,
    "operator": lambda graph, caller, saver: caller.node_def.add(name="n", op=saver),
    "implements": implement,
    "object": name_it_as_a_signature,
    "graph": lambda graph, caller, saver: graph.graph_def.node.add(name="n", op=saver),
    "version 1": lambda graph, caller, saver: graph.ClearField("object_graph_def"),
}


@pytest.mark.slow
def test_a_saved_model_that_reads_a_file_is_never_run(bundle_copy, cache, tmp_path):
    import tensorflow as tf

    proof = tmp_path / "proof.txt"
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, "image")])
    def serve(image):
        with tf.control_dependencies([tf.io.write_file(str(proof), "it ran")]):
            return {"logits": tf.zeros([tf.shape(image)[0], 10])}

    module.serve = serve
    old = [
        f"saved_model/{p.relative_to(bundle_copy / 'saved_model')}" for p in files_in(bundle_copy)
    ]
    shutil.rmtree(bundle_copy / "saved_model")
    tf.saved_model.save(module, str(bundle_copy / "saved_model"), signatures=serve)
    new = [
        f"saved_model/{p.relative_to(bundle_copy / 'saved_model')}" for p in files_in(bundle_copy)
    ]
    rehash(bundle_copy, *old, *new)
    for use in (
        lambda: load_bundle(bundle_copy).run(ROWS, "saved_model"),
        lambda: load_bundle(bundle_copy, trusted=True).run(ROWS, "saved_model"),
        lambda: verify(bundle_copy, runtime="saved_model"),
    ):
        with pytest.raises(BundleError, match="has the operator WriteFile in its function"):
            use()
    assert not proof.exists()


def files_in(folder):
    return [path for path in (folder / "saved_model").rglob("*") if path.is_file()]


def test_operators_of_others_in_onnx_and_litert(exported, tmp_path):
    from onnx import helper

    values = [helper.make_tensor_value_info(name, 1, [3]) for name in "xy"]

    def write(*nodes, functions=()):
        graph = helper.make_graph(list(nodes), "g", [values[0]], [values[1]])
        model = helper.make_model(graph, functions=list(functions))
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())

    write(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))
    check_onnx(tmp_path / "m.onnx")
    for domain, name in (("ai.evil", "Shell"), ("com.microsoft", "EPContext")):
        inner = helper.make_graph(
            [helper.make_node(name, ["x"], ["y"], domain=domain)], "i", [], []
        )
        write(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
        with pytest.raises(BundleError, match=rf"has the operator {domain}\.{name}: those of a"):
            check_onnx(tmp_path / "m.onnx")
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opset = [helper.make_opsetid("", 20)]
    function = helper.make_function("own", "F", ["a"], ["b"], body, opset)
    write(helper.make_node("F", ["x"], ["y"], domain="own"), functions=[function])
    check_onnx(tmp_path / "m.onnx")

    shutil.copy(exported.path / "manifest.json", tmp_path)
    path = Path(shutil.copy(exported.path / "digits-net.tflite", tmp_path))
    check_tflite(path, path.read_bytes())

    def flex(model):
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"FlexReadFile"

    change_tflite(tmp_path, path.name, flex)
    with pytest.raises(BundleError, match="has the custom operator 'FlexReadFile': those of a"):
        check_tflite(path, path.read_bytes())
    for content in (b"", b"\xff" * 64, path.read_bytes()[:9]):
        with pytest.raises(BundleError, match="is not a LiteRT file: "):
            check_tflite(path, content)


# -- tokenizers -----------------------------------------------------------------------------------

WORDS = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# Whatever text would be replaced: verification looks for what the rules look for.
GROWING = {"type": "Replace", "pattern": {"String": "☃"}, "content": "☃" * 10_000}
PADDED = {
    "strategy": {"Fixed": 10**12},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}
TOKENIZERS = {
    "chunk size must be non-zero": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "index out of bounds": {
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}
    },
    "Regex search error: retry-limit-in-match over": {"pre_tokenizer": split("(a+)+b")},
    "the process that tried it (SIG": {"padding": PADDED},
    "Cannot instantiate Tokenizer from buffer": {"model": 3},
    "it ended the process": {"normalizer": {"type": "Sequence", "normalizers": [GROWING] * 9}},
}


NOTHING = {"name": "m", "inputs": (), "outputs": (), "files": {}, "artifacts": ()}


def test_tokenizers_are_tried_in_another_process_with_bounds(cache, tmp_path):
    path = tmp_path / "tokenizer.json"
    base = {"version": "1.0", "model": WORDS, "added_tokens": [], "truncation": None}
    for message, changes in TOKENIZERS.items():
        path.write_text(json.dumps(base | changes))
        with pytest.raises(UsageError) as caught:
            tokenizing.open_tokenizer(path)
        assert message in str(caught.value)
    # Verification makes rows of texts where a bundle has saved none.
    manifest = Manifest(**NOTHING, preprocessing=({"step": "tokenize", "length": 4},))
    path.write_text(json.dumps(base | TOKENIZERS["chunk size must be non-zero"]))
    with pytest.raises(UsageError, match="chunk size must be non-zero"):
        check_preprocessing(manifest, tmp_path)
    assert not cache.exists()
    path.write_text(json.dumps(base | {"pre_tokenizer": split("")}))
    assert tokenizing.open_tokenizer(path).encode("a").ids
    (mark,) = cache.iterdir()
    assert tokenizing.open_tokenizer(path).encode("a").ids
    said = r"^It cannot: chunk size must be non-zero$"
    with pytest.raises(UsageError, match=said), tokenizing.asking("It cannot"):
        panic()
    assert mark.exists()


def panic():
    from tokenizers import Tokenizer

    data = {"version": "1.0", "model": WORDS, "added_tokens": []}
    Tokenizer.from_str(
        json.dumps(data | {"pre_tokenizer": {"type": "FixedLength", "length": 0}})
    ).encode("a")


def test_no_other_module_reads_tokenizers_or_lets_them_panic():
    opening = r"\bTokenizer\.from_"
    asking = r"tokenizer\.(encode|decode)(_batch)?\("
    found = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for line in path.read_text().splitlines()
        if re.search(rf"{opening}|{asking}", line) and ">>>" not in line
    }
    # The others ask inside of ``asking``.
    assert found == {
        "export/zoo_runtime/tokenizing.py",
        "export/zoo_runtime/preprocess/texts.py",
        "export/zoo_runtime/preprocessing_checks.py",
        "export/zoo_runtime/generation/texts.py",
        "export/zoo_runtime/answers/prediction.py",
    }


# -- what a manifest says of itself ---------------------------------------------------------------


def steps(**changes):
    return ({"step": "image", "size": [8, 8], "channels": 1} | changes,)


def tensor(manifest, **changes):
    return (replace(manifest.inputs[0], **changes),)


DISAGREEMENTS = {
    "lists the format '.*' twice": lambda m: {"artifacts": (*m.artifacts, m.artifacts[0])},
    "has an impossible count: -1": lambda m: {"num_params": -1},
    "has an impossible count: -5": (
        lambda m: {"artifacts": (replace(m.artifacts[0], bytes=-5), *m.artifacts[1:])}
    ),
    r"makes 'image' of shape \(16000, 16000, 1\) of a raw input, and its model takes image: ": (
        lambda m: {"preprocessing": steps(size=[16000, 16000])}
    ),
    r"makes 'other' of shape \(8, 8, 1\)": lambda m: {"preprocessing": steps(input="other")},
    r"channels=2 must be 1 or 3": lambda m: {"preprocessing": steps(channels=2)},
    r"size=\(16000, 16000\) must be at most": (
        lambda m: {"preprocessing": steps(size=[16000, 16000], channels=3)}
    ),
    r"tokenizer='../../outside.json' must be the name of a file among the assets": (
        lambda m: {"preprocessing": ({"step": "tokenize", "tokenizer": "../../outside.json"},)}
    ),
    r"tokenizer='/etc/hostname' must be": (
        lambda m: {"preprocessing": ({"step": "tokenize", "tokenizer": "/etc/hostname"},)}
    ),
    r"reads 'tokenizer.json' to prepare inputs and does not list it": (
        lambda m: {"preprocessing": ({"step": "tokenize"},)}
    ),
    r"has 3 labels for the 10 classes of 'logits'": lambda m: {"labels": ("a", "b", "c")},
    r"an impossible tensor: image: float32\[batch, 1048576, 1048576\]": (
        lambda m: {"inputs": tensor(m, shape=("batch", 2**20, 2**20))}
    ),
    r"impossible batches": (
        lambda m: {"artifacts": (replace(m.artifacts[0], batch_sizes=tuple(range(1, 99))),)}
    ),
    r"an impossible decoding.length: 1099511627776": (
        lambda m: {"decoding": Decoding(length=2**40)}
    ),
}


@pytest.mark.slow
def test_a_manifest_that_contradicts_itself(exported):
    check_agreement(exported.path, exported.manifest)
    for message, change in DISAGREEMENTS.items():
        other = replace(exported.manifest, **change(exported.manifest))
        with pytest.raises(BundleError, match=message):
            check_agreement(exported.path, other)


@pytest.mark.slow
def test_classes_that_no_label_names(exported):
    from zoo_runtime.answers.prediction import answer

    few = replace(exported.manifest, labels=("a", "b"))
    with pytest.raises(BundleError, match="has 2 labels, and its answer is class 7, counted from"):
        answer(few, exported.path / "assets", {"logits": np.eye(10)[[7]]})


@pytest.mark.slow
def test_a_task_that_the_outputs_do_not_answer(exported):
    for task in ("question-answering", "token-classification", "causal-lm"):
        other = replace(exported, manifest=replace(exported.manifest, task=task), _runners={})
        with pytest.raises(BundleError, match=f"is of task '{task}', whose output '"):
            replace(other, trusted=True).predict(IMAGE, "onnx")


def test_samples_and_manifests_that_swell(tmp_path):
    path = tmp_path / "samples.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0/x/a.npy", bytes(200 << 20))
    with pytest.raises(BundleError, match=r"of [0-9,]+ bytes would swell to 209,715,200\."):
        load_arrays(path)
    taken = [Tensor("a", "float32", ("batch", 4))]
    for arrays, message in [
        ({"0/x/a": np.zeros((2, 5), "float32")}, r"holds '0/x/a' of shape \(2, 5\) and float32"),
        ({"0/x/a": np.zeros((2, 4), "complex64")}, "and complex64, which its manifest does not"),
        ({"0/x/b": np.zeros((2, 4), "float32")}, "holds '0/x/b'"),
        ({"0/y/c": np.zeros((1 << 17), "float32")}, r"holds '0/y/c' of shape \(131072,\)"),
        ({"0/z/c": np.zeros(1)}, "holds '0/z/c'"),
        ({"given/spread/c": np.zeros(5000)}, "holds 'given/spread/c'"),
        ({"0/x/a": np.zeros((1 << 25, 4), "int8")}, r"holds '0/x/a' of shape \(33554432, 4\)"),
    ]:
        np.savez(path, **arrays)
        with pytest.raises(BundleError, match=message):
            load_samples(path, taken)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, io.BytesIO() as array:
        np.save(array, np.zeros((2, 4), "float32"))
        archive.writestr("0/x/a.npy", array.getvalue() + bytes(9))
    with pytest.raises(BundleError, match="'0/x/a' has 169 bytes, and its header says 160"):
        load_samples(path, taken)
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(1 << 27)
    with pytest.raises(BundleError, match=r"has 134,217,728 bytes: that is not a manifest"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match="is not complete JSON"):
        Manifest.read(b"[" * 100_000)
    with pytest.raises(BundleError, match="JSON: it has the key 'name' twice"):
        Manifest.read(b'{"files": {"name": 1, "b": 2, "name": 3}}')
    for number in (b"NaN", b"-Infinity", b"1e999"):
        with pytest.raises(BundleError, match=f"JSON: {number.decode()} is not a number"):
            Manifest.read(b'{"provenance": {"loss": [1.5, ' + number + b"]}}")
    unknown = Manifest(
        name="a", inputs=(), outputs=(), files={}, artifacts=(), provenance={"loss": float("nan")}
    )
    with pytest.raises(BundleError, match="The manifest of 'a' cannot be written: Out of range"):
        unknown.to_json()


# -- nobody is left behind ------------------------------------------------------------------------

# It never lets another thread of its own run: backtracking holds the interpreter.
SPIN = """
import os, re, sys
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
re.match(r"(a+)+b", "a" * 99)
"""
PARENT = """
import sys
from zoo_system import processes
if sys.argv[2] == "module":
    processes.run("spin", sys.argv[1], time_limit=600)
else:
    processes.run_program(["sh", "-c", "echo $$ > $0; exec sleep 600", sys.argv[1]], 600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["module", "program"])
def test_no_child_outlives_its_parent(tmp_path, number, kind):
    (tmp_path / "spin.py").write_text(SPIN)
    told = tmp_path / "pid"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(told), kind], env={**os.environ, "PYTHONPATH": path}
    )
    child = int(waited(lambda: told.exists() and told.read_text()))
    parent.send_signal(number)
    parent.wait()
    assert waited(lambda: not alive(child))


def waited(condition):
    for _ in range(100):
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    return None


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # it has ended; nobody has asked how


def test_every_child_of_ours_begins_with_the_guard():
    # A program of macOS that only tells a name; who starts all others.
    starters = {"machine.py", "processes.py"}
    process = r"subprocess\.(Popen|run|call|check_\w+)\(|os\.(system|popen|fork)|import multiproc"
    found = {path.name for path in SOURCES if re.search(process, path.read_text())}
    assert found <= starters
    assert processes.end_with_parent() is None  # of a process that nobody of us started
