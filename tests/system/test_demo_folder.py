"""What a killed demo leaves is removed by the next; what a living one uses is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tools.stage.folder import PREFIX, SETTLED_S, demo_folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(folder: Path) -> None:
    then = folder.stat().st_mtime - 2 * SETTLED_S
    os.utime(folder, (then, then))


def test_only_old_folders_that_nobody_holds_are_removed(place: Path) -> None:
    left, young, other = place / f"{PREFIX}left", place / f"{PREFIX}young", place / "other"
    for folder in (left, young, other):
        (folder / "lab").mkdir(parents=True)
    (place / f"{PREFIX}link").symlink_to(other)
    aged(left)
    aged(other)
    with demo_folder() as held:
        aged(held)
        with demo_folder() as second:
            assert held.exists()
            assert second != held
        assert not second.exists()
        assert not left.exists()
        assert young.exists()
        assert (other / "lab").exists()
    assert not held.exists()
