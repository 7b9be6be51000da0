"""The programs of a bundle's card run as they stand and give what Keras gave."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from zoo_export.card import snippets
from zoo_runtime.saved_samples import load_samples
from zoo_system import fetching

pytestmark = pytest.mark.slow

LINUX = "bin/napi-v6/linux/x64/"
NODE = fetching.Package(
    "onnxruntime-node",
    "1.30.0",
    "sha512-twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw==",
    npm=True,
    files=("package.json", "dist/", LINUX),
)
COMMON = fetching.Package(
    "onnxruntime-common",
    "1.30.0",
    "sha512-7fdVWjAID1dVhH/G8qK3APARunV4VkBFoCQAP7qp4Wkab0mrorvmc+sqiT+mKXOzDqdjN5j+/Z9nb4gzNPWcyA==",
    npm=True,
    files=("package.json", "dist/"),
)
# The one package of a registry that carries the headers; it is a plugin for Unity.
HEADERS_FOLDER = (
    "Plugins/iOS~/onnxruntime.xcframework/ios-arm64_x86_64-simulator/onnxruntime.framework/Headers/"
)
HEADERS = fetching.Package(
    "com.github.asus4.onnxruntime",
    "0.4.9",
    "sha512-BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg==",
    npm=True,
    files=(HEADERS_FOLDER,),
)
IS_LINUX_X64 = sys.platform == "linux" and os.uname().machine == "x86_64"
here_only = pytest.mark.skipif(
    not IS_LINUX_X64, reason="the runtime fetched is for Linux on x86-64"
)


@pytest.fixture(scope="module")
def make_bundle(make_run, tmp_path_factory):
    """Export the run to one format, once."""
    from zoo_export import export

    @cache
    def make(fmt):
        return export(make_run(), to=[fmt], out=tmp_path_factory.mktemp("one") / "digits-net")

    return make


@pytest.fixture(params=["tflite", "onnx", "saved_model", "tflite:int8-io", "tflite:train"])
def bundle_of(request, exported, make_bundle):
    fmt = request.param
    return (make_bundle(fmt) if ":" in fmt else exported), fmt


def program(bundle, language, fmt):
    code = {(s.language, s.format): s.code for s in snippets(bundle.manifest)}[language, fmt]
    assert f"\n{code}\n```" in (bundle.path / "README.md").read_text()
    return code


def same(found, wanted):
    return np.abs(np.ravel(found) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_python(bundle_of):
    exported, fmt = bundle_of
    driver = program(exported, "Python", fmt) + (
        "\nimport sys, json\nprint(json.dumps({k: v.tolist() for k, v in outputs.items()}))"
        "\nassert not {'zoo_registry', 'zoo_export', 'zoo'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", driver],
        cwd=exported.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, shown = done.stdout.strip().splitlines()
    sample = load_samples(exported.path / "assets/samples.npz", exported.manifest.inputs)[0]
    wanted = sample.values["logits"]
    if fmt == "tflite:int8-io":  # as near to Keras as its integers are
        wanted = exported.run(sample.inputs, runtime=fmt)["logits"]
    assert same(json.loads(shown)["logits"], wanted)
    assert label == exported.manifest.labels[int(wanted.argmax())]


def test_integers_that_stand_for_real_numbers(make_bundle):
    manifest = make_bundle("tflite:int8-io").manifest
    codes = {s.language: s.code for s in snippets(manifest)}
    # Kotlin and Swift have no such buffers.
    assert list(codes) == ["Python", "C++"]
    (artifact,) = manifest.artifacts
    image = artifact.facts["quantization"]["image"]
    scale, zero = image["scale"], image["zero_point"]
    assert (
        "  // The file holds image as integers: a real number is\n"
        f"  // std::clamp(std::lround(real / {scale}) + {zero}, -128L, 127L).\n"
        "  std::fill_n(reinterpret_cast<std::int8_t*>(\n"
        f'      runner->input_tensor("image")->data.raw), 64, {zero});'
    ) in codes["C++"]
    numbers = {s.language: s.code for s in snippets(replace(manifest, labels=None))}
    logits = artifact.facts["quantization"]["logits"]
    shown = f"std::cout << (x - ({logits['zero_point']})) * {logits['scale']} << '\\n';"
    assert shown in numbers["C++"]


def test_a_language_takes_the_first_scheme_that_it_has_the_numbers_of(make_bundle, exported):
    integers = make_bundle("tflite:int8-io").artifacts
    floats = tuple(a for a in exported.artifacts if a.format == "tflite")
    both = replace(exported.manifest, artifacts=integers + floats)
    assert {s.language: s.format for s in snippets(both)} == {
        "Python": "tflite:int8-io", "Kotlin": "tflite", "Swift": "tflite", "C++": "tflite:int8-io",
    }  # fmt: skip


def test_files_that_are_trained_are_run_by_their_own_signature(make_bundle):
    found = {s.language: s.code for s in snippets(make_bundle("tflite:train").manifest)}
    assert list(found) == ["Python", "Kotlin", "Swift", "C++"]
    for code in found.values():
        assert '"infer"' in code
        assert "serving_default" not in code


def answer_for_zeros(bundle):
    zeros = {"image": np.zeros((1, 8, 8, 1), np.float32)}
    logits = bundle.run(zeros, runtime="onnx")["logits"][0]
    return bundle.manifest.labels[int(logits.argmax())]


@here_only
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript(exported, tmp_path):
    for package in (NODE, COMMON):
        shutil.copytree(fetching.unpacked(package), tmp_path / "node_modules" / package.name)
    (tmp_path / "main.mjs").write_text(program(exported, "JavaScript", "onnx"))
    sample = load_samples(exported.path / "assets/samples.npz", exported.manifest.inputs)[0]
    numbers = sample.inputs["image"].ravel().tolist()
    (tmp_path / "driver.mjs").write_text(
        'import { run } from "./main.mjs";\n'
        f"const outputs = await run({{ image: Float32Array.from({json.dumps(numbers)}) }});\n"
        "console.log(JSON.stringify(Array.from(outputs.logits.data)));\n"
    )
    done = subprocess.run(
        ["node", tmp_path / "driver.mjs"],
        cwd=exported.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, shown = done.stdout.strip().splitlines()
    assert label == answer_for_zeros(exported)
    assert same(json.loads(shown), sample.values["logits"])


@here_only
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_cpp(exported, tmp_path):
    library = fetching.unpacked(NODE) / LINUX / "libonnxruntime.so.1"
    (tmp_path / "main.cpp").write_text(program(exported, "C++", "onnx"))
    headers = fetching.unpacked(HEADERS) / HEADERS_FOLDER
    built = [
        "g++", "-std=c++17", "-Wall", "-Werror", "main.cpp", f"-isystem{headers}", library,
        f"-Wl,-rpath,{library.parent}", "-o", "main",
    ]  # fmt: skip
    subprocess.run(built, cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "main"], cwd=exported.path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == answer_for_zeros(exported)


def test_only_what_the_formats_allow(exported):
    assert [(s.language, s.format) for s in snippets(exported.manifest)] == [
        ("Python", "tflite"), ("Python", "onnx"), ("Python", "saved_model"),
        ("JavaScript", "onnx"), ("Kotlin", "tflite"), ("Swift", "tflite"), ("C++", "onnx"),
    ]  # fmt: skip
    for fmt, expected in {
        "tflite": ["Python", "Kotlin", "Swift", "C++"],
        "onnx": ["Python", "JavaScript", "Kotlin", "Swift", "C++"],
        "saved_model": ["Python"],
    }.items():
        only = tuple(a for a in exported.artifacts if a.format == fmt)
        found = list(snippets(replace(exported.manifest, artifacts=only)))
        assert [s.language for s in found] == expected
        for snippet in found:
            assert only[0].path in snippet.code
            assert "pixels 0 to 255, by rows, grey" in snippet.code
            assert re.search(r'"digit 0", "digit 1"|manifest\.json', snippet.code)
