"""Small bundles and a run with many kinds of operators, to be mutated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CHARACTERS = "abcdefghijklmnopqrstuvwxyz .,!?"


def make_subjects(folder: Path) -> dict[str, list[Path]]:
    """Return subjects by kind; those that are in ``folder`` already are used again."""
    bundles = {"cnn": _cnn, "lstm": _lstm, "gpt": _gpt}
    for name, build in bundles.items():
        make_bundle(build, folder / name)
    make_text_bundle(folder / "text")
    make_run(folder / "run")
    return {
        "bundle": [folder / name for name in bundles],
        "zip": [zip_folder(folder / name) for name in bundles],
        "text": [folder / "text"],
        "run": [folder / "run"],
    }


def make_bundle(build: Any, out: Path) -> None:
    """Export a model to LiteRT and ONNX, and zip it in a folder of its own."""
    from zoo_export import export

    if not out.exists():
        export(build(), out=out, to=["tflite", "onnx"]).to_zip(zip_folder(out) / "bundle.zip")


def zip_folder(out: Path) -> Path:
    """Return the folder with the zip of a bundle."""
    return out.with_name(f"{out.name}-zip")


def make_text_bundle(out: Path, to: Sequence[str] = ("onnx",)) -> None:
    """Export a model that takes raw text."""
    import keras
    from keras import layers

    from zoo_export import export

    if out.exists():
        return
    assets = out.parent / f"{out.name}-assets"
    save_tokenizer(assets / "tokenizer.json")
    tokens = keras.Input((16,), dtype="int32", name="token_ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(64, 8)(tokens))
    model = keras.Model(tokens, layers.Dense(3, name="logits")(x), name="text")
    steps = [{"step": "tokenize", "length": 16, "padding_mask": False}]
    export(
        model,
        out=out,
        to=to,
        task="text-classification",
        labels=["a", "b", "c"],
        preprocessing=steps,
        assets=assets,
    )


def save_tokenizer(path: Path) -> None:
    """Write a tokenizer of single characters."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    words = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def make_run(out: Path) -> None:
    """Write a run folder as training leaves it."""
    if out.exists():
        return
    out.mkdir(parents=True)
    model = _cnn()
    model.save(out / "model.keras")
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype("float32")
    np.savez(out / "examples.npz", **{"x/image": images, "y": np.zeros(4, int)})
    info = {
        "format_version": 1,
        "status": "complete",
        "recipe": {"name": "cnn", "seed": 1},
        "task": "image-classification",
        "model": {"name": "cnn"},
        "labels": ["a", "b", "c"],
        "preprocessing": [{"step": "image", "size": [8, 8], "channels": 1}],
        "metrics": {"accuracy": 0.5},
    }
    (out / "run.json").write_text(json.dumps(info))


def _cnn() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.MaxPooling2D()(layers.DepthwiseConv2D(3)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x), name="cnn")


def _lstm() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    steps = keras.Input((6, 4), name="sequence")
    return keras.Model(steps, layers.Dense(3, name="logits")(layers.LSTM(4)(steps)), name="lstm")


def _gpt() -> Any:
    import keras

    from zoo_models.build import get_model

    keras.utils.set_random_seed(0)
    return get_model(
        "gpt-nano", vocab_size=20, num_layers=1, hidden_dim=8, num_heads=2, max_length=8
    )
