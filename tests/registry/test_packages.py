"""Debian packages: fetched from a mirror that is a folder here, checked and unpacked."""

import hashlib
import io
import tarfile

import pytest

from zoo_registry import ZooError
from zoo_system.fetching import Package, unpacked

POOL = "main/h/hello"


def tar_of(**files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"./usr/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def deb_of(members):
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts += [header.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package on a mirror and return how it is pinned."""

    def put(content):
        file = tmp_path / "mirror" / "pool" / POOL / "hello_1.0-1_all.deb"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        monkeypatch.setenv("DEBIAN_MIRROR", f"{(tmp_path / 'mirror').as_uri()}/")
        monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))
        return Package("hello", "1.0-1", hashlib.sha256(content).hexdigest(), pool=POOL)

    return put


def test_the_files_of_a_package(package):
    # A member of an odd number of bytes is filled up, so that the next begins at an even offset.
    members = {"debian-binary": b"2.0", "control.tar.xz": tar_of(control="x")}
    pinned = package(deb_of({**members, "data.tar.xz": tar_of(greeting="hi")}))
    assert (unpacked(pinned) / "usr" / "greeting").read_text(encoding="utf-8") == "hi"
    assert not (pinned.folder / "usr" / "control").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "it is not an ar archive"),
        (deb_of({"debian-binary": b"2.0\n"}), "'hello_1.0-1_all.deb' has no data.tar in it"),
    ],
)
def test_what_is_no_package(package, content, reason):
    with pytest.raises(ZooError) as caught:
        unpacked(package(content))
    assert str(caught.value) == f"'hello_1.0-1_all.deb' cannot be unpacked: {reason}"


def test_another_package_than_the_pinned_one_and_none(package, tmp_path):
    pinned = package(b"something")
    other = Package("hello", "1.0-1", "0" * 64, pool=POOL)
    with pytest.raises(ZooError, match=rf"has the sha256 {pinned.digest}, not 0000.*: it is not"):
        unpacked(other)
    gone = Package("hello", "2.0-1", pinned.digest, pool=POOL)
    with pytest.raises(ZooError, match=r"^'file:.*/hello_2\.0-1_all\.deb' cannot be fetched: "):
        unpacked(gone)
    assert not list((tmp_path / "cache" / "packages").iterdir())


def test_debians_own_mirror_is_asked_unless_another_is_named(monkeypatch):
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    wanted = "https://deb.debian.org/debian/pool/main/h/hello/hello_1_all.deb"
    assert Package("hello", "1", "0" * 64, pool=POOL).address == wanted
