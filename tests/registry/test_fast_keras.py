"""How long a process of ours takes to import Keras, and what it leaves out until it is used."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pytest

from zoo_system.fast_keras import FastKeras, fast_keras
from zoo_system.quiet import quiet_tensorflow

CODE = """
import gc, sys
from zoo_system.fast_keras import fast_keras
from zoo_system.quiet import quiet_tensorflow
fast_keras()
quiet_tensorflow()
import tensorflow
import keras
for module in [*sys.modules.values()]:  # as AutoGraph does, for the source of a function
    getattr(module, "__file__", None)
SELDOM = {"sklearn", "matplotlib", "pandas"}
print(sorted(SELDOM & {*sys.modules}), gc.isenabled(), gc.get_freeze_count())
from keras.visualization import plot_image_gallery
import keras.wrappers
print(keras.wrappers.SKLearnClassifier.__name__, keras.__spec__.loader.get_filename())
from keras.src.trainers.data_adapters import array_slicing
print(array_slicing.can_slice_array(None), hasattr(array_slicing, "nothing"))
print(sorted(SELDOM & {*sys.modules}), plot_image_gallery.__name__)
"""


@pytest.mark.slow
def test_what_keras_seldom_needs_is_imported_on_first_use(fresh_python) -> None:
    done = fresh_python(CODE)
    assert not done.returncode, done.stderr
    before, wrapper, slicing, after = done.stdout.splitlines()
    unused, enabled, frozen = before.split()
    assert (unused, enabled) == ("[]", "True")
    assert int(frozen) > 200_000  # all that the import made
    assert wrapper.startswith("SKLearnClassifier ")
    assert wrapper.endswith("/keras/__init__.py")
    assert slicing == "True False"
    assert after == "['matplotlib', 'pandas', 'sklearn'] plot_image_gallery"


def test_it_is_installed_once(monkeypatch) -> None:
    finders: list[MetaPathFinder] = []
    monkeypatch.setattr(sys, "meta_path", finders)
    fast_keras()
    quiet_tensorflow()
    fast_keras()
    assert sum(isinstance(finder, FastKeras) for finder in finders) == 1
