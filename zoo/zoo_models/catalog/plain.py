"""Perceptrons and plain convolutional networks."""

from __future__ import annotations

from typing import Any

from zoo_models.catalog.inputs import CIFAR_IMAGE, LICENSE, MNIST_IMAGE
from zoo_registry import ModelSpec, TensorSpec

MLP: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo_models.builders.mlp:mlp",
    "family": "mlp",
    "paper": "Rumelhart, Hinton, Williams 1986, https://doi.org/10.1038/323533a0",
}
CNN: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo_models.builders.cnn:cnn",
    "family": "cnn",
    "tasks": ("image-classification", "features"),
    "inputs": (CIFAR_IMAGE,),
    "paper": "LeCun et al. 1998, https://doi.org/10.1109/5.726791",
}

SPECS = (
    ModelSpec(
        name="mlp",
        **MLP,
        tasks=("classification", "features"),
        defaults={"input_shape": (64,), "hidden_dims": (128, 128), "num_classes": 10},
        inputs=(TensorSpec("features", (64,)),),
        num_params=26_122,
        summary="Multi-layer perceptron on vectors or images of any size.",
        tags=("dense",),
    ),
    ModelSpec(
        name="mnist-mlp",
        **MLP,
        tasks=("image-classification", "features"),
        defaults={"input_shape": (28, 28, 1), "hidden_dims": (128, 128), "num_classes": 10},
        inputs=(MNIST_IMAGE,),
        num_params=118_282,
        summary="784-128-128-10 perceptron for 28x28 grey digits.",
        tags=("dense", "vision", "mnist"),
    ),
    ModelSpec(
        name="cnn",
        **CNN,
        defaults={"input_shape": (32, 32, 3), "filters": (32, 64, 64), "num_classes": 10},
        num_params=122_570,
        summary="Convolutions with max-pooling and a dense layer, for images of any size.",
        tags=("vision",),
    ),
    ModelSpec(
        name="cifar10-cnn",
        **CNN,
        defaults={
            "input_shape": (32, 32, 3),
            "filters": (32, 64, 64),
            "hidden_dim": 64,
            "num_classes": 10,
        },
        num_params=122_570,
        summary="Three 3x3 convolutions and a dense layer for 32x32 colour images.",
        tags=("vision", "cifar10"),
    ),
)
