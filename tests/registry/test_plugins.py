"""Plugins as pip lays them out: good ones, broken ones, and the choice of whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from new_registries import new_registry

from zoo_registry import DuplicateNameError, PluginError, UnknownNameError
from zoo_registry.search import search

BUILDER = """
def build(*, num_classes: int = 2):
    "A probe."
    import keras
    x = keras.Input((4,), name="features")
    return keras.Model(x, keras.layers.Dense(num_classes, name="logits")(x))
"""


def entry(name: str, value: str) -> str:
    return f"[zoo.models]\n{name} = {value}\n"


def test_a_plain_function_is_a_model(site) -> None:
    site.install("good-zoo", entry("probe", "good_zoo:build"), good_zoo=BUILDER)
    spec = new_registry().get("probe")
    assert spec.summary == "A probe."
    assert spec.origin.distribution == "good-zoo"
    assert spec.origin.version == "1.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("build = 3", "TypeError: model 'broken' is a int: it must be a ModelSpec or a function"),
        ("def build(:", "SyntaxError"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_plugin_is_recorded_and_harms_nobody(site, text: str, message: str) -> None:
    site.install("broken-zoo", entry("broken", "broken_zoo:build"), "2.3", broken_zoo=text)
    site.install("good-zoo", entry("probe", "good_zoo:build"), good_zoo=BUILDER)
    models = new_registry()
    assert {"broken", "probe", "bert-tiny"} <= set(models.names())
    assert models.get("probe").name == "probe"
    with pytest.raises(PluginError) as caught:
        models.get("broken")
    assert f"model 'broken' of plugin 'broken-zoo' 2.3 cannot be used: {message}" in str(
        caught.value
    )
    assert str(caught.value).endswith("`zoo plugins` shows the traceback.")
    (problem,) = models.problems
    assert (problem.distribution, problem.version) == ("broken-zoo", "2.3")
    assert "Traceback" in problem.traceback
    assert "probe" in search(models, family="probe")


def test_a_name_outside_the_grammar_is_recorded(site) -> None:
    site.install("odd-zoo", entry("Odd_Name", "odd_zoo:build"), odd_zoo=BUILDER)
    models = new_registry()
    assert "Odd_Name" not in models.names()
    assert models.problems[0].reason.endswith(
        "'Odd_Name' is not a model name: use lower-case letters and digits, with '-' between words "
        "and '.' within a number; later versions end in '@2', '@3'..."
    )


CATALOG = """
from zoo_registry import ModelSpec
TABLE = {"Big_Model.v2": ModelSpec(name="Big_Model.v2", builder="hub_zoo_builders:build")}
"""


def catalog(prefix: str, value: str) -> str:
    return f"[zoo.catalogs]\n{prefix} = {value}\n"


def test_a_catalog_adds_names_under_its_prefix(site) -> None:
    site.install("hub-zoo", catalog("hub", "hub_zoo:TABLE"), "1.4", hub_zoo=CATALOG)
    models = new_registry(catalogs="zoo.catalogs")
    assert models.names("hub/*") == ["hub/Big_Model.v2"]
    spec = models.get("hub/Big_Model.v2")
    assert (spec.origin.distribution, spec.origin.version) == ("hub-zoo", "1.4")
    assert models.owner("hub/Big_Model.v2") == "hub"
    with pytest.raises(UnknownNameError, match=r"Did you mean 'hub/Big_Model\.v2'\?"):
        models.get("hub/Big_Model")


def test_a_broken_catalog_is_recorded_and_a_taken_prefix_stays(site) -> None:
    site.install("a-hub", catalog("broken", "a_hub:TABLE"), a_hub="raise RuntimeError('boom')")
    site.install("b-hub", catalog("keras", "b_hub:TABLE"), b_hub="TABLE = {'resnet50': 3}")
    models = new_registry(catalogs="zoo.catalogs")
    assert models.get("keras/resnet50").origin.distribution == "kerazoo"
    assert "bert-tiny" in models.names()
    taken, problem = models.problems
    assert taken.reason == (
        "prefix 'keras' is already that of 'kerazoo': 'b-hub' must choose another."
    )
    assert (problem.distribution, problem.reason) == ("a-hub", "RuntimeError: boom")
    with pytest.raises(PluginError) as caught:
        models.get("broken/net")
    assert str(caught.value) == (
        "model 'broken/net' is not known, as catalog 'broken' of plugin 'a-hub' 1.0 cannot be "
        "used: RuntimeError: boom. `zoo plugins` shows the traceback."
    )
    with pytest.raises(UnknownNameError):
        models.get("keras/net")


def test_two_plugins_with_one_name(site) -> None:
    site.install("a-zoo", entry("probe", "a_zoo:build"), a_zoo=BUILDER)
    site.install("b-zoo", entry("probe", "b_zoo:build"), b_zoo=BUILDER)
    models = new_registry()
    assert models.names("*probe") == ["a-zoo/probe", "b-zoo/probe"]
    assert models.get("a-zoo/probe").load_builder().__module__ == "a_zoo"
    assert models.get("b-zoo/probe").load_builder().__module__ == "b_zoo"
    with pytest.raises(DuplicateNameError) as caught:
        models.get("probe")
    assert str(caught.value) == (
        "model 'probe' is claimed by 'a-zoo' and 'b-zoo': say 'a-zoo/probe' or 'b-zoo/probe'."
    )


def test_a_plugin_cannot_hide_a_built_in_name(site) -> None:
    site.install("a-zoo", entry("mlp", "a_zoo:build"), a_zoo=BUILDER)
    models = new_registry()
    assert models.get("mlp").origin.distribution == "kerazoo"
    assert models.get("a-zoo/mlp").origin.distribution == "a-zoo"
    assert models.names("*mlp") == ["a-zoo/mlp", "mlp", "mnist-mlp"]
    assert models.problems[0].reason == (
        "model 'mlp' is already registered by 'kerazoo': "
        "'a-zoo' must choose another name, or be called 'a-zoo/mlp'."
    )


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        ("all", {"probe-a", "probe-b"}),
        ("", {"probe-a", "probe-b"}),
        ("none", set()),
        ("a-zoo", {"probe-a"}),
        ("A_Zoo, other", {"probe-a"}),
        ("a-zoo,b.zoo", {"probe-a", "probe-b"}),
    ],
)
def test_zoo_plugins_chooses_who_is_imported(site, monkeypatch, choice: str, seen: set) -> None:
    site.install("a-zoo", entry("probe-a", "a_zoo:build"), a_zoo=BUILDER)
    site.install("b-zoo", entry("probe-b", "b_zoo:build"), b_zoo="raise SystemExit('imported')")
    monkeypatch.setenv("ZOO_PLUGINS", choice)
    models = new_registry()
    assert set(models.names("probe-*")) == seen
    if "probe-b" not in seen:
        with pytest.raises(UnknownNameError):
            models.get("probe-b")


def test_a_builder_that_fails_names_its_plugin(site) -> None:
    from zoo_models.build import get_model

    site.install(
        "bad-zoo", entry("bad", "bad_zoo:build"), bad_zoo="def build(): raise OSError('no disk')"
    )
    site.install("odd-zoo", entry("odd", "odd_zoo:build"), odd_zoo="def build(): return 3")
    ends = "def build(**sizes): raise SystemExit(0)"
    site.install("end-zoo", entry("end", "end_zoo:build"), end_zoo=ends)
    models = new_registry()
    with pytest.raises(PluginError) as caught:
        get_model(models.get("bad"))
    assert str(caught.value) == (
        "The builder bad_zoo:build of model 'bad' of 'bad-zoo' 1.0 failed: OSError: no disk"
    )
    with pytest.raises(
        PluginError, match=r"'end' of 'end-zoo' 1\.0 failed: RuntimeError: SystemExit: 0 would"
    ):
        get_model(models.get("end"))
    with pytest.raises(PluginError, match=r"TypeError: it returned a int, not a keras\.Model"):
        get_model(models.get("odd"))


def test_listing_imports_nothing_heavy(
    site, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    site.install("heavy-zoo", entry("heavy", "heavy_zoo:build"), heavy_zoo="import tensorflow")
    done = fresh_python(
        "import sys, zoo, zoo_registry as r\n"
        "assert 'heavy' in zoo.list_models()\n"
        "for registry in (r.models, r.recipes, r.datasets, r.formats): registry.names()\n"
        "zoo.describe('bert-tiny')\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'tensorflow_datasets', 'onnx', 'heavy_zoo'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_damaged_metadata_harms_nobody(site) -> None:
    site.install("good-zoo", entry("probe", "good_zoo:build"), good_zoo=BUILDER)
    site.install("damaged-zoo", "[zoo.models]\nno equals sign\n")
    site.install("nameless-zoo", entry("nameless", "x:y"))
    (site.folder / "nameless_zoo-1.0.dist-info" / "METADATA").write_text("")
    with pytest.warns(UserWarning, match="A plugin's metadata cannot be read"):
        assert "probe" in new_registry().names()


def test_damaged_metadata_is_named_itself(site) -> None:
    site.install("damaged-zoo", "[zoo.models]\nno equals sign\n")
    with pytest.warns(UserWarning, match=r"cannot be read: .*damaged_zoo-1\.0\.dist-info"):
        new_registry().names()


def test_a_module_may_register_the_name_of_its_entry_point(site) -> None:
    text = f"import zoo_registry\n{BUILDER}\nzoo_registry.models.add('twice', build)"
    site.install("twice-zoo", entry("twice", "twice_zoo:build"), twice_zoo=text)
    models = new_registry()
    models.names()
    import twice_zoo

    assert models.add("twice", twice_zoo.build).target == "twice_zoo:build"
    assert models.get("twice").origin.distribution == "twice-zoo"
    with pytest.raises(DuplicateNameError):
        models.add("twice", entry)


def test_a_decorated_function_may_be_the_entry_point_too(site, fresh_python) -> None:
    text = f"import zoo\n{BUILDER}".replace("def build", "@zoo.register('x')\ndef build")
    site.install("x-zoo", entry("x", "x_zoo:build"), x_zoo=text)
    done = fresh_python("import zoo; print(zoo.list_models('x'), zoo.describe('x').origin)")
    assert done.stdout == "['x'] Origin(distribution='x-zoo', version='1.0')\n", done.stderr


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ("[zoo.models]\nprobe = \n", "UsageError: '' is not 'package.module:attribute'."),
        ("[zoo.models]\nprobe = a b c\n", "UsageError: 'a b c' is not 'package.module:attribute'."),
        (
            "[zoo.catalogs]\nhub = hub:TABLE\n",
            "UsageError: '../..' is not a name: use letters, digits and '.', '-', '_', '/'.",
        ),
        ("[zoo.catalogs]\nUP per = hub:TABLE\n", "'UP per' is not a model name: use lower-case"),
    ],
)
def test_names_and_targets_that_are_none(site, entries: str, reason: str) -> None:
    site.install("odd-zoo", entries, hub="TABLE = {'../..': {'builder': 'a:b'}}")
    models = new_registry(catalogs="zoo.catalogs")
    models.survey([name for name in models.names() if name == "probe"])
    assert reason in models.problems[0].reason
