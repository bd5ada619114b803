"""The folder of models: what is kept survives crashes, and what is damaged is noticed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from common.errors import Corrupt, Rejected
from common.models.container import read_metadata
from coordinator.release.registry import Plan, Registry
from coordinator.release.store import REGISTRY_NAME, ModelStore
from coordinator.training.job import Evaluation
from tests.release.bundles import trained
from tests.release.models import NAME, change, score


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two versions; the first is released."""
    folder = tmp_path / "models"
    store = ModelStore(folder)
    first = store.add(trained(1), 1001.0)
    store.add(trained(2), 1002.0)
    plan = Plan(everywhere=first.bundles[0].digest)
    store.change(lambda registry: registry.with_plan(NAME, plan, change()))
    return folder


def test_models_are_found_again_and_only_their_owner_reads_them(folder: Path) -> None:
    store = ModelStore(folder)
    assert [v.version for v in store.registry.of(NAME)] == [1, 2]
    digest = store.registry.course(NAME).plan.everywhere
    assert digest is not None
    assert read_metadata(store.read(digest)).version == 1
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_registry_cut_or_altered_anywhere_is_made_again_from_the_bundles(folder: Path) -> None:
    path = folder / REGISTRY_NAME
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for damaged in (whole[:place], flipped):
            path.write_bytes(damaged)
            _check_rebuilt(ModelStore(folder).registry)
    assert path.with_name(f"{REGISTRY_NAME}.damaged").exists()


def test_a_registry_that_is_gone_is_made_again_from_the_bundles(folder: Path) -> None:
    (folder / REGISTRY_NAME).unlink()
    _check_rebuilt(ModelStore(folder).registry)
    _check_rebuilt(ModelStore(folder).registry)


def _check_rebuilt(registry: Registry) -> None:
    assert registry.rebuilt
    assert [(v.version, v.created) for v in registry.of(NAME)] == [(1, 1001.0), (2, 1002.0)]
    assert registry.next_version(NAME) == 3
    assert registry.course(NAME).plan == Plan()
    assert {registry.state_of(v) for v in registry.of(NAME)} == {"unknown"}
    (lost,) = registry.course(NAME).changes
    assert (lost.what, "are forgotten" in lost.detail) == ("lost", True)


def test_what_is_trained_after_a_loss_is_no_unknown(folder: Path) -> None:
    (folder / REGISTRY_NAME).write_bytes(b"")
    store = ModelStore(folder)
    store.add(trained(3), 1003.0)
    again = ModelStore(folder).registry
    assert [again.state_of(v) for v in again.of(NAME)] == ["unknown", "unknown", "candidate"]


def test_an_empty_folder_is_a_new_registry(tmp_path: Path) -> None:
    assert ModelStore(tmp_path / "models").registry == Registry()


def test_a_bundle_that_a_crash_left_unregistered_is_removed(folder: Path) -> None:
    stray = folder / f"{'a' * 64}.tflite"
    stray.write_bytes(b"half a model")
    store = ModelStore(folder)
    assert not stray.exists()
    assert len(store.registry.digests) == 2


def test_a_damaged_bundle_is_not_given_out(folder: Path) -> None:
    store = ModelStore(folder)
    (first, second) = (v.bundles[0].digest for v in store.registry.of(NAME))
    path = store.path_of(first)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="damaged"):
        store.read(first)
    store.path_of(second).unlink()
    with pytest.raises(Corrupt, match="gone"):
        store.read(second)


def test_damaged_bundles_do_not_hinder_a_rebuild(folder: Path) -> None:
    store = ModelStore(folder)
    first = store.registry.of(NAME)[0].bundles[0].digest
    store.path_of(first).write_bytes(b"nonsense")
    (folder / REGISTRY_NAME).write_bytes(b"")
    assert [v.version for v in ModelStore(folder).registry.of(NAME)] == [2]


def test_what_cannot_be_read_back_is_not_written(folder: Path) -> None:
    store = ModelStore(folder)
    before = (folder / REGISTRY_NAME).read_bytes()
    with pytest.raises(Corrupt, match="not a number"):
        store.add(trained(3, Evaluation(overall=score(math.nan))), 1003.0)
    assert (folder / REGISTRY_NAME).read_bytes() == before
    assert [v.version for v in ModelStore(folder).registry.of(NAME)] == [1, 2]


def test_what_is_no_bundle_is_not_kept(folder: Path) -> None:
    store = ModelStore(folder)
    result = trained(3)
    result.bundles["float32"] = b"TFL3 of some kind"
    with pytest.raises(Rejected):
        store.add(result, 1003.0)
    assert len(list(folder.glob("*.tflite"))) == 2
