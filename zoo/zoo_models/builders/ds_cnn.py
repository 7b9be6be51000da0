"""DS-CNN: keyword spotting on microcontrollers.

Audio (samples) -> MFCC (frames, coefficients) -> 10x4 convolution -> depthwise-separable 3x3
blocks, all with batch normalization and ReLU -> mean -> logits. One second of audio at 16 kHz is
49 frames of 40 ms, 20 ms apart, with 10 coefficients each.

Paper: https://arxiv.org/abs/1711.07128, layers as in the authors' code,
https://github.com/ARM-software/ML-KWS-for-MCU. Differences: the front end is in the graph, so that
a file takes audio, and no convolution has a bias before its batch normalization, which takes any
constant away.
"""

from __future__ import annotations

from typing import Literal, get_args

import keras

from zoo_models.layers import LogMelSpectrogram, check_task, conv_norm, vector_head
from zoo_registry import UsageError

Task = Literal["audio-classification", "features"]


def ds_cnn(
    *,
    sample_rate: int = 16_000,
    length: int = 16_000,
    frame_length: int = 640,
    frame_step: int = 320,
    num_bands: int = 40,
    num_coefficients: int | None = 10,
    low: float = 20.0,
    high: float = 4000.0,
    filters: int = 64,
    stem_strides: tuple[int, int] = (2, 2),
    block_strides: tuple[int, ...] = (1, 1, 1, 1),
    num_classes: int = 12,
    dropout: float = 0.0,
    task: Task = "audio-classification",
    name: str = "ds_cnn",
) -> keras.Model:
    """Build DS-CNN (https://arxiv.org/abs/1711.07128).

    Args:
        sample_rate: Of the audio, in Hz.
        length: Samples of an audio clip.
        frame_length: Samples of one spectrum.
        frame_step: Samples from one spectrum to the next.
        num_bands: Bands of the mel scale.
        num_coefficients: Of the cepstrum of the bands; ``None`` takes the bands themselves.
        low: Lower end of the first band in Hz.
        high: Upper end of the last band in Hz.
        filters: Channels of all convolutions.
        stem_strides: Of the first convolution, in time and in frequency.
        block_strides: Of the depthwise convolution of each block.
        num_classes: Size of the logits.
        dropout: Rate before the logits.
        task: ``"features"`` ends in the mean over time and frequency.
        name: Of the model.

    Returns:
        A model of ``audio`` float32 (batch, length) in -1..1 that gives ``logits`` float32 (batch,
        num_classes), or ``pooled_output`` float32 (batch, filters).

    Raises:
        UsageError: An unknown task, a clip shorter than a frame, or bands that are not possible.

    Example:
        >>> ds_cnn().count_params()
        24332
    """
    check_task("ds-cnn", task, get_args(Task))
    if length < frame_length:
        raise UsageError(
            f"ds-cnn: an audio clip of length={length} samples is shorter than one frame of "
            f"frame_length={frame_length}."
        )
    audio = keras.Input((length,), name="audio", dtype="float32")
    x = LogMelSpectrogram(
        sample_rate,
        frame_length=frame_length,
        frame_step=frame_step,
        num_bands=num_bands,
        num_coefficients=num_coefficients,
        low=low,
        high=high,
        name="spectrogram",
    )(audio)
    x = keras.layers.Reshape((*x.shape[1:], 1), name="picture")(x)
    x = conv_norm(x, filters, (10, 4), strides=stem_strides, activation="relu", name="stem")
    for block, strides in enumerate(block_strides):
        prefix = f"block_{block}"
        x = conv_norm(x, None, strides=strides, activation="relu", name=prefix, number=0)
        x = conv_norm(x, filters, 1, activation="relu", name=prefix, number=1)
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="pool")(x)
    logits = vector_head(x, task=task, num_classes=num_classes, dropout=dropout)
    return keras.Model(audio, logits, name=name)
