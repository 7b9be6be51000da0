"""Write the multiply-adds of every built-in model: ``python -m zoo_models.sizing.table``.

The file is read with the catalog, so that listing and choosing need not build anything.
"""

from __future__ import annotations

import json
from pathlib import Path

import zoo_registry
from zoo_models.sizing.size import size
from zoo_registry.entries import BUILTIN_OWNER

FILE = Path(__file__).parents[1] / "catalog" / "macs.json"


def counted() -> dict[str, int]:
    """Return the multiply-adds of one example by name, texts of 128 tokens."""
    owners = zoo_registry.models.view()
    names = [name for name, owner in owners.items() if owner == BUILTIN_OWNER and "/" not in name]
    return {name: size(name).macs for name in sorted(names)}


if __name__ == "__main__":
    FILE.write_text(json.dumps(counted(), indent=1) + "\n", encoding="utf-8")
