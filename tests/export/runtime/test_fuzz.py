"""A seeded part of the fuzzing; ``python tests/export/fuzz_loaders.py`` does 10,000 of each."""

import collections
import shutil

import pytest
from fuzz_loaders import LOADERS, fuzz
from fuzz_subjects import make_run, make_text_bundle

pytestmark = pytest.mark.slow  # more than a thousand files

COUNTS = {name: 30 if name == "keras" else 150 for name in LOADERS}


@pytest.fixture(scope="module")
def subjects(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(exported.path, folder / "bundle")
    (folder / "zip").mkdir()
    exported.to_zip(folder / "zip" / "bundle.zip")
    make_text_bundle(folder / "text")
    make_run(folder / "run")
    return folder


@pytest.mark.parametrize("name", LOADERS)
def test_a_changed_file_is_an_error_or_right(subjects, name):
    subject = subjects / LOADERS[name].subject
    outcomes = dict(fuzz(name, subject, COUNTS[name], seed=7))

    assert sorted(outcomes) == list(range(COUNTS[name]))
    bad = {n: said for n, said in outcomes.items() if said.startswith(("UNEXPECTED", "CRASH"))}
    assert bad == {}
    found = collections.Counter(outcomes.values())
    assert found.total() - found["right"] > COUNTS[name] / 4  # most changes matter
    # Another answer needs a right hash, saved samples that agree, and inputs that they are not.
    assert found["other answer"] <= COUNTS[name] * 0.02
