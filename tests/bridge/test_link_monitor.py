"""The link monitor of one node on a clock of its own: what it sends, and what it does not."""

from __future__ import annotations

import asyncio
from random import Random

from common.clock import ManualClock
from common.logs import get_logger
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import Lost, MonitorSet, Probe
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.foundation.monitor import LinkMonitor

OWN, NEIGHBOURS = 1, range(10, 30)


class Air:
    """Takes everything that the node sends."""

    def __init__(self) -> None:
        self.sent: list[AccessMessage | Opaque] = []

    async def send(self, destination: int, payload: bytes, key_index: int) -> None:
        self.sent.append(catalogue.parse(payload))

    async def send_with_device_key(self, destination: int, payload: bytes) -> None:
        raise AssertionError("the monitor has no device key")

    async def publish(self, model: object, payload: bytes) -> None:
        self.sent.append(catalogue.parse(payload))

    def probes(self) -> list[Probe]:
        return [message for message in self.sent if isinstance(message, Probe)]


async def no_transmissions(_: int) -> None:
    """Nothing to set: this node has no stack."""


def monitor(clock: ManualClock) -> LinkMonitor:
    return LinkMonitor(OWN, 0, no_transmissions, clock, Random(3), get_logger(__name__))


async def test_many_silent_neighbours_are_told_of_by_and_by() -> None:
    clock, air = ManualClock(), Air()
    node = monitor(clock)
    task = asyncio.ensure_future(node.run(air))
    for beat in range(8):
        for transmitter in NEIGHBOURS:
            node.received(transmitter, Probe(beat, 10, 2))
        await clock.advance(1.0)
    await clock.advance(10.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told = sum(isinstance(message, Lost) for message in air.sent)
    assert 4 <= told <= 6
    assert node.untold >= len(NEIGHBOURS) - told


async def test_a_slower_period_begins_with_the_promised_probe() -> None:
    clock, air = ManualClock(), Air()
    node = monitor(clock)
    task = asyncio.ensure_future(node.run(air))
    await clock.advance(5.0)
    before = len(air.probes())
    node.apply(MonitorSet(50, 10, 2))
    await clock.advance(1.1)
    assert len(air.probes()) == before + 1
    assert 25 <= air.probes()[-1].period_units <= 50
    await clock.advance(20.0)
    assert air.probes()[-1].period_units == 50
    node.apply(MonitorSet(0, 10, 2))
    await clock.advance(1.0)
    assert air.probes()[-1].period_units == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
