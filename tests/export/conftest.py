"""Models, a run and a bundle that the tests of the export room share."""

import json
import shutil
from contextlib import ExitStack

import numpy as np
import pytest

# It needs tf_keras, which the tests do not.
collect_ignore = ["keras2/make_keras2.py"]


@pytest.fixture(scope="session")
def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images[..., None].astype("float32") * 15.9375, data.target


@pytest.fixture(scope="session")
def trained(digits):
    """A small network that knows the handwritten digits of scikit-learn."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    outputs = layers.Dense(10, name="logits")(layers.Flatten()(x))
    model = keras.Model(inputs, outputs, name="digits-net")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(*digits, epochs=4, verbose=0)
    return model


@pytest.fixture(scope="session")
def make_run(trained, digits, tmp_path_factory):
    """Write a run folder as training leaves it, with changes to its run.json."""

    def make(model=trained, examples=64, **changes):
        folder = tmp_path_factory.mktemp("runs") / "digits-net"
        folder.mkdir()
        model.save(folder / "model.keras")
        (folder / "assets").mkdir()
        (folder / "assets" / ".partial-kill.json").write_text("half of what a kill left")
        images, labels = digits
        for name, rows in (("examples", slice(0, examples)), ("calibration", slice(-128, None))):
            np.savez(folder / f"{name}.npz", **{"x/image": images[rows], "y": labels[rows]})
        info = {
            "format_version": 1,
            "status": "complete",
            "recipe": {"name": "digits-net", "seed": 1},
            "task": "image-classification",
            "model": {"name": "cnn", "num_params": model.count_params()},
            "labels": [f"digit {i}" for i in range(10)],
            "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
            "seed": 1,
            "versions": {"keras": "3"},
            "dataset": {"name": "digits", "version": "1.0.0", "fingerprint": "0123abcd"},
            "metrics": {"accuracy": 0.95},
            "license": "BSD-3-Clause",
        }
        (folder / "run.json").write_text(json.dumps(info | changes))
        return folder

    return make


@pytest.fixture(scope="session")
def exported(make_run, tmp_path_factory):
    """A bundle of the run in every format; tests that change it take ``bundle_copy``."""
    from zoo_export import export

    return export(make_run(), out=tmp_path_factory.mktemp("bundles") / "digits-net")


@pytest.fixture
def bundle_copy(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported.path, folder)
    return folder


@pytest.fixture
def dense():
    """Build a small dense model around any layers."""
    import keras

    def build(*layers, size=4, name="small"):
        inputs = keras.Input((size,), name="features")
        x = inputs
        for layer in layers:
            x = layer(x)
        return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name=name)

    return build


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """Open a bundle's page and wait until its model is there."""
    from export_browser import PATIENCE, chromium, served
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    with ExitStack() as stack:
        driver = stack.enter_context(chromium(tmp_path_factory.mktemp("profile")))
        addresses = {}

        def open_page(bundle):
            folder = bundle.path / "browser"
            if folder not in addresses:
                addresses[folder] = stack.enter_context(served(folder))
            driver.get(addresses[folder])
            WebDriverWait(driver, PATIENCE).until(
                lambda d: d.find_element(By.ID, "main").is_displayed()
            )
            return driver

        yield open_page


@pytest.fixture(scope="session")
def digits_page(make_run, tmp_path_factory):
    """Return the run's bundle with its page, made by the command."""
    from click.testing import CliRunner

    from zoo.cli.main import cli
    from zoo_export import load_bundle

    out = tmp_path_factory.mktemp("pages") / "digits-net"
    command = ["export", str(make_run()), "--target", "browser", "--out", str(out)]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert f"Next: python -m http.server --directory {out}/browser" in done.output
    return load_bundle(out)


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory):
    """Return a folder with a file for each kind of tokenizer."""
    from export_browser import write_tokenizers

    folder = tmp_path_factory.mktemp("tokenizers")
    write_tokenizers(folder)
    return folder
