"""What our stack and real nodes have to agree in: each check plays one thing, and returns its figures.

A check that does not hold raises `Disagreement`. They are played in order, on one site whose lamps form a
spine of relays with leaves; the last ones take nodes out and kill the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import monotonic
from typing import Any, Final, TypeVar

from common.errors import MeshtwinError, TimedOut
from common.mesh.addresses import ALL_NODES, show
from common.mesh.configuration import ConfigurationChange, Transmit
from common.tasks import together
from firmware_bridge.access import generic_onoff, link_monitor
from firmware_bridge.access.composition import Composition, CompositionGet, CompositionStatus
from firmware_bridge.access.config_heartbeat import (
    HeartbeatPublication,
    HeartbeatPublicationSet,
    HeartbeatPublicationStatus,
)
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffSet, OnOffStatus
from firmware_bridge.access.message import build
from firmware_bridge.access.opcodes import split
from firmware_bridge.link import Event, Heartbeat, MeshLink, Message
from tools.interoperability.proxied import ProxiedSite
from tools.interoperability.site import GATEWAY, lamp_address
from tools.meshlab.topology import Topology

T = TypeVar("T")

SPINE: Final = 5
"""Relays in a row, from the proxy on; the lamps behind the last one are six hops on air away from it."""

ANSWER_S: Final = 2.0
_AT_ONCE: Final = 2
_OPAQUE: Final = bytes.fromhex("fef105")
"""A vendor message that nobody understands, to carry any length."""


class Disagreement(MeshtwinError):
    """Our stack and the nodes do not do what they should together."""


def require(holds: object, problem: str) -> None:
    """Raise Disagreement unless `holds`."""
    if not holds:
        raise Disagreement(problem)


def spine(lamps: int, loss: float = 0.0) -> Topology:
    """Lamps 0 to SPINE − 1 in a row behind our node, which is the last; all others hang on them by turns."""
    ours = lamps
    pairs = [(ours, 0), *((i, i + 1) for i in range(SPINE - 1))]
    pairs += [(leaf, _relay_of(leaf)) for leaf in range(SPINE, lamps)]
    return Topology.from_links(lamps + 1, pairs, loss)


def hops_to(index: int) -> int:
    """Hops on air from the proxy to a lamp of the spine's topology."""
    return index + 1 if index < SPINE else _relay_of(index) + 2


def _relay_of(leaf: int) -> int:
    return SPINE - 1 - (leaf - SPINE) % SPINE


class Listening:
    """The events of a link while it is open; `until` waits for one."""

    def __init__(self, link: MeshLink) -> None:
        self.events: list[Event] = []
        self._link = link
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Listen until the link is closed."""
        async for event in self._link.events():
            self.events.append(event)
            self._came.set()

    async def until(self, condition: Callable[[], object], seconds: float, problem: str) -> None:
        """Return once the condition holds. Raises Disagreement."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError as error:
            raise Disagreement(problem) from error


@dataclass(frozen=True)
class Stage:
    """What a check plays on."""

    site: ProxiedSite
    listening: Listening
    rounds: int = 3

    @property
    def lamps(self) -> range:
        """The indices of all lamps."""
        return range(len(self.site.lamps))

    @property
    def far(self) -> int:
        """A lamp behind the whole spine."""
        return next(i for i in self.lamps if hops_to(i) == SPINE + 1)

    async def onoff(self, index: int, on: bool, tid: int, attempts: int = 3) -> int:
        """Switch a lamp; the attempts that it took. Raises Disagreement."""
        address, message = lamp_address(index), build(OnOffSet(on, tid))
        for attempt in range(1, attempts + 1):
            try:
                answer = await self.site.link.request(address, message, OnOffStatus.OPCODE, ANSWER_S)
            except TimedOut:
                continue
            require(OnOffStatus.parse(split(answer)[1]).present is on, f"lamp {index} is not {on}")
            return attempt
        raise Disagreement(f"lamp {index} did not answer {attempts} times")


async def composition(stage: Stage) -> dict[str, Any]:
    """Every node tells its composition, in segments: Config server, OnOff server, link monitor."""
    segments = 0
    for index in stage.lamps:
        address = lamp_address(index)
        status = await stage.site.link.client.ask(address, CompositionGet(), CompositionStatus, give_up_s=8.0)
        page = status.parsed()
        require(isinstance(page, Composition), f"lamp {index} has no composition page 0")
        assert isinstance(page, Composition)
        models = {model for _, model in page.models()}
        missing = {generic_onoff.SERVER, link_monitor.SERVER} - models
        require(not missing, f"lamp {index} lacks {missing}")
        segments += -(-(len(status.data) + 6) // 12)
    return {"nodes": len(stage.lamps), "segments_received": segments}


async def relay_and_transmit(stage: Stage) -> dict[str, Any]:
    """Relay and network transmit of every node are set, read back, and set back."""
    gate = asyncio.Semaphore(_AT_ONCE)
    async with together() as tasks:
        for index in stage.lamps:
            tasks.create_task(_change_and_back(stage, index, gate))
    return {"nodes": len(stage.lamps)}


async def _change_and_back(stage: Stage, index: int, gate: asyncio.Semaphore) -> None:
    configure = partial(stage.site.link.configure, lamp_address(index))
    wanted = ConfigurationChange(
        relay=True, network_transmit=Transmit(3, 20), relay_retransmit=Transmit(3, 10)
    )
    async with gate:
        before = await _insist(partial(configure, ConfigurationChange()))
        await _insist(partial(configure, wanted))
        found = await _insist(partial(configure, ConfigurationChange()))
        told = (found.relay, found.network_transmit, found.relay_retransmit)
        require(told == (True, Transmit(3, 20), Transmit(3, 10)), f"lamp {index} reads back {told}")
        stated = await _insist(partial(configure, wanted.undo(before)))
        require(stated == before, f"lamp {index} is not as it was: {stated}")


async def heartbeats(stage: Stage) -> dict[str, Any]:
    """Nodes at every distance publish heartbeats, and the hops that these tell are the topology's."""
    chosen = sorted({hops_to(i): i for i in stage.lamps}.items())
    for _, index in chosen:
        publication = HeartbeatPublication(ALL_NODES, count_log=3, period_log=1, ttl=20)
        await stage.site.link.client.ask(
            lamp_address(index), HeartbeatPublicationSet(publication), HeartbeatPublicationStatus
        )

    def heard() -> dict[int, int | None]:
        return {e.source: e.hops for e in stage.listening.events if isinstance(e, Heartbeat)}

    sources = {lamp_address(index) for _, index in chosen}
    try:
        await stage.listening.until(lambda: heard().keys() >= sources, 20.0, "not every heartbeat came")
    except Disagreement as error:
        raise Disagreement(f"no heartbeat of {[show(a) for a in sources - heard().keys()]}") from error
    # The proxy takes one hop of the TTL on the way from the air to us.
    wrong = {i: heard()[lamp_address(i)] for hops, i in chosen if heard()[lamp_address(i)] != hops + 1}
    require(not wrong, f"heartbeats over other hops than the topology's: {wrong}")
    return {"nodes": len(chosen), "most_hops_on_air": chosen[-1][0]}


async def onoff_both_ways(stage: Stage) -> dict[str, Any]:
    """A lamp at least four hops away is switched and answers, and asks us by itself."""
    times, attempts = [], 0
    for tid in range(4 * stage.rounds):
        begun = monotonic()
        attempts += await stage.onoff(stage.far, tid % 2 == 0, tid)
        times.append(monotonic() - begun)
    lamp, asked = stage.site.lamps[stage.far], build(OnOffGet())
    before = len(stage.listening.events)

    def arrived(count: int) -> bool:
        later = stage.listening.events[before:]
        return sum(isinstance(e, Message) and e.payload == asked for e in later) >= count

    for count in range(1, stage.rounds + 1):
        lamp.own.reply(GATEWAY, OnOffGet())
        await stage.listening.until(partial(arrived, count), 5.0, "a lamp's own message did not come")
    return {
        "hops_on_air": hops_to(stage.far),
        "switched": len(times),
        "attempts": attempts,
        "median_ms": round(median(times) * 1000, 1),
        "from_lamp": stage.rounds,
    }


async def segments_over_loss(stage: Stage) -> dict[str, Any]:
    """Long messages pass three hops at 20 % loss a link: ours to a lamp, and a lamp's to us."""
    index = next(i for i in stage.lamps if hops_to(i) == 3)
    lossy = dict.fromkeys(spine(len(stage.lamps)).links, 0.2)
    await stage.site.lab.set_topology(Topology(len(stage.lamps) + 1, lossy))
    lamp, times = stage.site.lamps[index], []
    try:
        for number in range(stage.rounds):
            payload = _OPAQUE + bytes((number,)) * 150
            begun = monotonic()
            await stage.site.link.send(lamp_address(index), payload)
            await eventually(partial(lamp.heard.__contains__, payload), 20.0, "a long message got lost")
            times.append(monotonic() - begun)
        asked = monotonic()
        for _ in range(stage.rounds):
            await stage.site.link.client.ask(
                lamp_address(index), CompositionGet(), CompositionStatus, give_up_s=20.0
            )
        answers_s = monotonic() - asked
    finally:
        await stage.site.lab.set_topology(spine(len(stage.lamps)))
    return {
        "messages_of_segments": -(-(len(_OPAQUE) + 154) // 12),
        "sent": stage.rounds,
        "median_s": round(median(times), 2),
        "compositions_received": stage.rounds,
        "mean_composition_s": round(answers_s / stage.rounds, 2),
    }


async def _insist(call: Callable[[], Awaitable[T]], attempts: int = 3) -> T:
    """A flood may be lost for good: what was not answered is asked again."""
    for attempt in range(1, attempts + 1):
        try:
            return await call()
        except TimedOut:
            if attempt == attempts:
                raise
    raise AssertionError("attempts is at least 1")


async def eventually(condition: Callable[[], object], seconds: float, problem: str) -> None:
    """Return once the condition holds. Raises Disagreement."""
    end = monotonic() + seconds
    while not condition():
        require(monotonic() < end, problem)
        await asyncio.sleep(0.01)
