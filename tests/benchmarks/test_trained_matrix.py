"""The matrix of trained recipes: the same in both files, every hole explained, honest scores."""

import pytest

import zoo_registry
from benchmarks.support.trained import ACCURACY, COMMAND, DATA, columns, document, read, wanted

# Minutes of a training: of these every recipe has a row.
QUICK = 1.0


@pytest.fixture(scope="module")
def found():
    return read()


def test_the_document_is_what_its_json_says(found):
    assert DATA.with_suffix(".md").read_text(encoding="utf-8") == document(found)


def test_every_row_has_every_scheme_and_every_hole_a_reason(found):
    assert {row.recipe for row in found.rows} >= {*wanted(QUICK)}, f"run `{COMMAND}`"
    for row in found.rows:
        assert row.recipe in wanted()
        recipe = zoo_registry.recipes.get(row.recipe)
        assert row.model == recipe.model.name
        assert [*row.cells] == [name for name in columns(recipe.model.task) if name in row.cells]
        assert row.cells.keys() >= {*columns()}, row.recipe
        for name, cell in row.cells.items():
            where = f"{row.recipe} in {name}"
            assert (cell.size is None) == bool(cell.reason), where
            assert cell.size is None or cell.score is not None, where
        assert row.cells["onnx"].size
        if row.measure == ACCURACY and recipe.expected.metric == ACCURACY:
            # What the run keeps of the test split has about the accuracy that is promised of all.
            assert row.keras == pytest.approx(recipe.expected.value, abs=0.05), row.recipe
            assert row.cells["onnx"].score == pytest.approx(row.keras, abs=0.005), row.recipe
