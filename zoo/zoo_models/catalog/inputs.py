"""What the rows of the catalog share."""

from __future__ import annotations

from zoo_registry import TensorSpec

LICENSE = "Apache-2.0"
MNIST_IMAGE = TensorSpec("image", (28, 28, 1))
CIFAR_IMAGE = TensorSpec("image", (32, 32, 3))
TOKEN_IDS = TensorSpec("token_ids", (None,), "int32")
TEXT = (TOKEN_IDS, TensorSpec("padding_mask", (None,), "int32"))
DECODER_TEXT = (
    *TEXT,
    TensorSpec("decoder_token_ids", (None,), "int32"),
    TensorSpec("decoder_padding_mask", (None,), "int32"),
)
