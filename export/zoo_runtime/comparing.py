"""Names, then shapes, then values: what an artifact gives against what Keras gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from zoo_runtime.columns import Scale, as_columns, centred, keeps, measure, usual
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import Format
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_runtime.verification import Comparison, Fit

# How much more edge cases may differ: where all of an image is zero, every position rounds alike
# and it adds up, to 3e-5 between Keras in float32 and in float64.
EDGE_SLACK = 100
# Outputs whose columns are compared with each other: the largest is the answer.
RANKED = ("logits", "start_logits", "end_logits")
# Beyond, a perplexity is no number.
_MOST_LOG = 700.0
_AT_ONCE, _MOST_RANKED = 1 << 22, 1 << 24


def compare(
    expected: Sequence[Arrays],
    received: Sequence[Arrays],
    tolerance: float | Sequence[float],
    scales: Mapping[str, Scale] | None = None,
    dtypes: Mapping[str, str] | None = None,
    *,
    least: Mapping[str, float] | None = None,
) -> tuple[Comparison, ...]:
    """Compare the outputs of some sample batches.

    Args:
        expected: What Keras gave, by output name, a mapping for each batch.
        received: What the artifact gave.
        tolerance: Allowed difference, one for all batches or one for each: as a fraction of the
            spread of each column where there are ``scales``, else of the largest value of the
            output; masked values (-1e9) count for themselves. Integers and booleans must be equal.
        scales: What Keras gives in each column over all samples, by output name.
        dtypes: What the artifact's outputs must be, if not what Keras gave.
        least: Of outputs without ``scales``, a difference that is allowed in any case: a batch may
            hold nothing but small values.

    Returns:
        A comparison for every batch and output, allowed or not.

    Raises:
        ExportError: Other names, shapes or dtypes, or a value that is not finite.

    Example:
        >>> keras, artifact = np.array([[1.0, -4.0]]), np.array([[1.0, -4.00001]])
        >>> rows = compare([{"logits": keras}], [{"logits": artifact}], tolerance=1e-5)
        >>> rows[0].ok, rows[0].allowed
        (True, 4e-05)
    """
    rows = []
    limits = [tolerance] * len(expected) if isinstance(tolerance, float) else tolerance
    for wanted, given, limit in zip(expected, received, limits, strict=True):
        check_names(wanted, given)
        for name, array in wanted.items():
            _check_shape(name, array, given[name], (dtypes or {}).get(name, str(array.dtype)))
            scale = scales.get(name) if scales is not None else None
            always = (least or {}).get(name, 0.0) if scale is None else 0.0
            rows.append(_comparison(name, array, given[name], limit, scale, always))
    return tuple(rows)


def usual_sizes(scales: Mapping[str, Mapping[str, Scale]]) -> dict[str, float]:
    """Return the largest value that Keras gives in each output, by any kind of samples.

    Args:
        scales: By kind and output.
    """
    found: dict[str, float] = {}
    for by_name in scales.values():
        for name, scale in by_name.items():
            found[name] = max(found.get(name, 0.0), float(scale.largest.max(initial=0.0)))
    return found


def compared(
    fmt: Format,
    expected: Arrays,
    received: Arrays,
    scales: Mapping[str, Scale] | None,
    dtypes: Mapping[str, str],
    *,
    sizes: Mapping[str, float] | None = None,
    is_edge: bool = False,
) -> tuple[Comparison, ...]:
    """Compare one batch by the rules of a format.

    Args:
        fmt: The format: float32 files are compared by the spread of each column, schemes by the
            largest value of all samples alike, and by the columns in :func:`fitted`.
        expected: What Keras gave.
        received: What the artifact gave.
        scales: What Keras gives in each column for samples alike; ``None`` where that is unknown,
            as of edge cases and in bundles of earlier versions.
        dtypes: What the artifact's outputs must be.
        sizes: What is usual in each output, as :func:`usual_sizes` gives it.
        is_edge: Whether it is an edge case.

    Raises:
        ExportError: As :func:`compare`.
    """
    limit = fmt.tolerance * (EDGE_SLACK if is_edge else 1)
    if fmt.scheme is None and scales is not None:
        return compare([expected], [received], limit, scales, dtypes)
    alike = usual_sizes({"": scales}) if scales is not None else sizes or {}
    least = {name: fmt.tolerance * size for name, size in alike.items()}
    return compare([expected], [received], limit, None, dtypes, least=least)


def settle(expected: Arrays, received: dict[str, Array], unsteady: Mapping[str, Array]) -> None:
    """Give integers that are ties in Keras itself the value that Keras gave."""
    for name, ties in unsteady.items():
        if name in received and received[name].shape == ties.shape:
            received[name] = np.where(ties, expected[name], received[name])


def worst_of_groups(fits: Sequence[Fit]) -> list[Fit]:
    """Return one fit for each output of several groups of samples, the one nearest to its limit.

    That Keras' answer depends on the inputs is known where it does so in any group.
    """
    found: dict[tuple[str, bool, int], Fit] = {}
    for fit in fits:
        key = (fit.output, fit.centred, fit.axis)
        other = found.get(key)
        if other is None or (fit.is_informative, not fit.ok, fit.beyond) > (
            other.is_informative,
            not other.ok,
            other.beyond,
        ):
            found[key] = fit
    failed = [fit for fit in fits if not fit.ok]
    return [*found.values(), *(fit for fit in failed if fit not in found.values())]


def with_label(fit: Fit, labels: Sequence[str] | None) -> Fit:
    """Return a fit with the name of its worst column, where the columns are the classes."""
    if fit.column is None or labels is None or len(labels) != fit.columns:
        return fit
    return replace(fit, label=labels[fit.column])


def check_names(wanted: Arrays, given: Arrays) -> None:
    """Refuse outputs of other names.

    Raises:
        ExportError: A name too many or too few.
    """
    if set(given) != set(wanted):
        raise ExportError(f"its outputs are {sorted(given)}, those of Keras {sorted(wanted)}")


def check_finite(outputs: Arrays, owner: str) -> None:
    """Refuse outputs that are not numbers.

    Raises:
        ExportError: NaN in an output.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            fraction = float(np.isnan(array).mean())
            raise ExportError(f"output '{name}' of {owner} is NaN in {fraction:.0%} of its values")


def has_columns(tensor: Tensor) -> bool:
    """Return whether the last axis of an output is one of units, not of steps or positions.

    Example:
        >>> has_columns(Tensor("logits", "float32", ("batch", 10)))
        True
        >>> has_columns(Tensor("start_logits", "float32", ("batch", "sequence")))
        False
    """
    return len(tensor.shape) > 1 and isinstance(tensor.shape[-1], int)


def measured(
    outputs: Sequence[Tensor],
    expected: Sequence[Arrays],
    moved: Sequence[tuple[Arrays, Arrays]] = (),
) -> dict[str, Scale]:
    """Return the scale of the columns of each output of real numbers.

    Args:
        outputs: The model's outputs, with named sizes.
        expected: What Keras gave, a mapping for each batch.
        moved: Some of it, and the same with the last bits of weights and inputs changed.
    """
    found = {}
    for tensor in outputs:
        name, split = tensor.name, has_columns(tensor)
        if expected[0][name].dtype.kind != "f":
            continue
        pairs = [(as_columns(a[name], split), as_columns(b[name], split)) for a, b in moved]
        found[name] = measure([as_columns(case[name], split) for case in expected], pairs)
    return found


def fitted(
    outputs: Sequence[Tensor],
    expected: Sequence[Arrays],
    received: Sequence[Arrays],
    scales: Mapping[str, Scale],
    limit: float,
) -> tuple[Fit, ...]:
    """Return what an artifact keeps of the columns of each output over all samples.

    Outputs that rank their columns are also compared less the mean of each row, which says nothing
    of the order.

    Args:
        outputs: The model's outputs, with named sizes.
        expected: What Keras gave, a mapping for each batch.
        received: What the artifact gave.
        scales: As :func:`measured` gives them for ``expected``.
        limit: Root mean square difference of a column that is allowed, as a fraction of its
            standard deviation.
    """
    found = []
    for tensor in outputs:
        name, split = tensor.name, has_columns(tensor)
        if not any(case[name].size for case in expected):
            continue
        whole = [(a[name], b[name]) for a, b in zip(expected, received, strict=True)]
        keras_answers, answers = different_answers(whole, scales.get(name))
        if name not in scales:  # integers are equal or refused
            fit = Fit(name, None, 0.0, 0.0, 0.0, constant=1)
            found.append(replace(fit, answers=answers, keras_answers=keras_answers))
            continue
        wanted = [as_columns(case[name], split) for case in expected]
        given = [as_columns(case[name], split) for case in received]
        fit = keeps(name, wanted, given, scales[name], limit)
        found.append(replace(fit, answers=answers, keras_answers=keras_answers))
        if name in RANKED and wanted[0].shape[1] > 1 and keras_answers > 1:
            found.append(_ranked(fit, wanted, given, scales[name], limit))
        if _has_rows_of_units(tensor) and keras_answers > 1:
            found += _of_rows(name, whole, scales[name], limit)
    return tuple(found)


def _has_rows_of_units(tensor: Tensor) -> bool:
    return len(tensor.shape) == 3 and isinstance(tensor.shape[1], int) and tensor.shape[1] > 1


def _of_rows(
    name: str, pairs: Sequence[tuple[Array, Array]], scale: Scale, limit: float
) -> list[Fit]:
    """Return what is lost of the first axis after the batch, if it is more than is allowed.

    Some detectors give their coordinates and scores along it, positions along the last.
    """
    if any(one.ndim != 3 for one, _ in pairs):  # only some of it was saved
        return []
    wanted, given = (
        [as_columns(np.moveaxis(array, 1, -1), True) for array in arrays]
        for arrays in zip(*pairs, strict=True)
    )
    own = measure(wanted, [])
    rounding = np.full_like(own.spread, np.median(scale.rounding))
    fit = keeps(name, wanted, given, replace(own, rounding=rounding), limit)
    return [] if fit.ok else [replace(fit, axis=1)]


def different_answers(pairs: Sequence[tuple[Array, Array]], scale: Scale | None) -> tuple[int, int]:
    """Return how many different rows Keras and an artifact give, of those of one shape.

    Args:
        pairs: An output of each batch, in Keras and of the artifact.
        scale: What Keras gives in its columns: rows that differ by rounding alone are one.

    Example:
        >>> keras, artifact = np.array([[0.1], [0.2], [0.9]]), np.array([[0.0], [0.0], [1.0]])
        >>> different_answers([(keras, artifact)], measure([keras], []))
        (3, 2)
    """
    by_shape: dict[tuple[int, ...], list[tuple[Array, Array]]] = {}
    for pair in pairs:
        by_shape.setdefault(pair[0].shape[1:], []).append(pair)
    most = max(by_shape.values(), key=lambda group: sum(len(one) for one, _ in group))
    keras, artifact = (np.concatenate(arrays) for arrays in zip(*most, strict=True))
    if scale is None:
        return _different(keras), _different(artifact)
    with np.errstate(invalid="ignore", over="ignore"):
        moves = keras.max(axis=0) - keras.min(axis=0)
        same = (keras == keras[:1]).all(axis=0)
    noise = scale.steady()
    varies = (moves > (noise if moves.shape[-1:] == noise.shape else noise.max())) & ~same
    return (_different(keras) if varies.any() else 1), _different(artifact)


def top1_agreement(
    expected: Arrays, received: Arrays, scales: Mapping[str, Scale] | None = None
) -> float | None:
    """Return the fraction of rows whose largest logit is the same, if there are logits.

    One logit alone says yes above zero. Where Keras' own largest are as good as equal, each of them
    is its answer.

    Example:
        >>> keras, artifact = np.array([[0.5, 0.5], [2.0, 1.0]]), np.array([[0.4, 0.5], [1.0, 2.0]])
        >>> top1_agreement({"logits": keras}, {"logits": artifact})
        0.5
        >>> top1_agreement({"logits": np.array([[2.0]])}, {"logits": np.array([[-2.0]])})
        0.0
    """
    if "logits" not in expected:
        return None
    keras, artifact = expected["logits"], received["logits"]
    scale = scales.get("logits") if scales is not None else None
    near = 0.0 if scale is None else float(scale.noise().max(initial=0.0))
    if keras.shape[-1] == 1:
        same = ((keras > 0) == (artifact > 0)) | (np.abs(keras) <= near)
    else:
        chosen = np.take_along_axis(keras, artifact.argmax(-1)[..., None], -1)[..., 0]
        same = chosen >= keras.max(-1) - near
    return float(same.mean())


def perplexity(outputs: Arrays, targets: Array | None) -> float | None:
    """Return the exponential of the mean negative log-likelihood of tokens that are known.

    Args:
        outputs: With ``logits``, float (texts, tokens, vocab_size).
        targets: The token behind each, int (texts, tokens); negative ones do not count.

    Returns:
        ``None`` for logits that are not of tokens, or where none is known.

    Example:
        >>> even = np.zeros((1, 2, 8), np.float32)
        >>> round(perplexity({"logits": even}, np.array([[3, -1]])), 6)
        8.0
    """
    logits = outputs.get("logits")
    if logits is None or targets is None or logits.ndim != 3 or targets.shape != logits.shape[:2]:
        return None
    total, count = 0.0, 0
    for row, wanted in zip(logits, targets, strict=True):  # of a large vocabulary one is a lot
        known = wanted >= 0
        scores = row[known].astype(np.float64)
        highest = scores.max(axis=-1, initial=-np.inf, keepdims=True)
        norm = np.log(np.exp(scores - highest).sum(axis=-1)) + highest[:, 0]
        total += float((norm - scores[np.arange(len(scores)), wanted[known]]).sum())
        count += int(known.sum())
    return math.exp(min(total / count, _MOST_LOG)) if count else None


def accuracy(outputs: Arrays, targets: Array | None) -> float | None:
    """Return the fraction of rows, or of steps of a text, whose largest logit is the target.

    Steps are counted where negative targets mark those that are not: padding is not, and nothing
    else marks it.

    Example:
        >>> accuracy({"logits": np.array([[1.0, 2.0], [3.0, 0.0]])}, np.array([1, 1]))
        0.5
        >>> accuracy({"logits": np.array([[[1.0, 2.0], [3.0, 0.0]]])}, np.array([[1, -1]]))
        1.0
    """
    logits = outputs.get("logits")
    if targets is None or logits is None or targets.dtype.kind not in "iu":
        return None
    rows = targets[: len(logits)]
    counted = rows >= 0
    if rows.shape != logits.shape[:-1] or (rows.ndim > 1 and counted.all()):
        return None
    return float((logits.argmax(-1) == rows)[counted].mean())


def _ranked(
    fit: Fit, wanted: Sequence[Array], given: Sequence[Array], scale: Scale, limit: float
) -> Fit:
    # All batches together show which values are masked; of very many rows some are enough.
    step = max(1, sum(array.size for array in wanted) // _MOST_RANKED)
    before = np.concatenate(wanted)[::step]
    after = centred(np.concatenate(given)[::step], before)
    before = centred(before, before)
    own = measure([before], [])
    own = replace(own, rounding=scale.rounding, largest=scale.largest, last_bits=scale.last_bits)
    found = keeps(fit.output, [before], [after], own, limit)
    return replace(found, centred=True)


def _different(rows: Array) -> int:
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return len({row.tobytes() for row in flat + np.zeros(1, flat.dtype)})  # -0.0 is 0.0


def _check_shape(name: str, wanted: Array, given: Array, dtype: str) -> None:
    if given.shape != wanted.shape:
        raise ExportError(f"output '{name}' has shape {given.shape}, in Keras {wanted.shape}")
    if given.dtype != dtype:
        raise ExportError(f"output '{name}' is {given.dtype}, in Keras {dtype}")


def _comparison(  # noqa: PLR0917 - one output, and what it is compared by
    name: str, wanted: Array, given: Array, tolerance: float, scale: Scale | None, least: float
) -> Comparison:
    check_finite({name: given}, "the artifact")
    if wanted.dtype.kind != "f":
        difference = np.abs(wanted.astype(np.float64) - given.astype(np.float64)).max(initial=0.0)
        return Comparison(name, wanted.shape, float(difference), 0.0)
    if not wanted.size:
        return Comparison(name, wanted.shape, 0.0, 0.0)
    is_split = scale is not None and scale.spread.size > 1
    pair = as_columns(wanted, is_split), as_columns(given, is_split)
    largest, at, difference, allowed = 0.0, 0, 0.0, 0.0
    beyond = -1.0
    for start, keras, artifact in _blocks(*pair):
        limits = np.maximum(_limits(keras, tolerance, scale, start), least)
        # Equal infinities, as masked logits may have, differ by nothing.
        with np.errstate(invalid="ignore", over="ignore"):
            differences = np.where(keras == artifact, 0, np.abs(keras - artifact))
        ratios = differences / np.maximum(limits, 1e-300)
        index = np.unravel_index(int(ratios.argmax()), ratios.shape)
        largest = max(largest, float(differences.max()))
        if ratios[index] > beyond:
            beyond, at = float(ratios[index]), start + int(index[1])
            difference, allowed = float(differences[index]), float(limits[index])
    column = at if is_split else None
    return Comparison(name, wanted.shape, largest, allowed, column, difference)


def _blocks(keras: Array, artifact: Array) -> Iterator[tuple[int, Array, Array]]:
    step = max(1, _AT_ONCE // max(len(keras), 1))
    for start in range(0, keras.shape[1], step):
        part = slice(start, start + step)
        yield start, keras[:, part].astype(np.float64), artifact[:, part].astype(np.float64)


def _limits(keras: Array, tolerance: float, scale: Scale | None, start: int) -> Array:
    """Return how far each value may be off."""
    sizes = np.abs(keras)
    if scale is None:
        common = usual(keras.reshape(-1, 1)).reshape(keras.shape)
        room = np.full_like(keras, tolerance * sizes.max(initial=0.0, where=common))
    else:
        part = slice(start, start + keras.shape[1])
        room = np.broadcast_to((tolerance * scale.spread + scale.noise())[part], keras.shape)
        largest = scale.largest[part] * (1 + 1e-6)
        common = (sizes <= largest) | (sizes < 1e4)
    return np.asarray(np.where(common | ~np.isfinite(sizes), room, tolerance * sizes))
