"""What timm's snapshots say of themselves, and how it names the layers of several families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo_models.weights.converter import TIMM, Converter, Head, Kind, Weight, layer, norm
from zoo_registry import UsageError

Config = Mapping[str, Any]
Arguments = dict[str, Any]
# Arguments of timm's builders that change no output, or are read elsewhere.
_HARMLESS = {
    "num_classes",
    "in_chans",
    "global_pool",
    "img_size",
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "dynamic_img_size",
    "pos_drop_rate",
    "patch_drop_rate",
    "proj_drop_rate",
    "attn_drop_rate",
    "zero_init_last",
    "bn_momentum",
    "weight_init",
}
_TASKS = {"features": Head(TIMM), "image-classification": Head(TIMM)}


def timm(
    weights: tuple[Weight, ...],
    sizes: Callable[[str], Arguments | None],
    known: str,
    *,
    arguments: Mapping[str, Callable[[Any, Arguments], Arguments]] | None = None,
    pooling: Mapping[str, str] | None = None,
    settings: tuple[str, ...] = (),
    prefix: str = "timm_model.",
) -> Converter:
    """Return the converter of timm's snapshots of one family.

    Args:
        weights: Every weight.
        sizes: From the name of an architecture to builder arguments; ``None`` for one that is
            not this family's.
        known: The names of those that are, for messages.
        arguments: From a further argument of timm's builder, and what is known, to ours.
        pooling: Our word for timm's; mean and maximum over height and width by default.
        settings: Further arguments that change no weight's shape.
        prefix: What names may begin with: they do where transformers has saved a timm model.
    """

    def read(config: Config) -> Arguments:
        return {
            **_architecture(config, sizes, known, arguments or {}),
            **_pixels(config),
            **_pooling(config, pooling or {"avg": "avg", "fast": "avg", "max": "max", "": "avg"}),
        }

    return Converter(
        model_type=TIMM,
        prefix=prefix,
        accepts=lambda config: sizes(_name(config)) is not None,
        heads=_TASKS,
        # The snapshot has them from the settings of its images.
        sizes={"mean": "image_mean", "std": "image_std"},
        harmless=(
            "do_pooling",
            "label_descriptions",
            "label_names",
            "license",
            "num_features",
            "pretrained_cfg",
        ),
        settings=("num_classes", *settings),
        own=("input_shape",),
        read=read,
        ignored=r".*\.num_batches_tracked",
        weights=weights,
    )


def _architecture(
    config: Config,
    sizes: Callable[[str], Arguments | None],
    known: str,
    arguments: Mapping[str, Callable[[Any, Arguments], Arguments]],
) -> Arguments:
    name = _name(config)
    found = sizes(name)
    if found is None:
        raise UsageError(
            f"config.json says architecture='{name}' (timm), which is not built here: its layers "
            f"are others than those of {known}."
        )
    for key, value in (config.get("model_args") or {}).items():
        if key in arguments:
            found |= arguments[key](value, found)
        elif key not in _HARMLESS:
            raise UsageError(f"config.json says {key}={value!r} (timm), which nothing here reads.")
    return found


def _name(config: Config) -> str:
    # What follows a dot says how it was trained.
    return str(config["architecture"]).partition(".")[0]


def _pixels(config: Config) -> Arguments:
    """Return what is known of the images, and how many classes there are."""
    settings = {**(config.get("pretrained_cfg") or {}), **(config.get("model_args") or {})}
    found: Arguments = {}
    channels, height, width = settings.get("input_size") or (3, None, None)
    size = settings.get("img_size")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    if height is not None:
        found["input_shape"] = (height, width, settings.get("in_chans", channels))
    classes = config.get("num_classes")
    classes = settings.get("num_classes") if classes is None else classes
    return found | ({"num_classes": classes} if classes else {})


def _pooling(config: Config, known: Mapping[str, str]) -> Arguments:
    pooling = (config.get("model_args") or {}).get("global_pool", config.get("global_pool"))
    if pooling is None:
        return {}
    if pooling not in known:
        raise UsageError(
            f"config.json says global_pool='{pooling}' (timm), which is not one of: "
            f"{', '.join(word for word in known if word)}."
        )
    return {"pooling": known[pooling]}


def conv_bn(
    ours: str, conv: str, bn: str, number: int | str = "", kind: Kind = "conv"
) -> tuple[Weight, ...]:
    """Return the weights of what :func:`zoo_models.layers.conv_norm` names ``ours``.

    Args:
        ours: Prefix of our layers' names.
        conv: timm's name of the convolution.
        bn: That of the normalization.
        number: Of the convolution within its block.
        kind: Of the convolution.
    """
    suffix = "" if number == "" else f"_{number}"
    normalization = f"{ours}_norm{suffix}"
    return (
        Weight(f"{ours}_conv{suffix}/kernel", f"{conv}.weight", kind),
        *norm(normalization, bn),
        Weight(f"{normalization}/moving_mean", f"{bn}.running_mean"),
        Weight(f"{normalization}/moving_variance", f"{bn}.running_var"),
    )


def inverted(
    ours: str, theirs: str, *, expanded: bool = True, excited: bool = False
) -> tuple[Weight, ...]:
    """Return the weights of what :func:`zoo_models.layers.inverted_residual` names ``ours``.

    Args:
        ours: Prefix of our layers' names.
        theirs: Of timm's, which counts the layers of a block that does not expand from the
            depthwise convolution on.
        expanded: Whether the block expands its channels first.
        excited: Whether it may have squeeze-and-excitation.
    """
    first, last = ("conv_pw", "conv_pwl") if expanded else ("", "conv_pw")
    shift = 1 if expanded else 0
    weights = conv_bn(ours, f"{theirs}.{first}", f"{theirs}.bn1", 1) if expanded else ()
    weights += conv_bn(ours, f"{theirs}.conv_dw", f"{theirs}.bn{1 + shift}", 2, "depthwise")
    weights += conv_bn(ours, f"{theirs}.{last}", f"{theirs}.bn{2 + shift}", 3)
    if excited:
        weights += layer(f"{ours}_squeeze_conv", f"{theirs}.se.conv_reduce", "conv")
        weights += layer(f"{ours}_excite_conv", f"{theirs}.se.conv_expand", "conv")
    return weights
