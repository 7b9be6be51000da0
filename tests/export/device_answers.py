"""What runs on a device: every kind of input is asked for its answer. ``RUNTIME FOLDER``."""

import importlib
import json
import pkgutil
import sys
from importlib.metadata import distributions
from pathlib import Path

PACKAGES = ("zoo_system", "zoo_registry", "zoo_runtime")
UNIX = ("fcntl", "resource")
HEAVY = {"tensorflow", "keras", "onnx", "pydantic", "scikit-learn", "kerazoo"}


def raws(folder):
    """Return the raw inputs by what they are, each with the bundle that takes it."""
    import numpy as np

    digit, sound = np.load(folder / "digit.npy"), np.load(folder / "sound.npy")
    return {
        "array": ("image", digit),
        "file": ("image", folder / "digit.png"),
        "larger": ("image", digit.repeat(2, 0).repeat(2, 1)),
        "text": ("text", "what is this?"),
        "samples": ("sound", sound),
        "recording": ("sound", folder / "sound.wav"),
        "rate": ("sound", (sound, 16_000)),
    }


def answers(runtime, folder):
    """Return what every raw input is answered with, or the message about what is missing."""
    from zoo_runtime import ZooError, load_bundle, verify

    bundles = {name: load_bundle(folder / name) for name in ("image", "text", "sound")}
    found = {}
    for name, (bundle, raw) in raws(folder).items():
        try:
            [answer] = bundles[bundle].predict(raw, runtime=runtime)
            found[name] = [answer.label, round(float(answer.probability), 4)]
        except ZooError as error:
            found[name] = str(error)
    for name, bundle in bundles.items():
        found[f"{name} verified"] = [row.ok for row in verify(bundle, runtime=runtime)]
    return found


def import_all():
    """Import every module of the three packages, and return how many there are."""
    names = [
        module.name
        for package in map(importlib.import_module, PACKAGES)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    for name in names:
        importlib.import_module(name)
    return len(names)


if __name__ == "__main__":
    runtime, folder = sys.argv[1], Path(sys.argv[2])
    found = answers(runtime, folder)
    found["modules"] = import_all()
    found["others"] = sorted({d.name.lower() for d in distributions()} & HEAVY)
    found["hidden"] = sorted(
        name for name in ("fcntl", "resource") if sys.modules.get(name, "") is None
    )
    print(json.dumps(found))
