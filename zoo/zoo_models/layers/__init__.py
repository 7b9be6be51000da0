"""The pieces that model families have in common, each written once.

Importing this package makes its layers known to Keras: do so before `keras.models.load_model`.
"""

from zoo_models.layers.attention import Attention, AttentionBias
from zoo_models.layers.convolution import conv_norm, divisible, inverted_residual, squeeze_excite
from zoo_models.layers.embedding import (
    ClassToken,
    LearnedPositions,
    SinusoidalPositions,
    rating_embedding,
    token_embedding,
)
from zoo_models.layers.fake_quantization import ActivationRange, QuantizedWeights
from zoo_models.layers.heads import (
    BiasAdd,
    LastStep,
    MaskedMeanPooling,
    check_choice,
    check_task,
    encoder_head,
    image_head,
    language_model_head,
    masked_lm_head,
    rating_head,
    sentence_embedding,
    sequence_head,
    span_head,
    vector_head,
)
from zoo_models.layers.inputs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    image_input,
    normalized_image_input,
    rating_inputs,
    scaled_channels,
    token_inputs,
)
from zoo_models.layers.normalization import LayerNorm, RMSNorm
from zoo_models.layers.rotary import RotaryPositions
from zoo_models.layers.spectrogram import LogMelSpectrogram
from zoo_models.layers.transformer import GatedBlock, TransformerBlock, encoder_blocks

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ActivationRange",
    "Attention",
    "AttentionBias",
    "BiasAdd",
    "ClassToken",
    "GatedBlock",
    "LastStep",
    "LayerNorm",
    "LearnedPositions",
    "LogMelSpectrogram",
    "MaskedMeanPooling",
    "QuantizedWeights",
    "RMSNorm",
    "RotaryPositions",
    "SinusoidalPositions",
    "TransformerBlock",
    "check_choice",
    "check_task",
    "conv_norm",
    "divisible",
    "encoder_blocks",
    "encoder_head",
    "image_head",
    "image_input",
    "inverted_residual",
    "language_model_head",
    "masked_lm_head",
    "normalized_image_input",
    "rating_embedding",
    "rating_head",
    "rating_inputs",
    "scaled_channels",
    "sentence_embedding",
    "sequence_head",
    "span_head",
    "squeeze_excite",
    "token_embedding",
    "token_inputs",
    "vector_head",
]
