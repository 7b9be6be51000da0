"""Einsum as plain products of matrices, as attention in Keras and KerasHub needs it.

tf2onnx writes an einsum of three and more dimensions as some fifteen operators, most of which
compute sizes. What is written here instead is a transpose, a reshape of the weight that is done
once and for all, and one MatMul.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EQUATION = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]*)")


@contextmanager
def einsum_as_products() -> Iterator[None]:
    """Let models traced inside compute an einsum of two tensors as a product of matrices."""
    import tensorflow as tf

    before = tf.einsum

    def einsum(equation: str, *operands: Any, **options: Any) -> Any:
        equation, operands = _spelled_out(equation.replace(" ", ""), operands)
        found = _EQUATION.fullmatch(equation)
        result = _product(*found.groups(), *operands) if found else None
        return before(equation, *operands, **options) if result is None else result

    tf.einsum = einsum
    try:
        yield
    finally:
        tf.einsum = before


def _spelled_out(equation: str, operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return an equation whose dots are letters, and the operands without axes that are repeated.

    The dots stand for axes that are counted from the last; one of size 1 goes with any other.
    """
    import tensorflow as tf

    if "..." not in equation:
        return equation, operands
    taken, _, result = equation.partition("->")
    terms, tensors = taken.split(","), [tf.convert_to_tensor(operand) for operand in operands]
    free = [c for c in string.ascii_letters if c not in equation]
    counts = [
        len(tensor.shape) - len(term.replace("...", "")) if "..." in term else 0
        for term, tensor in zip(terms, tensors, strict=True)
    ]
    letters = free[: max(counts)][::-1]
    sizes: dict[str, set[int | None]] = {}
    for term, tensor, count in zip(terms, tensors, counts, strict=True):
        start = term.find("...")
        for at, letter in enumerate(letters[len(letters) - count :]):
            sizes.setdefault(letter, set()).add(tensor.shape[start + at])
    spelled, kept = [], []
    for term, tensor, count in zip(terms, tensors, counts, strict=True):
        start, own = term.find("..."), letters[len(letters) - count :]
        repeated = [
            at
            for at, letter in enumerate(own)
            if tensor.shape[start + at] == 1 and len(sizes[letter]) > 1
        ]
        kept.append(tf.squeeze(tensor, [start + at for at in repeated]) if repeated else tensor)
        rest = "".join(letter for at, letter in enumerate(own) if at not in repeated)
        spelled.append(term.replace("...", rest))
    if "->" not in equation:
        once = sorted(c for c in set(taken) - set(",.") if taken.count(c) == 1)
        result = "..." + "".join(once)
    return f"{','.join(spelled)}->{result.replace('...', ''.join(letters))}", tuple(kept)


def _product(a: str, b: str, out: str, left: Any, right: Any) -> Any:
    """Return the einsum ``a,b->out``, or ``None`` where it is no product of matrices."""
    import tensorflow as tf

    batch = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    rows, columns = ([c for c in one if c not in other] for one, other in ((a, b), (b, a)))
    made = "".join([*batch, *rows, *columns])
    single = len(rows) == len(columns) == len(summed) == 1
    if sorted(made) != sorted(out) or len(set(a)) < len(a) or len(set(b)) < len(b) or not summed:
        return None
    if batch and not single:
        return None
    if made != out and "".join([*batch, *columns, *rows]) == out:
        return _product(b, a, out, right, left)
    sizes = {**_sizes(b, right), **_sizes(a, left)}
    if not all(isinstance(sizes[c], int) for c in (*summed, *columns)) and not single:
        return None
    x = _transposed(left, a, [*batch, *rows, *summed])
    y = _transposed(right, b, [*batch, *summed, *columns])
    if not batch:
        depth = math.prod(sizes[c] for c in summed) if len(summed) > 1 else sizes[summed[0]]
        if len(summed) > 1:
            x = tf.reshape(x, [*(sizes[c] for c in rows), depth])
        if len(summed) > 1 or len(columns) != 1:
            y = tf.reshape(y, [depth, math.prod(sizes[c] for c in columns)])
    product = tf.matmul(x, y)
    if not batch and len(columns) != 1:
        product = tf.reshape(product, [sizes[c] for c in (*rows, *columns)])
    return _transposed(product, made, list(out))


def _sizes(letters: str, tensor: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {
        letter: tf.shape(tensor)[axis] if size is None else size
        for axis, (letter, size) in enumerate(zip(letters, tensor.shape, strict=True))
    }


def _transposed(tensor: Any, old: str, new: list[str]) -> Any:
    import tensorflow as tf

    order = [old.index(letter) for letter in new]
    return tensor if order == sorted(order) else tf.transpose(tensor, order)
