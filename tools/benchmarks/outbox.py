"""What is lost or stored twice while broker, agent and coordinator are killed at random."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from common.errors import Corrupt
from tools.stage.delivery import Order, Verdict, judge, judge_orders
from tools.stage.evidence import REPOSITORY, Deposition, Key, Row, deposition, stored_rows, swear_in
from tools.stage.fleet import Fleet
from tools.stage.hand import PAUSE_S, Hand
from tools.stage.killing import BROKER, COORDINATOR, Circumstance, Kill, Reaper, Round, plan

SITES: Final = {"gw-1": "hall-1", "gw-2": "hall-2", "gw-3": "hall-3"}
NODES: Final = 12
GATEWAY: Final = 1
QUIET_S: Final = (0.0, 1.0)
"""Between two rounds of kills."""

BACKLOG: Final = 50
"""Envelopes in the outboxes that are more than what is always on its way."""

QUICK_KILLS: Final = 8
QUICK_OUTAGE_S: Final = 20.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("outbox")
    group.add_argument("--kills", type=int, default=30, help="kills beside those around the outage (30)")
    group.add_argument("--outage", type=float, default=600.0, help="seconds without the broker (600)")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH. Raises Corrupt when the evidence contradicts itself."""
    kills = min(QUICK_KILLS, options.kills) if options.quick else options.kills
    outage_s = min(QUICK_OUTAGE_S, options.outage) if options.quick else options.outage
    with tempfile.TemporaryDirectory(prefix="outbox-") as folder:
        async with Trial(Path(folder), options.seed) as trial:
            outage = await trial.suffer(kills, outage_s)
        result = trial.result()
    return figures(result) | outage


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one gateway at the end. `cut` is its head when the last wait began."""

    gateway: str
    orders: list[Order]
    depositions: list[Deposition]
    stored: list[Row]
    cut: int

    @property
    def sent(self) -> set[Row]:
        """Every envelope that was ever committed, whatever became of its file since."""
        return {row for one in self.depositions for row in one.sent}

    @property
    def epochs(self) -> set[int]:
        """The streams' names; one, unless an outbox file was given up."""
        return {one.epoch for one in self.depositions} | {row.epoch for row in self.stored}

    def verdict(self) -> Verdict:
        """Envelope by envelope."""
        last = self.depositions[-1]
        held: frozenset[Key] = last.held
        return judge(self.sent, self.stored, {last.epoch: self.cut}, held)


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial leaves: a case per gateway, and the kills."""

    cases: list[Case]
    kills: list[Kill]
    duplicates: int


def figures(result: Result) -> dict[str, Any]:
    """The numbers. Raises Corrupt when rows were stored that nobody sent: then the witnesses missed some."""
    verdicts = {case.gateway: case.verdict() for case in result.cases}
    if strange := {name: v.unexplained for name, v in verdicts.items() if v.unexplained}:
        raise Corrupt(f"stored, but never sent: {strange}")
    told = [judge_orders(case.orders, case.sent) for case in result.cases]
    arrived = [judge_orders(case.orders, case.stored) for case in result.cases]
    circumstances = Counter(kill.circumstance.value for kill in result.kills)
    return {
        "sent": sum(v.sent for v in verdicts.values()),
        "lost": sum(len(v.lost) for v in verdicts.values()) + sum(len(missing) for missing, _ in told),
        "stored_twice": sum(len(v.stored_twice) for v in verdicts.values()) + sum(n for _, n in told),
        "kills": len(result.kills),
        "tombstones": sum(v.tombstones for v in verdicts.values()),
        "still_queued": sum(v.waiting for v in verdicts.values()),
        "orders_answered": sum(order.answered for case in result.cases for order in case.orders),
        "orders_not_stored": sum(len(missing) for missing, _ in arrived),
        "sent_again": result.duplicates,
        "epochs": sum(len(case.epochs) for case in result.cases),
        "gateways": len(result.cases),
        "kills_by_process": dict(sorted(Counter(kill.victim for kill in result.kills).items())),
        "kills_by_circumstance": dict(sorted(circumstances.items())),
        "kills_with_a_backlog": sum(kill.queued >= BACKLOG for kill in result.kills),
    }


def tables(seed: int) -> dict[str, dict[str, Any]]:
    """The configuration of an agent with a small virtual site."""
    return {"mesh": {"link": "virtual", "nodes": NODES, "seed": seed}}


@dataclass
class Trial:
    """`async with Trial(folder, seed) as trial`: a fleet at work; at the end every process is killed.

    `result` may be called after that: it reads what is on the disk then.
    """

    folder: Path
    seed: int
    sites: dict[str, str] = field(default_factory=lambda: dict(SITES))
    orders: int = 0
    """Orders that each gateway answers at least, however slow the machine."""

    def __post_init__(self) -> None:
        self._random = Random(f"outbox {self.seed}")
        self._fleet = Fleet(self.folder)
        self._states = {name: self.folder / "agents" / f"{name}-state" for name in self.sites}
        self._hands = {name: Hand(self._fleet, name, range(2, NODES + 1)) for name in self.sites}
        self.reaper = Reaper(self._fleet, self._states, self._random, say)
        self._cut: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self._fleet.__aenter__()
        try:
            await self._fleet.start()
            for number, (name, site) in enumerate(self.sites.items(), start=1):
                swear_in(self._states[name])
                await self._fleet.add_agent(site, name, GATEWAY, tables(number), self._states[name])
        except BaseException:
            await self._fleet.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._fleet.__aexit__()

    async def suffer(self, kills: int, outage_s: float) -> dict[str, Any]:
        """Rounds of kills, half of them before and half after an outage; figures of the outage.

        Ends with everything acknowledged that was sent by then, and every process killed.
        """
        try:
            async with self._at_work():
                found = await self._suffer(plan(kills, list(self.sites), self._random), outage_s)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        self._cut = await self._heads()
        say(f"waiting until the coordinator has {sum(self._cut.values())} envelopes")
        await self.reaper.backlog.drained(self._cut)
        await self.reaper.finish()
        return found

    async def _suffer(self, rounds: list[Round], outage_s: float) -> dict[str, Any]:
        half = len(rounds) // 2
        await self._carry_out(rounds[:half])
        found = await self._outage(outage_s) if outage_s > 0 else {}
        await self._carry_out(rounds[half:])
        return found

    def result(self) -> Result:
        """Read the files of everybody. Raises Corrupt."""
        stored = stored_rows(self._fleet.state / REPOSITORY)
        cases = [
            Case(
                name,
                self._hands[name].orders,
                [*self.reaper.depositions[name], deposition(self._states[name])],
                stored.get(name, []),
                self._cut[name],
            )
            for name in self.sites
        ]
        return Result(cases, self.reaper.kills, self.reaper.duplicates)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Orders all the time, to every gateway."""
        async with asyncio.TaskGroup() as tasks:
            for hand in self._hands.values():
                tasks.create_task(hand.run())
            try:
                yield
                await self._enough()
            finally:
                for hand in self._hands.values():
                    hand.stop()

    async def _enough(self) -> None:
        for hand in self._hands.values():
            # Other processes' work: there is no event to wait for.
            while sum(order.answered for order in hand.orders) < self.orders:  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_S)

    async def _carry_out(self, rounds: list[Round]) -> None:
        for round_ in rounds:
            await asyncio.sleep(self._random.uniform(*QUIET_S))
            await self.reaper.carry_out(round_)

    async def _outage(self, seconds: float) -> dict[str, Any]:
        """The broker stays away; meanwhile an agent and the coordinator are killed, and the broker once
        more as soon as the outboxes drain."""
        reaper, broker = self.reaper, self.reaper.daemon(BROKER)
        say(f"{seconds:.0f} s without the broker")
        await reaper.kill(BROKER, Circumstance.OUTAGE)
        gone_at = time.monotonic()
        for name in (self._random.choice(list(self.sites)), COORDINATOR):
            await asyncio.sleep(self._random.uniform(0.2, 0.4) * seconds)
            await reaper.kill(name, Circumstance.OUTAGE)
            await reaper.daemon(name).spawn()
        await asyncio.sleep(max(0.0, gone_at + seconds - time.monotonic()))
        before = await reaper.backlog.all_positions()
        await broker.spawn()
        back_at = time.monotonic()
        await reaper.backlog.moves(self.sites, before)
        resumed_at = time.monotonic()
        await reaper.kill(BROKER, Circumstance.DRAINING)
        before = await reaper.backlog.all_positions()
        await broker.spawn()
        await reaper.backlog.moves(self.sites, before)
        drained = await self._drain()
        await reaper.all_ready()
        return {
            "outage_s": round(back_at - gone_at, 1),
            "resumed_s": round(resumed_at - back_at, 2),
            **drained,
        }

    async def _drain(self) -> dict[str, Any]:
        """From now until everything that is queued now is acknowledged."""
        begun, before = time.monotonic(), await self.reaper.backlog.all_positions()
        backlog = sum(queued for _, queued in before.values())
        await self.reaper.backlog.drained({name: sum(position) for name, position in before.items()})
        seconds = time.monotonic() - begun
        say(f"{backlog} envelopes drained in {seconds:.1f} s")
        return {
            "backlog": backlog,
            "drained_s": round(seconds, 2),
            "drained_per_s": round(backlog / seconds),
        }

    async def _heads(self) -> dict[str, int]:
        positions = await self.reaper.backlog.all_positions()
        return {name: acked + queued for name, (acked, queued) in positions.items()}


def _first(error: BaseException) -> BaseException:
    """The first plain error in a group: the others follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
