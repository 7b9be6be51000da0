"""Functions of float32 of which LiteRT has no operator, made of those that it has.

They are right to a few units in the last place over the whole domain, at its edges, and for NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import tensorflow as tf


def log1p(x: Any) -> Any:
    """Return log(1 + x)."""
    # Near zero by the series of atanh: 1 + x would lose what is small.
    part = x / (2 + x)
    square = part * part
    series = part * _polynomial(square, [2 / k for k in range(13, 0, -2)])
    return tf.where(tf.abs(x) < 0.5, series, _log(1 + x))


def expm1(x: Any) -> Any:
    """Return exp(x) - 1."""
    series = x * _polynomial(x, [1 / math.factorial(k) for k in range(9, 0, -1)])
    half = tf.exp(x / 2)  # LiteRT's exponential is infinite from 88.4 on, TensorFlow's from 88.7
    return _nan_of(x, tf.where(tf.abs(x) < 0.5, series, half * half - 1))


def sinh(x: Any) -> Any:
    """Return the hyperbolic sine."""
    half = tf.exp(tf.abs(x) / 2)  # its square is infinite where the result is, not before
    large = tf.sign(x) * (half / 2 * half - 0.5 / half / half)
    series = x * _polynomial(x * x, [1 / math.factorial(k) for k in range(11, 0, -2)])
    return tf.where(tf.abs(x) < 1, series, large)


def cosh(x: Any) -> Any:
    """Return the hyperbolic cosine."""
    half = tf.exp(tf.abs(x) / 2)
    return _nan_of(x, half / 2 * half + 0.5 / half / half)


def asin(x: Any) -> Any:
    """Return arcsin(x)."""
    return tf.atan2(x, tf.sqrt((1 - x) * (1 + x)))


def acos(x: Any) -> Any:
    """Return arccos(x)."""
    return tf.atan2(tf.sqrt((1 - x) * (1 + x)), x)


def atan(x: Any) -> Any:
    """Return arctan(x)."""
    return tf.atan2(x, tf.ones_like(x))


def asinh(x: Any) -> Any:
    """Return arsinh(x)."""
    size = tf.abs(x)
    square = size * size
    usual = log1p(size + square / (1 + tf.sqrt(1 + square)))
    return tf.sign(x) * tf.where(size > _LARGE, _log_of_double(size), usual)


def acosh(x: Any) -> Any:
    """Return arcosh(x)."""
    above = x - 1
    usual = log1p(above + tf.sqrt(above * (above + 2)))
    value = tf.where(x > _LARGE, _log_of_double(x), usual)
    return tf.where(x < 1, tf.constant(np.nan, x.dtype), value)


def atanh(x: Any) -> Any:
    """Return artanh(x)."""
    size = tf.abs(x)
    return tf.sign(x) * 0.5 * log1p(2 * size / (1 - size))


# Beyond it 1 + x * x is x * x in float32, and that not yet infinite.
_LARGE = 1e9


def _log_of_double(x: Any) -> Any:
    # XNNPACK's logarithm of the largest numbers is infinite.
    return _log(x / 2) + 2 * math.log(2)


def _log(x: Any) -> Any:
    # XNNPACK's logarithm of infinity and of NaN is a number on processors without AVX-512.
    return tf.where(x < np.inf, tf.math.log(x), x)


def _nan_of(x: Any, value: Any) -> Any:
    # XNNPACK's exponential of NaN is a number.
    return tf.where(tf.math.is_nan(x), x, value)


def erf(x: Any) -> Any:
    """Return the error function."""
    # A ratio of polynomials, as in Eigen; beyond the ends it is one.
    bounded = tf.clip_by_value(x, -_ERF_ONE, _ERF_ONE)
    square = bounded * bounded
    value = bounded * _polynomial(square, _ERF_ABOVE) / _polynomial(square, _ERF_BELOW)
    return _nan_of(x, tf.clip_by_value(value, -1, 1))


_ERF_ONE = 3.7439211627767994
_ERF_ABOVE = (
    0.00022905065861350646,
    0.0034082910107109506,
    0.050955695062380861,
    0.18520832239976145,
    1.128379143519084,
)
_ERF_BELOW = (
    -1.1791602954361697e-7,
    0.000023547966471313185,
    0.0010179625278914885,
    0.014070470171167667,
    0.11098505178285362,
    0.49746925110067538,
    1.0,
)


def erfc(x: Any) -> Any:
    """Return 1 - erf(x)."""
    # Cephes' erfcf: exp(-x * x) / x times a polynomial in 1 / (x * x).
    size = tf.maximum(tf.abs(x), 1)
    inverse = 1 / (size * size)
    near, far = _polynomial(inverse, _ERFC_NEAR), _polynomial(inverse, _ERFC_FAR)
    # The square in two parts: what it loses by rounding would be seen in its exponential.
    high = tf.round(size * 256) / 256
    scaled = tf.exp(-high * high) * tf.exp(-(size - high) * (size + high)) / size
    tail = scaled * tf.where(size < 2, near, far)
    tail = tf.where(x < 0, 2 - tail, tail)
    return tf.where(tf.abs(x) > 1, tf.where(tf.abs(x) > 11, _ends(x), tail), 1 - erf(x))


def _ends(x: Any) -> Any:
    return tf.cast(x < 0, x.dtype) * 2


_ERFC_NEAR = (
    2.326819970068386e-2,
    -1.387039388740657e-1,
    3.687424674597105e-1,
    -5.824733027278666e-1,
    6.210004621745983e-1,
    -4.944515323274145e-1,
    3.404879937665872e-1,
    -2.741127028184656e-1,
    5.638259427386472e-1,
)
_ERFC_FAR = (
    -1.047766399936249e1,
    1.297719955372516e1,
    -7.495518717768503e0,
    2.921019019210786e0,
    -1.015265279202700e0,
    4.218463358204948e-1,
    -2.820767439740514e-1,
    5.641895067754075e-1,
)


def erfinv(x: Any) -> Any:
    """Return what the error function makes x of."""
    # M. Giles, Approximating the erfinv function, 2010.
    near_zero, rest = log1p(-x * x), tf.math.log((1 - x) * (1 + x))
    w = -tf.where(tf.abs(x) < 0.5, near_zero, rest)
    near = _polynomial(w - 2.5, _ERFINV_NEAR)
    far = _polynomial(tf.sqrt(w) - 3, _ERFINV_FAR)
    return x * tf.where(tf.abs(x) == 1, w, tf.where(w < 5, near, far))


_ERFINV_NEAR = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_ERFINV_FAR = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def softplus(x: Any) -> Any:
    """Return log(1 + exp(x))."""
    # LiteRT's own, log(1 + exp(x)), is infinite from 89 on.
    return tf.nn.relu(x) + tf.math.log(1 + tf.exp(-tf.abs(x)))


def rsqrt(x: Any) -> Any:
    """Return 1 / sqrt(x), of zero infinity; ``None`` where the operator itself may stay."""
    # XNNPACK makes NaN of rsqrt(0), which a row of zeros becomes when it is normalized. A variance
    # and its epsilon are never zero: normalizations keep their one operator. The converter makes
    # that operator of 1 / sqrt(x) too.
    return None if x.op.type == "AddV2" else tf.sqrt(1 / x)


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    first, *rest = coefficients
    return reduce(lambda value, next_one: value * x + next_one, rest, tf.ones_like(x) * first)
