"""The kit finds what it is there to find: plugins with one fault each, caught by one check each."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo_registry
from zoo.conformance import examinations
from zoo_registry import ModelSpec, Registry, TensorSpec, UnknownNameError
from zoo_system.untouched import untouched


class Own(keras.layers.Layer):
    """A layer of the plugin's own, with a factor and a vector that is learned."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor * self.scale

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def registered(layer):
    return keras.saving.register_keras_serializable(package="faulty")(layer)


@registered
class Right(Own):
    pass


@registered
class Forgetful(Own):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


class Unregistered(Own):
    pass


@registered
class Careless(Own):
    def load_own_variables(self, store):
        """Leave the weights as they were drawn."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="random_normal")


@registered
class Noisy(Own):
    def call(self, x):
        return (x + keras.random.normal(keras.ops.shape(x))) * self.scale


@registered
class Centred(Own):
    def call(self, x):
        return super().call(x - keras.ops.mean(x, axis=0, keepdims=True))


@registered
class Single(Own):
    """Takes its input for float32, whatever the policy says."""

    def call(self, x):
        return x @ keras.ops.ones((x.shape[-1], x.shape[-1]), "float32") * self.scale


@registered
class Half(Own):
    def build(self, shape):
        self.scale = self.add_weight(
            name="scale", shape=(shape[-1],), initializer="ones", dtype=self.compute_dtype
        )


@registered
class Climbing(Own):
    """Gives the gradient with the wrong sign."""

    def call(self, x):
        return 2 * keras.ops.stop_gradient(x * self.scale) - x * self.scale


@registered
class Stopped(Own):
    def call(self, x):
        return keras.ops.stop_gradient(x) * self.scale


@registered
class Dropping(Own):
    """Is an identity whose vector nobody uses."""

    def call(self, x):
        return x + 0.0 * self.scale


def network(layer, num_classes=3, batch_size=None):
    features = keras.Input((4,), batch_size=batch_size, name="features")
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(features)
    return keras.Model(features, keras.layers.Dense(num_classes, name="logits")(layer(hidden)))


def builder(make):
    def build(*, num_classes: int = 3, task: str = "classification") -> keras.Model:
        """Build a classifier of four features; num_classes is the size of its logits."""
        return make(num_classes)

    return build


def of_layer(layer, **arguments):
    return builder(lambda classes: network(layer(**arguments), classes))


def with_seed(classes):
    keras.utils.set_random_seed(7)
    return network(Right(), classes)


def with_policy(classes):
    keras.config.set_floatx("float64")
    try:
        return network(Right(dtype="float32"), classes)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-6)


GENERATOR = np.random.default_rng(0)


def of_a_generator(classes):
    drawn = keras.initializers.Constant(float(GENERATOR.normal()))
    return network(keras.layers.Dense(6, bias_initializer=drawn, name="drawn"), classes)


def only_at_first_size(*, width: int = 4, num_classes: int = 3, task: str = "classification"):
    """Build a classifier; width and num_classes are sizes."""
    if width > 4:
        raise ValueError("width > 4")
    return network(Right(), num_classes)


def without_features(*, num_classes: int = 3, task: str = "classification") -> keras.Model:
    """Build a classifier with num_classes."""
    if task == "features":
        raise ValueError("no such head")
    return network(Right(), num_classes)


def of_ten(*, num_classes: int = 3, task: str = "classification") -> keras.Model:
    """Build a classifier, whatever num_classes is."""
    return network(Right(), 3)


def undocumented(*, num_classes: int = 3, task: str = "classification") -> keras.Model:
    """Build a classifier."""
    return network(Right(), num_classes)


def without_task(*, num_classes: int = 3) -> keras.Model:
    """Build a classifier with num_classes."""
    return network(Right(), num_classes)


def fails(classes):
    raise RuntimeError("no such thing")


GOOD = ModelSpec(
    name="faulty",
    builder=of_layer(Right, factor=2.0),
    tasks=("classification",),
    defaults={"num_classes": 3},
    inputs=(TensorSpec("features", (4,)),),
    num_params=57,
    macs=42,
    summary="A classifier.",
    paper="Nobody, https://example.org",
    license="Apache-2.0",
)
# What is changed of the good spec -> the one check that fails, and the beginning of what it says.
FAULTS = {
    "no licence": (
        {"license": ""},
        "license",
        "The spec of 'faulty' states no licence: set license='Apache-2.0', or whichever",
    ),
    "no source": (
        {"paper": "Nobody"},
        "source",
        "The spec of 'faulty' says paper='Nobody', without an address: set paper='Authors, ",
    ),
    "no summary": ({"summary": " "}, "documentation", "Set summary in the spec of 'faulty' to one"),
    "an argument without a word": (
        {"builder": undocumented},
        "documentation",
        f"The docstring of {__name__}:undocumented does not mention num_classes: say under 'Args:'",
    ),
    "deprecated for ever": (
        {"deprecated_by": "mlp"},
        "deprecation",
        "'faulty' is deprecated and does not say until when it is there: set removed_in to the",
    ),
    "deprecated for nothing": (
        {"deprecated_by": "mpl", "removed_in": "2"},
        "deprecation",
        "'faulty' has deprecated_by='mpl', which is no model: There is no model 'mpl'. Did you",
    ),
    "unknown default": (
        {"defaults": {"num_clases": 3}},
        "signature",
        "Model 'faulty': no override 'num_clases'. Did you mean 'num_classes'? Accepted: num_cl",
    ),
    "default of another type": (
        {"reduced": {"num_classes": "3"}},
        "signature",
        "Model 'faulty': num_classes='3' must be int",
    ),
    "tasks that the builder knows nothing of": (
        {"builder": without_task},
        "signature",
        f"The spec of 'faulty' has tasks=('classification',) and {__name__}:without_task "
        "takes no task: give the function an argument 'task'",
    ),
    "builder fails": ({"builder": builder(fails)}, "build", "RuntimeError: no such thing"),
    "no model": (
        {"builder": builder(lambda classes: keras.Sequential([keras.layers.Dense(classes)]))},
        "build",
        f"{__name__}:builder.<locals>.build returns a Sequential without symbolic inputs: re",
    ),
    "a task fails": (
        {"builder": without_features, "tasks": ("classification", "features")},
        "tasks",
        "ValueError: no such head",
    ),
    "classes that nobody asked for": (
        {"builder": of_ten},
        "tasks",
        f"{__name__}:of_ten gives logits of 3 classes for num_classes=5 and task='classific",
    ),
    "full size fails": (
        {"builder": only_at_first_size, "defaults": {"width": 9}, "reduced": {"width": 2}},
        "full-size",
        "ValueError: width > 4",
    ),
    "parameters": (
        {"num_params": 999},
        "parameters",
        "The spec of 'faulty' says num_params: 999, and the model that is built has 57: correct",
    ),
    "inputs": (
        {"inputs": (TensorSpec("pixels", (32, 32, 3)),)},
        "inputs",
        "The spec of 'faulty' says inputs: pixels: float32[batch, 32, 32, 3], and the model that "
        "is built has features: float32[batch, 4]: correct",
    ),
    "dtype of an input": (
        {"inputs": (TensorSpec("features", (4,), "int32"),)},
        "inputs",
        "The spec of 'faulty' says inputs: features: int32[batch, 4], and the model that is",
    ),
    "multiply-adds": (
        {"macs": 5},
        "multiply-adds",
        "The spec of 'faulty' says macs: 5, and the model that is built has 42: correct the spec",
    ),
    "sets the seed": (
        {"builder": builder(with_seed)},
        "clean-build",
        f"{__name__}:builder.<locals>.build changes the random seed, which belongs to the",
    ),
    "NaN": (
        {"builder": of_layer(Right, factor=float("nan"))},
        "outputs",
        "Output 'logits' holds NaN or infinite values for ordinary inputs: look for divisions",
    ),
    "constant": (
        {"builder": of_layer(Right, factor=0.0)},
        "outputs",
        "Output 'logits' is the same for every input: connect it with the inputs.",
    ),
    "fixed batch": (
        {"builder": builder(lambda classes: network(Right(), classes, batch_size=4))},
        "dynamic-batch",
        "features, logits has a fixed batch: leave batch_size out of keras.Input, and reshape",
    ),
    "mixes the batch": (
        {"builder": of_layer(Centred)},
        "dynamic-batch",
        "Output 'logits' differs by ",
    ),
    "noise in inference": ({"builder": of_layer(Noisy)}, "determinism", "Output 'logits' differs"),
    "generator of its own": (
        {"builder": builder(of_a_generator), "num_params": None, "macs": None},
        "determinism",
        "Two models built after keras.utils.set_random_seed(0) differ in drawn/bias: draw from",
    ),
    "takes all for float32": (
        {"builder": of_layer(Single), "macs": None},
        "dtype-policies",
        "Under keras.config.set_dtype_policy('mixed_float16') the model fails: TypeError: Excepti",
    ),
    "weights in half precision": (
        {"builder": of_layer(Half)},
        "dtype-policies",
        "Under 'mixed_bfloat16' half",
    ),
    "weights that are not loaded": (
        {"builder": of_layer(Careless)},
        "weights",
        "Output 'logits' differs by ",
    ),
    "arguments that are not saved": (
        {"builder": of_layer(Forgetful, factor=2.0)},
        "save",
        "Output 'logits' differs by ",
    ),
    "a class that nobody finds": (
        {"builder": of_layer(Unregistered)},
        "save",
        "What model.save wrote cannot be loaded: TypeError: Could not locate class 'Unregist",
    ),
    "no gradient": (
        {"builder": of_layer(Stopped)},
        "gradients",
        "The loss does not reach hidden/kernel, hidden/bias: look for stop_gradient, rounding",
    ),
    "a weight without effect": (
        {"builder": of_layer(Dropping)},
        "gradients",
        "The loss does not reach dropping/scale: look for stop_gradient",
    ),
    "a gradient with the wrong sign": (
        {"builder": of_layer(Climbing)},
        "training-step",
        "One training step changed the loss from ",
    ),
}


def faults(examination, names=None):
    with untouched():
        results = [
            examination.result(name)
            for name in names or examination.checks
            if examination.failed_need(name) is None
        ]
    return {result.name: result.detail for result in results if not result.ok}


def of_model(changes, folder, **options):
    keras.utils.clear_session()  # names of layers are counted anew
    (examination,) = examinations(replace(GOOD, **changes), folder, formats=(), **options)
    return examination


def test_a_good_model_passes_every_check(tmp_path) -> None:
    assert faults(of_model({}, tmp_path)) == {}
    assert faults(of_model({}, tmp_path, full_size=True)) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught_by_the_check_for_it(fault, tmp_path) -> None:
    changes, name, message = FAULTS[fault]
    examination = of_model(changes, tmp_path)
    names = list(examination.checks)
    if "builder" not in changes:  # how it behaves is seen where it is right
        names = names[: names.index("clean-build")]
    found = faults(examination, names)
    assert list(found) == [name], found
    assert found[name].startswith(message)


# -- imports: what stands in the module of the entry point, and in that of the builder -----------

SPEC = "from zoo import ModelSpec\nPROBE = ModelSpec(name='probe', builder='acme_build:build')\n"
PLAIN = "def PROBE():\n    pass\n"
BUILDER = "import keras\ndef build():\n    pass\n"
IMPORTS = {
    "heavy": (
        {"acme_specs": f"import onnx\n{PLAIN}"},
        "lazy-import",
        "The entry point acme_specs:PROBE imports onnx before anything is built, so that every "
        "listing waits for it: let it name a ModelSpec whose builder is the text",
    ),
    "prints": (
        {"acme_specs": f"print('ready')\n{PLAIN}"},
        "quiet-import",
        "The import of 'acme_specs' writes 'ready': output of commands is read by programs; take",
    ),
    "seeds": (
        {"acme_specs": f"import random\nrandom.seed(0)\n{PLAIN}"},
        "clean-import",
        "The import of 'acme_specs' changes the state of Python's random, which belongs to the",
    ),
    "logs": (
        {"acme_specs": f"import logging\nlogging.basicConfig(level='DEBUG')\n{PLAIN}"},
        "clean-import",
        "The import of 'acme_specs' changes the level of the root logger and the handlers of the "
        "root logger, which belongs to the user's program: take it out, or do it in a function",
    ),
    "ends": (
        {"acme_specs": f"import os\nos._exit(3)\n{PLAIN}"},
        "import",
        "model 'probe' of plugin 'acme-zoo' 1.0 cannot be used: RuntimeError: SystemExit: os._exit"
        "(3) would have ended this program.",
    ),
    "dtype policy": (
        {
            "acme_specs": SPEC,
            "acme_build": f"{BUILDER}keras.config.set_dtype_policy('mixed_float16')\n",
        },
        "clean-import",
        "The import of 'acme_specs' and 'acme_build' changes Keras' dtype policy, which belongs",
    ),
}


@pytest.mark.parametrize("fault", IMPORTS)
def test_the_import_of_an_entry_point_is_watched(fault, site, tmp_path, monkeypatch) -> None:
    modules, name, message = IMPORTS[fault]
    site.install("acme-zoo", "[zoo.models]\nprobe = acme_specs:PROBE\n", **modules)
    examination = of_plugin(monkeypatch, tmp_path, zoo_registry.models)
    names = [each for each in examination.checks if each.endswith("import")]
    found = faults(examination, names)
    assert list(found) == [name], found
    assert found[name].startswith(message)


def of_plugin(monkeypatch, folder, like):
    """Return the examination of what the installed plugin brings to a registry."""
    coerce, verify = like._coerce, like._verify
    anew = Registry(
        like.kind, group=like.group, coerce=coerce, verify=verify, separator=like._separator
    )
    monkeypatch.setattr(zoo_registry, "REGISTRIES", (anew,))
    monkeypatch.setattr(zoo_registry, f"{like.kind}s", anew)
    with untouched():
        (examination,) = examinations("acme-zoo/*", folder / "work", formats=())
    return examination


# -- data sets, recipes, formats, trackers and launchers ---------------------------------------

POINTS = """
import numpy as np
import tensorflow_datasets as tfds
class Points(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    def _info(self):
        return self.dataset_info_from_configs(
            homepage="https://example.org",
            features=tfds.features.FeaturesDict({
                "features": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                "label": tfds.features.ClassLabel(names=("left", "right")),
            }),
        )
    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(20), "test": self._generate_examples(9)}
    def _generate_examples(self, number):
        generator = np.random.default_rng(number)
        for row in range(number):
            point = generator.normal(size=2).astype("float32")
            yield row, {"features": point, "label": int(point[0] > 0)}
"""
DATA = """
from zoo import DatasetSpec
POINTS = DatasetSpec(
    name="points", builder="acme_points:Points", summary="Points.", license="CC0-1.0"
)
"""
DATASETS = {
    "none": ("VERSION", "VERSION", None, ""),
    "no licence": (
        'license="CC0-1.0"',
        'license=""',
        "license",
        "Dataset 'points' states no licence: let its entry point be a DatasetSpec with license=",
    ),
    "no summary": (
        'summary="Points."',
        'summary=""',
        "documentation",
        "Dataset 'points' has no summary: set it in the DatasetSpec to one line with the number",
    ),
    "abstract": (
        "def _split_generators",
        "def split_generators",
        "build",
        "TypeError: Can't instantiate abstract class Points",
    ),
    "no source": (
        'homepage="https://example.org",',
        "",
        "source",
        "Dataset 'points' does not say where its data come from: give homepage='https://...' or",
    ),
    "label outside": (
        "int(point[0] > 0)",
        "2",
        "prepare",
        "Dataset 'points' cannot be prepared: ",
    ),
    "empty split": (
        "self._generate_examples(9)",
        "self._generate_examples(0)",
        "prepare",
        "Dataset 'points' cannot be prepared: ",
    ),
    "no split to train on": (
        '"train": self',
        '"training": self',
        "prepare",
        "Dataset 'points' has no split 'train', which recipes train on: it has training, test. Ren",
    ),
    "downloads": (
        "return {",
        "dl_manager.download('https://example.org/x.zip')\n        return {",
        "prepare",
        "Dataset 'points' downloads https://example.org/x.zip: put a few examples of the same form "
        "into '",
    ),
    "NaN": (
        'astype("float32")',
        'astype("float32") * np.nan',
        "read",
        "Feature 'features' of split 'train' holds NaN or infinite values: leave such examples",
    ),
    "drawn anew": (
        "default_rng(number)",
        "default_rng()",
        "determinism",
        "Prepared twice, dataset 'points' has other examples in split 'train': draw with numpy",
    ),
}


def without_imports(examination):
    """Leave the watching of imports, which costs seconds each, to its own tests."""
    for name in [each for each in examination.checks if each.endswith("import")]:
        del examination.checks[name]
    return examination


def install_data(site, specs, code):
    site.install("acme-zoo", "[zoo.datasets]\npoints = acme_data:POINTS\n", acme_data=specs)
    # tensorflow-datasets reads a builder's data from its package.
    (site.folder / "acme_points").mkdir()
    (site.folder / "acme_points" / "__init__.py").write_text(code)


@pytest.mark.parametrize("fault", DATASETS)
def test_data_sets_are_prepared_and_read(fault, site, tmp_path, monkeypatch) -> None:
    right, wrong, name, message = DATASETS[fault]
    assert right in DATA + POINTS
    # tensorflow-datasets knows each class by its name, in all of a process.
    own = f"Points{list(DATASETS).index(fault)}"
    specs, code = (text.replace(right, wrong).replace("Points", own) for text in (DATA, POINTS))
    install_data(site, specs, code)
    found = faults(without_imports(of_plugin(monkeypatch, tmp_path, zoo_registry.datasets)))
    assert list(found) == ([name] if name else []), found
    assert found.get(name, "").startswith(message)


def test_what_a_data_set_downloads_is_taken_from_dummy_data(site, tmp_path, monkeypatch) -> None:
    specs, code = (text.replace("Points", "FewPoints") for text in (DATA, POINTS))
    asked = "found = dl_manager.download_and_extract({'a': ['https://example.org/a/some.txt']})"
    read = "assert found['a'][0].read_text() == 'few'"
    code = code.replace("return {", f"{asked}\n        {read}\n        return {{")
    install_data(site, specs, code)
    dummy = site.folder / "acme_points" / "dummy_data"
    dummy.mkdir()
    (dummy / "some.txt").write_text("few")
    examination = without_imports(of_plugin(monkeypatch, tmp_path, zoo_registry.datasets))
    assert faults(examination) == {}


RECIPE = {
    "name": "faulty",
    "summary": "A recipe.",
    "license": "CC-BY-4.0",
    "model": {"name": "mlp", "overrides": {"input_shape": [8, 8, 1], "hidden_dims": [8]}},
    "dataset": {"name": "digits", "train": "train[:90%]", "validation": "train[90%:]"},
    "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
    "expected": {"metric": "accuracy", "value": 0.9, "tolerance": 0.1, "seeds": [0]},
}
RECIPES = {
    "none": ({}, None, ""),
    "no licence": (
        {"license": ""},
        "license",
        "Recipe 'faulty' states no licence: write license = \"CC-BY-4.0\", or whichever the data",
    ),
    "a file of somebody's": (
        {"dataset": {"name": "./flowers"}},
        "parts",
        "Recipe 'faulty' trains on the path './flowers', which others do not have: register a",
    ),
    "another size": (
        {"preprocessing": [{"step": "image", "size": [9, 9], "channels": 1}]},
        "train",
        "",
    ),
    "a rate that no loss survives": (
        {"compile": {"optimizer": {"name": "sgd", "learning_rate": 1e30}}},
        "train",
        "",
    ),
    "a metric that is not measured": (
        {"expected": {**RECIPE["expected"], "metric": "auc"}},
        "metric",
        "Recipe 'faulty' expects 'auc', which its training does not measure: it has ",
    ),
}


@pytest.mark.parametrize("fault", RECIPES)
def test_recipes_are_trained_for_two_steps(fault, tmp_path, monkeypatch) -> None:
    changes, name, message = RECIPES[fault]
    data = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
    recipes = Registry("recipe", group="acme.none", coerce=zoo_registry.recipes._coerce)
    monkeypatch.setattr(zoo_registry, "REGISTRIES", (recipes,))
    recipes.add("faulty", data)
    (examination,) = examinations("faulty", tmp_path / "work")
    found = faults(examination)
    assert list(found) == ([name] if name else []), found
    assert found.get(name, "").startswith(message)


# -- formats, trackers, launchers, and names ---------------------------------------------------

TRACKER = """
import zoo
class Careless(zoo.Tracker):
    "Counts epochs."
    def epoch(self, number, metrics, ended):
        self.count += 1
"""
FORMAT = """
from zoo_export import Format
WRONG = Format(name="wrong", suffix=".w", converter="acme_zoo:no", runtime="acme_zoo:run",
               requires="", module="", summary="A format.")
"""
PARTS = {
    "a format of nothing": (
        "format",
        FORMAT,
        "WRONG",
        "targets",
        "Format 'probe' names what is not there: module 'acme_zoo' has no attribute 'no'. Correct",
    ),
    "a tracker that fails": (
        "tracker",
        TRACKER,
        "Careless",
        "follow",
        "Following a training of two steps: ",
    ),
    "no tracker": (
        "tracker",
        "def probe(): 'Do nothing.'",
        "probe",
        "class",
        "'probe' is no subclass of zoo.Tracker: make it one.",
    ),
    "a launcher of one": (
        "launcher",
        "def probe(job): 'Start workers.'",
        "probe",
        "signature",
        "Launcher 'probe' cannot be called with a job and a number of workers: too many positional",
    ),
    "a launcher without a word": (
        "launcher",
        "def probe(job, number): pass",
        "probe",
        "documentation",
        "'probe' says nothing of itself: give it a summary or a docstring.",
    ),
}


@pytest.mark.parametrize("fault", PARTS)
def test_other_parts_are_tried(fault, site, tmp_path, monkeypatch) -> None:
    kind, text, target, name, message = PARTS[fault]
    site.install("acme-zoo", f"[zoo.{kind}s]\nprobe = acme_zoo:{target}\n", acme_zoo=text)
    examination = of_plugin(monkeypatch, tmp_path, getattr(zoo_registry, f"{kind}s"))
    found = faults(without_imports(examination))
    assert list(found) == [name], found
    assert found[name].startswith(message)


def test_a_name_is_all_that_has_it_and_a_mistyped_one_is_known() -> None:
    def subjects(*words, **options):
        return [each.subject for each in examinations(*words, **options)]

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        assert subjects("cifar10-cnn", work / "a") == ["model cifar10-cnn", "recipe cifar10-cnn"]
        assert subjects("cifar10-cnn", work / "b", kind="recipe") == ["recipe cifar10-cnn"]
        assert subjects("mlflow:logs", work / "c") == ["tracker mlflow:logs"]
        assert subjects("digits-c?n", work / "d") == ["recipe digits-cnn"]
        with pytest.raises(UnknownNameError) as caught:
            subjects("digits-cn", work / "e")
    assert str(caught.value) == (
        "There is no name 'digits-cn'. Did you mean 'digits-cnn'? `zoo plugins` lists what other "
        "packages bring."
    )


def test_pytest_makes_each_check_a_test_and_says_what_to_change(tmp_path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import zoo\n@zoo.register('probe-net')\ndef build():\n    raise OSError('no')\n"
    )
    words = ["-q", "-p", "no:cacheprovider", "-k", "license or build or save", "--zoo-check"]
    command = [sys.executable, "-m", "pytest", *words]
    ours, other = (
        subprocess.run(
            [*command, pattern], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for pattern in ("probe-net", "probe-nett")
    )
    assert "2 failed, 3 skipped" in ours.stdout
    assert "The spec of 'probe-net' states no licence: set license='Apache-2.0'" in ours.stdout
    assert "OSError: no" in ours.stdout
    assert "Traceback" not in ours.stdout
    assert other.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --zoo-check: There is no name 'probe-nett'. Did you mean 'probe-net'?" in (
        other.stderr
    )
