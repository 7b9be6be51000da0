"""How the images of a snapshot are prepared: by transformers' processors, by timm, and by ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zoo_registry import UsageError

Settings = Mapping[str, Any]
Size = tuple[int, int]
# Of Pillow, by number, as ImageStep names them.
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_WHITE = 255
# ConvNeXt's images of this side and more are squeezed, smaller ones cropped.
_CROPPED_BELOW = 384
# What transformers takes where the settings do not say it, by kind of processor. One number for a
# size is that of a square where `squared`, and else of the shorter side.
_SQUARE: Settings = {"squared": True, "do_center_crop": False, "resample": 2}
_SHORTER: Settings = {"squared": False, "do_center_crop": True, "crop_size": 224, "resample": 3}
_KINDS: Mapping[str, Settings] = {
    "ViT": {**_SQUARE, "size": 224},
    "DeiT": {**_SHORTER, "squared": True, "size": 256},
    "ConvNext": {**_SHORTER, "size": 384, "do_center_crop": False, "crop_pct": 224 / 256},
    "MobileNetV1": {**_SHORTER, "size": 256, "resample": 2},
    "MobileNetV2": {**_SHORTER, "size": 256, "resample": 2},
    "Bit": {**_SHORTER, "size": 224, "image_mean": CLIP[0], "image_std": CLIP[1]},
    "CLIP": {**_SHORTER, "size": 224, "image_mean": CLIP[0], "image_std": CLIP[1]},
}
_OF_MODELS = {"vit": "ViT", "resnet": "ConvNext", "mobilenet_v2": "MobileNetV2"}
_OF_ALL: Settings = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / _WHITE,
    "image_mean": HALF,
    "image_std": HALF,
}
_NAME_ENDS = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")
# What another value than these would change.
_PLAIN: Settings = {
    "do_flip_channel_order": False,
    "do_pad": False,
    "do_reduce_labels": False,
    "do_thumbnail": False,
    "rescale_offset": False,
}
# Images become grey or colour as the model takes them, whatever these say.
_HARMLESS = {
    *("_processor_class", "_valid_processor_keys", "auto_map", "backend", "crop_pct"),
    *("data_format", "default_to_square", "device", "disable_grouping", "do_convert_rgb"),
    *("feature_extractor_type", "image_processor_type", "input_data_format", "pad_size"),
    *("processor_class", "return_tensors", "squared", "reduce_labels"),
}
_READ = {"size", "crop_size", "resample", "do_center_crop", *_OF_ALL}


@dataclass(frozen=True)
class Preparation:
    """How an image is prepared for a model.

    Args:
        size: Height and width of what is made; ``None`` where they are the image's own.
        resample: The filter, as ``ImageStep`` names it; ``None`` for one that it has not.
        shorter_side: Pixels of the shorter side before the middle is cut out.
        resized: Height and width before the middle is cut out.
        rounding: Where the middle of an odd number of pixels begins.
        mean: By channel, of pixels in 0..1.
        std: By channel.
        notes: What of the settings no step of ours does.
    """

    size: Size | None
    resample: str | None
    shorter_side: int | None = None
    resized: Size | None = None
    rounding: str = "floor"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def step(self, size: Size, channels: int) -> dict[str, Any]:
        """Return the step for a model's own size, of whose images as much is cut off.

        Args:
            size: Height and width of the model's images.
            channels: Theirs.
        """
        step: dict[str, Any] = {"step": "image", "size": list(size), "channels": channels}
        step["resample"] = self.resample
        made = self.size or size
        if self.shorter_side is not None:
            shorter = _as_much(max(size), self.shorter_side, max(made))
            step["shorter_side"] = max(shorter, *size)
        elif self.resized not in {None, self.size}:
            pairs = zip(size, self.resized or size, made, strict=True)
            step["resized"] = [_as_much(*sides) for sides in pairs]
        if self.rounding != "floor" and len(step) > len(("step", "size", "channels", "resample")):
            step["rounding"] = self.rounding
        return step


def _as_much(side: int, before: int, after: int) -> int:
    return before if side == after else side * before // after


def preparation(content: Settings, model_type: Any, channels: Any = 3) -> Preparation:
    """Return what the settings of a processor of transformers do.

    Args:
        content: Of ``preprocessor_config.json``.
        model_type: Of ``config.json``, which decides where the settings name no processor.
        channels: Of the model's images, as its configuration says.

    Raises:
        UsageError: Invalid settings.
    """
    named = content.get("image_processor_type") or content.get("feature_extractor_type")
    kind = _kind(str(named)) if named else _OF_MODELS.get(str(model_type), "ViT")
    known = {**_OF_ALL, **_KINDS.get(kind, _KINDS["ViT"])}
    given = {key: value for key, value in content.items() if value is not None}
    settings = {**known, **given}
    mean, std = _pixels(settings, channels)
    notes = [] if kind in _KINDS else [f"image_processor_type={named!r}"]
    notes += [
        f"{key}={given[key]!r}" for key in _PLAIN if given.get(key, _PLAIN[key]) != _PLAIN[key]
    ]
    unread = given.keys() - _READ - _HARMLESS - _PLAIN.keys()
    notes += [f"{key}={given[key]!r}" for key in sorted(unread)]
    made = _geometry(kind, settings)
    notes += made.notes
    return replace(made, mean=mean, std=std, notes=tuple(notes))


def _kind(name: str) -> str:
    for end in _NAME_ENDS:
        name = name.removesuffix(end)
    return name


def _geometry(kind: str, settings: Settings) -> Preparation:
    """Return the size to which an image is resized, and the crop of it."""
    size, shorter = _sides("size", settings["size"], squared=settings["squared"])
    number = settings["resample"]
    if isinstance(number, list | dict) or number not in range(6):
        raise UsageError(f"resample={number!r} is not a filter of Pillow.")
    resample = RESAMPLING.get(number)
    plain = Preparation(size, resample)
    if resample is None:
        return replace(plain, notes=(f"resample={number!r}",))
    if kind == "ConvNext":
        return _convnext(plain, shorter or min(size or (0, 0)), settings)
    if not settings["do_center_crop"]:
        return _uncropped(plain, settings)
    crop, _ = _sides("crop_size", settings["crop_size"], squared=True)
    cropped = replace(plain, size=crop, shorter_side=shorter, resized=size)
    before = (shorter, shorter) if shorter else size
    fits = before is not None and crop is not None and all(map(int.__ge__, before, crop))
    if not settings["do_resize"] or not fits:
        keys = ("do_resize", "size", "crop_size")
        return replace(cropped, notes=tuple(f"{key}={settings[key]!r}" for key in keys))
    return cropped


def _uncropped(plain: Preparation, settings: Settings) -> Preparation:
    if plain.size is None or not settings["do_resize"]:
        keys = ("do_resize", "size", "do_center_crop")
        return replace(plain, notes=tuple(f"{key}={settings[key]!r}" for key in keys))
    return plain


def _convnext(plain: Preparation, side: int, settings: Settings) -> Preparation:
    part = settings["crop_pct"]
    if not isinstance(part, int | float) or not 0 < part <= 1:
        raise UsageError(f"crop_pct={part!r} is not a fraction of an image.")
    square = replace(plain, size=(side, side), resized=None)
    if not settings["do_resize"] or settings["do_center_crop"]:
        keys = ("do_resize", "do_center_crop")
        return replace(square, notes=tuple(f"{key}={settings[key]!r}" for key in keys))
    return replace(square, shorter_side=int(side / part)) if side < _CROPPED_BELOW else square


def _sides(key: str, size: Any, *, squared: bool) -> tuple[Size | None, int | None]:
    """Return height and width, or the shorter side, that a setting stands for."""
    wanted = size if isinstance(size, Mapping) else {"shortest_edge": size}
    wanted = {name: side for name, side in wanted.items() if side is not None}
    if isinstance(size, list | tuple) and len(size) == len(("height", "width")):
        wanted = dict(zip(("height", "width"), size, strict=True))
    if not all(isinstance(side, int) and side > 0 for side in wanted.values()) or not wanted:
        raise UsageError(f"{key}={size!r} is not a height and width in pixels.")
    if wanted.keys() == {"height", "width"}:
        return (wanted["height"], wanted["width"]), None
    if wanted.keys() == {"shortest_edge"}:
        side = wanted["shortest_edge"]
        is_square = squared and not isinstance(size, Mapping)
        return ((side, side), None) if is_square else (None, side)
    if wanted.keys() & {"height", "width"}:
        raise UsageError(f"{key}={size!r} is not a height and width in pixels.")
    return None, None


def _pixels(settings: Settings, channels: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of pixels in 0..1, for images of 0..255."""
    factor = settings["rescale_factor"]
    if not is_number(factor) or factor <= 0:
        raise UsageError(f"rescale_factor={factor!r} scales nothing.")
    scale = _WHITE * factor if settings["do_rescale"] else _WHITE
    normalized = settings["do_normalize"]
    mean = _numbers("image_mean", settings["image_mean"] if normalized else 0.0, channels)
    std = _numbers("image_std", settings["image_std"] if normalized else 1.0, channels)
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)


def _numbers(key: str, values: Any, channels: Any) -> list[float]:
    listed = list(values) if isinstance(values, list | tuple) else [values]
    if not listed or not all(map(is_number, listed)):
        raise UsageError(f"{key}={values!r} is not a list of numbers.")
    numbers = [float(value) for value in listed]
    if len(numbers) not in {1, 3, channels} or (key == "image_std" and min(numbers) <= 0):
        raise UsageError(f"{key}={numbers!r} is not a number above 0 for each channel.")
    return numbers


def is_number(value: Any) -> bool:
    """Return whether a value of a configuration is a number, and neither true nor false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def preparation_of_timm(content: Settings) -> Preparation:
    """Return what timm does to an image by the settings ``pretrained_cfg`` of a snapshot.

    Args:
        content: The settings; what they lack is what ``timm.data.resolve_data_config`` takes.

    Raises:
        UsageError: Invalid settings.

    Example:
        >>> preparation_of_timm({"input_size": [3, 224, 224], "crop_pct": 0.9}).shorter_side
        248
    """
    channels, *size = content.get("input_size") or (3, 224, 224)
    if len(size) != len(("height", "width")) or not all(isinstance(n, int) and n > 0 for n in size):
        raise UsageError(f"input_size={content['input_size']!r} is not [channels, height, width].")
    part = content.get("crop_pct") or 0.875
    if not is_number(part) or not 0 < part <= 1:
        raise UsageError(f"crop_pct={part!r} is not a fraction of an image.")
    pixels = {
        "image_mean": content.get("mean") or IMAGENET[0],
        "image_std": content.get("std") or IMAGENET[1],
    }
    mean, std = _pixels({**_OF_ALL, **pixels}, channels)
    filter_name = content.get("interpolation") or "bicubic"
    known = filter_name in RESAMPLING.values()
    made = Preparation(
        (size[0], size[1]), filter_name if known else None, rounding="even", mean=mean, std=std
    )
    mode = content.get("crop_mode") or "center"
    before = (int(size[0] / part), int(size[1] / part))
    notes = [] if known else [f"interpolation={filter_name!r}"]
    if mode == "squash":
        return replace(made, resized=before, notes=tuple(notes))
    if mode != "center" or before[0] != before[1]:
        notes.append(f"crop_mode={mode!r} to input_size={content.get('input_size')!r}")
    return replace(made, shorter_side=min(before), notes=tuple(notes))
