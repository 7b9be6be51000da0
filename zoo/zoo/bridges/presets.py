"""The presets of KerasHub, each by the class that KerasHub has for a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_hub

from zoo_registry import ZooError

# Our word for a task, and KerasHub's class for it.
CLASSES = {
    "features": "Backbone",
    "text-classification": "TextClassifier",
    "masked-lm": "MaskedLM",
    "causal-lm": "CausalLM",
    "seq2seq": "Seq2SeqLM",
    "image-text-to-text": "CausalLM",
    "automatic-speech-recognition": "Seq2SeqLM",
    "sentence-embedding": "TextEmbedder",
    "image-classification": "ImageClassifier",
    "image-segmentation": "ImageSegmenter",
    "object-detection": "ObjectDetector",
    "depth-estimation": "DepthEstimator",
    "text-to-image": "TextToImage",
    "image-to-image": "ImageToImage",
    "inpainting": "Inpaint",
}


def preset(
    *,
    preset_name: str,
    task: str = "features",
    num_classes: int | None = None,
    dropout: float | None = None,
    weights: str | Path | None = None,
) -> keras.Model:
    """Build a preset of KerasHub (https://keras.io/keras_hub/presets).

    Args:
        preset_name: Its name there.
        task: The head: KerasHub's class of the same purpose is built.
        num_classes: Size of the logits, for heads that have classes.
        dropout: Rate before the logits.
        weights: ``"pretrained"``, or the folder of a preset that was saved with
            ``save_to_preset``; ``None`` for fresh weights.

    Returns:
        KerasHub's functional model, with its own names of inputs and outputs. It takes what
        KerasHub's preprocessor makes; none is attached.

    Raises:
        ZooError: The preset's configuration cannot be had, for want of a network or of leave
            to download it.
    """
    make = getattr(keras_hub.models, CLASSES[task])
    place = preset_name if weights in {None, "pretrained"} else str(weights)
    arguments: dict[str, Any] = {} if task == "features" else {"preprocessor": None}
    given = {"num_classes": num_classes, "dropout": dropout}
    arguments |= {key: value for key, value in given.items() if value is not None}
    try:
        model: keras.Model = make.from_preset(place, load_weights=weights is not None, **arguments)
    except Exception as error:  # KerasHub, Kaggle's client and the network raise many kinds
        raise ZooError(
            f"KerasHub cannot build '{place}' for '{task}': {type(error).__name__}: {error}"
        ) from error
    return model
