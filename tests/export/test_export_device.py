"""A device: the built wheel, NumPy, one runtime, and what its kind of input needs. Nothing else."""

import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest
from fuzz_subjects import make_text_bundle

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CODE = """
from importlib.metadata import distributions
from zoo_runtime import load_bundle, verify
folder, raw, runtime = sys.argv[1:]
bundle = load_bundle(folder)
[prediction] = bundle.predict(raw, runtime=runtime)
[figures] = verify(bundle, runtime=runtime)
print(sorted({d.name.lower() for d in distributions()} & {"tensorflow", "keras", "onnx", "pydantic",
      "scikit-learn"}), prediction.label, figures.ok)
"""


@pytest.fixture
def wheel(wheels):
    return wheels["kerazoo-runtime"]


def device(folder, wheel, *packages):
    """Return the Python of a clean environment with the wheel and these packages alone."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet"]
    pins = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, *pins, *packages], check=True, capture_output=True)
    subprocess.run([*install, "--no-deps", wheel], check=True, capture_output=True)
    return python


def predict(python, folder, raw, runtime, cwd):
    done = subprocess.run(
        [python, "-c", CODE, folder, raw, runtime],
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_picture_with_litert_alone(exported, digits, wheel, tmp_path):
    from PIL import Image

    picture = tmp_path / "digit.png"
    Image.fromarray(digits[0][3, :, :, 0].astype(np.uint8)).save(picture)
    [expected] = exported.predict(picture)
    python = device(tmp_path / "venv", wheel, "numpy", "ai-edge-litert", "pillow")
    said = predict(python, str(exported.path), str(picture), "tflite", tmp_path)
    assert said == f"[] {expected.label} True"


def test_a_text_with_onnxruntime_alone(wheel, tmp_path):
    from zoo_export import load_bundle

    make_text_bundle(tmp_path / "text")
    [expected] = load_bundle(tmp_path / "text").predict("what is this?")
    python = device(tmp_path / "venv", wheel, "numpy", "onnxruntime", "tokenizers")
    said = predict(python, str(tmp_path / "text"), "what is this?", "onnx", tmp_path)
    assert said == f"[] {expected.label} True"
