"""A warm-up that is a share of all steps, however few there are."""

import pytest

from zoo_recipes.compiling.components import compile_arguments
from zoo_recipes.configs import CompileConfig, Component


@pytest.mark.parametrize("name", ["polynomial_decay", "cosine_decay"])
@pytest.mark.parametrize(("steps", "first"), [(3, 1e-3), (1000, 0.0)])
def test_a_share_of_few_steps_is_no_warmup(name, steps, first):
    """Small data of one's own have so few steps that a tenth of them is none."""
    schedule = Component(name=name, arguments={"warmup_steps": 0.1})
    optimizer = compile_arguments(CompileConfig(schedule=schedule), steps=steps)["optimizer"]
    assert float(optimizer.learning_rate) == pytest.approx(first, abs=2e-5)
