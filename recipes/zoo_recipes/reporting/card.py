"""The model card of a run as the Hugging Face hub reads it: metadata, then Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo_recipes.reporting import facts
from zoo_recipes.run import Run, load_run
from zoo_system.durable import write_text

CARD = "README.md"
# Our tasks in the hub's words; `multi-label` and others have no word of their own there.
PIPELINE_TAGS = {
    "audio-classification": "audio-classification",
    "causal-lm": "text-generation",
    "classification": "tabular-classification",
    "features": "feature-extraction",
    "image-classification": "image-classification",
    "masked-lm": "fill-mask",
    "object-detection": "object-detection",
    "pretraining": "fill-mask",
    "question-answering": "question-answering",
    "rating": "tabular-regression",
    "regression": "tabular-regression",
    "sentence-embedding": "sentence-similarity",
    "seq2seq": "text2text-generation",
    "text-classification": "text-classification",
    "token-classification": "token-classification",
}
# Those of the hub's identifiers that licences of data and weights have; others are `other`.
_LICENSES = re.compile(
    r"(apache-2\.0|mit|bsd-[23]-clause|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.0|gpl-[23]\.0|"
    r"lgpl-[23]\.0|mpl-2\.0|odbl|pddl|unlicense)"
)


def card(run: Run | str | Path, *, out: str | Path | None = None) -> Path:
    """Write the model card of a run.

    Args:
        run: A complete run or its folder.
        out: The file; ``README.md`` in the run's folder by default. It is replaced.

    Returns:
        The file.

    Raises:
        UsageError: No complete run.
        ZooError: The file cannot be written.
    """
    run = run if isinstance(run, Run) else load_run(run)
    path = Path(out) if out is not None else run.path / CARD
    text = f"---\n{metadata(run).to_yaml()}\n---\n\n{body(run)}"
    write_text(path, text)
    return path


def metadata(run: Run) -> Any:
    """Return the ``huggingface_hub.ModelCardData`` of a run."""
    from huggingface_hub import ModelCardData

    info, spec = run.info, facts.model_spec(run)
    named = (spec.family, *spec.tags) if spec else ()
    source = (info.model.weights and info.model.weights.source) or ""
    base = re.fullmatch(r"hf://([^@]+)(@.*)?", source)
    return ModelCardData(
        model_name=run.recipe.name,
        library_name="keras",
        pipeline_tag=PIPELINE_TAGS.get(info.task or ""),
        tags=list(dict.fromkeys(["keras", "kerazoo", *named])),
        datasets=[info.dataset.name],
        metrics=[name for name in run.metrics if name != "loss"],
        base_model=base[1] if base else None,
        eval_results=_results(run),
        **_license(info.license or ""),
        **_emissions(run),
    )


def body(run: Run) -> str:
    """Return the text of the card."""
    sections = [
        f"# {run.recipe.name}\n\n{_description(run)}",
        f"## How to use it\n\n{_use(run)}",
        f"## Training data\n\n{_list(facts.data(run))}",
        f"## Training procedure\n\n{_list(facts.about(run))}\n\n"
        f"The whole recipe is `recipe.toml`; `zoo reproduce .` trains it again and compares the "
        "weights.\n\n![Metrics by epoch](curves.png)",
        f"## Evaluation\n\nOn split `{facts.tested(run).split}` of {run.info.dataset.name}:"
        f"\n\n{_list([(k, f'{v:.4f}') for k, v in run.metrics.items()])}\n\n{facts.verdict(run)}",
        f"## Limits\n\n{_bullets(_limits(run))}",
        _impact(run),
        _citation(run),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _results(run: Run) -> list[Any]:
    from huggingface_hub import EvalResult

    dataset, task = run.info.dataset, run.info.task or ""
    return [
        EvalResult(
            task_type=PIPELINE_TAGS.get(task, "other"),
            task_name=task or None,
            dataset_type=dataset.name,
            dataset_name=dataset.name,
            dataset_split=facts.tested(run).split,
            dataset_revision=dataset.version,
            metric_type=name,
            metric_name=name,
            metric_value=value,
        )
        for name, value in run.metrics.items()
    ]


def _license(text: str) -> dict[str, str]:
    """Return a licence as the hub has it: one of its identifiers, or a name of our own."""
    identifier = re.sub(r" \(.*\)$", "", text).lower()
    if not text:
        return {}
    if _LICENSES.fullmatch(identifier):
        return {"license": identifier}
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
    return {"license": "other", "license_name": name}


def _emissions(run: Run) -> dict[str, Any]:
    energy = run.info.cost.energy if run.info.cost else None
    if energy is None:
        return {}
    fresh = run.info.model.weights is None
    return {
        "co2_eq_emissions": {
            "emissions": energy.kg_co2eq * 1000,  # the hub counts grams
            "source": energy.found_by,
            "training_type": "pre-training" if fresh else "fine-tuning",
            "geographical_location": energy.country,
            "hardware_used": ", ".join(device.name for device in run.info.devices),
        }
    }


def _description(run: Run) -> str:
    spec = facts.model_spec(run)
    about = f" The model: {spec.summary}" if spec and spec.summary else ""
    return f"{run.recipe.summary}{about}\n\nTrained with Kerazoo; the weights are `model.keras`."


def _use(run: Run) -> str:
    answer = "outputs"
    classifying = ("image-classification", "text-classification", "audio-classification")
    if run.info.task in classifying and run.info.labels:
        answer = "[run.info.labels[best] for best in outputs.argmax(axis=-1)]"
    lines = f"""
        import numpy as np
        import zoo

        run = zoo.load_run(".")
        model = run.model()
        with np.load("examples.npz") as stored:  # held-out examples, prepared
            inputs = {{name[2:]: stored[name][:3] for name in stored if name.startswith("x/")}}
        outputs = model.predict(inputs, verbose=0)
        print({answer})
    """
    return (
        "Run this in the folder that this card is in (`pip install kerazoo`):\n\n"
        f"```python\n{textwrap.dedent(lines).strip()}\n```\n\n"
        "On inputs of your own, and without Keras:\n\n"
        "```sh\nzoo export . --to onnx --out bundle\nzoo predict bundle INPUT\n```"
    )


def _limits(run: Run) -> Iterator[str]:
    info = run.info
    yield (
        f"The metrics are of {facts.tested(run).examples:,} examples of {info.dataset.name}: of "
        "other data they say nothing."
    )
    if info.labels:
        yield (
            f"It knows {len(info.labels)} classes, and gives one of them for whatever it is shown."
        )
    for part, count in info.truncated.items():
        yield f"{count} inputs of the {part} split were longer than it takes, and were cut off."
    for part, count in info.shared.items():
        yield f"{count} inputs of the {part} split were trained on too: its metrics may flatter it."
    if not any((run.path / "evaluations").glob("*-by-*")):
        yield "It was not measured group by group: whom it serves worse is not known."
    if changed := facts.changes(run):
        yield f"Its settings are not those of the recipe of that name: {', '.join(changed)}."


def _impact(run: Run) -> str:
    rows = facts.cost(run.info)
    return f"## Environmental impact\n\n{_list(rows)}" if rows else ""


def _citation(run: Run) -> str:
    spec = facts.model_spec(run)
    return f"## Citation\n\nThe architecture: {spec.paper}" if spec and spec.paper else ""


def _list(rows: facts.Facts) -> str:
    return _bullets(f"**{name}:** {value}" for name, value in rows)


def _bullets(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)
