"""A bundle for microcontrollers: integers in and out, run in TensorFlow Lite Micro, compiled."""

import shutil
import subprocess

import numpy as np
import pytest

from zoo_export import ExportError, export, verify
from zoo_export.targets import microcontroller, tflm
from zoo_registry import UsageError
from zoo_runtime.running.sessions import Affine

pytestmark = pytest.mark.slow  # converts

# The parts of TensorFlow Lite Micro that the sources name, where its versions have them.
_API = """
template <unsigned int N> struct MicroMutableOpResolver {
  TfLiteStatus AddConv2D(); TfLiteStatus AddFullyConnected(); TfLiteStatus AddReshape();
};
struct MicroInterpreter {
  template <unsigned int N>
  MicroInterpreter(const ::tflite::Model*, MicroMutableOpResolver<N>&, std::uint8_t*, std::size_t);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  template <class T> T* typed_input_tensor(int);
  template <class T> T* typed_output_tensor(int);
};
"""
_LAYOUTS = {
    "before": f"namespace tflite {{ {_API} }}",
    "since": f"namespace tflite {{ namespace micro {{ {_API} }} }}",
    "both": f"namespace tflite {{ namespace micro {{ {_API} }}\n"
    "using micro::MicroMutableOpResolver; using micro::MicroInterpreter; }",
}


@pytest.fixture(scope="module")
def bundle(make_run, digits, tmp_path_factory):
    return export(
        make_run(),
        target="microcontroller",
        calibration={"image": digits[0][64:192]},
        out=tmp_path_factory.mktemp("micro") / "digits-net",
    )


@pytest.fixture(scope="module")
def folder(bundle):
    return bundle.path / "microcontroller"


def _compile(folder, *arguments):
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")


def test_the_file_takes_and_gives_int8_and_callers_see_floats(bundle, digits):
    from ai_edge_litert.interpreter import Interpreter

    [artifact] = bundle.artifacts
    assert (artifact.format, artifact.path) == ("tflite:int8-io", "digits-net.int8-io.tflite")
    file = Interpreter(model_path=str(bundle.path / artifact.path))
    [taken], [given] = file.get_input_details(), file.get_output_details()
    assert (taken["dtype"], given["dtype"]) == (np.int8, np.int8)
    assert artifact.facts["quantization"] == {
        "image": {"scale": taken["quantization"][0], "zero_point": taken["quantization"][1]},
        "logits": {"scale": given["quantization"][0], "zero_point": given["quantization"][1]},
    }
    assert artifact.facts["layers"]["CONV_2D"] == ["conv"]
    assert artifact.verification.top1_agreement >= 0.95

    logits = bundle.run({"image": digits[0][:5]})["logits"]
    steps = logits / np.float32(given["quantization"][0])
    assert (logits.dtype, logits.shape) == (np.float32, (5, 10))
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert all(row.ok for row in verify(bundle))


def test_the_manifest_has_the_figures(bundle):
    facts = bundle.manifest.targets["microcontroller"]
    assert facts["flash_bytes"] == bundle.artifacts[0].bytes
    assert facts["operators"] == ["CONV_2D", "FULLY_CONNECTED", "RESHAPE"]
    assert facts["interpreter"].startswith("tflite-micro 0.")
    # 32 rows: convolution, reshaping and logits.
    assert 32 * 288 * 2 < facts["compared_values"] <= 32 * (288 * 2 + 10)
    assert facts["one_step_apart"] <= 3


def test_the_arena_is_the_smallest(bundle):
    content = (bundle.path / bundle.artifacts[0].path).read_bytes()
    arena = bundle.manifest.targets["microcontroller"]["arena_bytes"]
    assert tflm._fits(content, arena)
    assert not tflm._fits(content, arena - 16)


@needs_compiler
def test_the_array_and_its_description_compile_alone(bundle, folder, tmp_path):
    main = tmp_path / "main.cc"
    main.write_text("""
#include <cstdio>
#include "model.h"
namespace model = model_digits_net;
int main() {
  std::printf("%zu %d %s\\n", model::kArenaSize, model::kNumLabels, model::kLabels[9]);
  std::printf("%.9g\\n", model::output_logits::Dequantize(5));
  for (float x = -3.0f; x < 260.0f; x += 0.5f) {
    std::printf("%d ", model::input_image::Quantize(x));
  }
  std::printf("\\n%d\\n", static_cast<int>(reinterpret_cast<std::uintptr_t>(model::kModel) % 16));
  std::fwrite(model::kModel, 1, model::kModelSize, stderr);
}
""")
    program = tmp_path / "program"
    _compile(folder, "-I.", str(main), "model.cc", "-o", str(program))
    done = subprocess.run([program], check=True, capture_output=True)
    first, real, steps, alignment = done.stdout.decode().splitlines()

    artifact = bundle.artifacts[0]
    facts = artifact.facts["quantization"]
    assert done.stderr == (bundle.path / artifact.path).read_bytes()
    arena = bundle.manifest.targets["microcontroller"]["arena_bytes"]
    assert first == f"{arena} 10 digit 9"
    logits = Affine(**facts["logits"], dtype="int8")
    assert np.float32(real) == logits.dequantize(np.array([5], np.int8))[0]
    image = Affine(**facts["image"], dtype="int8")
    numbers = np.arange(-3, 260, 0.5, dtype=np.float32)
    assert [int(step) for step in steps.split()] == image.quantize(numbers).tolist()
    assert alignment == "0"


@needs_compiler
@pytest.mark.parametrize("layout", _LAYOUTS)
def test_the_program_of_the_readme_compiles_with_every_layout_of_namespaces(
    folder, tmp_path, layout
):
    program = (folder / "README.md").read_text().split("```cpp\n")[1].partition("```")[0]
    (tmp_path / "main.cc").write_text(program)
    micro = tmp_path / "tensorflow/lite/micro"
    micro.mkdir(parents=True)
    (micro.parent / "schema").mkdir()
    (micro.parent / "schema/schema_generated.h").write_text(
        "namespace tflite { struct Model; const Model* GetModel(const void*); }"
    )
    (micro / "micro_interpreter.h").write_text("#include <cstdint>\n")
    (micro / "micro_mutable_op_resolver.h").write_text(
        "#pragma once\n#include <cstddef>\n#include <cstdint>\n"
        "namespace tflite { struct Model; }\n"
        f"enum TfLiteStatus {{ kTfLiteOk, kTfLiteError }};\n{_LAYOUTS[layout]}"
    )
    flags = ("-fsyntax-only", "-I.", f"-I{tmp_path}", str(tmp_path / "main.cc"))
    assert _compile(folder, *flags).stderr == ""
    # A program that calls something else is not taken.
    (tmp_path / "main.cc").write_text(program.replace(".Invoke()", ".Compute()"))
    with pytest.raises(subprocess.CalledProcessError):
        _compile(folder, *flags)


def test_operators_that_it_lacks_are_all_named_with_their_layers(dense, tmp_path):
    import keras

    model = dense(
        keras.layers.Dense(4, activation="gelu", name="first"),
        keras.layers.Dense(4, activation="gelu", name="second"),
    )
    rows = {"features": np.random.default_rng(0).standard_normal((512, 4), np.float32)}
    with pytest.raises(ExportError) as caught:
        export(model, target="microcontroller", calibration=rows, out=tmp_path / "small")
    assert str(caught.value) == (
        "Model 'small' cannot be made ready for a microcontroller: TensorFlow Lite Micro has no "
        "operator for GELU (layer 'first'), GELU (layer 'second'): build the model with other "
        "layers or activations.\nNothing was written."
    )
    assert [blame.layer for blame in caught.value.blames] == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_what_computes_something_else_is_refused(bundle):
    [artifact] = bundle.artifacts
    same = {"CONV_2D": 100, "FULLY_CONNECTED": 10}
    none = dict.fromkeys(same, 0)

    def check(**changes):
        given = {"compared": same, "different": none, "largest": none, **changes}
        findings = tflm.Findings(64, (), (), **{"unlike_in_arena": 0, **given})
        microcontroller._check(findings, artifact)

    check()
    check(different={**none, "FULLY_CONNECTED": 1}, largest={**none, "FULLY_CONNECTED": 1})
    with pytest.raises(ExportError) as caught:
        check(different={**none, "CONV_2D": 3}, largest={**none, "CONV_2D": 1})
    assert str(caught.value) == (
        "CONV_2D (layer 'conv') gives other bits in TensorFlow Lite Micro than in LiteRT: 3 of "
        "100 values, by up to 1 steps"
    )
    with pytest.raises(ExportError, match="by up to 2 steps"):
        check(different={**none, "FULLY_CONNECTED": 1}, largest={**none, "FULLY_CONNECTED": 2})
    with pytest.raises(ExportError, match="gives other outputs in 64 bytes, the smallest arena"):
        check(unlike_in_arena=1)
    with pytest.raises(ExportError, match=r"CONV_2D \(layer 'conv'\) never got the same bits"):
        check(compared={**same, "CONV_2D": 0})


def test_a_file_that_is_cut_short_ends_the_other_process_only(bundle, tmp_path):
    [artifact] = bundle.artifacts
    path = tmp_path / "cut.tflite"
    path.write_bytes((bundle.path / artifact.path).read_bytes()[:400])
    with pytest.raises(ExportError, match=r"^TensorFlow Lite Micro (refuses|ended with code)"):
        microcontroller._run(
            path, microcontroller._rows(bundle.path, bundle.manifest, artifact), artifact
        )


def test_without_the_interpreter_nothing_is_begun(monkeypatch, dense, tmp_path):
    from zoo_export import targets

    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        export(dense(), target="microcontroller", out=tmp_path / "small")
    assert str(caught.value) == (
        "Target 'microcontroller' needs tflite-micro: pip install 'kerazoo[micro]'"
    )


def test_without_typical_inputs_it_says_what_to_give(dense, tmp_path):
    with pytest.raises(UsageError, match=r"^tflite:int8-io measures the ranges of activations"):
        export(dense(), target="microcontroller", out=tmp_path / "small")


def test_labels_are_literals_whatever_is_in_them():
    from zoo_export.targets.c_sources import _c_string

    assert _c_string('say "hi"?\\') == '"say \\042hi\\042\\077\\134"'
    assert _c_string("né1") == '"n\\303\\2511"'
