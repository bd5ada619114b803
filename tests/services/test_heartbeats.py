"""When the parts call themselves ready and alive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.errors import TimedOut
from common.notify import from_environment
from coordinator.service.heartbeat import Heartbeat as CoordinatorHeartbeat
from edge_agent.service.heartbeat import API_PATIENCE_S, Heartbeat
from tests.services.manager import Manager

READY = "READY=1\nSTATUS=fine"
ALIVE = "WATCHDOG=1\nSTATUS=fine"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify", watchdog_s=20.0) as listening:
        yield listening


def said(manager: Manager) -> list[str]:
    """Everything that was said since the last call."""
    before = len(manager.heard)
    while manager.receive(0.01) is not None:
        pass
    return manager.heard[before:]


async def test_the_agent_is_ready_with_its_first_decision_once_it_answers(
    clock: ManualClock, manager: Manager
) -> None:
    answers = False
    heartbeat = Heartbeat(from_environment(manager.environment), clock, lambda: answers, lambda: "fine")
    heartbeat.beat()
    assert said(manager) == [ALIVE]
    answers = True
    heartbeat.beat()
    heartbeat.beat()
    assert said(manager) == [READY]


async def test_an_agent_without_its_local_interface_is_ready_later(
    clock: ManualClock, manager: Manager
) -> None:
    heartbeat = Heartbeat(from_environment(manager.environment), clock, lambda: False, lambda: "fine")
    await clock.advance(API_PATIENCE_S + 1)
    heartbeat.beat()
    assert READY in said(manager)


async def test_the_agent_is_alive_only_as_long_as_decisions_are_made(
    clock: ManualClock, manager: Manager
) -> None:
    heartbeat = Heartbeat(from_environment(manager.environment), clock, lambda: True, lambda: "fine")
    for _ in range(20):
        heartbeat.beat()
        await clock.advance(1.0)
    # Four times in a period, however often the loop turns.
    assert said(manager) == [READY, ALIVE, ALIVE, ALIVE, ALIVE]
    await clock.advance(100.0)
    assert said(manager) == []
    heartbeat.stopping()
    assert said(manager) == ["STOPPING=1\nSTATUS=stopping"]


class Coordinator:
    """The two loops of a coordinator, to be halted at will."""

    def __init__(self) -> None:
        self.turns = 0
        self.answers = True

    def turn(self) -> int:
        return self.turns

    async def ask(self) -> None:
        if not self.answers:
            raise TimedOut("no answer")


async def test_the_coordinator_is_alive_while_it_stores_and_answers(
    clock: ManualClock, manager: Manager
) -> None:
    part = Coordinator()
    heartbeat = CoordinatorHeartbeat(
        from_environment(manager.environment), clock, part.turn, part.ask, lambda: "fine"
    )
    async with asyncio.TaskGroup() as owner:
        running = owner.create_task(heartbeat.run())
        await clock.advance(0.1)
        assert said(manager) == [READY, ALIVE]
        await clock.advance(5.0)
        assert said(manager) == [], "storing hangs"
        part.turns += 1
        await clock.advance(5.0)
        assert said(manager) == [ALIVE]
        part.turns, part.answers = 9, False
        await clock.advance(5.0)
        assert said(manager) == [], "the API hangs"
        part.answers = True
        await clock.advance(5.0)
        assert said(manager) == [ALIVE]
        running.cancel()


async def test_a_coordinator_that_does_not_answer_yet_is_not_ready(
    clock: ManualClock, manager: Manager
) -> None:
    part = Coordinator()
    part.answers = False
    heartbeat = CoordinatorHeartbeat(
        from_environment(manager.environment), clock, part.turn, part.ask, lambda: "fine"
    )
    async with asyncio.TaskGroup() as owner:
        running = owner.create_task(heartbeat.run())
        await clock.advance(3.0)
        assert said(manager) == []
        part.answers = True
        await clock.advance(1.0)
        assert READY in said(manager)
        running.cancel()
