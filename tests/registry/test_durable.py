"""Files are found whole after a power loss: shown on a disk that keeps only what was synced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zoo_registry import ZooError
from zoo_system import durable


class Disk:
    """Watches the calls of this process and says what a power loss may leave of each file.

    The worst that POSIX allows: a rename may last at once or only with its folder's sync, the
    bytes of a file last only once they are synced.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.synced: dict[int, bytes] = {}
        self.names: dict[str, set[bytes]] = {}
        self.moments: list[dict[str, set[bytes]]] = []
        sync, replace, rename = os.fsync, os.replace, os.rename

        def fsync(handle: int) -> None:
            sync(handle)
            self._synced(handle)

        def replaced(source: str, target: str) -> None:
            self._renamed(Path(source), Path(target))
            replace(source, target)

        def renamed(source: str, target: str) -> None:
            self._renamed(Path(source), Path(target))
            rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replaced)
        monkeypatch.setattr(os, "rename", renamed)

    def _synced(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_file():
            self.synced[path.stat().st_ino] = path.read_bytes()
        else:
            for name in self.names:
                if Path(name).parent == path and Path(name).is_file():
                    self.names[name] = {self._durable(Path(name))}
        self._note()

    def _renamed(self, source: Path, target: Path) -> None:
        files = [source, *source.rglob("*")]
        for file in (file for file in files if file.is_file()):
            name = str(target / file.relative_to(source)) if source.is_dir() else str(target)
            if self.root in Path(name).parents:
                self.names.setdefault(name, set()).add(self._durable(file))
        self._note()

    def _durable(self, file: Path) -> bytes:
        return self.synced.get(file.stat().st_ino, b"")

    def _note(self) -> None:
        self.moments.append({name: set(found) for name, found in self.names.items()})

    def possible(self, name: str) -> Iterator[bytes]:
        """Yield what a file of this name may hold after a power loss at any moment."""
        for moment in self.moments:
            for path, found in moment.items():
                if Path(path).match(name):
                    yield from found


def test_a_file_is_old_or_new_at_any_moment(tmp_path, monkeypatch) -> None:
    disk = Disk(tmp_path, monkeypatch)
    for number in range(3):
        durable.write_text(tmp_path / "run.json", f"whole {number}")
    assert {*disk.possible("run.json")} == {b"whole 0", b"whole 1", b"whole 2"}
    assert disk.moments[-1] == {str(tmp_path / "run.json"): {b"whole 2"}}


def test_the_disk_finds_a_writer_that_does_not_sync(tmp_path, monkeypatch) -> None:
    disk = Disk(tmp_path, monkeypatch)
    (tmp_path / "part").write_text("whole")
    (tmp_path / "part").replace(tmp_path / "run.json")
    assert b"" in {*disk.possible("run.json")}


def test_a_folder_is_there_with_all_of_its_files(tmp_path, monkeypatch) -> None:
    disk = Disk(tmp_path, monkeypatch)
    (tmp_path / "work" / "assets").mkdir(parents=True)
    (tmp_path / "work" / "assets" / "tokenizer.json").write_text("{}")
    durable.rename(tmp_path / "work", tmp_path / "bundle")
    assert {*disk.possible("bundle/assets/tokenizer.json")} == {b"{}"}


def test_what_cannot_be_written_leaves_what_was_there(tmp_path) -> None:
    note = tmp_path / "note.txt"
    durable.write_text(note, "old")

    def full(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ZooError, match=r"note\.txt' cannot be written: .*No space left"):
        durable.write(note, full)
    assert note.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.slow
def test_a_training_that_loses_its_power_can_go_on(tmp_path, monkeypatch) -> None:
    import io

    from zoo_recipes.overrides import with_overrides
    from zoo_recipes.recipe import resolve_recipe
    from zoo_recipes.training.training import train

    disk = Disk(tmp_path / "run", monkeypatch)
    overrides = ["fit.epochs=2", "dataset.train=train[:10%]"]
    recipe = with_overrides(resolve_recipe("digits-mlp"), overrides)
    train(recipe, out=tmp_path / "run", data_dir=tmp_path, verbose=False, checkpoint_seconds=0)
    for data in disk.possible("run.json"):
        assert json.loads(data)["recipe"]["name"] == "digits-mlp"
    checkpoints = {*disk.possible("checkpoints/*.npz")}
    assert len(checkpoints) > 2
    for data in checkpoints:
        assert "notes" in np.load(io.BytesIO(data))
    for name in ("recipe.toml", "history.json", "model.keras", "examples.npz"):
        found = {*disk.possible(name)}
        assert found, name
        assert b"" not in found, name
