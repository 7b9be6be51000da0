"""A device: kerazoo-runtime, one runtime, and what each kind of input needs. Nothing else."""

import json
import os
import subprocess
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import device_answers
import numpy as np
import pytest
from fuzz_subjects import make_text_bundle
from packaging.requirements import Requirement

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("device")]

ROOT = Path(__file__).parents[3]
EXTRAS = ("images", "text", "audio")
# What Windows lacks: also in the processes that the device starts.
WINDOWS = 'import sys\nsys.modules["fcntl"] = sys.modules["resource"] = None\n'


@pytest.fixture(scope="module")
def folder(exported, digits, tmp_path_factory):
    """Return a folder with bundles of image, text and audio, and an input for each."""
    import keras
    import soundfile
    from PIL import Image

    from zoo_export import export

    folder = tmp_path_factory.mktemp("device")
    (folder / "image").symlink_to(exported.path)
    formats = ["tflite", "onnx"]
    make_text_bundle(folder / "text", formats)
    sound = keras.Input((256,), name="audio")
    model = keras.Model(sound, keras.layers.Dense(2, name="logits")(sound), name="sound")
    steps = [{"step": "audio", "sample_rate": 8000, "length": 256}]
    given = {"task": "audio-classification", "labels": ["low", "high"], "preprocessing": steps}
    export(model, out=folder / "sound", to=formats, **given)
    pixels = digits[0][3, :, :, 0].astype(np.uint8)
    np.save(folder / "digit.npy", pixels)
    Image.fromarray(pixels).save(folder / "digit.png")
    samples = np.sin(np.arange(200)).astype(np.float32) / 2
    np.save(folder / "sound.npy", samples)
    soundfile.write(folder / "sound.wav", samples, 8000, subtype="FLOAT")
    return folder


class Device:
    """A clean environment that holds the wheel, and what is installed there.

    CI installs with pip, as a person does. Elsewhere the packages of this environment are linked
    to, which takes no time and no network.

    Args:
        home: Where it is made.
        wheel: Of kerazoo-runtime.
    """

    def __init__(self, home, wheel):
        self.home, self.wheel = home, wheel
        self.with_pip = "KERAZOO_TEST_WHEELS" in os.environ
        venv.create(home / "venv", with_pip=self.with_pip)
        self.python = home / "venv" / "bin" / "python"
        self.site = next((home / "venv" / "lib").glob("python*/site-packages"))
        if not self.with_pip:
            zipfile.ZipFile(wheel).extractall(self.site)

    def install(self, *extras):
        if self.with_pip:
            pins = ["--constraint", ROOT / "constraints.txt"]
            what = f"kerazoo-runtime[{','.join(extras)}] @ {self.wheel.as_uri()}"
            pip = [self.python, "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, *pins, what], check=True, capture_output=True)
            return
        metadata = next(self.site.glob("kerazoo_runtime-*.dist-info"))
        self._link(PathDistribution(metadata), extras)

    def _link(self, found, extras=()):
        needed = [Requirement(line) for line in found.requires or ()]
        for line in needed:
            wanted = ({"extra": extra} for extra in ("", *extras))
            if line.marker is None or any(map(line.marker.evaluate, wanted)):
                other = distribution(line.name)
                tops = {file.parts[0] for file in other.files} - {"..", "__pycache__"}
                new = [top for top in tops if not (self.site / top).exists()]
                for top in new:
                    (self.site / top).symlink_to(other.locate_file(top))
                if new:
                    self._link(other, line.extras)

    def ask(self, runtime, folder, home):
        done = subprocess.run(
            [self.python, device_answers.__file__, runtime, folder],
            cwd=self.home,
            env={"HOME": str(self.home / home), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def needs(what, package, extra):
    return (
        f"{what} needs the package '{package}', which is not installed: "
        f"pip install 'kerazoo-runtime[{extra}]'"
    )


MISSING = {
    "file": needs("An image file", "pillow", "images"),
    "larger": needs("An array of another size than the model takes", "pillow", "images"),
    "text": needs("A text", "tokenizers", "text"),
    "recording": needs("An audio file", "soundfile", "audio"),
    "rate": needs("Audio of 16000 Hz where 8000 are wanted", "soxr", "audio"),
}


@pytest.mark.parametrize(("runtime", "extra"), [("tflite", "litert"), ("onnx", "onnx")])
def test_a_device_with_one_runtime(runtime, extra, folder, wheels, tmp_path):
    expected = device_answers.answers(runtime, folder)
    assert expected["array"] == expected["file"]
    assert expected["larger"][0] == expected["file"][0] == "digit 3"
    assert expected["samples"] == expected["recording"] != expected["rate"]
    device = Device(tmp_path, wheels["kerazoo-runtime"])
    device.install(extra)
    found = device.ask(runtime, folder, "home")
    about = {name: found.pop(name) for name in ("modules", "others", "hidden")}
    assert about["modules"] > 40
    assert (about["others"], about["hidden"]) == ([], [])
    assert found == expected | MISSING
    device.install(extra, *EXTRAS)
    assert device.ask(runtime, folder, "home").items() >= expected.items()
    (device.site / "sitecustomize.py").write_text(WINDOWS)
    # In a home of its own every bundle and tokenizer is tried once more.
    found = device.ask(runtime, folder, "windows")
    assert found.items() >= {**expected, "hidden": ["fcntl", "resource"]}.items()
