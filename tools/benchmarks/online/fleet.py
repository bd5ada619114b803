"""The machines and channels of the online benchmark, and all that will happen to them, drawn before the play.

What is drawn here depends on the seed alone, never on a decision: every scheduler meets the same graphs, the
same failures at the same times, and the same fading of the WAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from common.placement.instance import BACKBONE, Node


@dataclass(frozen=True, slots=True)
class Machine:
    """`speed_ghz` of one slot; `power_w` while a slot is busy."""

    id: str
    tier: str
    slots: int | None
    speed_ghz: float
    power_w: float


MACHINES: Final = (
    Machine("gateway1", "local", 1, 2.4, 8.0),
    Machine("gateway2", "local", 1, 1.8, 6.0),
    Machine("gateway3", "local", 1, 1.2, 4.0),
    Machine("mec1", "mec", 2, 9.6, 12.0),
    Machine("mec2", "mec", 2, 7.2, 8.0),
    Machine("cloud", "cloud", None, 24.0, 20.0),
)
"""Three gateways of the 2.4 to 1.2 GHz class, two servers at the edge, and a cloud without a limit."""

GATEWAYS: Final = 3

CHANNELS: Final = ("lan", "wan_up", "wan_down", BACKBONE)
LAN, WAN_UP, WAN_DOWN, FREE = range(len(CHANNELS))
MBIT_S: Final = (90.0, 16.0, 40.0, 1000.0)
FADING: Final = (WAN_UP, WAN_DOWN)
ONE_WAY_MS: Final = {"lan": 2.0, "mec": 8.0, "cloud": 40.0, "backbone": 30.0}
RADIO_J_PER_BIT: Final = (1.0e-8, 5.0e-7, 1.0e-7, 2.0e-9)
"""Per channel, as the instances of `data/placement` have it."""

FAILS_EVERY_S: Final = 60.0
DOWN_S: Final = (5.0, 15.0)
FADES_EVERY_S: Final = 30.0
FADED_S: Final = (3.0, 10.0)
FADED_TO: Final = (0.1, 0.4)


def nodes_seen_from(gateway: int) -> tuple[Node, ...]:
    """The machines as nodes: a gateway is local to itself, and a peer to the others."""
    return tuple(
        Node(machine.id, "peer" if index < GATEWAYS and index != gateway else machine.tier, machine.slots)
        for index, machine in enumerate(MACHINES)
    )


NODES: Final = tuple(nodes_seen_from(gateway) for gateway in range(GATEWAYS))


def channel_between(source: int, target: int) -> int:
    """Which channel carries data from one machine to another."""
    a, b = source < GATEWAYS, target < GATEWAYS
    if a and b:
        return LAN
    if a or b:
        return WAN_UP if a else WAN_DOWN
    return FREE


def latency_ms(source: int, target: int) -> float:
    """One way, beside the time of the transfer itself."""
    channel = channel_between(source, target)
    if channel == LAN:
        return ONE_WAY_MS["lan"]
    if channel == FREE:
        return ONE_WAY_MS["backbone"]
    return ONE_WAY_MS["cloud" if "cloud" in (MACHINES[source].tier, MACHINES[target].tier) else "mec"]


@dataclass(frozen=True, slots=True)
class Outage:
    """A machine is down from `begin_ms` to `end_ms`."""

    machine: int
    begin_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Fading:
    """The WAN carries `share` of its rate from `begin_ms` to `end_ms`."""

    begin_ms: float
    end_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls the fleet. `fadings` do not overlap and come in order."""

    outages: tuple[Outage, ...] = ()
    fadings: tuple[Fading, ...] = ()

    def share(self, at_ms: float) -> float:
        """What the WAN carries of its rate."""
        return next((f.share for f in self.fadings if f.begin_ms <= at_ms < f.end_ms), 1.0)

    def sent_by(self, channel: int, begin_ms: float, bits: float) -> float:
        """When a transfer that begins at a time ends, ms, through whatever fading there is."""
        rate = MBIT_S[channel] * 1000.0
        if channel not in FADING:
            return begin_ms + bits / rate
        now = begin_ms
        for end, share in self._stretches(begin_ms):
            carried = (end - now) * rate * share
            if carried >= bits:
                return now + bits / (rate * share)
            bits, now = bits - carried, end
        raise AssertionError("the last stretch has no end")

    def _stretches(self, begin_ms: float) -> Iterator[tuple[float, float]]:
        for fading in self.fadings:
            if fading.end_ms <= begin_ms:
                continue
            if fading.begin_ms > begin_ms:
                yield fading.begin_ms, 1.0
            yield fading.end_ms, fading.share
        yield inf, 1.0


def fate(seed: int, duration_s: float) -> Fate:
    """Every machine but the first gateway fails now and then, and the WAN fades."""
    random = Random(f"fate {seed}")
    outages = [
        Outage(machine, begin, end)
        for machine in range(1, len(MACHINES))
        for begin, end in _spells(random, duration_s, FAILS_EVERY_S, DOWN_S)
    ]
    fadings = [
        Fading(begin, end, random.uniform(*FADED_TO))
        for begin, end in _spells(random, duration_s, FADES_EVERY_S, FADED_S)
    ]
    return Fate(tuple(outages), tuple(fadings))


def _spells(
    random: Random, duration_s: float, every_s: float, length_s: tuple[float, float]
) -> Iterator[tuple[float, float]]:
    now = random.expovariate(1.0 / every_s)
    while now < duration_s:
        end = now + random.uniform(*length_s)
        yield now * 1000.0, end * 1000.0
        now = end + random.expovariate(1.0 / every_s)
