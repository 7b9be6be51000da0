"""Perceptrons, convolutional networks and vision transformers, for classes and for boxes."""

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
PHOTOGRAPH = TensorSpec("image", (224, 224, 3))
VISION: dict[str, Any] = {
    "license": LICENSE,
    "tasks": ("image-classification", "features"),
    "inputs": (PHOTOGRAPH,),
}
SMALL_IMAGE: dict[str, Any] = {"input_shape": (32, 32, 3), "num_classes": 5}


VIT_WEIGHTS = {
    "tiny": "hf://WinKawaks/vit-tiny-patch16-224",
    "small": "hf://WinKawaks/vit-small-patch16-224",
    "base": "hf://google/vit-base-patch16-224",
}


def _resnet(name: str, num_params: int, blocks: tuple[int, ...], bottleneck: bool) -> ModelSpec:
    depth = name.removeprefix("resnet") or "50"
    return ModelSpec(
        name=name,
        **VISION,
        builder="zoo_models.builders.resnet:resnet",
        family="resnet",
        defaults={"num_blocks": blocks, "bottleneck": bottleneck},
        converter="zoo_models.weights.families.resnet:CONVERTERS",
        weights=None if name == "resnet" else f"hf://microsoft/resnet-{depth}",
        reduced={
            **SMALL_IMAGE,
            "num_blocks": (1, 2),
            "filters": (4, 8),
            "stem_filters": 4,
        },
        num_params=num_params,
        summary=f"ResNet of {depth} layers for photographs."
        if name != "resnet"
        else "ResNet of any size for photographs; the defaults are ResNet-50.",
        paper="He et al. 2015, https://arxiv.org/abs/1512.03385",
        tags=("vision", "convolution", "imagenet"),
    )


def _cifar_resnet(depth: int, num_params: int) -> ModelSpec:
    return ModelSpec(
        name=f"resnet{depth}",
        **{**VISION, "inputs": (CIFAR_IMAGE,)},
        builder="zoo_models.builders.cifar_resnet:cifar_resnet",
        family="cifar-resnet",
        defaults={"depth": depth},
        converter="zoo_models.weights.families.cifar_resnet:CONVERTERS",
        reduced={"depth": 8, "filters": (4, 6, 8), "num_classes": 5},
        num_params=num_params,
        summary=f"ResNet of {depth} layers for 32x32 images, shortcuts without weights.",
        paper="He et al. 2015, section 4.2, https://arxiv.org/abs/1512.03385",
        tags=("vision", "convolution", "cifar10"),
    )


def _vit(size: str, num_params: int, hidden_dim: int, num_heads: int) -> ModelSpec:
    return ModelSpec(
        name=f"vit-{size}-patch16-224" if size else "vit",
        **VISION,
        builder="zoo_models.builders.vit:vit",
        family="vit",
        defaults={"hidden_dim": hidden_dim, "num_heads": num_heads},
        converter="zoo_models.weights.families.vit:CONVERTERS",
        weights=VIT_WEIGHTS.get(size),
        reduced={**SMALL_IMAGE, "num_layers": 2, "hidden_dim": 12, "num_heads": 3},
        num_params=num_params,
        summary=f"Vision transformer, {hidden_dim} wide, on 16x16 patches."
        if size
        else "Vision transformer of any size; the defaults are ViT-B/16.",
        paper="Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929",
        tags=("vision", "attention", "imagenet"),
        aliases=(f"vit-{size}",) if size else (),
    )


def _mobilenet_v3(size: str, num_params: int) -> ModelSpec:
    return ModelSpec(
        name=f"mobilenet-v3-{size}",
        **VISION,
        builder="zoo_models.builders.mobilenet_v3:mobilenet_v3",
        family="mobilenet-v3",
        defaults={"size": size},
        converter="zoo_models.weights.families.mobilenet_v3:CONVERTERS",
        weights=f"hf://timm/tf_mobilenetv3_{size}_100.in1k",
        reduced={**SMALL_IMAGE, "width": 0.35},
        num_params=num_params,
        summary=f"MobileNetV3-{size.capitalize()}: convolutions found by search for phones.",
        paper="Howard et al. 2019, https://arxiv.org/abs/1905.02244",
        tags=("vision", "convolution", "mobile", "imagenet"),
    )


def _efficientnet_lite(number: int, num_params: int, **defaults: Any) -> ModelSpec:
    shape = defaults.get("input_shape", PHOTOGRAPH.shape)
    return ModelSpec(
        name=f"efficientnet-lite{number}",
        **{**VISION, "inputs": (TensorSpec("image", shape),)},
        builder="zoo_models.builders.efficientnet_lite:efficientnet_lite",
        family="efficientnet-lite",
        defaults=defaults,
        converter="zoo_models.weights.families.efficientnet_lite:CONVERTERS",
        weights=f"hf://timm/tf_efficientnet_lite{number}.in1k",
        reduced={**SMALL_IMAGE, "width": 0.25},
        num_params=num_params,
        summary="EfficientNet without what edge devices do badly"
        + (f", for images of {shape[0]} pixels." if number else "."),
        paper="Tan, Le 2019, https://arxiv.org/abs/1905.11946",
        tags=("vision", "convolution", "mobile", "imagenet"),
    )


RESNET18 = {"num_blocks": (2, 2, 2, 2), "bottleneck": False}
MICRO = {
    "num_blocks": (1, 1, 1, 1),
    "bottleneck": False,
    "filters": (16, 32, 48, 64),
    "stem_filters": 16,
}


def _centernet(
    size: str, num_params: int, shape: tuple[int, int, int], summary: str, **defaults: Any
) -> ModelSpec:
    small = {"num_blocks": (1, 1), "bottleneck": False, "filters": (4, 8), "stem_filters": 4}
    is_resnet = defaults.get("backbone", "resnet") == "resnet"
    return ModelSpec(
        name=f"centernet-{size}",
        license=LICENSE,
        tasks=("object-detection",),
        builder="zoo_models.builders.centernet:centernet",
        family="centernet",
        inputs=(TensorSpec("image", shape),),
        defaults={"input_shape": shape, **defaults},
        reduced={
            "input_shape": (32, 64, 3),
            "backbone_sizes": small if is_resnet else {"width": 0.35},
            "neck_filters": 8,
            "head_filters": 8,
            "num_classes": 5,
        },
        num_params=num_params,
        summary=summary,
        paper="Zhou et al. 2019, https://arxiv.org/abs/1904.07850",
        tags=("vision", "convolution", "detection"),
    )


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
    ModelSpec(
        name="lenet5",
        **{**VISION, "inputs": (MNIST_IMAGE,)},
        builder="zoo_models.builders.lenet:lenet5",
        family="lenet",
        defaults={"input_shape": (28, 28, 1), "num_classes": 10},
        num_params=61_706,
        summary="LeNet-5 for 28x28 grey digits.",
        paper="LeCun et al. 1998, https://doi.org/10.1109/5.726791",
        tags=("vision", "convolution", "mnist"),
    ),
    _resnet("resnet", 25_557_032, (3, 4, 6, 3), True),
    _resnet("resnet18", 11_689_512, (2, 2, 2, 2), False),
    _resnet("resnet34", 21_797_672, (3, 4, 6, 3), False),
    _resnet("resnet50", 25_557_032, (3, 4, 6, 3), True),
    _resnet("resnet101", 44_549_160, (3, 4, 23, 3), True),
    _resnet("resnet152", 60_192_808, (3, 8, 36, 3), True),
    _cifar_resnet(20, 269_722),
    _cifar_resnet(32, 464_154),
    _cifar_resnet(44, 658_586),
    _cifar_resnet(56, 853_018),
    _cifar_resnet(110, 1_727_962),
    ModelSpec(
        name="mobilenet-v2",
        **VISION,
        builder="zoo_models.builders.mobilenet_v2:mobilenet_v2",
        family="mobilenet-v2",
        converter="zoo_models.weights.families.mobilenet_v2:CONVERTERS",
        weights="hf://google/mobilenet_v2_1.0_224",
        reduced={**SMALL_IMAGE, "width": 0.25, "stages": ((1, 16, 1, 1), (6, 24, 2, 2))},
        num_params=3_504_872,
        summary="MobileNetV2: inverted residuals for phones.",
        paper="Sandler et al. 2018, https://arxiv.org/abs/1801.04381",
        tags=("vision", "convolution", "mobile", "imagenet"),
    ),
    _mobilenet_v3("small", 2_542_856),
    _mobilenet_v3("large", 5_483_032),
    _efficientnet_lite(0, 4_652_008),
    _efficientnet_lite(1, 5_416_680, input_shape=(240, 240, 3), depth=1.1),
    _efficientnet_lite(2, 6_092_072, input_shape=(260, 260, 3), width=1.1, depth=1.2),
    _efficientnet_lite(3, 8_197_096, input_shape=(300, 300, 3), width=1.2, depth=1.4, dropout=0.3),
    _efficientnet_lite(4, 13_006_568, input_shape=(380, 380, 3), width=1.4, depth=1.8, dropout=0.3),
    _vit("", 86_567_656, 768, 12),
    _vit("tiny", 5_717_416, 192, 3),
    _vit("small", 22_050_664, 384, 6),
    _vit("base", 86_567_656, 768, 12),
    _centernet(
        "resnet18",
        11_502_676,
        (512, 512, 3),
        "CenterNet on a ResNet-18, for photographs.",
        backbone_sizes=RESNET18,
    ),
    _centernet(
        "mobilenet-v3-small",
        1_147_060,
        (320, 320, 3),
        "CenterNet on a MobileNetV3-Small, for photographs on phones.",
        backbone="mobilenet-v3",
        backbone_sizes={"size": "small"},
    ),
    _centernet(
        "micro",
        195_070,
        (96, 96, 1),
        "CenterNet on a small ResNet, for small grey images.",
        backbone_sizes=MICRO,
        neck_filters=32,
        head_filters=32,
        num_classes=10,
    ),
)
