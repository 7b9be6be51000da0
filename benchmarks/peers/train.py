"""The contestant ``torch`` of ``training_speed.py``, in the environment of the peers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

sys.path.insert(0, str(Path(__file__).parents[1]))
from export import Lstm
from training_contestant import EPOCHS, Turns, data


class Cnn(nn.Sequential):
    """The zoo's ``cnn``."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10)),
        )


class Block(nn.Module):
    """Two convolutions and a shortcut without weights."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.stride = channels // before
        self.conv_1 = nn.Conv2d(before, channels, 3, self.stride, 1, bias=False)
        self.conv_2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm_1, self.norm_2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.added = channels - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = functional.relu(self.norm_1(self.conv_1(x)))
        y = self.norm_2(self.conv_2(y))
        x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return functional.relu(x + y)


class ResNet20(nn.Sequential):
    """The CIFAR ResNet of 20 layers."""

    def __init__(self) -> None:
        channels = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        blocks = [Block(a, b) for a, b in pairwise(channels)]
        super().__init__(
            *(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
        )


class MaskedLstm(Lstm):
    """It with packed sequences for its mask."""

    def forward(self, token_ids: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, 2)."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(token_ids), padding_mask.sum(1), True, enforce_sorted=False
        )
        _, (ends, _) = self.lstm(packed)
        return self.head(torch.cat([ends[0], ends[1]], dim=1))


def bert() -> Callable[..., torch.Tensor]:
    """Return BERT-tiny."""
    return BertForSequenceClassification(
        BertConfig(
            hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
        )
    )


def gpt() -> Callable[..., torch.Tensor]:
    """Return GPT-mini."""
    return GPT2LMHeadModel(GPT2Config(n_embd=192, n_layer=6, n_head=6, resid_pdrop=0.1))


BUILDERS: dict[str, Callable[[], Any]] = {
    "cnn": Cnn,
    "resnet20": ResNet20,
    "lstm-classifier": MaskedLstm,
    "bert-tiny": bert,
    "gpt-mini": gpt,
}


def main(name: str) -> None:
    """Train when asked to."""
    inputs, targets, batch = data(name)
    if "image" in inputs:
        inputs["image"] = np.ascontiguousarray(inputs["image"].transpose(0, 3, 1, 2) / 255)
    arrays = [torch.from_numpy(array) for array in inputs.values()]
    arrays = [array.long() if array.dtype == torch.int32 else array for array in arrays]
    targets = torch.from_numpy(targets).long()
    model = BUILDERS[name]().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    turns = Turns(len(targets))
    for epoch in range(EPOCHS):
        turns.on_epoch_begin(epoch)
        for rows in torch.randperm(len(targets)).split(batch):
            logits = model(*(array[rows] for array in arrays))
            logits = getattr(logits, "logits", logits)
            loss = functional.cross_entropy(logits.flatten(0, -2), targets[rows].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        turns.on_epoch_end(epoch)


if __name__ == "__main__":
    main(sys.argv[1])
