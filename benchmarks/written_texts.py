"""What every file of a bundle writes, beside Keras: how many texts are the same, and metrics.

    zoo train g2p-transformer --download
    zoo export runs/g2p-transformer --to tflite,onnx,saved_model
    python benchmarks/written_texts.py runs/g2p-transformer bundles/g2p-transformer

Each file writes with its cache, in its own runtime, as `zoo evaluate BUNDLE --runtime NAME` does.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zoo import evaluate, load_bundle, load_run
from zoo_recipes.evaluation.results import Evaluation
from zoo_recipes.run import Run
from zoo_runtime.bundle import Bundle

METRICS = ("exact_match", "error_rate", "bleu", "chrf")


def texts_of(
    trained: Run | Bundle, runtime: str | None, split: str
) -> tuple[list[str], Evaluation]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.csv"
        found = evaluate(trained, runtime=runtime, split=split, resamples=1, examples=path)
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
    # A table has the worst example first, where examples have a loss.
    rows.sort(key=lambda row: int(row["location"].rpartition("[")[2].rstrip("]")))
    return [row["predicted"] for row in rows], found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    wanted, keras = texts_of(load_run(arguments.run), None, arguments.split)
    table = Table("runtime", "texts as Keras", *METRICS, title=f"{keras.dataset}, {keras.split}")
    for name in ("keras", *(artifact.format for artifact in bundle.artifacts)):
        made, found = (
            (wanted, keras) if name == "keras" else texts_of(bundle, name, arguments.split)
        )
        same = sum(one == other for one, other in zip(made, wanted, strict=True))
        figures = (f"{found.metrics[metric]:.4f}" for metric in METRICS)
        table.add_row(name, f"{same:,} of {len(wanted):,}", *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
