"""A real Chromium, a server for the folders it opens, and texts to try on it."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 60
TEXTS = [
    "Où est la bibliothèque, s\u2019il vous plaît ?",
    "我不知道你在說什麼 𠀀𪚥\uff0c漢字かな交じり文。",
    "ΟΔΥΣΣΕΥΣ İstanbul ǅ ﬁne straße e\u0301 e\u0308 हिन्दी ไทย עברית العربية",
    "👩‍👩‍👧‍👦 🇺🇳 ✌🏽 emoji  and\ttabs\n\nand   spaces \u00a0\u3000\u0085\ufeff here",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 4,
    "don't we'll I'M it's 3.14 x² ½ 100,000 #tag @you [PAD] [CLS] [SEP][EOS]<|endoftext|>",
    "x" * 101 + " " + "y" * 100,
    "\u200b\u200d\u00ad zero \u202e width \x07 bell",
]


@contextmanager
def chromium(profile: Path):
    """Open a browser, or skip; where KERAZOO_TEST_BROWSER says so, its lack is a failure."""
    binary, tool = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and tool):
        lack = "chromium and chromedriver are not installed: apt-get install chromium-driver"
        (pytest.fail if os.environ.get("KERAZOO_TEST_BROWSER") else pytest.skip)(lack)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, "--window-size=1100,1000", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(tool))
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as ``python -m http.server`` does, and give its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def write_tokenizers(folder: Path) -> None:
    """Write a file for each kind of tokenizer that recipes and snapshots bring."""
    from zoo_models.weights.tokenizer import read_tokenizer
    from zoo_recipes.arrays.vocabulary import make_tokenizer
    from zoo_recipes.configs import TokenizerConfig

    texts = [*TEXTS, *(text.lower() for text in TEXTS)] * 3
    kinds = {
        "bpe": {"kind": "bpe", "lowercase": True, "add_prefix_space": True},
        "bpe-framed": {"kind": "bpe", "framed": True, "strip_accents": True},
        "wordpiece": {"kind": "wordpiece", "lowercase": True, "strip_accents": True},
        "wordpiece-cased": {"kind": "wordpiece", "lowercase": False, "strip_accents": False},
        "char": {"kind": "char", "lowercase": True},
    }
    for name, table in kinds.items():
        made = make_tokenizer(TokenizerConfig(vocab_size=700, **table), texts)
        made.save(str(folder / f"{name}.json"))
    one_by_one = json.loads((folder / "bpe.json").read_text(encoding="utf-8"))
    digits = {"type": "Digits", "individual_digits": True}
    split = {"type": "Sequence", "pretokenizers": [digits, one_by_one["pre_tokenizer"]]}
    (folder / "bpe-digits.json").write_text(
        json.dumps({**one_by_one, "pre_tokenizer": split}), encoding="utf-8"
    )
    pieces = list(json.loads((folder / "wordpiece.json").read_text())["model"]["vocab"])
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    read_tokenizer(folder).save(str(folder / "bert.json"))
