"""Deaths on a simulated site, on a clock that is moved by hand: the play of real time in a fraction of it,
with the times of what happens within the agent, and the same from the same seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from common.clock import ManualClock
from common.errors import MeshtwinError, TimedOut
from common.mesh.graph import SiteGraph
from common.scenario import Scenario
from firmware_bridge.virtual import VirtualSite
from tools.stage import corridors
from tools.stage.healing import PING_TIMEOUT_S, Healed, can_be_mended, cut_off_by, measure
from tools.stage.simulated import Simulation, simulated

LEARN_WITHIN_S: Final = 240.0
SETTLE_WITHIN_S: Final = 180.0
SETTLE_S: Final = 10.0
STEP_S: Final = 0.02
RESET_TRIES: Final = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mended:
    """One death. Seconds from it until the first neighbour told it, until the agent believed it, and until
    the action was applied; questions asked meanwhile and answered; transmissions a second."""

    healed: Healed
    told_s: float | None
    believed_s: float | None
    applied_s: float | None
    asked: int
    answered: int
    transmissions_per_s: float


@dataclass(slots=True)
class Play:
    """A site's life: `mended` its deaths, `false_actions` what was begun without one, over `simulated_s`.
    Rates, of transmissions and of monitoring's floods, are of the time without deaths."""

    learned_s: float = 0.0
    mended: list[Mended] = field(default_factory=list)
    false_actions: int = 0
    transmissions_per_s: float = 0.0
    reports_per_s: float = 0.0
    simulated_s: float = 0.0


class SimulatedPatient:
    """A site with its agent, as a `healing.Site`. Time passes in `until` and `lasting` only."""

    name = "simulated"

    def __init__(self, simulation: Simulation) -> None:
        self.site, self.agent = simulation.site, simulation.agent
        self.clock: ManualClock = simulation.clock
        self._actions = simulation.stream.actions
        self.baseline = frozenset(n.address for n in self.site.nodes.values() if n.relay)
        self.asked = self.answered = 0

    async def graph(self) -> SiteGraph:
        nodes = self.site.nodes
        return SiteGraph({(a, b): p for a, b, p in self.site.links if nodes[a].alive and nodes[b].alive})

    async def relays(self) -> frozenset[int]:
        return frozenset(node.address for node in self.site.nodes.values() if node.relay and node.alive)

    async def kill(self, node: int) -> float:
        self.site.down(node)
        return self.clock.monotonic()

    async def revive(self, node: int) -> None:
        self.site.up(node)

    async def ping(self, node: int) -> bool:
        """One OnOff round trip."""
        self.asked += 1
        try:
            await self.agent.prober.round_trip(node, PING_TIMEOUT_S)
        except MeshtwinError:
            return False
        self.answered += 1
        return True

    def begun(self) -> int:
        """Actions begun so far."""
        return sum(record.state == "applying" for _, record in self._actions)

    def applied_at(self, before: int) -> float | None:
        """When the first action after `before` steps of actions was applied, by the clock."""
        wall = (time for time, record in self._actions[before:] if record.state == "applied")
        first = next(wall, None)
        return None if first is None else first - self.clock.wall() + self.clock.monotonic()

    @property
    def steps(self) -> int:
        """Steps in the life of actions so far."""
        return len(self._actions)

    async def lasting(self, work: Awaitable[T], each: Callable[[], None] = lambda: None) -> T:
        """Let time pass until `work` is done; `each` is called at every step."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await self.clock.advance(STEP_S)
                each()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, good: Callable[[], bool], within_s: float, what: str) -> None:
        """Let time pass until `good`. Raises TimedOut."""
        end = self.clock.monotonic() + within_s
        while not good():
            if self.clock.monotonic() >= end:
                raise TimedOut(f"the simulated site: no {what} within {within_s:g} s")
            await self.clock.advance(1.0)


async def play(
    folder: Path,
    seed: int,
    faults: int,
    loss: float,
    soak_s: float = 0.0,
    told: Callable[[Mended], None] = lambda _: None,
) -> Play:
    """Kill `faults` relays one after the other on the corridors of a seed, then let it be for `soak_s`.

    `told` hears of each. Raises TimedOut where the agent does not learn its site or does not settle.
    """
    scenario = Scenario.model_validate(corridors.document(seed))
    site = VirtualSite.from_scenario(scenario, loss=loss, gateways=[corridors.GATEWAY])
    async with simulated(folder, site, corridors.GATEWAY) as simulation:
        patient, random, life = SimulatedPatient(simulation), Random(f"heal {seed}"), Play()
        await patient.until(
            lambda: patient.agent.site.learned(patient.clock.monotonic()), LEARN_WITHIN_S, "picture"
        )
        life.learned_s = patient.clock.monotonic()
        await patient.clock.advance(SETTLE_S)
        for _ in range(faults):
            life.mended.append(await _death(patient, random))
            told(life.mended[-1])
            await _restore(patient, life.mended[-1].healed.relay)
        await _rest(patient, life, soak_s)
        life.false_actions = patient.begun() - sum(m.applied_s is not None for m in life.mended)
        life.simulated_s = patient.clock.monotonic()
    return life


async def _death(patient: SimulatedPatient, random: Random) -> Mended:
    relay, cut_off = random.choice(await _victims(patient))
    await patient.clock.advance(random.random())
    clock, air, before = patient.clock, patient.site.air, patient.steps
    sent, killed_at = air.transmissions(), clock.monotonic()
    patient.asked = patient.answered = 0
    seen: dict[str, float] = {}

    def look() -> None:
        record = patient.agent.site.nodes[relay]
        if record.lost_by:
            told_at = min((t for t in record.lost_by.values() if t >= killed_at), default=None)
            if told_at is not None:
                seen.setdefault("told", told_at - killed_at)
        if record.dead_since is not None:
            seen.setdefault("believed", record.dead_since - killed_at)

    healed = await patient.lasting(measure(patient, relay, cut_off, patient.ping, clock), look)
    applied_at = patient.applied_at(before)
    return Mended(
        healed,
        seen.get("told"),
        seen.get("believed"),
        None if applied_at is None else applied_at - killed_at,
        patient.asked,
        patient.answered,
        (air.transmissions() - sent) / (clock.monotonic() - killed_at),
    )


async def _victims(patient: SimulatedPatient) -> list[tuple[int, frozenset[int]]]:
    """Relays whose death can be mended, and whom each cuts off."""
    graph, relays = await patient.graph(), await patient.relays()
    gateway, others = corridors.GATEWAY, graph.nodes - {corridors.GATEWAY}
    found = []
    for relay in sorted(relays - {gateway}):
        cut_off = cut_off_by(graph, relays, {gateway: others}, relay)
        if cut_off and can_be_mended(graph, others, relays, gateway, relay, cut_off):
            found.append((relay, cut_off))
    return found


async def _restore(patient: SimulatedPatient, relay: int) -> None:
    """Bring the dead back and the relay set to what it was, as an operator would."""
    await patient.revive(relay)
    await patient.until(lambda: _is_idle(patient), SETTLE_WITHIN_S, "rest")
    for node in sorted(await patient.relays() - patient.baseline):
        await patient.lasting(_switch_off(patient, node))
    await patient.clock.advance(SETTLE_S)
    await patient.until(lambda: _is_idle(patient), SETTLE_WITHIN_S, "rest")


async def _switch_off(patient: SimulatedPatient, node: int) -> None:
    for attempt in range(RESET_TRIES):
        try:
            await patient.agent.operator.set_relay(node, False)
            return
        except MeshtwinError:
            if attempt == RESET_TRIES - 1:
                raise


def _is_idle(patient: SimulatedPatient) -> bool:
    return not patient.agent.site.nodes.dead() and not patient.agent.executor.pending


async def _rest(patient: SimulatedPatient, life: Play, soak_s: float) -> None:
    """Some time without deaths, at the pace that the site has come to."""
    sent, told, since = patient.site.air.transmissions(), patient.site.messages, patient.clock.monotonic()
    await patient.clock.advance(max(soak_s, 2 * SETTLE_S))
    seconds = patient.clock.monotonic() - since
    life.transmissions_per_s = (patient.site.air.transmissions() - sent) / seconds
    life.reports_per_s = (patient.site.messages - told) / seconds
