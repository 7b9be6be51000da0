"""One explanation from its request: the input is read, attributed and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.explanation.perturbation import Score, faithfulness, kernel_shap, lime, occlusion
from zoo_recipes.explanation.reading import Segmentation, read_input
from zoo_recipes.explanation.result import Explanation
from zoo_recipes.explanation.target import (
    TASKS,
    Array,
    Arrays,
    AttributionTarget,
    Features,
    SpanTarget,
    answer_in,
)
from zoo_recipes.run import Run
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_runtime.trained import KERAS, Trained

# Rows, and values of an output, that are predicted together: more would fill the memory.
_BATCH, _NUMBERS = 64, 2**24


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much work a method does.

    Args:
        steps: Points on the way of integrated gradients.
        samples: Predictions of LIME, 1000 by default, and of SHAP, by default 2048 and two for
            each feature; their authors have it so.
        layer: Of Grad-CAM; the last convolution by default.
        seed: Of all that is drawn.

    Raises:
        UsageError: Too few steps or samples, or a seed below 0.
    """

    steps: int = 64
    samples: int | None = None
    layer: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        least_of = {"steps": 1, "samples": 10, "seed": 0}
        for name, least in least_of.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise UsageError(f"{name}={number}: use {least} or more.")


@dataclass(frozen=True)
class _Case:
    model: Any
    features: Features
    target: AttributionTarget | SpanTarget
    logit: Score
    effort: Effort


@dataclass(frozen=True)
class _Attribution:
    values: Array
    elements: Array | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A row of ``METHODS``.

    Args:
        attribute: Does it.
        paper: Where it is from.
        needs_model: Whether it looks inside the Keras model, or predictions are enough.
        images_only: Whether it knows images alone.
    """

    attribute: Callable[[_Case], _Attribution]
    paper: str
    needs_model: bool = False
    images_only: bool = False


def _integrated_gradients(case: _Case) -> _Attribution:
    from zoo_recipes.explanation.gradients import integrated_gradients

    elements, gap = integrated_gradients(case.model, case.features, case.target, case.effort.steps)
    total = float(elements.sum())
    facts = {"sum of attributions": total, "completeness gap": gap}
    return _Attribution(case.features.sums(elements), elements, facts)


def _grad_cam(case: _Case) -> _Attribution:
    from zoo_recipes.explanation.gradients import grad_cam

    elements, layer = grad_cam(case.model, case.features, case.target, case.effort.layer)
    return _Attribution(case.features.sums(elements), elements, {"layer": layer})


def _occlusion(case: _Case) -> _Attribution:
    return _Attribution(occlusion(case.logit, len(case.features)))


def _lime(case: _Case) -> _Attribution:
    count, effort = len(case.features), case.effort
    samples = effort.samples or 1000
    values, explained = lime(case.logit, count, samples=samples, seed=effort.seed)
    return _Attribution(values, facts={"variance explained (R2)": explained})


def _shap(case: _Case) -> _Attribution:
    count, effort = len(case.features), case.effort
    samples = effort.samples or 2 * count + 2048
    values, nothing = kernel_shap(case.logit, count, samples=samples, seed=effort.seed)
    facts = {"logit of nothing": nothing, "sum of attributions": float(values.sum())}
    return _Attribution(values, facts=facts)


METHODS = {
    "integrated-gradients": Method(
        _integrated_gradients, "https://arxiv.org/abs/1703.01365", needs_model=True
    ),
    "grad-cam": Method(
        _grad_cam, "https://arxiv.org/abs/1610.02391", needs_model=True, images_only=True
    ),
    "occlusion": Method(_occlusion, "https://arxiv.org/abs/1311.2901"),
    "shap": Method(_shap, "https://arxiv.org/abs/1705.07874"),
    "lime": Method(_lime, "https://arxiv.org/abs/1602.04938"),
}


def explain_trained(
    trained: Trained,
    raw: Any,
    method: str,
    *,
    runtime: str | None = None,
    label: str | None = None,
    word: str | None = None,
    segmentation: Segmentation | None = None,
    effort: Effort | None = None,
) -> Explanation:
    """Return what in an input a model's prediction depends on.

    Args:
        trained: The model.
        raw: Path of an image or an audio clip, a text or two in a tuple, or an array.
        method: One of ``METHODS``.
        runtime: What computes, as :meth:`zoo_runtime.trained.Trained.runtime` takes it.
        label: The class; the most probable one by default.
        word: That whose tag is explained; ``the#2`` is the second one of several.
        segmentation: How the input is cut into features.
        effort: How much work is done.

    Raises:
        UsageError: An unknown method or class, or a method that this model or input cannot have.
        ZooError: The model gives no finite answer once features are taken away.
    """
    chosen, used = find_method(method), trained.runtime(runtime)
    _check_task(trained)
    model = _model_of(trained, method) if chosen.needs_model else None
    effort = effort or Effort()
    read = read_input(trained, raw, segmentation or Segmentation(), word)
    features = read.features
    if chosen.images_only and features.kind != "image":
        raise UsageError(f"Method '{method}' is for images; this input is a {features.kind}.")
    runner = trained.runner(used)

    def predict(inputs: Arrays) -> Array:
        return np.asarray(answer_in(runner.run(inputs), np.stack), np.float32)

    logits = predict(features.inputs)
    target = read.choose(logits, label)
    rows = max(1, min(_BATCH, _NUMBERS // logits.size))

    def answers(present: Array, of: Callable[[Array], Array]) -> Array:
        parts = (present[at : at + rows] for at in range(0, len(present), rows))
        found = np.concatenate([of(predict(features.keep(part))) for part in parts])
        if not np.isfinite(found).all():
            raise ZooError(
                f"'{trained}' gives NaN or infinite logits once parts of the input are taken away: "
                "try another baseline."
            )
        return found

    def logit(present: Array) -> Array:
        return answers(present, target.logit).astype(np.float64)

    found = chosen.attribute(_Case(model, features, target, logit, effort))
    return Explanation(
        model=trained.name,
        path=Path(str(trained)),
        computes="Keras" if used == KERAS else used,
        method=method,
        paper=chosen.paper,
        features=features,
        target=target,
        score=float(target.score(logits)[0]),
        best=read.choose(logits, None).label,
        values=found.values,
        elements=features.spread(found.values) if found.elements is None else found.elements,
        facts=found.facts,
        faithfulness=faithfulness(
            lambda present: answers(present, target.score),
            found.values,
            seed=effort.seed,
        ),
    )


def find_method(name: str) -> Method:
    """Return a method.

    Raises:
        UsageError: There is none of that name.

    Example:
        >>> find_method("lime").paper
        'https://arxiv.org/abs/1602.04938'
    """
    if name not in METHODS:
        raise UsageError(
            f"There is no method '{name}'.{did_you_mean(name, METHODS)} There are: "
            f"{', '.join(METHODS)}."
        )
    return METHODS[name]


def _model_of(trained: Trained, method: str) -> Any:
    if isinstance(trained, Run):
        return trained.model()
    others = ", ".join(name for name, row in METHODS.items() if not row.needs_model)
    raise UsageError(
        f"Method '{method}' looks inside the Keras model, which a bundle does not have: explain "
        f"the run, or use one of: {others}."
    )


def _check_task(trained: Trained) -> None:
    if trained.task not in TASKS:
        raise UsageError(
            f"'{trained}' is a model for {trained.task or 'an unknown task'}: what can be "
            f"explained is one answer, of {', '.join(TASKS)}."
        )
