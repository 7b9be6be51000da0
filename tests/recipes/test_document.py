"""The page of all recipes."""

from zoo_recipes.document import PAGE, page


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m zoo_recipes.document"
