"""The notebooks were run from the first cell to the last, without an error, with names that are."""

import ast
import json
from pathlib import Path

import pytest

import zoo

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run(path):
    text = path.read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {
        *("stream", "execute_result", "display_data"),
    }
    assert not any(output.get("name") == "stderr" for output in outputs)
    used = {
        node.attr
        for cell in cells
        for node in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id == "zoo"
    }
    assert used
    assert used <= {*dir(zoo)}
    assert "/tmp/" not in text, "a path of the machine that ran it"
