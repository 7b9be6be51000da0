"""Names, look-up, duplicates, aliases and deprecation."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from new_registries import new_registry

import zoo_registry
from zoo_registry import (
    DuplicateNameError,
    ModelSpec,
    TensorSpec,
    UnknownNameError,
    UsageError,
)
from zoo_registry.search import search


def spec(name: str, **fields: object) -> ModelSpec:
    return ModelSpec(name=name, builder="zoo_models.builders.mlp:mlp", **fields)  # type: ignore[arg-type]


def test_unknown_name_says_the_closest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        new_registry().get("bert-tyni")
    assert str(caught.value) == (
        "There is no model 'bert-tyni'. Did you mean 'bert-tiny'? `zoo models` lists all."
    )


def test_unknown_name_without_a_near_one() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("There is no model 'qqqq'. `zoo models`")):
        new_registry().get("qqqq")


def test_owner_is_part_of_the_name() -> None:
    models = new_registry()
    assert models.get("kerazoo/bert-tiny") is models.get("bert-tiny")
    assert models.get("bert-tiny").origin == models.origin("bert-tiny")
    assert models.origin("bert-tiny").distribution == "kerazoo"
    with pytest.raises(UnknownNameError):
        models.get("someone/bert-tiny")


@pytest.mark.parametrize(
    "name", ["Bert", "bert_tiny", "-bert", "bert-", "bert--tiny", "", "a b", "owner/name", "é"]
)
def test_name_grammar(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        new_registry().add(name, spec("x"))
    assert str(caught.value) == (
        f"'{name}' is not a model name: use lower-case letters and digits, with '-' between words "
        "and '.' within a number; later versions end in '@2', '@3'..."
    )


def test_duplicates_name_both_owners_and_the_same_object_is_no_error() -> None:
    models = new_registry()
    mine = spec("mine")
    assert models.add("mine", mine).name == "mine"
    models.add("mine", mine)
    with pytest.raises(DuplicateNameError) as caught:
        models.add("mine", spec("mine", summary="another"), owner="other")
    assert str(caught.value) == (
        "model 'mine' is already registered by 'local': "
        "'other' must choose another name, or be called 'other/mine'."
    )
    with pytest.raises(DuplicateNameError, match="registered by 'kerazoo': 'local' must"):
        models.add("mlp", mine)


def test_replace_is_for_the_same_owner() -> None:
    models = new_registry()
    models.add("mine", spec("mine", summary="first"))
    models.add("mine", spec("mine", summary="second"), replace=True)
    assert models.get("mine").summary == "second"
    with pytest.raises(DuplicateNameError):
        models.add("mlp", spec("mlp"), replace=True)


def test_alias() -> None:
    models = new_registry()
    models.alias("tiny-bert", "bert-tiny")
    models.alias("tiny-bert", "bert-tiny")
    assert models.get("tiny-bert") is models.get("bert-tiny")
    assert "tiny-bert" in models
    assert "tiny-bert" not in models.names()
    with pytest.raises(DuplicateNameError) as caught:
        models.alias("mlp", "bert-tiny")
    assert str(caught.value) == (
        "model 'mlp' is already taken by 'kerazoo'; "
        "'kerazoo' cannot use it as an alias of 'bert-tiny'."
    )
    with pytest.raises(DuplicateNameError, match="taken by 'bert-tiny'"):
        models.alias("tiny-bert", "mlp")
    with pytest.raises(UnknownNameError):
        models.alias("other", "nothing-here")


def test_aliases_of_the_built_in_table() -> None:
    formats = zoo_registry.formats
    assert "litert" in formats
    assert formats.get("litert") is formats.get("tflite")
    assert "litert" not in formats.names()


def test_versions_of_a_name_stand_beside_each_other(site) -> None:
    site.install(
        "acme-zoo",
        "[zoo.models]\nprobe = acme_zoo:FIRST\nprobe@2 = acme_zoo:SECOND\nprobe@1 = acme_zoo:FIRST",
        acme_zoo="FIRST = {'builder': 'a:b', 'deprecated_by': 'probe@2', 'removed_in': '3.0'}\n"
        "SECOND = {'builder': 'a:c'}",
    )
    models = new_registry()
    assert models.names("probe*") == ["probe", "probe@2"]
    with pytest.warns(FutureWarning) as warned:
        assert models.get("probe@1") == models.get("probe") == models.get("acme-zoo/probe@1")
    assert str(warned[0].message) == (
        "model 'probe@1' is deprecated: use 'probe@2'. 'acme-zoo' 3.0 will not have it."
    )
    assert (models.get("probe@2").target, models.get("acme-zoo/probe@2").name) == ("a:c", "probe@2")
    assert "probe@1" in models
    assert "probe@3" not in models
    with pytest.raises(UnknownNameError, match=r"There is no model 'probe@3'. Did you mean 'probe"):
        models.get("probe@3")
    # The first version has one name.
    assert [problem.name for problem in models.problems] == ["probe@1"]


def test_deprecated_name_works_and_warns_with_the_new_one() -> None:
    models = new_registry()
    models.add("old-mlp", spec("old-mlp", deprecated_by="mlp"))
    with pytest.warns(FutureWarning, match=r"^model 'old-mlp' is deprecated: use 'mlp'\.$"):
        assert models.get("old-mlp").name == "old-mlp"


def test_names_by_glob_and_search_by_field() -> None:
    models = new_registry()
    assert models.names("*bert*") == sorted(n for n in models if "bert" in n)
    assert models.names("kerazoo/bert-t*") == ["bert-tiny"]
    models.add("special", spec("special", family="mlp", tags=("odd",), tasks=("features",)))
    assert search(models, tag="odd") == ["special"]
    assert search(models, "s*", family="mlp") == ["special"]
    assert "special" in search(models, task="features")
    assert search(models, "resnet*", task="causal-lm") == []
    with pytest.raises(UsageError, match=r"^No model has the task 'no-such-task'\. There are: "):
        search(models, task="no-such-task")


def test_view_is_read_only() -> None:
    view = new_registry().view()
    assert view["mlp"] == "kerazoo"
    with pytest.raises(TypeError):
        view["mlp"] = "someone"  # type: ignore[index]


def test_a_value_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match="model 'wrong' is a int: it must be a ModelSpec or"):
        new_registry().add("wrong", 3)


def test_spec_round_trip_and_wrong_builder() -> None:
    full = spec(
        "full",
        defaults={"sizes": (1, 2), "nested": {"a": (3,)}},
        inputs=(TensorSpec("image", (None, 8, 1)),),
        tasks=("features",),
        num_params=3,
    )
    again = ModelSpec.from_dict(full.to_dict())
    assert again.inputs == full.inputs
    assert again.to_dict() == full.to_dict()
    assert str(full.inputs[0]) == "image: float32[batch, ?, 8, 1]"
    with pytest.raises(UsageError, match=re.escape("builder 'mlp' is not 'package.module:func")):
        replace(full, builder="mlp")
    with pytest.raises(UsageError, match=r"A model spec has no 'famly'\. Did you mean 'family'\?"):
        ModelSpec.from_dict({"name": "x", "famly": "y"})


def test_every_registry_answers() -> None:
    for registry in (
        zoo_registry.models,
        zoo_registry.recipes,
        zoo_registry.datasets,
        zoo_registry.formats,
        zoo_registry.trackers,
        zoo_registry.launchers,
    ):
        assert registry.names()
        with pytest.raises(UnknownNameError, match=f"There is no {registry.kind} 'xyzzy'"):
            registry.get("xyzzy")
