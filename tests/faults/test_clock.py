"""The wall clock jumps, or was wrong from the start: nothing but stamps may follow it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.messages import MAX_TIME, Event, Kind, Status, decode_measurement, encode
from common.policy.lease import LEASE_PERIODS
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.share.outbox import Outbox
from edge_agent.share.peers import PeerTable
from tests.agent.conftest import host_body
from tests.agent.gateway import SITE, endpoint, running
from tests.agent.test_outbox import BOOT
from tests.healing.gateways import running_gateways
from tests.healing.test_healing import LEARNING_S, site

DAY_S = 86_400.0
JUMPS = [DAY_S, -DAY_S, -1_700_000_000.0 + 30.0]


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_jump_makes_no_false_action_and_hinders_no_right_one(tmp_path: Path, jump: float) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        clock.jump_wall(jump)
        await clock.advance(60.0)
        first, second = gateways["gw-1"].stream, gateways["gw-2"].stream
        assert (first.actions(), second.actions()) == ([], [])
        assert "node-dead" not in first.events()
        mesh.down(2)
        await clock.advance(3.0)
        clock.jump_wall(-jump)  # In the midst of the action, and back.
        await clock.advance(12.0)
        assert first.states() == ["applying", "applied", "confirmed"]
        (began,) = {action["began"] for action in gateways["gw-1"].agent.diary.recent()}
        assert began > 0
        host = [body for kind, body in first.entries if kind is Kind.LINKS]
        assert all(t >= 0 for t in decode_measurement(Kind.LINKS, host[-1])["t"])


@pytest.mark.parametrize("jump", JUMPS)
def test_the_stream_is_in_the_order_of_its_numbers_whatever_the_clock_says(
    tmp_path: Path, jump: float
) -> None:
    clock = ManualClock()
    with closing(Outbox(tmp_path / "outbox.db", clock, boot=BOOT)) as outbox:
        for number in range(10):
            outbox.append(Kind.EVENT, encode(Event(name="e", fields={"number": number})), clock.wall())
            outbox.append(Kind.HOST, host_body(), clock.wall())
            clock.jump_wall(jump if number % 2 else -jump)
        outbox.append(Kind.EVENT, encode(Event(name="before the epoch")), -5.0)
        outbox.append(Kind.EVENT, encode(Event(name="after the calendar")), 1e15)
        entries = outbox.pending(0, 100)
    assert [entry.sequence for entry in entries] == list(range(1, 23))
    # The coordinator refuses what lies outside the calendar, and would never acknowledge it.
    assert all(0.0 <= entry.time <= MAX_TIME for entry in entries)


@pytest.mark.parametrize("jump", JUMPS)
def test_peers_live_by_this_gateways_own_seconds(jump: float) -> None:
    table, wall = PeerTable("hall", "gw-2"), 1_700_000_000.0
    status = Status(site="hall", gateway="gw-1", time=wall, online=True, period_s=2.0)
    table.hear(status, retained=False, now=10.0, wall=wall)
    # Its next status comes in time, with any stamp, and by whatever this gateway holds for the time.
    table.hear(status.model_copy(update={"time": wall + jump}), retained=False, now=12.0, wall=wall - jump)
    assert [peer.gateway for peer in table.live(12.0 + LEASE_PERIODS * 2.0)] == ["gw-1"]
    assert table.live(12.1 + LEASE_PERIODS * 2.0) == []


@pytest.mark.parametrize("jump", JUMPS)
def test_a_retained_status_with_a_foolish_stamp_makes_nobody_live(jump: float) -> None:
    table, wall = PeerTable("hall", "gw-2"), 1_700_000_000.0
    gone = Status(site="hall", gateway="gw-1", time=wall + jump, online=True, period_s=2.0)
    table.hear(gone, retained=True, now=10.0, wall=wall)
    assert table.live(10.0) == []


async def test_ids_of_actions_differ_between_two_starts_at_the_same_time(tmp_path: Path) -> None:
    """A gateway without a battery-backed clock starts at the same moment again and again."""
    ids = set()
    for start in range(2):
        clock, mesh = ManualClock(wall=30.0), site()
        async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
            await clock.advance(LEARNING_S)
            mesh.down(2)
            await clock.advance(15.0)
            ids |= {action["id"] for action in gateways["gw-1"].agent.diary.recent()}
            assert len(ids) == start + 1


@pytest.mark.broker
async def test_a_certificate_that_is_not_valid_yet_is_the_reason_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a gateway sees it that woke up in 1970: for it, everything was issued in the future."""
    state, port = tmp_path / "state", free_port()
    initialise(state, InitOptions(port=port, gateways_port=free_port()), now=time.time() + 3 * DAY_S)
    enrol(state, SITE, "gw-1", now=time.time() + 3 * DAY_S)
    async with AsyncExitStack() as stack:
        broker = BrokerProcess(state)
        await asyncio.to_thread(broker.start)
        stack.push_async_callback(asyncio.to_thread, broker.stop)
        gateway = await stack.enter_async_context(running(endpoint(state, port), tmp_path))
        gateway.outbox.append(Kind.EVENT, encode(Event(name="kept")), time.time())
        async with asyncio.timeout(20.0):
            # The logging module wakes nobody.
            while not (told := [r for r in caplog.records if r.getMessage() == "broker-unreachable"]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        fields = told[0].__dict__["meshtwin_fields"]
        assert "certificate is not valid yet" in str(fields["reason"])
        assert "clock" in str(fields["fix"])
        assert gateway.outbox.queued == 1
