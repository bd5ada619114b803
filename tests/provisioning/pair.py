"""A provisioner and a device that talk: directly, or over links that lose what they carry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from common.clock import Clock
from firmware_bridge.provisioning import beacon, pb_adv
from firmware_bridge.provisioning.attempts import Attempts
from firmware_bridge.provisioning.beacon import Unprovisioned
from firmware_bridge.provisioning.bearer import Hear
from firmware_bridge.provisioning.device import Device, DeviceStep, Joined
from firmware_bridge.provisioning.link import Arrived, LinkClosed
from firmware_bridge.provisioning.pb_adv import AdvLink
from firmware_bridge.provisioning.pdus import Capabilities
from firmware_bridge.provisioning.provisioner import (
    Authenticated,
    Capable,
    Enter,
    Provisioner,
    Refused,
    Send,
    Show,
)
from firmware_bridge.provisioning.security import KeyPair
from firmware_bridge.stack.proxy import PduType

NET_KEY = bytes(range(16))


class LossyAir:
    """Radios in one room; each advertisement is lost to each listener with the chance `loss`."""

    def __init__(self, loss: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.carried = 0
        self._random = Random(seed)
        self._listeners: list[Hear] = []

    async def send(self, kind: PduType, data: bytes) -> None:
        assert len(data) <= 29
        self.carried += 1
        await asyncio.sleep(0)
        for hear in list(self._listeners):
            if self._random.random() >= self.loss:
                hear(kind, data, -60)

    def listen(self, heard: Hear) -> Callable[[], None]:
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard)


class VirtualDevice:
    """An unprovisioned device on an air: beacons, takes a link, and becomes a node. `shown` is what it
    displays; `typed` gives what is entered on it."""

    def __init__(
        self,
        air: LossyAir,
        clock: Clock,
        capabilities: Capabilities,
        *,
        static: bytes | None = None,
        seed: int = 1,
        attempts: Attempts | None = None,
    ) -> None:
        self.uuid = bytes((seed,)) * 16
        self.joined: Joined | None = None
        self.refused: Refused | None = None
        self.shown: asyncio.Queue[str] = asyncio.Queue()
        self.typed: asyncio.Queue[str] = asyncio.Queue()
        self._air = air
        self._clock = clock
        self._capabilities = capabilities
        self._static = static
        self._random = Random(seed)
        self._attempts = attempts or Attempts()
        self._link: AdvLink | None = None
        self._device: Device | None = None
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(self) -> None:
        """Be there until cancelled."""
        stop = self._air.listen(self._hear)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beacons())
                while True:
                    while not self._arrived.empty():
                        self._take(self._arrived.get_nowait(), tasks)
                    await self._turn()
                    await self._clock.sleep(0.005)
        finally:
            stop()

    def _hear(self, kind: PduType, data: bytes, rssi: int | None) -> None:
        if kind is PduType.PROVISIONING:
            self._arrived.put_nowait(data)

    async def _beacons(self) -> None:
        while self.joined is None:
            await self._air.send(PduType.BEACON, beacon.build(Unprovisioned(self.uuid, oob=1 << 15)))
            await self._clock.sleep(0.1)

    def _take(self, data: bytes, tasks: asyncio.TaskGroup) -> None:
        link_id = pb_adv.wanted(data, self.uuid)
        if link_id is not None and self._link is None and self.joined is None:
            self._link = AdvLink(link_id, self.uuid, provisioner=False, spread=self._random.uniform)
            self._device = Device(
                self._capabilities,
                KeyPair.generate(),
                self._random.randbytes,
                self._attempts,
                static=self._static,
            )
        if self._link is None or self._device is None:
            return
        now = self._clock.monotonic()
        for event in self._link.receive(data, now):
            if isinstance(event, Arrived):
                for step in self._device.receive(event.pdu, now):
                    self._do(step, tasks, now)
            elif isinstance(event, LinkClosed):
                self._link = None
                return

    def _do(self, step: DeviceStep, tasks: asyncio.TaskGroup, now: float) -> None:
        match step:
            case Send(pdu) if self._link is not None:
                self._link.send(pdu, now)
            case Show(_, value):
                self.shown.put_nowait(value)
            case Enter():
                tasks.create_task(self._enter())
            case Joined():
                self.joined = step
            case Refused():
                self.refused = step

    async def _enter(self) -> None:
        value = await self.typed.get()
        if self._device is not None and self._link is not None:
            for step in self._device.entered(value):
                if isinstance(step, Send):
                    self._link.send(step.pdu, self._clock.monotonic())

    async def _turn(self) -> None:
        if self._link is not None:
            for event in self._link.poll(self._clock.monotonic()):
                if isinstance(event, LinkClosed):
                    self._link = None
                    return
            for data in self._link.outgoing():
                await self._air.send(PduType.PROVISIONING, data)


def talk(provisioner: Provisioner, device: Device, answer: Callable[[object], list[Any]]) -> list[bytes]:
    """Let the two talk without any bearer, `answer` answering the provisioner's questions; all PDUs."""
    said: list[bytes] = []
    steps: list[object] = [*provisioner.begin()]
    while steps:
        step = steps.pop(0)
        if isinstance(step, Send):
            said.append(step.pdu)
            for other in device.receive(step.pdu, 0.0):
                if isinstance(other, Send):
                    said.append(other.pdu)
                    steps += provisioner.receive(other.pdu)
                else:
                    steps += answer(other)
        elif isinstance(step, (Capable, Authenticated, Enter, Show)):
            steps += answer(step)
        else:
            answer(step)
    return said
