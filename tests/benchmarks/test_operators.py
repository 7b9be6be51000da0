"""Layers and functions of Keras are exported or refused in words, as docs/operators.md says."""

from __future__ import annotations

import inspect
import itertools
import json

import keras
import pytest

from benchmarks.support.operator_cases import LEFT_OUT, cases
from benchmarks.support.operators import FORMATS, PAGE, TABLE, WORKS, page, samples_of, tried

CASES = cases()
TABLE_ROWS = json.loads(TABLE.read_text(encoding="utf-8"))
# Cases that one model holds: each is an output, or several.
TOGETHER = 30
# Models of these are compared on NaN, and then so is all that is in one model with them.
ON_NAN = {
    *("layers.AutoContrast", "ops.allclose", "ops.fmax", "ops.fmin", "ops.isfinite", "ops.isnan"),
    *("ops.logaddexp", "ops.logaddexp2", "ops.logsumexp", "ops.median", "ops.nan_to_num"),
    *("ops.nanargmax", "ops.nanargmin", "ops.nancumprod", "ops.nancumsum", "ops.nanmax"),
    *("ops.nanmean", "ops.nanmin", "ops.nanprod", "ops.nanstd", "ops.nansum", "ops.nanvar"),
    *("ops.percentile", "ops.quantile"),
}
# Every so many of what works and of what is refused is tried: all of it is in the table, which
# `python -m benchmarks.support.operators` measures.
EVERY_WORKING, EVERY_REFUSED = 5, 8
RAW = ("Traceback", "object has no attribute", "\x1b")


def public_names():
    """Return the names of each layer and function: several may stand for one."""
    found: dict[int, list[str]] = {}
    for name, kind in vars(keras.layers).items():
        if inspect.isclass(kind) and issubclass(kind, keras.layers.Layer):
            found.setdefault(id(kind), []).append(f"layers.{name}")
    for prefix, module in (("ops", keras.ops), ("ops.image", keras.ops.image)):
        for name, function in vars(module).items():
            if callable(function) and not name.startswith("_"):
                found.setdefault(id(function), []).append(f"{prefix}.{name}")
    return list(found.values())


def test_nothing_of_keras_is_forgotten():
    known = {*CASES, *LEFT_OUT}
    assert [names for names in public_names() if not known & {*names}] == []
    assert not {*CASES} & {*LEFT_OUT}


def test_the_page_says_what_was_measured():
    assert {*TABLE_ROWS} == {*CASES}
    assert PAGE.read_text(encoding="utf-8") == page(TABLE_ROWS)


def test_no_reason_is_a_raw_error():
    reasons = [why for row in TABLE_ROWS.values() for why in row.values() if why != WORKS]
    assert [why for why in reasons if why.startswith("raw ") or any(r in why for r in RAW)] == []


def groups():
    """Return the cases that work in every format, in groups that one model can hold."""
    working = [name for name, row in TABLE_ROWS.items() if {*row.values()} == {WORKS}]
    working = working[::EVERY_WORKING]
    found = []
    for whole, on_nan in itertools.product((False, True), repeat=2):
        kind = [name for name in working if (name in ON_NAN) is on_nan]
        names = [name for name in kind if CASES[name].whole is whole]
        found += [names[at : at + TOGETHER] for at in range(0, len(names), TOGETHER)]
    return found


def together(names):
    """Return one model of several cases, and its samples."""
    inputs, outputs, samples = {}, {}, {}
    for at, name in enumerate(names):
        model = CASES[name].model(f"case_{at}")
        given = {tensor.name: tensor for tensor in model.inputs}
        renamed = {
            key: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"case_{at}_{key}")
            for key, tensor in given.items()
        }
        made = model(list(renamed.values()))
        inputs |= {tensor.name: tensor for tensor in renamed.values()}
        outputs |= {f"case_{at}_{key}": value for key, value in made.items()}
        samples |= {f"case_{at}_{k}": rows for k, rows in samples_of(CASES[name]).items()}
    return keras.Model(inputs, outputs), samples


def check_that_they_work(names):
    works = dict.fromkeys(FORMATS, WORKS)
    if len(names) == 1:
        case = CASES[names[0]]
        assert tried(case.model(), samples_of(case)) == works, names[0]
    elif tried(*together(names)) != works:
        # What is alone right is not always so beside others: half of them at a time, then.
        check_that_they_work(names[: len(names) // 2])
        check_that_they_work(names[len(names) // 2 :])


@pytest.mark.slow
@pytest.mark.parametrize("names", groups(), ids=lambda names: f"{names[0]}-{names[-1]}")
def test_what_works_does(names):
    check_that_they_work(names)


@pytest.mark.slow
def test_what_is_refused_is_refused_for_that_reason():
    refused = [name for name, row in TABLE_ROWS.items() if {*row.values()} != {WORKS}]
    for name in refused[::EVERY_REFUSED]:
        assert tried(CASES[name].model(), samples_of(CASES[name])) == TABLE_ROWS[name], name
