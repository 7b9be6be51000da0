"""The presets of KerasHub, each by the class that KerasHub has for a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_hub

from zoo_models.bridges.applications import channels_last
from zoo_models.weights.opening import download
from zoo_models.weights.snapshot import CONFIG, read_json
from zoo_registry import UsageError, ZooError
from zoo_system import fetching

# What every folder of a preset has, and no snapshot of transformers.
METADATA = "metadata.json"
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
        weights: ``"pretrained"``, or a preset that was saved with ``save_to_preset``: its folder,
            ``hf://org/name`` or ``kaggle://...``; ``None`` for fresh weights. Snapshots of Hugging
            Face transformers are refused: KerasHub converts them without looking at all of their
            configuration, so that biases, activations and rotations may be others than trained.

    Returns:
        KerasHub's functional model, with its own names of inputs and outputs. It takes what
        KerasHub's preprocessor makes; none is attached, but where there are weights its
        ``keras_hub_preset`` says where that is.

    Raises:
        UsageError: Weights that are not a preset of KerasHub.
        ZooError: The preset's configuration is not available: there is no network, or the download
            is not allowed.
    """
    make = getattr(keras_hub.models, CLASSES[task])
    source = preset_name if weights in {None, "pretrained"} else str(weights)
    if source not in make.presets:
        source = _preset_folder(source, preset_name)
    else:
        fetching.check(f"Preset '{source}' of KerasHub")
    arguments: dict[str, Any] = {} if task == "features" else {"preprocessor": None}
    given = {"num_classes": num_classes, "dropout": dropout}
    arguments |= {key: value for key, value in given.items() if value is not None}
    try:
        with channels_last():
            loads = weights is not None
            model: keras.Model = make.from_preset(source, load_weights=loads, **arguments)
    except Exception as error:  # KerasHub, Kaggle's client and the network raise many kinds
        raise ZooError(
            f"KerasHub cannot build '{source}' for '{task}': {type(error).__name__}: {error}"
        ) from error
    if weights is not None:
        model.keras_hub_preset = source
    return model


def _preset_folder(weights: str, preset_name: str) -> str:
    """Return where a saved preset is; addresses of hubs are brought here first.

    Raises:
        UsageError: It is not a preset, or one of another family.
        ZooError: A hub cannot be reached.
    """
    folder = download(weights) if weights.startswith(("hf://", "kaggle://")) else Path(weights)
    if not folder.exists():
        raise UsageError(f"weights='{weights}': there is no such folder.")
    if not (folder / METADATA).is_file():
        is_snapshot = (folder / CONFIG).is_file()
        other = "a snapshot of Hugging Face transformers"
        what = other if is_snapshot else "not a preset of KerasHub"
        raise UsageError(
            f"weights='{weights}' are {what}: the folder has no {METADATA}. A 'kerashub/...' model "
            "takes presets that save_to_preset wrote; our own families read snapshots, "
            "`zoo models`."
        )
    wanted, found = _family_of(preset_name), str(read_json(folder / CONFIG).get("module"))
    if wanted is not None and f".models.{wanted}." not in found:
        raise UsageError(
            f"weights='{weights}' are a preset of {found}; 'kerashub/{preset_name}' is of family "
            f"'{wanted}'."
        )
    return str(folder)


def _family_of(preset_name: str) -> str | None:
    known = keras_hub.models.Backbone.presets.get(preset_name)
    return None if known is None else str(known["metadata"]["path"])
