"""The store of blobs: checked, bounded, and whole whatever happened to its files."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from common.errors import Corrupt, Rejected, RejectReason, Unavailable
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Refusal, Refused

KIB = 1024


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", 10 * KIB, max_blob_bytes=4 * KIB)


def filled(letter: str, size: int = 3 * KIB) -> bytes:
    return letter.encode() * size


def aged(store: BlobStore, digest: str, age: float) -> None:
    at = store.path(digest).stat().st_mtime - age
    os.utime(store.path(digest), (at, at))


def test_a_blob_comes_back_by_its_digest_and_only_its_owner_reads_the_file(store: BlobStore) -> None:
    digest = store.put(b"data")
    assert digest == sha256(b"data").hexdigest()
    assert store.get(digest) == b"data"
    assert store.path(digest).stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_a_store_that_is_opened_again_holds_what_it_held(store: BlobStore) -> None:
    digest = store.put(b"data")
    store.begin().write_bytes(b"half")
    again = BlobStore(store.folder, store.cap_bytes)
    assert again.get(digest) == b"data"
    assert again.used_bytes == 4
    assert not list(store.folder.glob("*.part"))


def test_the_longest_unused_goes_first_and_what_is_pinned_stays(store: BlobStore) -> None:
    first, second, third = (store.put(filled(letter)) for letter in "abc")
    store.pin([first])
    aged(store, first, 30)
    aged(store, third, 20)
    aged(store, second, 10)
    fourth = store.put(filled("d"))
    assert [store.has(digest) for digest in (first, second, third, fourth)] == [True, True, False, True]
    assert store.evicted == 1


def test_a_store_full_of_pinned_blobs_refuses(store: BlobStore) -> None:
    digests = [store.put(filled(letter)) for letter in "abc"]
    store.pin(digests)
    with pytest.raises(Refused) as caught:
        store.put(filled("d"))
    assert caught.value.reason is Refusal.DISK
    store.unpin(digests)
    store.put(filled("d"))


def test_a_blob_beyond_the_limit_is_refused(store: BlobStore) -> None:
    with pytest.raises(Rejected) as caught:
        store.put(bytes(4 * KIB + 1))
    assert caught.value.reason is RejectReason.OVERSIZED


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_damaged_blob_is_found_out_and_removed(store: BlobStore, cut: int) -> None:
    digest = store.put(b"abc")
    store.path(digest).write_bytes(b"abc"[:cut])
    assert not store.verify(digest) if cut == 0 else True
    if cut:
        with pytest.raises(Corrupt):
            store.get(digest)
    assert not store.has(digest)
    with pytest.raises(Unavailable):
        store.get(digest)


def test_a_file_is_adopted_as_a_copy(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "output"
    source.write_bytes(b"made")
    assert store.adopt(source) == (sha256(b"made").hexdigest(), 4)
    source.write_bytes(b"changed")
    assert store.get(sha256(b"made").hexdigest()) == b"made"


def test_what_is_no_plain_file_is_not_adopted(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the agent's")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(5 * KIB))
    for name in ("link", "pipe", "large", "missing", "."):
        with pytest.raises(Rejected):
            store.adopt(tmp_path / name)
    assert store.used_bytes == 0
    assert not list(store.folder.iterdir())


def test_a_part_that_is_not_what_was_promised_is_dropped(store: BlobStore) -> None:
    part = store.begin()
    part.write_bytes(b"other")
    with pytest.raises(Rejected) as caught:
        store.finish(part, sha256(b"promised").hexdigest())
    assert caught.value.reason is RejectReason.ALTERED
    assert not part.exists()


@pytest.mark.parametrize("digest", ["", "../../../etc/passwd", "A" * 64, "a" * 63])
def test_a_digest_is_no_path(store: BlobStore, digest: str) -> None:
    with pytest.raises(Rejected):
        store.path(digest)
