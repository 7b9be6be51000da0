"""What is reported of a run, in its report and its card."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import zoo_registry
from zoo_recipes.configs import Expected
from zoo_recipes.reporting.comparing import flat
from zoo_recipes.run import Run
from zoo_registry import DuplicateNameError, ModelSpec, PluginError, UnknownNameError, UsageError
from zoo_runtime.run_info import RECIPE, Energy, ModelInfo, RunInfo, SplitInfo, resuming
from zoo_system.errors import first_line
from zoo_system.folders import INFO

Facts = list[tuple[str, str]]
_USES = {"train": "training", "validation": "validation", "test": "the test"}
_MAX_LABELS = 30


def model_spec(run: Run) -> ModelSpec | None:
    """Return what is known of the run's model, ``None`` where its package is not installed."""
    found: ModelSpec | None = _registered(zoo_registry.models, run.info.model.name)
    return found


def _registered(registry: zoo_registry.Registry[Any], name: str) -> Any:
    """Return what a name stands for now; ``None`` where its package is not there, or is broken."""
    try:
        return registry.get(name)
    except (UnknownNameError, PluginError, DuplicateNameError):
        return None


def about(run: Run) -> Facts:
    """Return what was trained."""
    info, settings = run.info, run.recipe
    weights = info.model.weights
    return _filled(
        ("Recipe", settings.name),
        ("Model", f"{info.model.name} for {info.task or 'its own task'}"),
        ("Parameters", _parameters(info.model)),
        ("Began with", (weights and weights.source) or "fresh weights"),
        ("Precision", info.model.precision),
        ("Classes", _labels(info.labels)),
        ("Seed", info.seed),
        ("Status", run.status if run.status == "complete" else _stopped(run)),
        ("Trained", f"{info.started} to {info.finished or 'now'}"),
        ("Resumed", ", ".join(f"at {position}" for position in info.resumed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ("Licence", info.license),
    )


def data(run: Run) -> Facts:
    """Return what it was trained on."""
    dataset = run.info.dataset
    parts = [
        (
            f"Split for {_USES[part]}",
            f"{split.split}, {split.examples:,} examples, sha256 {split.sha256}",
        )
        for part, split in dataset.splits.items()
    ]
    return _filled(
        ("Data set", f"{dataset.name} {dataset.version or ''}".strip()),
        *parts,
        ("Fingerprint", dataset.fingerprint),
    )


def tested(run: Run) -> SplitInfo:
    """Return the split that the run's metrics are of.

    Raises:
        UsageError: ``run.json`` has no record of it.
    """
    if "test" not in run.info.dataset.splits:
        raise UsageError(f"'{run.path / INFO}' is damaged: it has no 'test'.")
    return run.info.dataset.splits["test"]


def cost(info: RunInfo) -> Facts:
    """Return what a training took; nothing where an older version recorded nothing.

    Args:
        info: What ``run.json`` holds.

    Example:
        >>> from zoo_runtime.run_info import Cost
        >>> cost(RunInfo(status="complete", recipe={}, cost=Cost(seconds=75)))[0]
        ('Time', '1 min 15 s')
    """
    found = info.cost
    if found is None:
        return []
    gpus = sum(device.type == "GPU" for device in info.devices)
    peak, energy = found.peak_memory_mb, found.energy
    return _filled(
        ("Time", duration(found.seconds)),
        ("Processor time", duration(found.cpu_seconds)),
        ("GPU time", duration(gpus * found.seconds) if gpus and found.seconds else ""),
        ("Peak memory", "" if peak is None else f"{peak:,.0f} MB of the process"),
        ("Devices", "; ".join(f"{device.type}: {device.name}" for device in info.devices)),
        ("Energy", f"{energy.kwh:.3g} kWh" if energy else ""),
        ("CO2eq", f"{energy.kg_co2eq:.3g} kg, grid of {energy.country}" if energy else ""),
        ("Energy of", _fraction(energy, found.seconds) if energy else ""),
        ("Energy by", energy.found_by if energy else ""),
    )


def verdict(run: Run) -> str:
    """Return in sentences what came out, and whether it is what the recipe promises."""
    promised = run.recipe.expected
    if run.status != "complete":
        return f"There is no result: the training {_stopped(run)}."
    if promised is None or promised.metric not in run.metrics:
        return "The recipe promises no result."
    result = _compared(run.metrics[promised.metric], promised)
    changed = changes(run)
    if not changed:
        return result
    settings = "; ".join(f"{key} {mine} (not {its})" for key, (its, mine) in changed.items())
    return f"{result} This run has other settings than the recipe of that name: {settings}."


def changes(run: Run) -> dict[str, tuple[str, str]]:
    """Return the settings that are not those of the registered recipe: its value and the run's."""
    registered = _registered(zoo_registry.recipes, run.recipe.name)
    if registered is None:
        return {}
    its, mine = (dict(flat(recipe)) for recipe in (registered.to_dict(), run.recipe.to_dict()))
    keys = [key for key in {**its, **mine} if key != "seed" and its.get(key) != mine.get(key)]
    return {key: (its.get(key, "unset"), mine.get(key, "unset")) for key in keys}


def commands(run: Run) -> Facts:
    """Return what can be done with a run: in words, and the command."""
    folder = shlex.quote(str(run.path))
    if run.status != "complete":
        return [("Go on with it", resuming(run.path))]
    recipe = shlex.quote(str(run.path / RECIPE))
    return [
        ("Train it again and compare the weights", f"zoo reproduce {folder}"),
        ("Train it with another seed", f"zoo train {recipe} --seed 1 --out runs/again"),
        ("Measure it again", f"zoo evaluate {folder}"),
        ("Export it", f"zoo export {folder} --to tflite,onnx,saved_model"),
        ("Write its model card", f"zoo card {folder}"),
    ]


def duration(seconds: float | None) -> str:
    """Return a time in readable form, nothing where it is not known.

    Example:
        >>> duration(6.387), duration(75), duration(7384)
        ('6.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _filled(*facts: tuple[str, Any]) -> Facts:
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def _parameters(model: ModelInfo) -> str:
    if model.num_params is None:
        return ""
    trained = model.num_params if model.num_trained is None else model.num_trained
    return f"{model.num_params:,}, of which {trained:,} were trained"


def _labels(labels: Sequence[str] | None) -> str:
    if not labels:
        return ""
    rest = len(labels) - _MAX_LABELS
    return ", ".join(labels[:_MAX_LABELS]) + (f" and {rest} more" if rest > 0 else "")


def _stopped(run: Run) -> str:
    error = run.info.error
    return f"was {run.status}" if error is None else f"failed: {first_line(error)}"


def _fraction(energy: Energy, seconds: float | None) -> str:
    measured = energy.seconds
    return (
        ""
        if seconds is None or measured > 0.99 * seconds
        else f"{duration(measured)} of {duration(seconds)}"
    )


def _compared(value: float, promised: Expected) -> str:
    result = f"{promised.metric} {value:.4f} on the test split"
    if promised.published:
        return f"{result}. Published is {promised.value:g} ({promised.published})."
    off = value - promised.value
    if abs(off) <= promised.tolerance:
        return (
            f"{result}: the {promised.value:g} ± {promised.tolerance:g} that the recipe promises."
        )
    where = "above" if off > 0 else "below"
    return (
        f"{result}: {abs(off):.4f} {where} the {promised.value:g} ± {promised.tolerance:g} that "
        "the recipe promises."
    )
