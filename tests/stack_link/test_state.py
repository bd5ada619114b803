"""The state of a node on disk: whatever happens to process and files, no sequence number is used twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Misconfigured, Rejected, Unavailable
from common.logs import get_logger
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.replay import ReplayList
from firmware_bridge.stack.sequence import SequenceNumbers
from firmware_bridge.stack_link.state import Numbers, StackState

SLOTS = ("numbers.a", "numbers.b")
IV = IvState(7, True, 1_700_000_000.5, 1_600_000_000.25)


def state_in(folder: Path) -> StackState:
    return StackState(folder, get_logger(__name__))


def saved(folder: Path, iv: IvState = IV, limit: int = 512) -> None:
    """A folder that a process left."""
    state = state_in(folder)
    state.open()
    state.save(iv, limit)
    state.close()


def numbers_in(folder: Path) -> Numbers | None:
    state = state_in(folder)
    try:
        return state.open()
    finally:
        state.close()


@pytest.mark.parametrize("iv", [IV, IvState(0), IvState(0xFFFFFFFF, came_later=True), IvState.unknown()])
def test_numbers_come_back_as_they_were_saved(tmp_path: Path, iv: IvState) -> None:
    saved(tmp_path / "node", iv, 4711)
    assert numbers_in(tmp_path / "node") == Numbers(iv, 4711)


def test_a_node_that_never_sent_has_no_numbers(tmp_path: Path) -> None:
    assert numbers_in(tmp_path / "node") is None


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    saved(tmp_path / "node")
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "node").iterdir()} == {0o600}


@pytest.mark.parametrize("slot", SLOTS)
def test_either_copy_cut_at_any_byte_costs_nothing(tmp_path: Path, slot: str) -> None:
    saved(tmp_path)
    whole = (tmp_path / slot).read_bytes()
    for length in range(len(whole)):
        (tmp_path / slot).write_bytes(whole[:length])
        assert numbers_in(tmp_path) == Numbers(IV, 512)


@pytest.mark.parametrize("slot", SLOTS)
def test_any_flipped_bit_is_seen(tmp_path: Path, slot: str) -> None:
    saved(tmp_path)
    whole = (tmp_path / slot).read_bytes()
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / slot).write_bytes(damaged)
        assert numbers_in(tmp_path) == Numbers(IV, 512)


def test_with_both_copies_damaged_nothing_is_sent_and_the_operator_told_what_to_do(tmp_path: Path) -> None:
    saved(tmp_path)
    for slot in SLOTS:
        (tmp_path / slot).write_bytes(b"")
    with pytest.raises(Misconfigured) as lost:
        numbers_in(tmp_path)
    assert "another unicast address" in lost.value.fix


@pytest.mark.parametrize("left", [("replay", "lock"), ("replay",), ("lock",)])
def test_numbers_that_are_gone_are_lost_and_not_those_of_a_new_node(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    state = state_in(tmp_path)
    state.open()
    state.save(IV, 512)
    replay = ReplayList()
    replay.accept(5, 7, 9)
    state.save_replay(replay)
    state.close()
    for path in tmp_path.iterdir():
        if path.name not in left:
            path.unlink()
    with pytest.raises(Misconfigured) as lost:
        numbers_in(tmp_path)
    assert "another unicast address" in lost.value.fix
    with pytest.raises(Misconfigured):
        state_in(tmp_path).look()


def test_a_start_that_never_sent_leaves_nothing_that_could_be_lost(tmp_path: Path) -> None:
    for _ in range(3):
        assert numbers_in(tmp_path) is None
    assert state_in(tmp_path).look() is None


def test_to_look_at_a_state_holds_and_mends_nothing(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / SLOTS[0]).unlink()
    holder = state_in(tmp_path)
    assert state_in(tmp_path).look() == Numbers(IV, 512)
    assert not (tmp_path / SLOTS[0]).exists()
    holder.open()
    assert state_in(tmp_path).look() == Numbers(IV, 512)
    holder.close()


def test_numbers_that_no_node_has_are_not_saved(tmp_path: Path) -> None:
    saved(tmp_path)
    state = state_in(tmp_path)
    state.open()
    for iv, limit in ((IvState(1 << 32), 1), (IvState(-1), 1), (IV, (1 << 24) + 1), (IV, -1)):
        with pytest.raises(Rejected):
            state.save(iv, limit)
    state.close()
    assert numbers_in(tmp_path) == Numbers(IV, 512)


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(Misconfigured, match="lock"):
        state_in(tmp_path).open()


def test_a_crash_between_the_two_copies_leaves_the_newer_one_good(tmp_path: Path) -> None:
    saved(tmp_path, limit=256)
    older = (tmp_path / SLOTS[1]).read_bytes()
    saved(tmp_path, limit=512)
    (tmp_path / SLOTS[1]).write_bytes(older)
    assert numbers_in(tmp_path) == Numbers(IV, 512)
    # And the one after it is newer than both.
    saved(tmp_path, limit=768)
    assert numbers_in(tmp_path) == Numbers(IV, 768)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_damaged_copy_is_mended_at_once(tmp_path: Path, slot: str) -> None:
    saved(tmp_path)
    (tmp_path / slot).unlink()
    assert numbers_in(tmp_path) == Numbers(IV, 512)
    other = SLOTS[1 - SLOTS.index(slot)]
    (tmp_path / other).write_bytes(b"")
    assert numbers_in(tmp_path) == Numbers(IV, 512)


def test_a_disk_that_takes_nothing_gives_no_number(tmp_path: Path) -> None:
    state = state_in(tmp_path / "node")
    state.open()
    shutil.rmtree(tmp_path / "node")
    numbers = SequenceNumbers(0, lambda limit: state.save(IV, limit))
    with pytest.raises(Unavailable):
        numbers.take()
    assert numbers.next == 0
    state.close()


def test_two_processes_never_send_as_one_node(tmp_path: Path) -> None:
    first, second = state_in(tmp_path), state_in(tmp_path)
    first.open()
    with pytest.raises(Misconfigured):
        second.open()
    first.close()
    assert second.open() is None
    second.close()


@settings(max_examples=60, deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.lists(st.integers(1, 40), max_size=30), st.sampled_from([None, *SLOTS]), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_no_life_uses_a_number_of_an_earlier_one(lives: list[tuple[list[int], str | None, bool]]) -> None:
    used: set[int] = set()
    with tempfile.TemporaryDirectory() as name:
        for takes, damaged, stale in lives:
            state = state_in(Path(name))
            found = state.open() or Numbers(IV, 0)
            numbers = SequenceNumbers(found.limit, lambda limit, state=state: state.save(IV, limit))  # type: ignore[misc]
            for count in takes:
                first = numbers.take(count)
                fresh = set(range(first, first + count))
                assert not fresh & used
                used |= fresh
            state.close()  # as the kernel does at any death
            slot = Path(name) / (damaged or "none")
            if slot.exists():
                slot.write_bytes(b"" if stale else slot.read_bytes()[:-1])


def test_the_replay_list_comes_back(tmp_path: Path) -> None:
    before, after = ReplayList(), ReplayList()
    for source in range(1, 300):
        before.accept(source, 7, source * 50_000)
    state = state_in(tmp_path)
    state.open()
    state.save_replay(before)
    state.read_replay(after)
    state.close()
    assert sorted(after.items()) == sorted(before.items())
    assert not after.is_new(299, 7, 299 * 50_000)


@settings(max_examples=60, deadline=None)
@given(damage=st.data())
def test_a_damaged_replay_list_is_left_out(damage: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path, before = Path(name) / "replay", ReplayList()
        before.restore([(1, 7, 5), (2, 7, 6)])
        state = state_in(Path(name))
        state.open()
        state.save_replay(before)
        whole = path.read_bytes()
        cut = damage.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(damage.draw(st.sampled_from([whole[:cut], whole[cut:], whole + whole[cut:]])))
        after = ReplayList()
        state.read_replay(after)
        state.close()
        assert len(after) in (0, 2)
        assert len(after) == 0 or path.read_bytes() == whole
