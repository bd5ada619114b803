"""The outbox on real files: order, groups, caps, restarts, full disks and old copies."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.messages import Dropped, Event, Kind, decode, encode
from edge_agent.share.outbox import MAX_BODY_BYTES, RESERVE, Outbox
from tests.agent.conftest import host_body

MIB = 1 << 20
BOOT = bytes(range(16))


@contextmanager
def opened(path: Path, clock: ManualClock, boot: bytes = BOOT, cap: int = 64 * MIB) -> Iterator[Outbox]:
    with closing(Outbox(path, clock, cap_bytes=cap, boot=boot)) as outbox:
        yield outbox


def killed(path: Path, to: Path) -> Path:
    """What a kill -9 at this moment would leave behind."""
    to.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, to / file.name)
    return to / path.name


def event(number: int) -> bytes:
    return encode(Event(name="test", fields={"number": number}))


def test_sequences_count_from_one_and_come_back_in_order(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        given = [outbox.append(Kind.EVENT, event(i), 5.0 + i) for i in range(5)]
        assert given == [1, 2, 3, 4, 5]
        entries = outbox.pending(after=0, limit=3)
        assert [(e.sequence, e.time, e.kind, e.body) for e in entries] == [
            (i + 1, 5.0 + i, "event", event(i)) for i in range(3)
        ]
        assert [e.sequence for e in outbox.pending(after=3, limit=100)] == [4, 5]
        assert outbox.queued == 5


def test_the_file_is_private(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        outbox.append(Kind.EVENT, event(1), 1.0)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_acknowledged_envelopes_are_gone_after_a_restart_and_numbers_go_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, clock) as outbox:
        epoch = outbox.epoch
        for i in range(4):
            outbox.append(Kind.EVENT, event(i), 1.0)
        assert outbox.acknowledge(epoch, 4) == 4
    with opened(path, clock) as outbox:
        assert (outbox.epoch, outbox.acked, outbox.queued) == (epoch, 4, 0)
        assert outbox.append(Kind.EVENT, event(9), 1.0) == 5


def test_a_foreign_or_old_acknowledgement_changes_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        for i in range(3):
            outbox.append(Kind.EVENT, event(i), 1.0)
        assert outbox.acknowledge(outbox.epoch ^ 1, 3) == 0
        assert outbox.acknowledge(outbox.epoch, 2) == 2
        assert outbox.acknowledge(outbox.epoch, 1) == 0
        assert outbox.queued == 1


def test_telemetry_waits_for_its_group_and_events_do_not(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, clock) as outbox:
        outbox.append(Kind.HOST, host_body(), 1.0)
        with opened(killed(path, tmp_path / "a"), clock) as after:
            assert after.head == 0
        outbox.append(Kind.EVENT, event(1), 1.0)
        with opened(killed(path, tmp_path / "b"), clock) as after:
            assert after.head == 2
            assert [e.kind for e in after.pending(0, 9)] == ["host", "event"]


async def test_run_commits_a_group_within_a_tenth_of_a_second(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        heard: list[int] = []
        outbox.notify(lambda: heard.append(len(outbox.pending(0, 9))))
        async with asyncio.TaskGroup() as owner:
            running = owner.create_task(outbox.run())
            outbox.append(Kind.HOST, host_body(), 1.0)
            assert outbox.pending(0, 9) == []
            await clock.advance(0.11)
            assert heard == [1]
            running.cancel()


def test_a_power_failure_never_makes_a_sent_number_mean_something_else(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, clock) as outbox:
        for i in range(10):
            outbox.append(Kind.EVENT, event(i), 1.0)
        sent = outbox.pending(0, 100)
        copy = killed(path, tmp_path / "after")
        wal = copy.with_name(copy.name + "-wal")
        wal.write_bytes(wal.read_bytes()[: wal.stat().st_size // 2])
        epoch = outbox.epoch
    with opened(copy, clock, boot=b"another boot id.") as outbox:
        assert outbox.epoch == epoch
        new = outbox.append(Kind.EVENT, event(99), 1.0)
        assert new > sent[-1].sequence
        assert new <= RESERVE + 2
        entries = outbox.pending(0, 10_000)
        assert [e.sequence for e in entries] == list(range(1, new + 1))
        by_number = {e.sequence: e for e in entries}
        for entry in sent:
            found = by_number[entry.sequence]
            assert found == entry or decode(Dropped, found.body).reason == "power-failure"


def test_an_old_copy_of_the_file_starts_a_new_epoch_with_what_is_new(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, clock) as outbox:
        outbox.append(Kind.EVENT, event(1), 1.0)
        copy = killed(path, tmp_path / "copy")
        epoch = outbox.epoch
    with opened(copy, clock) as outbox:
        outbox.append(Kind.EVENT, event(2), 1.0)
        outbox.append(Kind.HOST, host_body(), 1.0)
        outbox.acknowledge(epoch, 500)
        assert outbox.epoch != epoch
        outbox.flush()
        entries = outbox.pending(0, 10)
        assert [e.sequence for e in entries] == [1, 2, 3]
        assert decode(Event, entries[0].body).name == "outbox-lost"
        assert entries[1].body == event(2)
        assert entries[2].body == host_body()


def test_the_oldest_telemetry_makes_room_and_events_stay(tmp_path: Path, clock: ManualClock) -> None:
    body = host_body(rows=800)
    with opened(tmp_path / "outbox.db", clock, cap=MIB) as outbox:
        for i in range(200):
            outbox.append(Kind.HOST, body, float(i))
            if i % 20 == 0:
                outbox.append(Kind.EVENT, event(i), float(i))
        outbox.flush()
        entries = outbox.pending(0, 1000)
        assert [e.sequence for e in entries] == list(range(1, 211))
        kinds = [e.kind for e in entries]
        assert kinds.count("event") == 10
        assert kinds[-1] == "host"
        assert kinds[0] == "dropped"
        given_up = [decode(Dropped, e.body) for e in entries if e.kind == "dropped"]
        assert {grave.reason for grave in given_up} == {"outbox-full"}
        assert sum(grave.rows for grave in given_up) == outbox.dropped == 800 * kinds.count("dropped")
        assert outbox.usage.telemetry <= MIB * 3 // 4
        # Room is used: no more was given up than the cap asks for, short of the margin of one sixty-fourth.
        assert outbox.usage.telemetry > MIB * 3 // 4 * 0.95


def test_tombstones_of_a_long_outage_stay_small(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "outbox.db"
    body = host_body(rows=400)
    with opened(path, clock, cap=MIB) as outbox:
        for i in range(5_000):
            outbox.append(Kind.HOST, body, float(i))
        outbox.flush()
        assert outbox.queued == 5_000
        assert outbox.acknowledge(outbox.epoch, 2_500) == 2_500
        assert outbox.pending(0, 1)[0].sequence == 2_501
    assert path.stat().st_size < 4 * MIB


def test_events_beyond_their_share_are_told_of(tmp_path: Path, clock: ManualClock) -> None:
    body = bytes(10_000)
    with opened(tmp_path / "outbox.db", clock, cap=MIB) as outbox:
        for _ in range(40):
            outbox.append(Kind.RESULT, body, 1.0)
        entries = outbox.pending(0, 100)
        kept = sum(e.kind == "result" for e in entries)
        assert 20 <= kept < 40
        assert all(decode(Dropped, e.body).kind == "result" for e in entries if e.kind == "dropped")
        outbox.acknowledge(outbox.epoch, 30)
        outbox.append(Kind.HOST, host_body(), 1.0)
        outbox.flush()
        told = decode(Event, outbox.pending(0, 100)[-1].body)
        assert (told.name, told.fields) == ("outbox-events-full", {"refused": 40 - kept})


def test_a_body_too_large_for_a_message_is_the_callers_mistake(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        with pytest.raises(ValueError, match="do not fit"):
            outbox.append(Kind.RESULT, bytes(MAX_BODY_BYTES + 1), 1.0)
        assert outbox.append(Kind.RESULT, bytes(MAX_BODY_BYTES), -5.0) == 1
        assert outbox.pending(0, 1)[0].time == 0.0


async def test_a_full_disk_is_survived_and_nothing_is_lost(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        outbox.append(Kind.EVENT, event(0), 1.0)
        database = outbox._file._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        for _ in range(20):
            outbox.append(Kind.HOST, host_body(rows=800), 1.0)
            outbox.append(Kind.RESULT, bytes(9_000), 1.0)
            await clock.advance(1.0)
        assert outbox.disk_errors > 1
        assert outbox.head == 41
        database.execute("PRAGMA max_page_count = 100000")
        await clock.advance(60.0)
        assert outbox.flush()
        kinds = [e.kind for e in outbox.pending(0, 100)]
        assert kinds == ["event"] + ["host", "result"] * 20 + ["event"]
        assert decode(Event, outbox.pending(41, 1)[0].body).name == "outbox-disk-back"


def test_memory_stays_bounded_while_the_disk_refuses(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path / "outbox.db", clock) as outbox:
        outbox.append(Kind.EVENT, event(0), 1.0)
        outbox._file._database.execute("PRAGMA query_only = ON")
        for _ in range(100):
            outbox.append(Kind.HOST, host_body(rows=10_000), 1.0)
        assert outbox._waiting.bytes <= 4 * MIB
        assert outbox.dropped > 0
        outbox._file._database.execute("PRAGMA query_only = OFF")


def test_a_folder_that_takes_no_file_keeps_the_agent_going_in_memory(
    tmp_path: Path, clock: ManualClock
) -> None:
    (tmp_path / "outbox.db").mkdir()
    with opened(tmp_path / "outbox.db", clock) as outbox:
        assert outbox.append(Kind.EVENT, event(1), 1.0) == 2
        assert [e.sequence for e in outbox.pending(0, 9)] == [1, 2]
        assert outbox.disk_errors == 1
