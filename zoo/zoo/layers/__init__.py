"""The pieces that model families share, each written once.

Importing this package makes its layers known to Keras: do so before `keras.models.load_model`.
"""

from zoo.layers.attention import AttentionBias, SelfAttention
from zoo.layers.embedding import LearnedPositions, SinusoidalPositions, token_embedding
from zoo.layers.heads import (
    check_task,
    language_model_head,
    masked_lm_head,
    sequence_head,
    vector_head,
)
from zoo.layers.inputs import image_input, token_inputs
from zoo.layers.normalization import LayerNorm
from zoo.layers.pooling import BiasAdd, MaskedMeanPooling
from zoo.layers.transformer import TransformerBlock

__all__ = [
    "AttentionBias",
    "BiasAdd",
    "LayerNorm",
    "LearnedPositions",
    "MaskedMeanPooling",
    "SelfAttention",
    "SinusoidalPositions",
    "TransformerBlock",
    "check_task",
    "image_input",
    "language_model_head",
    "masked_lm_head",
    "sequence_head",
    "token_embedding",
    "token_inputs",
    "vector_head",
]
