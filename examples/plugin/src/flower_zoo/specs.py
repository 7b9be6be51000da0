"""What Kerazoo reads to list and describe: data only, nothing heavy is imported."""

from pathlib import Path

from zoo import DatasetSpec, ModelSpec, TensorSpec

GATED_MLP = ModelSpec(
    name="gated-mlp",
    builder="flower_zoo.gated_mlp:gated_mlp",
    tasks=("classification",),
    defaults={"num_features": 4, "hidden_dim": 16, "num_classes": 3},
    inputs=(TensorSpec("features", (4,)),),
    num_params=219,
    macs=176,
    summary="An MLP with one gated linear unit, for tables of numbers.",
    paper="Shazeer, GLU Variants Improve Transformer, 2020, https://arxiv.org/abs/2002.05202",
    license="Apache-2.0",
    tags=("tabular",),
)

IRIS_FLOWERS = DatasetSpec(
    name="iris_flowers",
    builder="flower_zoo.iris:IrisFlowers",
    summary="150 iris flowers, four measurements in centimetres each, of three species.",
    license="CC-BY-4.0",
)

IRIS_RECIPE = Path(__file__).with_name("iris-gated-mlp.toml")
