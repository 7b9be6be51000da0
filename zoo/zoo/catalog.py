"""Every model that comes with Kerazoo, as data: nothing is built or imported here."""

from __future__ import annotations

from typing import Any

from zoo_registry import ModelSpec, TensorSpec

LICENSE = "Apache-2.0"
MNIST_IMAGE = TensorSpec("image", (28, 28, 1))
CIFAR_IMAGE = TensorSpec("image", (32, 32, 3))
TOKEN_IDS = TensorSpec("token_ids", (None,), "int32")
TEXT = (TOKEN_IDS, TensorSpec("padding_mask", (None,), "int32"))

MLP: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.mlp:mlp",
    "family": "mlp",
    "paper": "Rumelhart, Hinton, Williams 1986, https://doi.org/10.1038/323533a0",
}
CNN: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.cnn:cnn",
    "family": "cnn",
    "tasks": ("image-classification", "features"),
    "inputs": (CIFAR_IMAGE,),
    "paper": "LeCun et al. 1998, https://doi.org/10.1109/5.726791",
}
RNN: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.rnn:rnn",
    "family": "rnn",
    "paper": "Hochreiter, Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735",
}
BERT: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.bert:bert",
    "family": "bert",
    "tasks": ("features", "text-classification", "masked-lm"),
    "inputs": TEXT,
    "paper": "Devlin et al. 2018, https://arxiv.org/abs/1810.04805",
}
GPT: dict[str, Any] = {
    "license": LICENSE,
    "builder": "zoo.models.gpt:gpt",
    "family": "gpt",
    "tasks": ("causal-lm", "features"),
    "inputs": (TOKEN_IDS,),
    "paper": "Radford et al. 2019, https://cdn.openai.com/better-language-models/"
    "language_models_are_unsupervised_multitask_learners.pdf",
}

_SPECS = (
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
        name="rnn",
        **RNN,
        tasks=("sequence-classification", "features"),
        defaults={"input_shape": (None, 1), "cell": "lstm", "num_classes": 2},
        inputs=(TensorSpec("sequence", (None, 1)),),
        num_params=34_050,
        summary="LSTM or GRU over float sequences, one step after the other.",
        tags=("sequence", "recurrent", "lstm", "gru"),
    ),
    ModelSpec(
        name="lstm-classifier",
        **RNN,
        tasks=("text-classification", "features"),
        defaults={"vocab_size": 20_000, "cell": "lstm", "bidirectional": True, "num_classes": 2},
        inputs=TEXT,
        num_params=2_659_074,
        summary="Bidirectional LSTM (or GRU) over tokens; padding is masked.",
        tags=("text", "recurrent", "lstm", "gru"),
    ),
    ModelSpec(
        name="transformer-classifier",
        builder="zoo.models.transformer:transformer",
        family="transformer",
        tasks=("text-classification", "features"),
        defaults={"vocab_size": 20_000, "positions": "sinusoidal", "num_classes": 2},
        inputs=TEXT,
        num_params=2_825_218,
        summary="Transformer encoder with masked mean pooling.",
        paper="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        license=LICENSE,
        tags=("text", "encoder", "attention"),
    ),
    ModelSpec(
        name="bert",
        **BERT,
        defaults={"num_layers": 12, "hidden_dim": 768, "num_heads": 12, "ff_dim": 3072},
        num_params=109_482_240,
        summary="BERT of any size; the defaults are BERT-base, uncased.",
        tags=("text", "encoder", "attention"),
    ),
    ModelSpec(
        name="bert-tiny",
        **BERT,
        defaults={
            "vocab_size": 30_522,
            "num_layers": 2,
            "hidden_dim": 128,
            "num_heads": 2,
            "ff_dim": 512,
        },
        num_params=4_385_920,
        summary="BERT of 2 layers, 128 wide, with 30,522 tokens.",
        tags=("text", "encoder", "attention", "small"),
    ),
    ModelSpec(
        name="gpt",
        **GPT,
        defaults={"num_layers": 12, "hidden_dim": 768, "num_heads": 12},
        num_params=124_439_808,
        summary="GPT-2 of any size; the defaults are GPT-2 small.",
        tags=("text", "decoder", "attention"),
    ),
    ModelSpec(
        name="gpt-nano",
        **GPT,
        defaults={"vocab_size": 50_257, "num_layers": 3, "hidden_dim": 48, "num_heads": 3},
        num_params=2_546_400,
        summary="GPT-2 of 3 layers, 48 wide, with 50,257 tokens.",
        tags=("text", "decoder", "attention", "small"),
    ),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS}
