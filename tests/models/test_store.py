"""Bundles on the gateway's disk survive restarts, cuts and flips, and do not pile up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import Corrupt
from edge_agent.models.store import DAMAGED, Store
from tests.models import bundles
from tests.models.bundles import Bundle

ONE, TWO = bundles.persistence(1), bundles.persistence(2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "models")
    made.open()
    return made


def accept(store: Store, bundle: Bundle, changed: float) -> None:
    store.part(bundle.reference).write_bytes(bundle.content)
    store.accept(bundle.reference)
    os.utime(store.path(bundle.reference), (changed, changed))


def test_what_was_accepted_is_found_again_the_newest_first(store: Store) -> None:
    accept(store, TWO, 1000.0)
    accept(store, ONE, 2000.0)
    again = Store(store.folder)
    assert again.held() == [ONE.reference, TWO.reference]
    assert again.read(ONE.reference) == ONE.content


def test_a_store_that_was_never_made_is_empty(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").held() == []


def test_files_of_other_names_are_nobodys(store: Store) -> None:
    for name in ("x.tflite", f"a-1-{'0' * 63}.tflite", f"-1-{'0' * 64}.tflite", f"a-0-{'0' * 64}.tflite"):
        (store.folder / name).write_bytes(b"x")
    (store.folder / f"a-1-{'0' * 64}.tflite").write_bytes(b"")
    assert store.held() == []


@pytest.mark.parametrize("place", [0, 7, len(ONE.content) // 2, len(ONE.content) - 1])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_bundle_is_set_aside(store: Store, place: int, damage: str) -> None:
    accept(store, ONE, 1000.0)
    (reference,) = store.held()
    flipped = bytearray(ONE.content)
    flipped[place] ^= 0x10
    store.path(reference).write_bytes(bytes(flipped) if damage == "flip" else ONE.content[:place])
    with pytest.raises(Corrupt, match="moved aside"):
        store.read(reference)
    assert (store.folder / DAMAGED).exists()
    assert store.held() == []


def test_a_bundle_that_is_gone_is_corrupt_too(store: Store) -> None:
    with pytest.raises(Corrupt):
        store.read(ONE.reference)


def test_only_what_is_named_is_kept(store: Store) -> None:
    accept(store, ONE, 1000.0)
    accept(store, TWO, 2000.0)
    store.part(ONE.reference).write_bytes(b"x")
    (store.folder / DAMAGED).write_bytes(b"x")
    (store.folder / ("0" * 64 + ".part")).write_bytes(b"x")
    store.keep([TWO.reference])
    assert {path.name for path in store.folder.iterdir()} == {store.path(TWO.reference).name, DAMAGED}
    store.keep([])
    assert [path.name for path in store.folder.iterdir()] == [DAMAGED]
