"""Write the tables of the catalog of models: ``python -m benchmarks.catalog_tables``.

Multiply-adds of our own models are counted from their graphs. The models of Keras and KerasHub are
read from the libraries that are installed; licences are what the authors of the weights say, known
to us for the families below.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import keras_hub
from rich.progress import track

from benchmarks.support.models import builtin
from zoo_models.bridges.presets import CLASSES
from zoo_models.memory import without_weights
from zoo_models.sizing import size
from zoo_registry import ModelSpec

MODELS = Path(__file__).parents[1] / "zoo" / "zoo_models"
MACS = MODELS / "catalog" / "macs.json"
BRIDGES = MODELS / "bridges"
# By module of keras.applications; https://keras.io/api/applications and the papers' repositories.
APPLICATION_LICENSES = {
    "vgg16": "CC-BY-4.0",
    "vgg19": "CC-BY-4.0",
    "resnet": "MIT",
    "resnet_v2": "MIT",
    "densenet": "BSD-3-Clause",
    "convnext": "MIT",
    "xception": "MIT",
    "inception_v3": "MIT",
}
# By page on Kaggle; the others are left open.
PRESET_LICENSES = {
    **dict.fromkeys(("bert", "albert", "electra", "distil_bert", "t5", "f_net"), "Apache-2.0"),
    **dict.fromkeys(("vit", "siglip", "sam", "efficientnet", "mobilenetv3"), "Apache-2.0"),
    **dict.fromkeys(("mistral", "mixtral", "dinov2"), "Apache-2.0"),
    **dict.fromkeys(("roberta", "xlm_roberta", "deberta_v3", "gpt2", "phi3", "whisper"), "MIT"),
    **dict.fromkeys(("clip", "swin-transformer", "bge"), "MIT"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "codegemma", "paligemma"), "Gemma Terms of Use"),
    **dict.fromkeys(("paligemma2", "shieldgemma", "t5-gemma"), "Gemma Terms of Use"),
    "llama2": "Llama 2 Community License",
    "llama3": "Llama 3 Community License",
}


def multiply_adds(names: Iterable[str]) -> dict[str, int]:
    """Return the multiply-adds of one example of each model, texts of 128 tokens."""
    return {name: size(name).macs for name in names}


def architectures() -> dict[str, Any]:
    """Return the functions of ``keras.applications`` by name in lower case."""
    found = {n.lower(): kind for n, kind in vars(keras.applications).items() if callable(kind)}
    return dict(sorted(found.items()))


def application_row(kind: Any) -> dict[str, Any]:
    """Return what is recorded of one function of ``keras.applications``; nothing is allocated."""
    name = kind.__name__
    with without_weights():
        pixels = kind(weights=None).input_shape[1] or 224  # MobileNetV3 takes any
    spec = ModelSpec(
        name=name.lower(),
        builder="zoo_models.bridges.applications:application",
        tasks=("image-classification",),
        defaults={"architecture": name, "input_shape": (pixels, pixels, 3)},
    )
    found = size(spec)
    module = kind.__module__.rpartition(".")[2]
    return {
        "class": name,
        "module": module,
        "size": pixels,
        "num_params": found.num_params,
        "macs": found.macs,
        "license": APPLICATION_LICENSES.get(module, "Apache-2.0"),
    }


def presets() -> dict[str, Any]:
    """Return a row for every preset of KerasHub that has a backbone, by lower-case name."""
    classes = {task: getattr(keras_hub.models, name) for task, name in CLASSES.items()}
    held = {task: set(kind.presets) for task, kind in classes.items()}
    rows = {}
    for name, found in classes["features"].presets.items():
        page = found["kaggle_handle"].removeprefix("kaggle://").split("/")[1]
        rows[name] = {
            "family": found["metadata"]["path"],
            "handle": found["kaggle_handle"],
            "num_params": found["metadata"]["params"],
            "tasks": _tasks(name, [task for task in CLASSES if name in held[task]]),
            "license": PRESET_LICENSES.get(page, ""),
            "summary": " ".join(found["metadata"]["description"].split()),
        }
    return dict(sorted(rows.items()))


def _tasks(preset: str, tasks: list[str]) -> list[str]:
    """Return what a preset is for: KerasHub has one class for all that write text, one by one.

    Args:
        preset: Its name.
        tasks: Those of our words whose class at KerasHub has the preset.
    """
    others = {task for task in tasks if CLASSES[task] not in {"CausalLM", "Seq2SeqLM"}}
    if len(others) < len(tasks):
        others.add(_written(preset))
    return [task for task in CLASSES if task in others]


def _written(preset: str) -> str:
    kinds = [kind for kind in _writers() if preset in kind.presets]
    if any(kind.__name__.endswith("AudioToText") for kind in kinds):
        return "automatic-speech-recognition"
    text_only = "text-only" in kinds[0].presets[preset]["metadata"]["description"]
    if any(_sees(kind) for kind in kinds) and not text_only:
        return "image-text-to-text"
    encoded = any(issubclass(kind, keras_hub.models.Seq2SeqLM) for kind in kinds)
    return "seq2seq" if encoded else "causal-lm"


def _writers() -> list[Any]:
    base = keras_hub.models.CausalLM
    found = [kind for kind in vars(keras_hub.models).values() if isinstance(kind, type)]
    general = (base, keras_hub.models.Seq2SeqLM)
    return [kind for kind in found if issubclass(kind, base) and kind not in general]


def _sees(kind: Any) -> bool:
    return getattr(kind.preprocessor_cls, "image_converter_cls", None) is not None


def main() -> None:
    """Write all three tables."""
    kinds = track(architectures().items(), description="keras.applications")
    applications = {name: application_row(kind) for name, kind in kinds}
    for path, rows in (
        (MACS, multiply_adds(sorted(builtin()))),
        (BRIDGES / "keras.json", applications),
        (BRIDGES / "kerashub.json", presets()),
    ):
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
