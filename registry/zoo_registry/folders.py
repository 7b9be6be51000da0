"""What files are called in the folders of runs and bundles, which more than one room reads."""

from __future__ import annotations

# Of a run.
INFO = "run.json"
MODEL = "model.keras"
# Of a bundle.
MANIFEST = "manifest.json"
# Of both: the files that preprocessing names.
ASSETS = "assets"
TOKENIZER = "tokenizer.json"
