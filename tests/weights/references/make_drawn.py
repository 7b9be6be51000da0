"""Write what tiny models of transformers and timm answer whose tensors are drawn by name.

pip install torch transformers timm
python tests/weights/references/make_drawn.py
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import transformers as hf
from drawing import images, tensor, tokens
from safetensors.numpy import load_file, save_file
from timm.models import save_for_hf

HERE = Path(__file__).parent
TEXT = {
    "vocab_size": 12,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
DECODER = {**TEXT, "num_key_value_heads": 2, "pad_token_id": 1}
SCALED = {**DECODER, "head_dim": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
ROBERTA = {**TEXT, "max_position_embeddings": 18, "type_vocab_size": 1, "num_labels": 3}
# Class, its configuration, what config.json says beside it or instead.
TRANSFORMERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "llama-biases": (
        "LlamaForCausalLM",
        {**DECODER, "attention_bias": True, "mlp_bias": True, "head_dim": 6},
        {},
    ),
    "llama-llama3": ("LlamaForCausalLM", {**SCALED, "rope_parameters": LLAMA3}, {}),
    "llama-llama3-old-keys": (
        "LlamaForCausalLM",
        {**SCALED, "rope_parameters": {**LLAMA3, "rope_theta": 500.0}},
        {"rope_parameters": None, "rope_scaling": LLAMA3, "rope_theta": 500.0},
    ),
    "llama-linear-old-keys": (
        "LlamaForCausalLM",
        {**SCALED, "rope_parameters": {"rope_type": "linear", "factor": 3.0}},
        {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 3.0}},
    ),
    "llama-yarn": ("LlamaForCausalLM", {**SCALED, "rope_parameters": YARN}, {}),
    "llama-yarn-mscale": (
        "LlamaForCausalLM",
        {
            **SCALED,
            "rope_parameters": {
                **YARN,
                "rope_theta": 300.0,
                "mscale": 0.7,
                "mscale_all_dim": 1.3,
                "beta_fast": 8.0,
                "beta_slow": 0.5,
                "truncate": False,
            },
        },
        {},
    ),
    "mistral-window": ("MistralForCausalLM", {**DECODER, "sliding_window": 4}, {}),
    "mistral": ("MistralForCausalLM", {**DECODER, "sliding_window": None, "head_dim": 8}, {}),
    "mistral-classes": (
        "MistralForSequenceClassification",
        {**DECODER, "sliding_window": 64, "num_labels": 3},
        {},
    ),
    "qwen2": ("Qwen2ForCausalLM", {**DECODER, "tie_word_embeddings": True}, {}),
    "qwen2-window": (
        "Qwen2ForCausalLM",
        {**DECODER, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
        {},
    ),
    "qwen2-features": ("Qwen2Model", DECODER, {}),
    "qwen3": ("Qwen3ForCausalLM", {**DECODER, "head_dim": 6}, {}),
    "qwen3-biases": (
        "Qwen3ForSequenceClassification",
        {**DECODER, "head_dim": 6, "attention_bias": True, "num_labels": 3},
        {},
    ),
    "smollm3": ("SmolLM3ForCausalLM", {**DECODER, "no_rope_layer_interval": 2}, {}),
    "smollm3-biases": (
        "SmolLM3ForCausalLM",
        {
            **DECODER,
            "num_hidden_layers": 3,
            "no_rope_layers": [0, 1, 1],
            "attention_bias": True,
            "mlp_bias": True,
            "use_sliding_window": True,
            "sliding_window": 3,
            "tie_word_embeddings": False,
        },
        {},
    ),
    "roberta-masked-lm": ("RobertaForMaskedLM", ROBERTA, {}),
    "roberta-features": ("RobertaModel", ROBERTA, {}),
    "roberta-text-classification": ("RobertaForSequenceClassification", ROBERTA, {}),
    "roberta-token-classification": ("RobertaForTokenClassification", ROBERTA, {}),
    "xlm-roberta-question-answering": (
        "XLMRobertaForQuestionAnswering",
        {**ROBERTA, "num_labels": 2},
        {},
    ),
    "xlm-roberta-masked-lm": ("XLMRobertaForMaskedLM", {**ROBERTA, "type_vocab_size": 2}, {}),
}
SMALL_VIT = {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 48}
# Of images of another size than the model's.
VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 36,
}
SCALED_POSITIONS = {"interpolate_pos_encoding": True}
# Class, its configuration, height and width, what is asked of it.
PICTURES: dict[str, tuple[str, dict[str, Any], tuple[int, int], dict[str, Any]]] = {
    "vit-larger": ("ViTForImageClassification", VIT, (48, 80), SCALED_POSITIONS),
    "vit-smaller": ("ViTForImageClassification", VIT, (16, 24), SCALED_POSITIONS),
    "vit-oblong": ("ViTForImageClassification", VIT, (16, 64), SCALED_POSITIONS),
    "mobilenet-v2-narrow": (
        "MobileNetV2ForImageClassification",
        {"depth_multiplier": 0.25, "layer_norm_eps": 1e-5},
        (64, 48),
        {},
    ),
}
# Architecture, arguments, side of the images.
TIMM: dict[str, tuple[str, dict[str, Any], int | tuple[int, int]]] = {
    "timm-resnet18": ("resnet18", {"channels": [8, 12, 16, 20], "layers": [1, 2, 1, 1]}, 64),
    "timm-resnet50": ("resnet50", {"channels": [4, 8, 12, 16], "layers": [1, 1, 2, 1]}, 64),
    "timm-vit": ("vit_tiny_patch16_224", SMALL_VIT, 48),
    "timm-vit-larger": ("vit_tiny_patch16_224", SMALL_VIT, 80),
    "timm-vit-oblong": ("vit_tiny_patch16_224", {**SMALL_VIT, "img_size": 64}, (32, 128)),
    "timm-vit-smaller": ("vit_small_patch16_384", {**SMALL_VIT, "img_size": 96}, 48),
    "timm-deit": ("deit_tiny_patch16_224", {**SMALL_VIT, "mlp_ratio": 2.0}, 48),
    "timm-mobilenetv2": ("mobilenetv2_050", {}, 64),
    "timm-mobilenetv3-small": ("mobilenetv3_small_050", {}, 64),
    "timm-mobilenetv3-small-tf": ("tf_mobilenetv3_small_075", {}, 64),
    "timm-mobilenetv3-large": ("mobilenetv3_large_075", {}, 64),
    "timm-efficientnet-lite0": ("efficientnet_lite0", {}, 64),
    "timm-efficientnet-lite3-tf": ("tf_efficientnet_lite3", {}, 64),
}
# The two ways of PyTorch repositories: shortcuts that are padded, and those of torchvision.
CIFAR = {"cifar-resnet-padded": "linear", "cifar-resnet-projected": "fc"}
OUTPUTS = {
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
}


def draw(model: torch.nn.Module) -> dict[str, list[int]]:
    """Fill a model by the names of its tensors; return their shapes."""
    state = model.state_dict()
    drawn = set()
    with torch.no_grad():
        # Tied tensors are saved under the embedding's name, not the head's.
        for name, value in sorted(state.items(), key=lambda item: "decoder" in item[0]):
            if value.data_ptr() not in drawn:
                value.copy_(torch.tensor(tensor(name, tuple(value.shape))))
                drawn.add(value.data_ptr())
    return {name: list(value.shape) for name, value in state.items()}


def kept(folder: Path, shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the shapes of the tensors that a saved snapshot has; tied ones are there once."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        return {name: shapes[name] for name in file.keys()}  # noqa: SIM118  # it is no mapping


def of_transformers(name: str) -> dict[str, Any]:
    """Return the reference of one model of transformers."""
    # Configurations write into the tables that they are given.
    architecture, settings, said = deepcopy(TRANSFORMERS[name])
    model_class = getattr(hf, architecture)
    model = model_class(model_class.config_class(**settings)).eval()
    shapes = draw(model)
    ids, mask = tokens(settings["vocab_size"])
    with torch.no_grad():
        answer = model(
            input_ids=torch.tensor(ids.astype("int64")),
            attention_mask=torch.tensor(mask.astype("int64")),
        )
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work)
        config = json.loads(Path(work, "config.json").read_text())
        tensors = kept(Path(work), shapes)
    config = {k: v for k, v in {**config, **said}.items() if k not in said or v is not None}
    answers = {ours: answer[key].numpy() for key, ours in OUTPUTS.items() if key in answer}
    return {"config": config, "tensors": tensors, "answers": rounded(answers)}


def of_timm(name: str) -> dict[str, Any]:
    """Return the reference of one model of timm, asked for images of another size if it must."""
    architecture, arguments, size = TIMM[name]
    model = timm.create_model(architecture, num_classes=5, **arguments).eval()
    shapes = draw(model)
    with tempfile.TemporaryDirectory() as work:
        save_for_hf(model, work, safe_serialization=True, model_args=arguments)
        config = json.loads(Path(work, "config.json").read_text())
        tensors = kept(Path(work), shapes)
    height, width = size if isinstance(size, tuple) else (size, size)
    if arguments.get("img_size", size) != size:
        model.set_input_size(img_size=(height, width))
    said = config["pretrained_cfg"]
    answers = seen(model, (height, width), said["mean"], said["std"])
    return {"config": config, "tensors": tensors, "answers": answers, "size": [height, width]}


def of_images(name: str) -> dict[str, Any]:
    """Return the reference of a model of transformers for images."""
    architecture, settings, size, asked = PICTURES[name]
    model_class = getattr(hf, architecture)
    # In files some tensors have other names than in memory.
    with tempfile.TemporaryDirectory() as work:
        model_class(model_class.config_class(**settings, num_labels=5)).save_pretrained(work)
        file = Path(work, "model.safetensors")
        tensors = {key: list(value.shape) for key, value in load_file(file).items()}
        values = {key: tensor(key, tuple(shape)) for key, shape in tensors.items()}
        save_file(values, file, metadata={"format": "pt"})
        model = model_class.from_pretrained(work).eval()
        config = json.loads(Path(work, "config.json").read_text())
    answers = seen(partial(model, **asked), size, [0.5] * 3, [0.5] * 3)
    return {"config": config, "tensors": tensors, "answers": answers, "size": list(size)}


def seen(
    model: Callable[[torch.Tensor], Any],
    size: tuple[int, int],
    mean: list[float],
    std: list[float],
) -> dict[str, Any]:
    """Return what a model answers to the images."""
    means, stds = (torch.tensor(values)[:, None, None] for values in (mean, std))
    pixels = torch.tensor(images(*size).transpose(0, 3, 1, 2)) / 255
    with torch.no_grad():
        answer = model((pixels - means) / stds)
    logits = answer if isinstance(answer, torch.Tensor) else answer.logits
    return rounded({"logits": logits.numpy()})


class CifarBlock(torch.nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(after)
        self.conv2 = torch.nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(after)
        self.stride, self.new = stride, after - before
        if projected and (stride > 1 or self.new):
            shortcut = torch.nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = torch.nn.Sequential(shortcut, torch.nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "downsample"):
            return torch.relu(y + self.downsample(x))
        x = x[:, :, :: self.stride, :: self.stride]
        padding = (0, 0, 0, 0, self.new // 2, self.new - self.new // 2)
        return torch.relu(y + torch.nn.functional.pad(x, padding))


class CifarResNet(torch.nn.Module):
    """ResNet-8 of section 4.2 of https://arxiv.org/abs/1512.03385."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        for number, width in enumerate((16, 32, 64), 1):
            before = 16 if number == 1 else width // 2
            block = CifarBlock(before, width, 1 if number == 1 else 2, head == "fc")
            setattr(self, f"layer{number}", torch.nn.Sequential(block))
        setattr(self, head, torch.nn.Linear(64, 5))
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return getattr(self, self.head)(x.mean((2, 3)))


def of_cifar(name: str) -> dict[str, Any]:
    """Return the reference of a ResNet for CIFAR, which has no configuration."""
    model = CifarResNet(CIFAR[name]).eval()
    tensors = draw(model)
    answers = seen(model, (32, 32), [0.5] * 3, [0.25] * 3)
    return {"config": {}, "tensors": tensors, "answers": answers, "size": [32, 32]}


def rounded(answers: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the answers as lists of numbers of seven digits."""
    return {
        name: np.vectorize(lambda value: float(f"{value:.7g}"))(value.astype("float64")).tolist()
        for name, value in answers.items()
    }


def main() -> None:
    """Write all references into one file."""
    cases = {name: of_transformers(name) for name in TRANSFORMERS}
    cases |= {name: of_timm(name) for name in TIMM}
    cases |= {name: of_images(name) for name in PICTURES}
    cases |= {name: of_cifar(name) for name in CIFAR}
    text = json.dumps(cases, separators=(",", ":"))
    with gzip.GzipFile(HERE / "drawn.json.gz", "wb", mtime=0) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
