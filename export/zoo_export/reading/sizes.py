"""Numbers for the sizes that a model leaves open, and who chose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo_export.reading.axes import HEIGHT, WIDTH
from zoo_export.reading.request import Request
from zoo_export.reading.samples import default_sizes
from zoo_export.reading.signature import Signature
from zoo_registry import UsageError
from zoo_runtime.tensors import SEQUENCE, Tensor

_SIDES = (HEIGHT, WIDTH)


def likely_sizes(
    request: Request, signature: Signature, inputs: Sequence[Tensor]
) -> dict[str, int]:
    """Return a number for each named size: what was asked for, or what suits the model."""
    return default_sizes(signature, inputs, _length(request)) | image_sizes(request, inputs)


def image_sizes(request: Request, inputs: Sequence[Tensor]) -> dict[str, int]:
    """Return the sides of images that preprocessing makes, or that were asked for."""
    shapes = [step["size"] for step in request.preprocessing if "size" in step]
    chosen = next(iter(shapes), request.options.image_size)
    if chosen is None:
        return {}
    return {name: chosen[_SIDES.index(side)] for name, side in _sides(inputs).items()}


def oblong(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return sizes with widths of which one can see that they are no heights.

    Example:
        >>> oblong({"height": 64, "width": 64})
        {'height': 64, 'width': 96}
    """
    return {name: size * 3 // 2 if name.endswith(WIDTH) else size for name, size in sizes.items()}


def unchosen(
    request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]
) -> dict[str, int]:
    """Return the sizes of inputs that neither an argument, nor preprocessing or samples gave."""
    if request.rows is not None:
        return {}
    named = dict.fromkeys(d for t in inputs for d in t.shape[1:] if isinstance(d, str))
    chosen = set(image_sizes(request, inputs))
    if _length(request) is not None:
        chosen |= {name for name in named if name.rpartition("_")[2] == SEQUENCE}
    return {name: sizes[name] for name in named if name not in chosen}


def check_chosen(request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
    """Refuse a length or image size that does not come true.

    Args:
        request: What was asked for.
        inputs: The model's, with named sizes.
        sizes: What the named ones are in the samples.

    Raises:
        UsageError: The model has no such size, or its samples or preprocessing have another one.
    """
    _check_length(request, sizes)
    _check_image_size(request, inputs, sizes)


def _length(request: Request) -> int | None:
    lengths = [step["length"] for step in request.preprocessing if "length" in step]
    return request.options.sequence_length or next(iter(lengths), None)


def _check_length(request: Request, sizes: Mapping[str, int]) -> None:
    wanted = request.options.sequence_length
    if wanted is None:
        return
    if SEQUENCE not in sizes:
        raise UsageError(
            f"Model '{request.name}' has no variable sequence: leave sequence_length={wanted} out."
        )
    if sizes[SEQUENCE] != wanted:
        raise UsageError(
            f"sequence_length={wanted}, but the examples of '{request.name}' have "
            f"{sizes[SEQUENCE]} steps: leave it out."
        )


def _check_image_size(request: Request, inputs: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
    wanted = request.options.image_size
    if wanted is None:
        return
    named = f"image_size={wanted[0]}x{wanted[1]}"
    sides = _sides(inputs)
    if not sides:
        raise UsageError(
            f"Model '{request.name}' takes no images of another size: leave {named} out."
        )
    found = {name: sizes[name] for name in sides}
    if any(size != wanted[_SIDES.index(sides[name])] for name, size in found.items()):
        told = ", ".join(f"{name} {size}" for name, size in found.items())
        raise UsageError(
            f"{named}, but the samples or preprocessing of '{request.name}' have {told}: "
            "leave it out."
        )


def _sides(inputs: Sequence[Tensor]) -> dict[str, str]:
    # The sides of a second image have its name before.
    named = [dim for tensor in inputs for dim in tensor.shape if isinstance(dim, str)]
    sides = {name: name.rpartition("_")[2] for name in named}
    return {name: side for name, side in sides.items() if side in _SIDES}
