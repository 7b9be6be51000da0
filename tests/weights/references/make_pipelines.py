"""Write small snapshots with what transformers' pipelines and processors make of raw inputs.

pip install torch transformers pillow
python tests/weights/references/make_pipelines.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image

HERE = Path(__file__).parent
WORDS = dict.fromkeys((HERE / "tokenizer-bert" / "vocab.txt").read_text().rstrip("\n").split("\n"))
TEXTS = ["the weather is lovely today", "it is sunny", "the the the is café"]


def named(*names: str) -> dict[str, Any]:
    """Return the keys that name classes."""
    labels = dict(enumerate(names))
    return {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}


def drawn(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model with random weights that keep numbers of every layer apart."""
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
            elif tensor.is_floating_point():
                scale = 1 / tensor[0].numel() ** 0.5 if tensor.ndim == 4 else 0.3
                tensor.copy_(torch.randn(tensor.shape) * scale)
    return model.eval()


def picture() -> Image.Image:
    """Return a picture that is no square; the tests draw the same."""
    rows = np.mgrid[0:61, 0:83].sum(0)[..., None] * np.array([1, 2, 3]) % 256
    return Image.fromarray(rows.astype("uint8"))


def text() -> None:
    """Write a classifier of texts."""
    folder = HERE / "pipeline-bert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    config = hf.BertConfig(
        vocab_size=len(WORDS),
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_size=16,
        intermediate_size=24,
        max_position_embeddings=64,
        **named("bad", "so so", "good"),
    )
    drawn(hf.BertForSequenceClassification(config)).save_pretrained(folder)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    pipeline = hf.pipeline("text-classification", model=str(folder), top_k=None)
    rows = [{row["label"]: row["score"] for row in found} for found in pipeline(TEXTS)]
    (folder / "answers.json").write_text(json.dumps(dict(zip(TEXTS, rows, strict=True))))


def image(name: str, model: Any, processor: Any) -> None:
    """Write a classifier of images."""
    folder = HERE / f"pipeline-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    drawn(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    with torch.no_grad():
        pixels = processor(images=picture(), return_tensors="pt")["pixel_values"]
        scores = model(pixels).logits.softmax(-1)[0].tolist()
    labels = model.config.id2label.values()
    (folder / "answers.json").write_text(json.dumps(dict(zip(labels, scores, strict=True))))


def main() -> None:
    """Write all of them."""
    torch.manual_seed(0)
    text()
    vit = hf.ViTConfig(
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_size=16,
        intermediate_size=24,
        image_size=16,
        patch_size=4,
        **named("cat", "dog"),
    )
    squeezed = hf.ViTImageProcessorPil(size={"height": 16, "width": 16}, resample=2)
    image("vit", hf.ViTForImageClassification(vit), squeezed)
    resnet = hf.ResNetConfig(
        embedding_size=8, depths=[2, 1], hidden_sizes=[8, 12], layer_type="basic", **named("a", "b")
    )
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    cropped = hf.ConvNextImageProcessorPil(
        size={"shortest_edge": 48}, crop_pct=0.875, resample=3, image_mean=mean, image_std=std
    )
    image("resnet", hf.ResNetForImageClassification(resnet), cropped)


if __name__ == "__main__":
    main()
