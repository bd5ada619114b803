"""The queue of a link's events drops what matters least, and counts it."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Unavailable
from firmware_bridge.event_queue import EventQueue
from firmware_bridge.link import Event, Heartbeat, LinkUp, LostNeighbour, Message, NeighbourReport

HEARTBEAT = Heartbeat(0.0, 5, 1)
MESSAGE = Message(0.0, 5, 1, b"\x82\x04\x01")
REPORT = NeighbourReport(0.0, 5, ())
LOST = LostNeighbour(0.0, 5, 6, 2)
UP = LinkUp(0.0, 1)


async def drain(queue: EventQueue) -> list[Event]:
    queue.close()
    return [event async for event in queue]


async def test_events_come_in_the_order_of_arrival() -> None:
    queue = EventQueue()
    for event in (UP, REPORT, LOST, MESSAGE):
        queue.put(event)
    assert await drain(queue) == [UP, REPORT, LOST, MESSAGE]


@pytest.mark.parametrize(
    ("held", "left"),
    [
        ([LOST, MESSAGE, HEARTBEAT, REPORT], [LOST, MESSAGE, REPORT]),
        ([LOST, MESSAGE, REPORT, UP], [LOST, REPORT, UP]),
        ([LOST, REPORT, UP, REPORT], [LOST, UP, REPORT]),
        ([LOST, UP, LOST, LOST], [UP, LOST, LOST]),
    ],
)
async def test_a_full_queue_drops_the_least_important_oldest(held: list[Event], left: list[Event]) -> None:
    queue = EventQueue(limit=4)
    for event in [*held, UP]:
        queue.put(event)
    assert queue.dropped == 1
    assert await drain(queue) == [*left, UP]


async def test_a_waiting_consumer_is_woken_by_an_event_and_by_the_end() -> None:
    queue = EventQueue()
    waiting = asyncio.ensure_future(anext(queue))
    await asyncio.sleep(0)
    queue.put(UP)
    assert await waiting == UP
    ended = asyncio.ensure_future(anext(queue))
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(StopAsyncIteration):
        await ended


async def test_nothing_is_taken_in_after_the_end() -> None:
    queue = EventQueue()
    queue.close()
    queue.put(UP)
    assert await drain(queue) == []


async def test_a_queue_that_failed_gives_what_it_holds_then_the_error_once() -> None:
    queue = EventQueue()
    queue.put(UP)
    queue.fail(Unavailable("broken"))
    queue.put(LOST)
    assert await anext(queue) == UP
    with pytest.raises(Unavailable, match="broken"):
        await anext(queue)
    assert await drain(queue) == []
