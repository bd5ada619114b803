"""Broker, coordinator and agents as real processes, killed with -9: nothing lost, nothing stored twice."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tools.benchmarks.outbox import NODES, Trial, figures, tables
from tools.stage.daemon import Daemon
from tools.stage.evidence import REPOSITORY, Deposition, deposition, stored_rows, swear_in
from tools.stage.fleet import Fleet
from tools.stage.hand import Hand

pytestmark = pytest.mark.broker

KILLS = 6
ORDERS = 15
LIVES = 2
ORDERS_A_LIFE = 12
SITE, GATEWAY = "hall", "gw-1"
WITHIN_S = 60.0

_AN_EVENT = "SELECT rowid FROM messages WHERE kind = 'event' LIMIT 1 OFFSET 5"
LOSE_ONE = f"DELETE FROM messages WHERE rowid = ({_AN_EVENT})"
DOUBLE_ONE = (
    "INSERT INTO messages SELECT gateway, epoch, sequence + 1000000, site, kind, t0, t1, received, body"
    f" FROM messages WHERE rowid = ({_AN_EVENT})"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        yield Path(name)


def tamper(repository: Path, statement: str) -> None:
    with closing(sqlite3.connect(repository)) as database:
        assert database.execute(statement).rowcount == 1
        database.commit()


async def test_kills_at_random_moments_lose_and_double_nothing(folder: Path) -> None:
    sites = {"gw-1": "hall-1", "gw-2": "hall-2"}
    async with Trial(folder, seed=3, sites=sites, orders=ORDERS) as trial:
        await trial.suffer(KILLS, outage_s=0.0)
    found = figures(trial.result())
    assert found["kills"] == KILLS
    assert found["kills_by_circumstance"].keys() >= {"draining", "starting"}
    assert (found["lost"], found["stored_twice"], found["tombstones"]) == (0, 0, 0)
    assert found["orders_not_stored"] == 0
    assert found["orders_answered"] >= ORDERS * len(sites)
    assert found["epochs"] == len(sites)
    # The same judge, on the same files, once something is wrong with them.
    repository = folder / "coordinator" / REPOSITORY
    tamper(repository, DOUBLE_ONE)
    assert figures(trial.result())["stored_twice"] == 1
    tamper(repository, LOSE_ONE)
    assert figures(trial.result())["lost"] == 1


async def a_life(agent: Daemon, hand: Hand, state: Path) -> Deposition:
    """Let the agent take orders, and kill it in the midst of them; what it left."""
    begun = answered(hand)
    async with asyncio.timeout(WITHIN_S):
        # Another process's work: there is no event to wait for.
        while answered(hand) < begun + ORDERS_A_LIFE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await agent.kill()
    left = await asyncio.to_thread(deposition, state)
    await agent.start()
    return left


def answered(hand: Hand) -> int:
    return sum(order.answered for order in hand.orders)


async def test_a_killed_agent_goes_on_in_its_epoch(folder: Path) -> None:
    state = folder / "state"
    swear_in(state)
    async with Fleet(folder / "fleet") as fleet:
        await fleet.start()
        await fleet.add_agent(SITE, GATEWAY, 1, tables(1), state)
        hand = Hand(fleet, GATEWAY, range(2, NODES + 1))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hand.run())
            lives = [await a_life(fleet.agents[GATEWAY], hand, state) for _ in range(LIVES)]
            hand.stop()
        stored = await asyncio.to_thread(stored_rows, fleet.state / REPOSITORY)
    assert len({left.epoch for left in lives}) == 1
    assert {row.epoch for row in stored[GATEWAY]} == {lives[0].epoch}
    for before, after in zip(lives, lives[1:], strict=False):
        assert after.sent[: len(before.sent)] == before.sent
        assert after.acked >= before.acked
    last = lives[-1]
    assert [row.sequence for row in last.sent] == list(range(1, last.head + 1))
    assert {row.key for row in last.sent if row.sequence > last.acked} == last.held
