"""A site with one device in reach, and an agent's desk that adds and removes nodes: all on simulated time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from common.clock import Clock, ManualClock
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.store import PlainSite
from firmware_bridge.access import catalogue, expulsion, generic_onoff, health, link_monitor
from firmware_bridge.access.composition import Composition, CompositionGet, CompositionStatus, Element
from firmware_bridge.access.config_keys import AppKeyAdd, AppKeyStatus
from firmware_bridge.access.config_models import (
    ModelAppBind,
    ModelAppStatus,
    ModelSubscriptionAdd,
    ModelSubscriptionStatus,
)
from firmware_bridge.access.config_publication import ModelPublicationSet, ModelPublicationStatus
from firmware_bridge.access.config_state import (
    DefaultTtlGet,
    DefaultTtlStatus,
    NetworkTransmitSet,
    NetworkTransmitStatus,
    NodeResetStatus,
    RelaySet,
    RelayStatus,
)
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.provisioning.administration import Administration, NetworkState
from firmware_bridge.provisioning.adv_bearer import AdvBearer
from firmware_bridge.provisioning.pdus import Capabilities
from tests.common.test_cdb import document, node
from tests.provisioning.pair import LossyAir, VirtualDevice

T = TypeVar("T")
GATEWAY = 0x0105
MODELS = (ModelId(0x0000), generic_onoff.SERVER, health.SERVER, link_monitor.SERVER)
COMPOSITION = Composition(0x05F1, 1, 2, 40, 0b0011, (Element(0, MODELS), Element(1, (generic_onoff.SERVER,))))


class ConfigServer:
    """Answers every node's Config messages; `heard` are those of each address. See `sender.Sender`."""

    def __init__(self) -> None:
        self.client: ConfigClient
        self.heard: list[tuple[int, AccessMessage | Opaque]] = []
        self.silent = False
        self.leaves_silently = False
        self.ignores_reset = False

    async def send(self, destination: int, payload: bytes, key_index: int) -> None:
        raise AssertionError("nothing but Config messages is sent")

    async def publish(self, model: ModelId, payload: bytes) -> None:
        raise AssertionError("nothing but Config messages is sent")

    async def send_with_device_key(self, destination: int, payload: bytes) -> None:
        if self.silent:
            return
        asked = catalogue.parse(payload)
        self.heard.append((destination, asked))
        if (answer := self._answer(asked)) is not None:
            self.client.offer(destination, build(answer))

    def _answer(self, asked: AccessMessage | Opaque) -> AccessMessage | None:
        match asked:
            case CompositionGet():
                return CompositionStatus(0, COMPOSITION.to_wire())
            case NetworkTransmitSet(transmit):
                return NetworkTransmitStatus(transmit)
            case RelaySet(state, retransmit):
                return RelayStatus(state, retransmit)
            case AppKeyAdd(net, app, _):
                return AppKeyStatus(0, net, app)
            case ModelAppBind(element, index, model):
                return ModelAppStatus(0, element, index, model)
            case ModelSubscriptionAdd(element, group, model):
                return ModelSubscriptionStatus(0, element, group, model)
            case ModelPublicationSet(publication):
                return ModelPublicationStatus(0, publication)
            case DefaultTtlGet():
                return DefaultTtlStatus(7)
            case Opaque(opcode) if opcode == expulsion.NodeReset.OPCODE and not self.ignores_reset:
                self.silent = self.leaves_silently
                return None if self.silent else NodeResetStatus()
        return None


class Site:
    """The desk, its device and its site file at `path`."""

    def __init__(self, folder: Path, capabilities: Capabilities, static: bytes | None, clock: Clock) -> None:
        self.clock = clock
        self.air = LossyAir()
        self.device = VirtualDevice(self.air, clock, capabilities, static=static)
        self.server = ConfigServer()
        self.server.client = ConfigClient(lambda: self.server, clock)
        self.path = folder / "site.json"
        phone = {"lowAddress": "0100", "highAddress": "01FF"}
        provisioner = {"provisionerName": "phone", "UUID": "p", "allocatedUnicastRange": [phone], "x": 1}
        content = document(nodes=[node("0105")], provisioners=[provisioner], scenes=[{"name": "Evening"}])
        self.path.write_text(json.dumps(content))
        self.told: list[str] = []
        self.refreshed = 0
        administration = Administration(
            self.server.client, lambda: NetworkState(7), (AdvBearer(self.air, Random(3)),)
        )
        self.desk = Desk(
            GATEWAY,
            PlainSite(self.path),
            administration,
            self._refresh,
            clock,
            lambda name, **_: self.told.append(name),
            Random(4).randbytes,
        )

    async def _refresh(self) -> None:
        self.refreshed += 1

    def file(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.path.read_text())
        return read

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self.device.run()), asyncio.ensure_future(self.desk.run())]
        await asyncio.sleep(0)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            while not all(task.done() for task in tasks):
                # A link that is closed tells so three times.
                await self.pass_time()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def pass_time(self) -> None:
        """Let a moment pass: a simulated one where time is simulated."""
        if isinstance(self.clock, ManualClock):
            await self.clock.advance(0.01)
        else:
            await asyncio.sleep(0.01)

    async def over(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something while simulated time passes."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self.pass_time()
        return task.result()

    async def steps(self, job: int, answer: str | None = None) -> list[dict[str, Any]]:
        """All steps of a job; `answer` of "shown" is what the device shows."""
        seen: list[dict[str, Any]] = []
        while True:
            told = await self.over(self.desk.follow({"job": job, "seen": len(seen)}))
            for step in told["steps"]:
                if step["step"] == "question":
                    value = self.device.shown.get_nowait() if answer == "shown" else answer
                    await self.desk.answer({"job": job, "value": value})
                if step["step"] == "show":
                    self.device.typed.put_nowait(step["value"])
            seen += told["steps"]
            if told["over"]:
                return seen
