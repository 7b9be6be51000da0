"""Export one architecture with every peer: ``python export.py MODEL FOLDER``, in their environment.

It prints a line of JSON for each file, with the reason where a peer cannot make it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from transformers import BertConfig, BertModel, ResNetConfig, ResNetForImageClassification

TOKENS = 128


class Lstm(nn.Module):
    """The bidirectional LSTM classifier of the zoo, without a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20_000, 128)
        self.lstm = nn.LSTM(128, 64, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 2)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, 2) of tokens (batch, length)."""
        states, _ = self.lstm(self.embedding(token_ids))
        ends = torch.cat([states[:, -1, :64], states[:, 0, 64:]], dim=1)
        return self.head(ends)


class Bert(nn.Module):
    """BERT with what a caller reads as a tuple: the peers trace no dataclasses."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = BertModel(BertConfig())

    def forward(self, token_ids: torch.Tensor, padding_mask: torch.Tensor) -> tuple:
        """Return the sequence (batch, length, 768) and the pooled output (batch, 768)."""
        return self.bert(token_ids, padding_mask, return_dict=False)


class Pixels(nn.Module):
    """A network of images that takes raw pixels, channels last, as those of the zoo do."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        by_channel = (3, 1, 1)
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(by_channel))
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(by_channel))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, 1000) of pixels (batch, height, width, 3) in 0..255."""
        return self.body((image.permute(0, 3, 1, 2) - self.mean) / self.std)


_TOKEN_IDS = torch.ones(1, TOKENS, dtype=torch.int64)
_IMAGE = torch.zeros(1, 3, 224, 224)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "resnet50": (torchvision.models.resnet50, (_IMAGE,)),
    "mobilenet-v3-small": (torchvision.models.mobilenet_v3_small, (_IMAGE,)),
    "bert-base": (Bert, (_TOKEN_IDS, torch.ones_like(_TOKEN_IDS))),
    "lstm-classifier": (Lstm, (_TOKEN_IDS,)),
}
# What optimum exports is a folder of transformers', at a level of optimisation where it has one for
# the architecture; it has no LSTM and no MobileNetV3.
SNAPSHOTS: dict[str, tuple[type, Any, str, str | None]] = {
    "resnet50": (ResNetForImageClassification, ResNetConfig(), "image-classification", None),
    "bert-base": (BertModel, BertConfig(), "feature-extraction", "O2"),
}


def with_torch(name: str, path: Path) -> None:
    """Export with ``torch.onnx``."""
    build, inputs = MODELS[name]
    program = torch.onnx.export(build().eval(), inputs, dynamo=True)
    program.save(str(path))


def with_torch_of_pixels(name: str, path: Path) -> None:
    """Export with ``torch.onnx`` what does the same work as the zoo's file: raw pixels come in."""
    build, (image,) = MODELS[name]
    model = Pixels(build()).eval()
    torch.onnx.export(model, (image.permute(0, 2, 3, 1),), dynamo=True).save(str(path))


def with_litert(name: str, path: Path) -> None:
    """Export with litert-torch."""
    import litert_torch

    build, inputs = MODELS[name]
    litert_torch.convert(build().eval(), inputs).export(str(path))


def with_optimum(name: str, path: Path) -> None:
    """Export with optimum-onnx."""
    _optimum(name, path, SNAPSHOTS[name][-1])


def with_optimum_int8(name: str, path: Path) -> None:
    """Export with optimum-onnx, and quantize with its settings for AVX2."""
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    plain = _optimum(name, path.with_name("plain.onnx"), None)
    quantizer = ORTQuantizer.from_pretrained(plain.parent, file_name=plain.name)
    settings = AutoQuantizationConfig.avx2(is_static=False, per_channel=False)
    quantizer.quantize(save_dir=path.parent, quantization_config=settings)
    (path.parent / "plain_quantized.onnx").rename(path)
    plain.unlink()


def _optimum(name: str, path: Path, level: str | None) -> Path:
    from optimum.exporters.onnx import main_export

    model, config, task, _ = SNAPSHOTS[name]
    snapshot, out = path.parent / "snapshot", path.parent / "optimum"
    model(config).save_pretrained(snapshot)
    main_export(str(snapshot), out, task=task, optimize=level, do_validation=False)
    return (out / "model.onnx").rename(path)


EXPORTS: dict[str, Callable[[str, Path], None]] = {
    "torch.onnx": with_torch,
    "torch-pixels.onnx": with_torch_of_pixels,
    "litert-torch.tflite": with_litert,
    "optimum.onnx": with_optimum,
    "optimum-int8.onnx": with_optimum_int8,
}


def main(name: str, folder: str) -> None:
    """Write every file that the exporters make."""
    for file, export in EXPORTS.items():
        if file.startswith("optimum") and name not in SNAPSHOTS:
            continue
        if "pixels" in file and MODELS[name][1][0] is not _IMAGE:
            continue
        try:
            export(name, Path(folder) / file)
            error = None
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
        print(json.dumps({"file": file, "error": error}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
