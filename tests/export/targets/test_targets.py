"""What is refused before a page is written, and where its runtime comes from."""

import base64
import hashlib
import io
import json
import tarfile

import pytest
from export_browser import served
from tokenizers import Tokenizer, models, processors

from zoo_export.targets.browser import drawing
from zoo_export.targets.browser.texts import check_decoder, check_tokenizer, frame
from zoo_registry import ZooError
from zoo_runtime.errors import ExportError
from zoo_system.fetching import Package, unpacked


def archive(folder, members):
    path = folder / "tiny" / "-" / "tiny-1.0.0.tgz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    digest = hashlib.sha512(path.read_bytes()).digest()
    return base64.b64encode(digest).decode()


def npm_package(sha512, files):
    return Package("tiny", "1.0.0", f"sha512-{sha512}", npm=True, files=files)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Serve a registry with one package; gives its sha512."""
    members = {"package/a.js": b"1", "package/b.js": b"2", "package/../../evil.js": b"3"}
    sha512 = archive(tmp_path / "registry", members)
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
    with served(tmp_path / "registry") as address:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
        yield sha512


def test_a_package_is_fetched_once_and_only_what_is_needed(registry, monkeypatch):
    package = npm_package(registry, ("a.js",))
    folder = unpacked(package)
    assert (folder / "a.js").read_text() == "1"
    assert [p.name for p in package.folder.rglob("*") if p.is_file()] == ["a.js"]
    monkeypatch.delenv("NPM_CONFIG_REGISTRY")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert unpacked(package) == folder
    more = npm_package(registry, ("a.js", "b.js"))
    with pytest.raises(ZooError) as error:
        unpacked(more)
    assert str(error.value).startswith(
        "'http://127.0.0.1:9/tiny/-/tiny-1.0.0.tgz' cannot be fetched: "
    )
    assert str(error.value).endswith(
        f"Do this once with a connection, or copy '{more.folder}' from a machine that has it."
    )
    assert [path.name for path in more.folder.parent.iterdir()] == [package.folder.name]


def test_another_archive_than_the_pinned_one_is_refused(registry):
    package = npm_package("AAAA", ("a.js",))
    with pytest.raises(ZooError, match=r"tgz' has the sha512 .*, not AAAA: it is not used\."):
        unpacked(package)
    assert list(package.folder.parent.iterdir()) == []


def test_a_path_that_leads_out_of_the_package_is_refused(registry, tmp_path):
    package = npm_package(registry, ("../../evil.js",))
    with pytest.raises(ZooError, match=r"cannot be unpacked: .* outside the destination"):
        unpacked(package)
    assert not list(tmp_path.rglob("evil.js"))


REFUSED = {
    "model": ({"model": {"type": "Unigram"}}, "a model of type Unigram"),
    "normalizer": ({"normalizer": {"type": "Precompiled"}}, "the normalizer Precompiled"),
    "inner normalizer": (
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}},
        "the normalizer Strip",
    ),
    "splitter": ({"pre_tokenizer": {"type": "Metaspace"}}, "the pre-tokenizer Metaspace"),
    "split": (
        {"pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"}},
        "a Split at {'String': ' '}",
    ),
    "setting": ({"model": {"type": "BPE", "dropout": 0.1}}, "dropout=0.1"),
    "token": (
        {"added_tokens": [{"content": "<mask>", "lstrip": True}]},
        "the token <mask> with lstrip",
    ),
}


@pytest.mark.parametrize(("parts", "problem"), REFUSED.values(), ids=REFUSED)
def test_tokenizers_that_the_page_would_guess_at(parts, problem, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "BPE"}, **parts}))
    with pytest.raises(ExportError) as error:
        check_tokenizer(path)
    assert str(error.value) == (
        f"The page cannot tokenise as 'tokenizer.json' does: it has {problem}. It knows the models "
        "BPE, WordLevel, WordPiece, the normalizers BertNormalizer, Lowercase, NFC, NFD, NFKC, "
        "NFKD, Sequence, StripAccents and the pre-tokenizers BertPreTokenizer, ByteLevel, Digits, "
        "Sequence, Split."
    )


def test_texts_that_the_page_would_write_wrong(tmp_path):
    path = tmp_path / "tokenizer.json"
    parts = [{"type": "ByteLevel"}, {"type": "Strip", "content": " "}]
    path.write_text(json.dumps({"decoder": {"type": "Sequence", "decoders": parts}}))
    with pytest.raises(ExportError) as error:
        check_decoder(path)
    assert str(error.value) == (
        "The page cannot write text as 'tokenizer.json' does: it has the decoder Strip. It knows "
        "ByteLevel, Fuse, Sequence, WordPiece."
    )


def test_a_text_alone_is_one_segment():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[PAD]": 1}, unk_token="a"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A:1", special_tokens=[])
    with pytest.raises(ExportError, match="one text alone is not all segment 0"):
        frame(tokenizer)


def test_a_drawing_is_like_the_samples(digits):
    assert drawing(list(digits[0][:50])) == {"whiteOnBlack": True, "span": 1.0}
    assert drawing([255 - image for image in digits[0][:50]])["whiteOnBlack"] is False
    assert drawing([]) == {"whiteOnBlack": True, "span": None}
