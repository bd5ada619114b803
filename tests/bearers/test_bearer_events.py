"""The bounded queue between a bearer and its consumer, and the writer of PDUs in pieces."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Unavailable
from firmware_bridge.bearers.bearer import BearerDown, BearerEvent, BearerUp, PduReceived
from firmware_bridge.bearers.event_queue import BearerEvents
from firmware_bridge.bearers.pdu_writer import PduWriter
from firmware_bridge.stack.proxy import PduType
from tools.meshlab import poll


def pdu(number: int) -> PduReceived:
    return PduReceived(PduType.NETWORK, bytes((number,)))


UP, DOWN = BearerUp("peer", filters=True), BearerDown("why")


async def taken(events: BearerEvents) -> list[BearerEvent]:
    events.close()
    return [event async for event in events]


async def test_the_oldest_pdu_goes_first_and_is_counted() -> None:
    events = BearerEvents(limit=3)
    for event in (UP, pdu(1), pdu(2), pdu(3), DOWN):
        events.put(event)
    assert events.dropped == 2
    assert await taken(events) == [UP, pdu(3), DOWN]


async def test_ups_and_downs_without_pdus_go_in_pairs_and_leave_the_state_true() -> None:
    events = BearerEvents(limit=4)
    for _ in range(10):
        events.put(UP)
        events.put(DOWN)
    events.put(UP)
    assert await taken(events) == [UP, DOWN, UP]
    assert events.dropped == 0


async def test_a_sender_that_is_cancelled_within_a_pdu_leaves_it_whole() -> None:
    gate = asyncio.Event()
    written: list[bytes] = []

    async def write(piece: bytes) -> None:
        written.append(piece)
        await gate.wait()

    writer = PduWriter(write)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        begun = tasks.create_task(writer.send([b"1a", b"1b"]))
        waiting = tasks.create_task(writer.send([b"2"]))
        last = tasks.create_task(writer.send([b"3"]))
        await poll.until(lambda: bool(written))
        begun.cancel()
        waiting.cancel()
        await asyncio.sleep(0)
        gate.set()
        await last
        running.cancel()
    assert written == [b"1a", b"1b", b"3"]


async def test_everybody_who_waits_hears_of_the_end() -> None:
    async def write(piece: bytes) -> None:
        await asyncio.sleep(0)
        raise Unavailable("gone")

    writer = PduWriter(write)
    senders = [asyncio.ensure_future(writer.send([b"x"])) for _ in range(40)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="gone"):
        await writer.run()
    outcomes = await asyncio.gather(*senders, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
