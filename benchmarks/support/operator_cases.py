"""One small model for every layer and function of Keras that takes and gives tensors.

A case is what a user would write: the layer or function on inputs of a usual size. Inputs are
written as ``dtype shape range``, such as ``"f 3,4 -1:1"``; ``whole`` marks functions without a
batch, which get one example of a batch of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops
from keras.src.backend.common import global_state

DTYPES = {"f": "float32", "i": "int32", "b": "bool"}
REAL, POSITIVE, SMALL, ABOVE_ONE = "f 3,4 -2:2", "f 3,4 0.1:3", "f 3,4 -0.9:0.9", "f 3,4 1.1:4"
WHOLE_NUMBERS, COUNTS = "i 3,4 -9:9", "i 3,4 0:9"
IMAGE, VOLUME, STEPS, SQUARE = "f 8,8,3 0:1", "f 6,6,6,2 0:1", "f 8,3 -1:1", "f 3,3 -1:1"
TOKENS = "i 6 0:9"


@dataclass(frozen=True)
class Input:
    """An input of a case.

    Args:
        dtype: Of Keras.
        shape: Without the batch.
        low: Smallest value that is drawn.
        high: Largest.
    """

    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Case:
    """One layer or function.

    Args:
        name: As in ``keras.``NAME.
        apply: From symbolic inputs to one tensor, or several.
        inputs: What it is given.
        whole: Whether it has no batch: it is given one example.
    """

    name: str
    apply: Callable[..., Any]
    inputs: tuple[Input, ...]
    whole: bool = False

    def model(self, name: str = "case") -> keras.Model:
        """Build the model; it has outputs ``result`` or ``result_0``, ``result_1``...

        Its layers are called as the first ones of a process, whatever was built before it.

        Args:
            name: Of the model.
        """
        with _named_anew():
            return self._model(name)

    def _model(self, name: str) -> keras.Model:
        batch = 1 if self.whole else None
        given = [
            keras.Input(each.shape, batch, dtype=each.dtype, name=f"input_{at}")
            for at, each in enumerate(self.inputs)
        ]
        made = self.apply(*([ops.squeeze(x, 0) for x in given] if self.whole else given))
        parts = keras.tree.flatten(made)
        if self.whole:
            parts = [ops.expand_dims(part, 0) for part in parts]
        several = len(parts) > 1
        outputs = {f"result_{at}" if several else "result": part for at, part in enumerate(parts)}
        return keras.Model(given, outputs, name=name)


@contextmanager
def _named_anew() -> Iterator[None]:
    key = "object_name_uids"
    before = global_state.get_global_attribute(key)
    global_state.set_global_attribute(key, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(key, before)


def cases() -> dict[str, Case]:
    """Return all cases by name."""
    found = [*_function_cases(), *_layer_cases()]
    return {case.name: case for case in found}


def _read(text: str) -> Input:
    kind, shape, bounds = text.split()
    low, high = map(float, bounds.split(":"))
    return Input(DTYPES[kind], tuple(map(int, shape.split(","))), low, high)


def _function_cases() -> Iterator[Case]:
    for names, inputs in FUNCTIONS.items():
        for name in names.split():
            yield Case(f"ops.{name}", _function(name), tuple(map(_read, inputs)))
    for name, (apply, *given) in CALLS.items():
        plain = name.removesuffix("!")
        yield Case(f"ops.{plain}", apply, tuple(map(_read, given)), whole=plain != name)


def _function(name: str) -> Callable[..., Any]:
    found: Any = ops
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _layer_cases() -> Iterator[Case]:
    for name, (make, *inputs) in LAYERS.items():
        yield Case(f"layers.{name}", _layer(make), tuple(map(_read, inputs)))


def _layer(make: Callable[[], Any]) -> Callable[..., Any]:
    def apply(*tensors: Any) -> Any:
        layer = make()
        return layer(list(tensors)) if len(tensors) > 1 else layer(tensors[0])

    return apply


# Functions that are called with their inputs alone.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "abs absolute angle arcsinh arctan cbrt ceil celu conj conjugate copy cos cosh deg2rad elu erf "
    "erfc exp exp2 expm1 fabs floor gelu hard_shrink hard_sigmoid hard_silu hard_tanh i0 imag "
    "isfinite isinf isnan isneginf isposinf isreal leaky_relu log_sigmoid log_softmax "
    "nan_to_num negative normalize ones_like rad2deg real relu relu6 rms_normalization round "
    "selu sigmoid sign signbit silu sin sinc sinh soft_shrink softmax softplus softsign sort "
    "sparse_plus sparse_sigmoid sparsemax square squareplus stop_gradient tan tanh tanh_shrink "
    "trunc zeros_like": (REAL,),
    "arccos arcsin arctanh erfinv": (SMALL,),
    "arccosh": (ABOVE_ONE,),
    "log log10 log1p log2 reciprocal rsqrt sqrt": (POSITIVE,),
    "add arctan2 divide_no_nan equal fmax fmin greater greater_equal heaviside hypot less "
    "less_equal logaddexp logaddexp2 maximum minimum multiply nextafter not_equal subtract": (
        REAL,
        REAL,
    ),
    "divide true_divide floor_divide fmod mod power": (POSITIVE, POSITIVE),
    "bitwise_and bitwise_or bitwise_xor gcd lcm": (COUNTS, COUNTS),
    "bitwise_not bitwise_invert": (WHOLE_NUMBERS,),
    "logical_and logical_or logical_xor": ("b 3,4 0:1", "b 3,4 0:1"),
    "logical_not": ("b 3,4 0:1",),
    "matmul": ("f 3,4 -1:1", "f 4,5 -1:1"),
    "isclose": (REAL, REAL),
    "image.hsv_to_rgb image.rgb_to_hsv image.rgb_to_grayscale image.sobel_edges": (IMAGE,),
    "det inv pinv matrix_rank": ("f 3,3 -1:1",),
    "solve": ("f 3,3 -1:1", "f 3,2 -1:1"),
    "qr svd": ("f 4,3 -1:1",),
    "cross": ("f 2,3 -1:1", "f 2,3 -1:1"),
}

KERNEL = keras.ops.convert_to_tensor


def _weights(*shape: int) -> Any:
    import numpy as np

    return KERNEL(np.random.default_rng(0).uniform(-1, 1, shape).astype("float32"))


def _spd(x: Any) -> Any:
    return ops.matmul(x, ops.transpose(x, (0, 2, 1))) + ops.eye(3)


def _cond(x: Any) -> Any:
    return ops.cond(ops.sum(x) > 0, lambda: x * 2, lambda: x - 1)


# Functions that are called with arguments, or in a usual way; "!" where there is no batch.
CALLS: dict[str, tuple[Any, ...]] = {
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, (2, 2)), IMAGE),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(x, (2, 2)), IMAGE),
    "all": (lambda x: ops.all(x, axis=-1), "b 3,4 0:1"),
    "allclose!": (ops.allclose, REAL, REAL),
    "amax": (lambda x: ops.amax(x, axis=-1), REAL),
    "amin": (lambda x: ops.amin(x, axis=-1), REAL),
    "any": (lambda x: ops.any(x, axis=-1), "b 3,4 0:1"),
    "append": (lambda x, y: ops.append(x, y, axis=1), REAL, REAL),
    "argmax": (lambda x: ops.argmax(x, axis=-1), REAL),
    "argmin": (lambda x: ops.argmin(x, axis=-1), REAL),
    "argpartition!": (lambda x: ops.argpartition(x, 2), "f 6 -2:2"),
    "argsort": (ops.argsort, REAL),
    "array": (lambda x: x + ops.array([1.0, 2.0, 3.0, 4.0]), REAL),
    "arange": (lambda x: x + ops.arange(4, dtype="float32"), REAL),
    "array_split": (lambda x: ops.array_split(x, 2, axis=1), REAL),
    "associative_scan": (lambda x: ops.associative_scan(ops.add, x, axis=1), REAL),
    "average": (lambda x: ops.average(x, axis=-1), REAL),
    "average_pool": (lambda x: ops.average_pool(x, 2, 2), IMAGE),
    "bartlett": (lambda x: x * ops.bartlett(4), REAL),
    "batch_normalization": (
        lambda x: ops.batch_normalization(x, _weights(4), ops.abs(_weights(4)), -1),
        REAL,
    ),
    "binary_crossentropy": (
        ops.binary_crossentropy,
        "f 3,4 0:1",
        "f 3,4 0.1:0.9",
    ),
    "bincount": (lambda x: ops.bincount(x, minlength=10), TOKENS),
    # By a constant, as colours are packed and unpacked; by a negative number nothing is defined.
    **{
        name: (lambda x, name=name: getattr(ops, name)(x, ops.array(2, "int32")), COUNTS)
        for name in (
            *("bitwise_left_shift", "left_shift"),
            *("bitwise_right_shift", "right_shift"),
        )
    },
    "blackman": (lambda x: x * ops.blackman(4), REAL),
    "broadcast_to!": (lambda x: ops.broadcast_to(x, (2, 3, 4)), REAL),
    "cast": (lambda x: ops.cast(x, "int32"), REAL),
    "categorical_crossentropy": (
        lambda x, y: ops.categorical_crossentropy(ops.softmax(x), ops.softmax(y)),
        REAL,
        REAL,
    ),
    "cdist": (ops.cdist, REAL, REAL),
    "cholesky": (lambda x: ops.cholesky(_spd(x)), SQUARE),
    "cholesky_inverse": (lambda x: ops.cholesky_inverse(ops.cholesky(_spd(x))), SQUARE),
    "clip": (lambda x: ops.clip(x, -1.0, 1.0), REAL),
    "concatenate": (lambda x, y: ops.concatenate([x, y], axis=-1), REAL, REAL),
    "cond!": (layers.Lambda(_cond), REAL),
    "conv": (lambda x: ops.conv(x, _weights(3, 3, 3, 4), padding="same"), IMAGE),
    "convert_to_tensor": (lambda x: x + ops.convert_to_tensor([1.0, 2.0, 3.0, 4.0]), REAL),
    "corrcoef!": (ops.corrcoef, REAL),
    "correlate!": (lambda x, y: ops.correlate(x, y, mode="same"), "f 6 -1:1", "f 3 -1:1"),
    "count_nonzero": (lambda x: ops.count_nonzero(x, axis=-1), WHOLE_NUMBERS),
    "ctc_decode!": (
        lambda x: ops.ctc_decode(ops.expand_dims(x, 0), ops.array([8]))[0],
        "f 8,5 -1:1",
    ),
    "ctc_loss!": (
        lambda y, x: ops.ctc_loss(
            ops.expand_dims(y, 0), ops.expand_dims(x, 0), ops.array([3]), ops.array([8]), 0
        ),
        "i 3 1:4",
        "f 8,5 -1:1",
    ),
    "cumprod": (lambda x: ops.cumprod(x, axis=1), REAL),
    "cumsum": (lambda x: ops.cumsum(x, axis=1), REAL),
    "custom_gradient": (
        layers.Lambda(ops.custom_gradient(lambda y: (y * 2, lambda g: g))),
        REAL,
    ),
    "depth_to_space": (lambda x: ops.depth_to_space(x, 2), "f 4,4,8 -1:1"),
    "depthwise_conv": (lambda x: ops.depthwise_conv(x, _weights(3, 3, 3, 1)), IMAGE),
    "diag!": (ops.diag, "f 4 -1:1"),
    "diagflat!": (ops.diagflat, "f 4 -1:1"),
    "diagonal": (lambda x: ops.diagonal(x, axis1=1, axis2=2), SQUARE),
    "diff": (ops.diff, REAL),
    "digitize": (lambda x: ops.digitize(x, ops.array([-1.0, 0.0, 1.0])), REAL),
    "dot": (lambda x: ops.dot(x, _weights(4, 5)), REAL),
    "dot_product_attention": (
        lambda q, k: ops.dot_product_attention(q, k, k),
        "f 5,2,4 -1:1",
        "f 6,2,4 -1:1",
    ),
    "dsplit": (lambda x: ops.dsplit(x, 2), REAL),
    "dstack": (lambda x, y: ops.dstack([x, y]), REAL, REAL),
    "eig!": (ops.eig, SQUARE),
    "eigh": (lambda x: ops.eigh(_spd(x))[0], SQUARE),
    "einsum": (lambda x: ops.einsum("bij,jk->bik", x, _weights(4, 5)), REAL),
    "empty_like": (lambda x: ops.empty_like(x) * 0.0 + x, REAL),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), REAL),
    "extract_sequences": (lambda x: ops.extract_sequences(x, 4, 2), "f 16 -1:1"),
    "eye": (lambda x: x + ops.eye(3), SQUARE),
    "fft": (lambda x: ops.fft((x, x * 0.5)), "f 8 -1:1"),
    "fft2": (lambda x: ops.fft2((x, x * 0.5)), "f 4,4 -1:1"),
    "ifft2": (lambda x: ops.ifft2((x, x * 0.5)), "f 4,4 -1:1"),
    "irfft": (lambda x: ops.irfft((x, x * 0.5)), "f 5 -1:1"),
    "rfft": (ops.rfft, "f 8 -1:1"),
    "stft": (lambda x: ops.stft(x, 8, 4, 8), "f 32 -1:1"),
    "istft": (lambda x: ops.istft(ops.stft(x, 8, 4, 8), 8, 4, 8), "f 32 -1:1"),
    "flip": (lambda x: ops.flip(x, axis=1), REAL),
    "fliplr": (ops.fliplr, REAL),
    "flipud": (ops.flipud, REAL),
    "fold": (lambda x: ops.fold(ops.unfold(x, 2, stride=2), (4, 4), 2, stride=2), "f 3,4,4 -1:1"),
    "fori_loop": (lambda x: ops.fori_loop(0, 3, lambda i, v: v * 1.5, x), REAL),
    "full": (lambda x: x + ops.full((4,), 2.0), REAL),
    "full_like": (lambda x: ops.full_like(x, 2.0) + x, REAL),
    "geomspace": (lambda x: x * ops.geomspace(1.0, 8.0, 4), REAL),
    "get_item": (lambda x: ops.get_item(x, (slice(None), slice(0, 2))), REAL),
    "glu": (ops.glu, REAL),
    "hamming": (lambda x: x * ops.hamming(4), REAL),
    "hanning": (lambda x: x * ops.hanning(4), REAL),
    "hsplit": (lambda x: ops.hsplit(x, 3), REAL),
    "hstack": (lambda x, y: ops.hstack([x, y]), REAL, REAL),
    "identity": (lambda x: x + ops.identity(3), SQUARE),
    "in_top_k": (
        lambda t, p: ops.in_top_k(ops.squeeze(t, -1), p, 2),
        "i 1 0:4",
        "f 5 -1:1",
    ),
    "inner": (lambda x: ops.inner(x, _weights(4)), REAL),
    "isin": (lambda x: ops.isin(x, [1, 3]), COUNTS),
    "jvp": (lambda x: ops.jvp(ops.sin, (x,), (ops.ones_like(x),)), REAL),
    "kaiser": (lambda x: x * ops.kaiser(4, 8.0), REAL),
    "kron!": (ops.kron, "f 2,2 -1:1", "f 2,2 -1:1"),
    "layer_normalization": (ops.layer_normalization, REAL),
    "ldexp": (ops.ldexp, REAL, "i 3,4 0:3"),
    "linspace": (lambda x: x + ops.linspace(0.0, 1.0, 4), REAL),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=-1), REAL),
    "logdet": (lambda x: ops.logdet(_spd(x)), SQUARE),
    "logspace": (lambda x: x + ops.logspace(0.0, 1.0, 4), REAL),
    "lstsq!": (ops.lstsq, "f 4,3 -1:1", "f 4,2 -1:1"),
    "lu_factor!": (ops.lu_factor, SQUARE),
    "map!": (lambda x: ops.map(lambda row: row * 2, x), REAL),
    "max": (lambda x: ops.max(x, axis=-1), REAL),
    "max_pool": (lambda x: ops.max_pool(x, 2, 2), IMAGE),
    "mean": (lambda x: ops.mean(x, axis=-1), REAL),
    "median": (lambda x: ops.median(x, axis=-1), REAL),
    "meshgrid!": (ops.meshgrid, "f 3 -1:1", "f 4 -1:1"),
    "min": (lambda x: ops.min(x, axis=-1), REAL),
    "moments": (lambda x: ops.moments(x, axes=(1,)), REAL),
    "moveaxis": (lambda x: ops.moveaxis(x, 1, 2), REAL),
    "multi_hot": (lambda x: ops.multi_hot(x, 10), TOKENS),
    **{
        f"nan{name}": (lambda x, name=name: getattr(ops, f"nan{name}")(x, axis=-1), REAL)
        for name in (
            *("argmax", "argmin", "cumprod", "cumsum", "max", "mean"),
            *("median", "min", "prod", "std", "sum", "var"),
        )
    },
    "nanpercentile": (lambda x: ops.nanpercentile(x, 30.0, axis=-1), REAL),
    "nanquantile": (lambda x: ops.nanquantile(x, 0.3, axis=-1), REAL),
    "percentile": (lambda x: ops.percentile(x, 30.0, axis=-1), REAL),
    "quantile": (lambda x: ops.quantile(x, 0.3, axis=-1), REAL),
    "nonzero!": (lambda x: ops.nonzero(x)[0], "i 6 1:3"),
    "norm": (lambda x: ops.norm(x, axis=-1), REAL),
    "one_hot": (lambda x: ops.one_hot(x, 10), TOKENS),
    "ones": (lambda x: x + ops.ones((4,)), REAL),
    "outer!": (ops.outer, "f 3 -1:1", "f 4 -1:1"),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 2))), REAL),
    "polar": (lambda x, y: ops.real(ops.polar(x, y)), POSITIVE, REAL),
    "prod": (lambda x: ops.prod(x, axis=-1), REAL),
    "psnr!": (lambda x, y: ops.psnr(x, y, 1.0), "f 3,4 0:1", "f 3,4 0:1"),
    "ptp": (lambda x: ops.ptp(x, axis=-1), REAL),
    "ravel!": (ops.ravel, REAL),
    "rearrange!": (lambda x: ops.rearrange(x, "h w -> w h"), REAL),
    "repeat": (lambda x: ops.repeat(x, 2, axis=1), REAL),
    "reshape": (lambda x: ops.reshape(x, (-1, 12)), REAL),
    "roll": (lambda x: ops.roll(x, 1, axis=1), REAL),
    "rot90": (lambda x: ops.rot90(x, axes=(1, 2)), SQUARE),
    "saturate_cast": (lambda x: ops.saturate_cast(x * 200, "uint8"), REAL),
    "scan!": (lambda x: ops.scan(lambda c, r: (c + r, c * r), ops.zeros(4), x)[1], REAL),
    "scatter!": (lambda v: ops.scatter([[0], [2]], v, (4,)), "f 2 -1:1"),
    "scatter_update!": (lambda x, v: ops.scatter_update(x, [[0], [2]], v), "f 4 -1:1", "f 2 -1:1"),
    "searchsorted!": (
        lambda v: ops.searchsorted(ops.array([-1.0, 0.0, 1.0]), v),
        "f 5 -2:2",
    ),
    **{
        f"segment_{how}!": (
            lambda x, how=how: getattr(ops, f"segment_{how}")(
                x, ops.array([0, 0, 1], "int32"), num_segments=2
            ),
            REAL,
        )
        for how in ("max", "min", "prod", "sum")
    },
    "select": (lambda x: ops.select([x > 1, x > 0], [x * 2, x * 3], 0.0), REAL),
    "separable_conv": (
        lambda x: ops.separable_conv(x, _weights(3, 3, 3, 1), _weights(1, 1, 3, 4)),
        IMAGE,
    ),
    "slogdet!": (ops.slogdet, SQUARE),
    "slice!": (lambda x: ops.slice(x, (1, 0), (2, 3)), REAL),
    "slice_update!": (
        lambda x, u: ops.slice_update(x, (1, 1), u),
        REAL,
        "f 2,2 -1:1",
    ),
    "solve_triangular": (
        lambda a, b: ops.solve_triangular(ops.tril(a) + 3 * ops.eye(3), b, lower=True),
        SQUARE,
        "f 3,2 -1:1",
    ),
    "space_to_depth": (lambda x: ops.space_to_depth(x, 2), IMAGE),
    "sparse_categorical_crossentropy": (
        lambda t, p: ops.sparse_categorical_crossentropy(ops.squeeze(t, -1), p, from_logits=True),
        "i 1 0:4",
        "f 5 -1:1",
    ),
    "split": (lambda x: ops.split(x, 2, axis=-1), REAL),
    "squeeze": (lambda x: ops.squeeze(x, 1), "f 1,4 -1:1"),
    "stack": (lambda x, y: ops.stack([x, y], axis=1), REAL, REAL),
    "std": (lambda x: ops.std(x, axis=-1), REAL),
    "sum": (lambda x: ops.sum(x, axis=-1), REAL),
    "swapaxes": (lambda x: ops.swapaxes(x, 1, 2), REAL),
    "switch": (
        lambda x: ops.switch(ops.cast(ops.sum(x) > 0, "int32"), [ops.sin, ops.cos], x),
        REAL,
    ),
    "take": (lambda x: ops.take(x, [0, 2], axis=-1), REAL),
    "take_along_axis": (
        lambda x, i: ops.take_along_axis(x, i, axis=-1),
        REAL,
        "i 3,2 0:3",
    ),
    "tensordot": (lambda x: ops.tensordot(x, _weights(4, 5), axes=1), REAL),
    "threshold": (lambda x: ops.threshold(x, 0.5, 0.0), REAL),
    "tile": (lambda x: ops.tile(x, (1, 2, 1)), REAL),
    "top_k": (lambda x: ops.top_k(x, 2), REAL),
    "trace": (lambda x: ops.trace(x, axis1=1, axis2=2), SQUARE),
    "transpose": (lambda x: ops.transpose(x, (0, 2, 1)), REAL),
    "trapezoid": (ops.trapezoid, REAL),
    "tri": (lambda x: x * ops.tri(3), SQUARE),
    "tril": (ops.tril, SQUARE),
    "triu": (ops.triu, SQUARE),
    "unfold": (lambda x: ops.unfold(x, 2), "f 3,4,4 -1:1"),
    "unique!": (lambda x: ops.unique(x, size=6), "i 6 0:9"),
    "unravel_index": (lambda x: ops.unravel_index(x, (3, 4)), COUNTS),
    "unstack": (lambda x: ops.unstack(x, axis=1), REAL),
    "vander!": (lambda x: ops.vander(x, 3), "f 4 -1:1"),
    "var": (lambda x: ops.var(x, axis=-1), REAL),
    "vdot!": (ops.vdot, "f 4 -1:1", "f 4 -1:1"),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda row: row * 2, x), REAL),
    "view": (lambda x: ops.view(x, "int32"), REAL),
    "vsplit!": (lambda x: ops.vsplit(x, 2), "f 4,3 -1:1"),
    "vstack!": (lambda x, y: ops.vstack([x, y]), REAL, REAL),
    "where": (lambda x, y: ops.where(x > 0, x, y), REAL, REAL),
    "while_loop": (
        lambda x: ops.while_loop(
            lambda i, v: i < 3, lambda i, v: (i + 1, v * 1.5), (ops.zeros(()), x)
        )[1],
        REAL,
    ),
    "zeros": (lambda x: x + ops.zeros((4,)), REAL),
    "image.affine_transform": (
        lambda x: ops.image.affine_transform(
            x, ops.convert_to_tensor([1.0, 0.1, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0])
        ),
        IMAGE,
    ),
    "image.crop_images": (
        lambda x: ops.image.crop_images(x, 1, 1, target_height=4, target_width=4),
        IMAGE,
    ),
    "image.elastic_transform": (lambda x: ops.image.elastic_transform(x, seed=0), IMAGE),
    "image.extract_patches": (lambda x: ops.image.extract_patches(x, 4), IMAGE),
    "image.extract_patches_3d": (lambda x: ops.image.extract_patches_3d(x, 3), VOLUME),
    "image.gaussian_blur": (ops.image.gaussian_blur, IMAGE),
    "image.map_coordinates!": (
        lambda x, c: ops.image.map_coordinates(x, c, order=1),
        "f 4,4 -1:1",
        "f 2,5 0:3",
    ),
    "image.pad_images": (lambda x: ops.image.pad_images(x, 1, 1, 1, 1), IMAGE),
    "image.perspective_transform!": (
        lambda x: ops.image.perspective_transform(
            x,
            ops.convert_to_tensor([[0.0, 0.0], [0.0, 7.0], [7.0, 0.0], [7.0, 7.0]]),
            ops.convert_to_tensor([[0.0, 1.0], [1.0, 7.0], [6.0, 0.0], [7.0, 6.0]]),
        ),
        IMAGE,
    ),
    "image.resize": (lambda x: ops.image.resize(x, (12, 6)), IMAGE),
    "image.scale_and_translate!": (
        lambda x: ops.image.scale_and_translate(
            x, (4, 4, 3), ops.array([0.5, 0.5]), ops.array([0.0, 0.0]), (0, 1), "linear"
        ),
        IMAGE,
    ),
    "image.ssim": (lambda x, y: ops.image.ssim(x, y, 1.0), "f 16,16,3 0:1", "f 16,16,3 0:1"),
}

LAYERS: dict[str, tuple[Any, ...]] = {
    "Activation": (lambda: layers.Activation("gelu"), REAL),
    "ActivityRegularization": (layers.ActivityRegularization, REAL),
    **{
        f"Adaptive{how}Pooling{n}D": (
            lambda how=how, n=n: getattr(layers, f"Adaptive{how}Pooling{n}D")(2),
            STEPS if n == 1 else IMAGE if n == 2 else VOLUME,
        )
        for how in ("Average", "Max")
        for n in (1, 2, 3)
    },
    **{
        name: (lambda name=name: getattr(layers, name)(), REAL, REAL)
        for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
    },
    "Dot": (lambda: layers.Dot(axes=2), REAL, REAL),
    "AdditiveAttention": (layers.AdditiveAttention, "f 5,4 -1:1", "f 6,4 -1:1"),
    "Attention": (layers.Attention, "f 5,4 -1:1", "f 6,4 -1:1"),
    "MultiHeadAttention": (
        lambda: _of_two(layers.MultiHeadAttention(2, 4)),
        "f 5,4 -1:1",
        "f 6,4 -1:1",
    ),
    "GroupQueryAttention": (
        lambda: _of_two(layers.GroupQueryAttention(4, 4, 2)),
        "f 5,4 -1:1",
        "f 6,4 -1:1",
    ),
    **{
        f"{how}Pooling{n}D": (
            lambda how=how, n=n: getattr(layers, f"{how}Pooling{n}D")(2),
            STEPS if n == 1 else IMAGE if n == 2 else VOLUME,
        )
        for how in ("Average", "Max")
        for n in (1, 2, 3)
    },
    **{
        f"Global{how}Pooling{n}D": (
            getattr(layers, f"Global{how}Pooling{n}D"),
            STEPS if n == 1 else IMAGE if n == 2 else VOLUME,
        )
        for how in ("Average", "Max")
        for n in (1, 2, 3)
    },
    **{
        name: (getattr(layers, name), REAL)
        for name in (
            *("BatchNormalization", "ELU", "Flatten", "Identity", "LayerNormalization"),
            *("LeakyReLU", "Masking", "PReLU", "RMSNormalization", "ReLU", "Softmax"),
            "UnitNormalization",
        )
    },
    "GroupNormalization": (lambda: layers.GroupNormalization(2), REAL),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Dense(3)), REAL),
    "Normalization": (lambda: layers.Normalization(mean=0.5, variance=2.0), REAL),
    **{
        name: (lambda name=name: getattr(layers, name)(0.3), REAL)
        for name in (
            *("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
            "SpatialDropout1D",
        )
    },
    "SpatialDropout2D": (lambda: layers.SpatialDropout2D(0.3), IMAGE),
    "SpatialDropout3D": (lambda: layers.SpatialDropout3D(0.3), VOLUME),
    "CategoryEncoding": (lambda: layers.CategoryEncoding(10), TOKENS),
    "Discretization": (lambda: layers.Discretization([-1.0, 0.0, 1.0]), REAL),
    "Embedding": (lambda: layers.Embedding(10, 4), TOKENS),
    "ReversibleEmbedding": (lambda: layers.ReversibleEmbedding(10, 4), TOKENS),
    "Hashing": (lambda: layers.Hashing(8), TOKENS),
    "HashedCrossing": (lambda: layers.HashedCrossing(8), "i 1 0:9", "i 1 0:9"),
    "IntegerLookup": (lambda: layers.IntegerLookup(vocabulary=[1, 2, 3]), TOKENS),
    "CenterCrop": (lambda: layers.CenterCrop(4, 4), IMAGE),
    "Resizing": (lambda: layers.Resizing(12, 6), IMAGE),
    "Rescaling": (lambda: layers.Rescaling(0.5, 1.0), IMAGE),
    "Conv1D": (lambda: layers.Conv1D(4, 3), STEPS),
    "Conv2D": (lambda: layers.Conv2D(4, 3, padding="same"), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(4, 3), VOLUME),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(4, 3, 2), STEPS),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(4, 3, 2), IMAGE),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(4, 3, 2), VOLUME),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3), STEPS),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3), IMAGE),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(4, 3), STEPS),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(4, 3), IMAGE),
    "Cropping1D": (lambda: layers.Cropping1D(1), STEPS),
    "Cropping2D": (lambda: layers.Cropping2D(1), IMAGE),
    "Cropping3D": (lambda: layers.Cropping3D(1), VOLUME),
    "UpSampling1D": (lambda: layers.UpSampling1D(2), STEPS),
    "UpSampling2D": (lambda: layers.UpSampling2D(2), IMAGE),
    "UpSampling3D": (lambda: layers.UpSampling3D(2), VOLUME),
    "ZeroPadding1D": (lambda: layers.ZeroPadding1D(1), STEPS),
    "ZeroPadding2D": (lambda: layers.ZeroPadding2D(1), IMAGE),
    "ZeroPadding3D": (lambda: layers.ZeroPadding3D(1), VOLUME),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 3), "f 4,6,2 -1:1"),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 3), "f 4,6,6,2 -1:1"),
    "ConvLSTM3D": (lambda: layers.ConvLSTM3D(2, 2), "f 3,4,4,4,2 -1:1"),
    **{
        name: (lambda name=name: getattr(layers, name)(4), STEPS)
        for name in ("GRU", "LSTM", "SimpleRNN")
    },
    "RNN": (lambda: layers.RNN(layers.LSTMCell(4)), STEPS),
    **{
        name: (lambda name=name: layers.RNN(getattr(layers, name)(4)), STEPS)
        for name in ("GRUCell", "LSTMCell", "SimpleRNNCell")
    },
    "StackedRNNCells": (
        lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(4), layers.LSTMCell(3)])),
        STEPS,
    ),
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(4)), STEPS),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(3)), STEPS),
    "Dense": (lambda: layers.Dense(5), REAL),
    "EinsumDense": (lambda: layers.EinsumDense("abc,cd->abd", (3, 5)), REAL),
    "Lambda": (lambda: layers.Lambda(ops.square), REAL),
    "MelSpectrogram": (
        lambda: layers.MelSpectrogram(
            fft_length=64,
            sequence_stride=32,
            sampling_rate=8000,
            num_mel_bins=8,
            min_freq=20.0,
            max_freq=3900.0,
        ),
        "f 512 -1:1",
    ),
    "STFTSpectrogram": (
        lambda: layers.STFTSpectrogram(frame_length=32, frame_step=16, fft_length=32),
        "f 256,1 -1:1",
    ),
    "Permute": (lambda: layers.Permute((2, 1)), REAL),
    "Pipeline": (lambda: layers.Pipeline([layers.Rescaling(0.5), layers.CenterCrop(4, 4)]), IMAGE),
    "RepeatVector": (lambda: layers.RepeatVector(3), "f 4 -1:1"),
    "Reshape": (lambda: layers.Reshape((4, 3)), REAL),
    "Solarization": (lambda: layers.Solarization(0.0, 0.5, (0.0, 1.0)), IMAGE),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(value_range=(0, 1)),
        IMAGE,
    ),
    "AutoContrast": (lambda: layers.AutoContrast(value_range=(0, 1)), IMAGE),
    # Random changes of images are left out where a model is used: they give their input back.
    **{
        name: (lambda name=name, given=given: getattr(layers, name)(**given), IMAGE)
        for name, given in {
            "AugMix": {"value_range": (0, 1)},
            "RandAugment": {"value_range": (0, 1)},
            "RandomBrightness": {"factor": 0.2},
            "RandomColorDegeneration": {"factor": 0.2},
            "RandomColorJitter": {"brightness_factor": 0.2},
            "RandomContrast": {"factor": 0.2},
            "RandomCrop": {"height": 8, "width": 8},
            "RandomElasticTransform": {},
            "RandomErasing": {},
            "RandomFlip": {},
            "RandomGaussianBlur": {},
            "RandomGrayscale": {},
            "RandomHue": {"factor": 0.2},
            "RandomInvert": {},
            "RandomPerspective": {},
            "RandomPosterization": {"factor": 4},
            "RandomRotation": {"factor": 0.2},
            "RandomSaturation": {"factor": 0.2},
            "RandomSharpness": {"factor": 0.2},
            "RandomShear": {"x_factor": 0.2},
            "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
            "RandomZoom": {"height_factor": 0.1},
        }.items()
    },
}


def _of_two(attention: Any) -> Callable[[list[Any]], Any]:
    return lambda pair: attention(*pair)


# What is not tried, and why.
LEFT_OUT: dict[str, str] = {
    "layers.Layer": "the base of all layers",
    "layers.Wrapper": "the base of layers around a layer",
    "layers.InputLayer": "what every model begins with",
    "layers.TFSMLayer": "a SavedModel inside of a model",
    "layers.JaxLayer": "needs JAX",
    "layers.FlaxLayer": "needs JAX",
    "layers.TorchModuleWrapper": "needs PyTorch",
    "layers.StringLookup": "takes words: a bundle's preprocessing looks them up",
    "layers.TextVectorization": "takes words: a bundle's preprocessing looks them up",
    "layers.MixUp": "mixes the examples of a training batch",
    "layers.CutMix": "mixes the examples of a training batch",
    "layers.MaxNumBoundingBoxes": "changes the boxes of a training batch",
    "ops.conv_transpose": "on symbolic inputs, Keras 3.15 forgets the padding; its layers work",
    "ops.convert_to_numpy": "gives an array of NumPy",
    "ops.dtype": "gives a word",
    "ops.ndim": "gives a Python integer",
    "ops.shape": "gives Python integers, or parts of a graph",
    "ops.size": "gives a Python integer",
    "ops.is_tensor": "gives a Python bool",
    "layers.Equalization": "on symbolic inputs, Keras 3.15 makes a graph with a cycle",
    "ops.histogram": "on symbolic inputs, Keras 3.15 asks its TensorFlow backend for what it lacks",
    "ops.view_as_complex": "on tensors, Keras 3.15 with TensorFlow raises an error",
    "ops.view_as_real": "takes complex numbers, which no model begins with",
    "ops.vectorize": "not with TensorFlow, says Keras",
    "ops.empty": "gives whatever the memory holds",
}
