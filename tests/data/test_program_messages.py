"""Messages of programs: what is read of the catalogs in Debian's packages, and how it is split."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from pathlib import Path

import polib
import pytest

from kerazoo_data import program_messages
from kerazoo_data.django_translations import letters
from kerazoo_data.program_messages import ProgramMessages, clean
from kerazoo_data.specs import CATALOG_PACKAGES, OTHER_CATALOG_PACKAGES
from zoo_recipes.datasets.reading import read_split
from zoo_registry import ZooError
from zoo_system.fetching import Package, unpacked

FOLDER = "usr/share/locale/de/"


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Put a package with the catalog of a program on a mirror, and return how it is pinned."""
    monkeypatch.setenv("DEBIAN_MIRROR", (tmp_path / "mirror").as_uri())
    monkeypatch.setenv("KERAZOO_CACHE", str(tmp_path / "cache"))

    def put(name: str, messages: dict[str, str], folder: str = FOLDER) -> Package:
        catalog = polib.POFile()
        catalog.metadata = {"Content-Type": "text/plain; charset=utf-8"}
        catalog.extend(polib.POEntry(msgid=one, msgstr=two) for one, two in messages.items())
        catalog.append(
            polib.POEntry(
                msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "%d Datei", 1: "%d"}
            )
        )
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:xz") as tar:
            for path in (f"{folder}LC_MESSAGES/{name}.mo", f"usr/share/{name}/large.bin"):
                entry = tarfile.TarInfo(f"./{path}")
                content = catalog.to_binary() if path.endswith(".mo") else bytes(999)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        content = data.getvalue()
        header = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        deb = b"!<arch>\n" + header.encode() + content
        file = tmp_path / "mirror" / "pool" / name / f"{name}_1_all.deb"
        file.parent.mkdir(parents=True)
        file.write_bytes(deb)
        digest = hashlib.sha256(deb).hexdigest()
        return Package(name, "1", digest, pool=name, files=(FOLDER,))

    return put


def test_catalogs_are_read_and_split_by_message_and_by_program(packed, monkeypatch, tmp_path):
    # Enough messages that each split has some.
    numbered = {f"Open the {word}": f"{word} öffnen" for word in words("file", 300)}
    one = packed("one", {**numbered, "_Quit": "_Beenden", "Close": "Zumachen", "Text": "Text"})
    two = packed("two", {"&Close": "S&chließen", "E&xit": "&Beenden"})
    three = packed("three", {"Close": "Schließen", "<b>Bold</b>": "<b>Fett</b>"})
    new = {f"Burn the {word}": f"{word} brennen" for word in words("disc", 20)}
    other = packed("other", {**new, "close...": "Schließen...", "Leave": "Beenden"})
    monkeypatch.setattr(program_messages, "CATALOG_PACKAGES", (one, two, three))
    monkeypatch.setattr(program_messages, "OTHER_CATALOG_PACKAGES", (other,))
    builder = ProgramMessages(data_dir=tmp_path / "data")
    builder.download_and_prepare()
    parts = {
        split: read_split(builder, split, input=("english", "german"), label=None).raws
        for split in ("train", "validation", "same_programs", "test")
    }
    # Those with a plural, with markup, or the same in German are left out.
    known = dict(parts["train"]) | dict(parts["validation"]) | dict(parts["same_programs"])
    assert known == {**numbered, "Quit": "Beenden", "Exit": "Beenden", "Close": "Schließen"}
    assert 1 <= len(parts["validation"]) < len(parts["same_programs"]) < 30
    # What the other program has in common with them is not there to test on.
    assert dict(parts["test"]) == new
    seen = {text for pair in parts["train"] for text in letters((pair[0], "", pair[1]))}
    for split in ("validation", "same_programs", "test"):
        assert seen.isdisjoint(text for e, g in parts[split] for text in letters((e, "", g)))
    # Of a package nothing but its German catalogs is kept.
    assert [path.name for path in one.folder.rglob("*") if path.is_file()] == ["one.mo"]


def words(word: str, count: int) -> list[str]:
    """Return words of letters alone, all different."""
    return [f"{word}{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(count)]


def test_a_package_without_its_catalogs_is_refused(packed):
    pinned = packed("elsewhere", {"Quit": "Beenden"}, folder="usr/share/locale/nl/")
    with pytest.raises(ZooError) as caught:
        unpacked(pinned)
    assert str(caught.value) == (
        "'elsewhere_1_all.deb' cannot be unpacked: \"folder './usr/share/locale/de/' not found\""
    )


@pytest.mark.parametrize(
    ("english", "german", "wanted"),
    [
        ("E_xit", "_Beenden", ("Exit", "Beenden")),
        ("Drag & Drop", "Ziehen & Ablegen", ("Drag & Drop", "Ziehen & Ablegen")),
        ("~Open...", "Ö~ffnen …", ("Open...", "Öffnen...")),
        ("Found %d files", "%d Dateien gefunden", ("Found %d files", "%d Dateien gefunden")),
        ("Page %1", "Seite %1", ("Page %1", "Seite %1")),
        ("Found %d files", "Dateien gefunden", None),
        ("%5.2f seconds", "%5.2f Sekunden", None),
        ("Channel %2d", "Kanal %2d", None),
        ("Unknown key some_key", "Unbekannter Schlüssel some_key", None),
        ("noun|Open", "Öffnen", None),
        ("{n} files", "{n} Dateien", None),
        ("Two\nlines", "Zwei\nZeilen", None),
        ("See http://gnu.org", "Siehe http://gnu.org", None),
        ("OK", "Na gut", None),
        ("one two three four five six seven", "eins zwei drei vier", None),
        ("A" + "a" * 40, "kurz", None),
        ("naïve text", "naiver Text", None),
    ],
)
def test_what_of_messages_is_left(english, german, wanted):
    assert clean(english, german) == wanted


def test_every_package_is_pinned_with_its_licence():
    table = Path(program_messages.__file__).with_name("debian-catalogs.csv")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    packages = CATALOG_PACKAGES + OTHER_CATALOG_PACKAGES
    assert [row["package"] for row in rows] == [package.name for package in packages]
    assert len({package.name for package in packages}) == len(packages) == 30
    assert all(len(package.digest) == 64 and package.files for package in packages)
    # What the data set says of them names each licence, later versions with it.
    assert {row["license"] for row in rows} == {
        *("GPL-2+", "GPL-2 or GPL-3", "GPL-3", "GPL-3+", "CC-BY-3.0 or GPL-2+"),
        *("LGPL-2 or LGPL-3", "LGPL-2+", "LGPL-2.1", "LGPL-2.1+", "MPL-2.0"),
    }
