"""The disk of a gateway is full, or read-only: from the start, or all of a sudden."""

from __future__ import annotations

import asyncio
import io
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from common.clock import ManualClock, SystemClock
from common.messages import ActionRecord, Dropped, Event, Kind, decode, encode
from edge_agent.share.outbox import Outbox
from edge_agent.share.outbox_rows import Entry
from edge_agent.status_page import picture
from tests.agent.conftest import host_body
from tests.faults.agent import LEARN_S, AgentProcess
from tests.faults.disks import ext4, fill, make_read_only, needs_root, open_folder, tmpfs

pytestmark = needs_root
MIB = 1 << 20


def stream(state: Path) -> list[Entry]:
    """Everything in the outbox of an agent that has ended."""
    with closing(Outbox(state / "outbox.db", SystemClock())) as outbox:
        entries = outbox.pending(0, 100_000)
        assert [entry.sequence for entry in entries] == list(range(1, outbox.head + 1))
        return entries


def events(entries: list[Entry]) -> list[str]:
    return [decode(Event, entry.body).name for entry in entries if entry.kind == Kind.EVENT.value]


def action_states(entries: list[Entry]) -> list[str]:
    return [decode(ActionRecord, e.body).state for e in entries if e.kind == Kind.ACTION.value]


def shown(status: dict[str, Any]) -> str:
    """What `edge-agent status` prints."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(picture(status))
    return console.export_text()


def test_a_disk_that_fills_up_hinders_no_healing_and_loses_nothing() -> None:
    with (
        open_folder() as folder,
        tmpfs(folder / "state") as state,
        AgentProcess(folder / "home", state) as agent,
    ):
        agent.wait_until(lambda status: status.get("learned", False), "the site to be known", LEARN_S)
        hog = fill(state)
        agent.wait_until(lambda status: bool(status["outbox"]["trouble"]), "the full disk to be told")
        assert "refuses to be written: outbox: database or disk is full" in shown(agent.status())
        agent.heals()
        assert "outbox-disk-trouble" in agent.said()
        assert "fix=free space on the disk" in agent.said()
        assert "journal-unwritable" in agent.said()
        hog.unlink()
        agent.wait_until(lambda status: not status["outbox"]["trouble"], "the disk to be used again", 60.0)
        assert agent.end() == 0
        assert "Traceback" not in agent.said()
        told = stream(state)
    assert events(told).count("outbox-disk-back") == 1
    assert action_states(told) == ["applying", "applied", "confirmed"]
    assert Kind.DROPPED.value not in {entry.kind for entry in told}


def test_a_state_folder_that_becomes_read_only_hinders_no_healing() -> None:
    with (
        open_folder() as folder,
        ext4(folder / "state") as state,
        AgentProcess(folder / "home", state) as agent,
    ):
        agent.wait_until(lambda status: status.get("learned", False), "the site to be known", LEARN_S)
        make_read_only(state)
        agent.wait_until(lambda status: bool(status["outbox"]["trouble"]), "the trouble to be told")
        agent.heals()
        assert "outbox-disk-trouble" in agent.said()
        assert "journal-unwritable" in agent.said()
        assert agent.end() == 0
        assert "Traceback" not in agent.said()


def test_a_read_only_state_folder_is_a_misconfiguration_at_the_start() -> None:
    with open_folder() as folder, ext4(folder / "state") as state:
        agent = AgentProcess(folder / "home", state)
        make_read_only(state)
        assert agent.run_to_its_end() == 2
        assert "Traceback" not in agent.said()
        (line, fix) = [line for line in agent.said().splitlines() if not line.startswith("2")]
        assert line == f"edge-agent: {state}/agent.lock cannot be written: Read-only file system"
        assert fix == "  fix: correct gateway.state_dir or its owner"


async def test_a_full_disk_at_the_first_start_is_left_for_memory_until_there_is_room() -> None:
    clock = ManualClock()
    with open_folder() as folder, tmpfs(folder / "state") as state:
        hog = fill(state)
        with closing(Outbox(state / "outbox.db", clock)) as outbox:
            assert outbox.trouble
            outbox.append(Kind.EVENT, encode(Event(name="early")), 1.0)
            epoch, sent = outbox.epoch, outbox.pending(0, 10)
            outbox.append(Kind.HOST, host_body(), 1.0)
            outbox.flush()
            hog.unlink()
            await clock.advance(60.0)
            outbox.append(Kind.EVENT, encode(Event(name="late")), 1.0)
            assert not outbox.trouble
            # The same stream, so that what is on its way cannot be stored twice.
            assert outbox.epoch == epoch
            assert outbox.pending(0, 2) == sent
        told = stream(state)
    assert events(told) == ["outbox-in-memory", "early", "late", "outbox-disk-back"]
    assert told[:2] == sent


async def test_a_full_disk_at_a_restart_goes_on_with_what_the_file_holds() -> None:
    clock = ManualClock()
    with open_folder() as folder, tmpfs(folder / "state") as state:
        with closing(Outbox(state / "outbox.db", clock)) as outbox:
            outbox.append(Kind.EVENT, encode(Event(name="before")), 1.0)
            epoch = outbox.epoch
        hog = fill(state)
        with closing(Outbox(state / "outbox.db", clock)) as outbox:
            outbox.append(Kind.EVENT, encode(Event(name="meanwhile")), 1.0)
            interim, sent = outbox.epoch, outbox.pending(0, 10)
            hog.unlink()
            await clock.advance(60.0)
            outbox.append(Kind.EVENT, encode(Event(name="after")), 1.0)
            if interim != epoch:
                # Sent and not acknowledged: in the old file it would get a second number.
                assert outbox.epoch == interim
                outbox.acknowledge(interim, sent[-1].sequence)
                await clock.advance(60.0)
                outbox.append(Kind.EVENT, encode(Event(name="at last")), 1.0)
            assert outbox.epoch == epoch
        told = stream(state)
    assert told[0].sequence == 1
    assert events(told)[0] == "before"
    assert {"after", "at last", "outbox-disk-back"} <= set(events(told))


async def test_a_full_disk_for_long_gives_up_the_oldest_telemetry_and_counts_it() -> None:
    clock = ManualClock()
    with open_folder() as folder, tmpfs(folder / "state") as state:
        with closing(Outbox(state / "outbox.db", clock)) as outbox:
            hog = fill(state)
            for second in range(120):
                outbox.append(Kind.HOST, host_body(rows=8_000), float(second))
                outbox.append(Kind.EVENT, bytes(50_000), float(second))
            assert outbox._waiting.bytes <= 8 * MIB + 200_000
            assert outbox.dropped > 0
            outbox.close()  # With what it could not write: that is told, and once more does no harm.
            hog.unlink()
        # What was kept is more than the disk: nothing of it can be written, and the file stays sound.
        with closing(Outbox(state / "outbox.db", clock)) as outbox:
            for entry in outbox.pending(0, 1000):
                assert entry.kind != Kind.DROPPED or decode(Dropped, entry.body).reason == "outbox-full"


async def test_the_agent_starts_on_a_full_disk() -> None:
    with open_folder() as folder, tmpfs(folder / "state") as state:
        agent = AgentProcess(folder / "home", state)
        hog = fill(state)
        with agent:
            await asyncio.to_thread(
                agent.wait_until, lambda status: bool(status.get("outbox", {}).get("trouble")), "its status"
            )
            hog.unlink()
            await asyncio.to_thread(
                agent.wait_until, lambda status: not status["outbox"]["trouble"], "the disk to be used"
            )
            assert agent.end() == 0
        assert "Traceback" not in agent.said()
        assert "outbox-disk-back" in events(stream(state))
