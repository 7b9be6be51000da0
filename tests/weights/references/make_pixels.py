"""Write what timm and transformers' processors make of images, as sums of the pixels' bytes.

pip install torch torchvision timm transformers pillow
python tests/weights/references/make_pixels.py
"""

from __future__ import annotations

import json
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from drawing import odd_images
from PIL import Image
from timm.data import create_transform, resolve_data_config

FILE = Path(__file__).parent / "pixels.json"
SQUARE, CUT = {"height": 48, "width": 48}, {"height": 60, "width": 60}
PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    *(("ViT", {"size": size}) for size in (48, SQUARE, {"height": 48, "width": 32})),
    *(("ViT", {"size": 48, "resample": number}) for number in (0, 1, 3)),
    ("DeiT", {"size": CUT, "crop_size": SQUARE}),
    ("DeiT", {"size": 55, "crop_size": 48}),
    ("DeiT", {"size": 55, "do_center_crop": False}),
    ("ConvNext", {"size": {"shortest_edge": 48}, "crop_pct": 0.9}),
    ("ConvNext", {"size": 49}),
    ("ConvNext", {"size": 384}),
    ("MobileNetV2", {"size": {"shortest_edge": 55}, "crop_size": SQUARE}),
    ("MobileNetV2", {"size": 55, "crop_size": 48}),
    ("Bit", {"size": {"shortest_edge": 48}, "crop_size": 48}),
]


def of_timm() -> list[dict[str, Any]]:
    """Return the settings of timm that are tried."""
    cases = [
        {"input_size": [3, size, size], "crop_pct": part, "crop_mode": mode}
        for size, part, mode in product(
            (48, 49, 75), (0.8, 0.875, 0.9, 0.95, 1.0, None), ("center", "squash")
        )
    ]
    filters = ("bilinear", "lanczos", "nearest", None)
    return cases + [{"input_size": [3, 49, 49], "interpolation": name} for name in filters]


def crc(arrays: list[Any]) -> int:
    """Return a sum of all bytes of pixels, rows before columns before channels."""
    whole = b"".join(np.asarray(array, "uint8").transpose(1, 2, 0).tobytes() for array in arrays)
    return zlib.crc32(whole)


def main() -> None:
    """Write the file."""
    images = [Image.fromarray(image) for image in odd_images()]
    rows = []
    for said in of_timm():
        kept = {key: value for key, value in said.items() if value is not None}
        config = resolve_data_config({}, pretrained_cfg=kept)
        made = create_transform(**config, is_training=False, normalize=False)
        rows.append({"timm": kept, "crc": crc([made(image) for image in images])})
    for kind, said in PROCESSORS:
        name = f"{kind}ImageProcessorPil"
        processor = getattr(hf, name)(**said, do_normalize=False, do_rescale=False)
        made = [processor(images=image, return_tensors="np")["pixel_values"][0] for image in images]
        rows.append({"processor": {"image_processor_type": name, **said}, "crc": crc(made)})
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
