"""Our own node over our own stack: attached by a bearer, with its numbers on disk, monitoring its links.

What else it does is its `Role`. The counterpart over a daemon is `bluez.own_node`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final, NoReturn, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from common.logs import Logger
from common.mesh.cdb import SiteFile
from common.tasks import together
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import MONITOR_PROBES
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.bearers.bearer import Bearer
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.foundation.monitor import LinkMonitor
from firmware_bridge.foundation.monitor_server import MonitorServer
from firmware_bridge.link import NeighbourCount
from firmware_bridge.neighbours import Loss
from firmware_bridge.stack.events import AccessReceived, HeartbeatReceived, IvIndexChanged, Received
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link.iv_keeper import keep_iv_index
from firmware_bridge.stack_link.outgoing import Outgoing
from firmware_bridge.stack_link.own_config import OwnConfig
from firmware_bridge.stack_link.site_keys import adopt_device_keys, first_application_key, keyring_of
from firmware_bridge.stack_link.speaker import Speaker
from firmware_bridge.stack_link.state import Numbers, StackState
from firmware_bridge.stack_link.state_folder import StateFolder
from firmware_bridge.stack_link.station import Station

USUAL_TTL: Final = 7
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_SAVE_PERIOD_S: Final = 30.0
_LOOK_S: Final = 0.5


class Role(Protocol):
    """What a node is beside a monitor of its links. Nothing here may block."""

    def attached(self) -> None:
        """The network can be reached."""

    def detached(self, error: MeshtwinError) -> None:
        """It cannot any more, or an attempt to reach it failed."""

    def message(self, event: AccessReceived, parsed: AccessMessage | Opaque) -> None:
        """A message under the application key; not the link monitor's own."""

    def device_message(self, source: int, parsed: AccessMessage | Opaque) -> None:
        """A message under a device key."""

    def heartbeat(self, event: HeartbeatReceived) -> None:
        """A standard heartbeat."""

    def neighbours(self, receiver: int, counts: tuple[NeighbourCount, ...]) -> None:
        """What our own node, or the proxy that we hang on, counted."""

    def lost(self, loss: Loss) -> None:
        """A neighbour of ours fell silent."""

    def overheard(self, kind: PduType, data: bytes) -> None:
        """A beacon or a provisioning PDU, as it came."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node of ours is given by whoever makes it. `groups` are those that it hears."""

    site: SiteFile
    state_dir: Path
    groups: Collection[int]
    bearer: Bearer
    clock: Clock
    random: Random
    log: Logger


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists while the node's state is held."""

    node: StackNode
    outgoing: Outgoing
    speaker: Speaker
    station: Station
    config: OwnConfig


class OwnStackNode:
    """One node, its bearer and its link monitor. `run` is its life."""

    def __init__(self, surroundings: Surroundings, address: int, role: Role) -> None:
        self._given = given = surroundings  # its site may be replaced by `adopt`
        self._role = role
        self._log = given.log
        self._folder = StateFolder(given.state_dir, given.site, address)
        self._state = StackState(self._folder.path, given.log)
        self._parts: _Parts | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._monitoring: asyncio.Task[None] | None = None
        self.address = address
        self.key_index = first_application_key(given.site).index
        self.client = ConfigClient(self.speaker, given.clock)
        self.monitor = LinkMonitor(
            address, self.key_index, self._set_transmissions, given.clock, given.random, given.log, self
        )
        self._monitor_server = MonitorServer(address, self.monitor, self._reply)
        self.rejected = 0

    def speaker(self) -> Speaker:
        """Who sends for us while the node is attached. Raises Unavailable."""
        if self._parts is None or not self._parts.speaker.attached:
            raise Unavailable("the mesh cannot be reached")
        return self._parts.speaker

    @property
    def refused(self) -> Counter[RejectReason]:
        """What came under our keys and still was wrong, by reason; see `StackNode`."""
        return Counter() if self._parts is None else self._parts.node.refused

    def network_keys(self) -> list[NetworkKey]:
        """The network keys in use, of every phase; none while nothing runs."""
        if self._parts is None:
            return []
        return [key for subnet in self._parts.node.keyring.subnets.values() for key in subnet.receive]

    def iv_state(self) -> IvState | None:
        """The network's IV index; None until a beacon has told it."""
        state = None if self._parts is None else self._parts.node.iv
        return None if state is None or not state.known else state

    async def run(self) -> NoReturn:
        """Stay attached until cancelled. Raises Misconfigured: the state is another's, or lost."""
        self._folder.refuse_other_link()
        numbers = self._state.open()
        try:
            if numbers is None:
                numbers = Numbers(IvState.unknown(), self._folder.first_number(self._log))
            self._parts = parts = self._assemble(numbers)
            self._state.read_replay(parts.node.replay)
            async with together() as tasks:
                self._tasks = tasks
                tasks.create_task(self._save_now_and_then(parts.node))
                tasks.create_task(keep_iv_index(parts.node, parts.outgoing, self._given.clock, self._log))
                await self._stay_attached(parts.station)
            raise AssertionError("it ends only by being cancelled")
        finally:
            if self._parts is not None:
                self._put_away(self._parts.node)
            self._parts = self._tasks = None
            self._state.close()

    def _put_away(self, node: StackNode) -> None:
        """Save everything as it is: an orderly end wastes no number."""
        self._state.save_replay(node.replay)
        if node.sequence.next == node.sequence.limit:
            return
        try:
            self._state.save(node.iv, node.sequence.next)
        except Unavailable as error:
            self._log.warning("stack-state-not-saved", error=error)

    def adopt(self, site: SiteFile, nodes: Collection[int]) -> None:
        """Take a changed site file's device keys over. `nodes` are new, or have another key: they count from
        the beginning, so that what was heard from their addresses last is forgotten."""
        self._given = replace(self._given, site=site)
        if self._parts is not None:
            adopt_device_keys(self._parts.node.keyring, site)
            for address in nodes:
                self._parts.node.replay.forget(address)
            self._state.save_replay(self._parts.node.replay)

    def _assemble(self, numbers: Numbers) -> _Parts:
        given, log = self._given, self._log
        found = given.site.node(self.address)
        node = StackNode(
            self.address,
            keyring_of(given.site),
            numbers.iv,
            numbers.limit,
            self._state.save,
            groups=(MONITOR_PROBES, *given.groups),
            default_ttl=USUAL_TTL if found.default_ttl in (None, 1) else found.default_ttl,
        )
        outgoing = Outgoing(node, log)
        speaker = Speaker(node, self.key_index, outgoing, self.received, self._own_config, given.clock, log)
        station = Station(node, given.bearer, given.groups, speaker, outgoing, self, given.clock, log)
        return _Parts(node, outgoing, speaker, station, OwnConfig(node, given.bearer))

    async def _stay_attached(self, station: Station) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            started = self._given.clock.monotonic()
            try:
                await station.run()
            except MeshtwinError as error:
                self._role.detached(error)
            if self._given.clock.monotonic() - started > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            await self._given.clock.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.6)

    async def _save_now_and_then(self, node: StackNode) -> None:
        while True:
            await self._given.clock.sleep(_SAVE_PERIOD_S)
            self._state.save_replay(node.replay)

    # Monitoring

    async def _monitor(self, proxy: int | None) -> None:
        if proxy is None:
            await self.monitor.run(self.speaker())
        else:
            await self._tell_of_proxy(proxy)

    async def _tell_of_proxy(self, proxy: int) -> None:
        """A connection loses nothing: both ends hear each other's every word."""
        clock, told = self._given.clock, self._given.clock.monotonic()
        while True:
            await clock.sleep(_LOOK_S)
            settings = self.monitor.settings
            if (
                not settings.period_units
                or clock.monotonic() < told + settings.period_s * settings.report_every
            ):
                continue
            told, heard = clock.monotonic(), settings.report_every
            self._role.neighbours(self.address, (NeighbourCount(proxy, heard, heard),))
            self._role.neighbours(proxy, (NeighbourCount(self.address, heard, heard),))

    async def _set_transmissions(self, transmissions: int) -> None:
        self.speaker().probe_transmissions = transmissions

    def counted(self, counts: tuple[NeighbourCount, ...]) -> None:
        self._role.neighbours(self.address, counts)

    def lost(self, loss: Loss) -> None:
        self._role.lost(loss)

    # What the station tells, see `station.Holder`.

    def attached(self, proxy: int | None) -> None:
        assert self._tasks is not None
        self._monitoring = self._tasks.create_task(self._monitor(proxy))
        self._role.attached()

    def detached(self, reason: str) -> None:
        if self._monitoring is not None:
            self._monitoring.cancel()
            self._monitoring = None
        error = Unavailable(reason)
        self.client.fail(error)
        self._role.detached(error)

    def received(self, event: Received) -> None:
        match event:
            case HeartbeatReceived():
                self._role.heartbeat(event)
            case IvIndexChanged(index=index, change=change):
                self._log.info("iv-index-changed", iv_index=index, change=change.name)
            case AccessReceived():
                self._take(event)

    def overheard(self, kind: PduType, data: bytes) -> None:
        self._role.overheard(kind, data)

    def _take(self, event: AccessReceived) -> None:
        try:
            parsed = catalogue.parse(event.payload)
            if event.application is None:
                self._take_device_message(event.source, event.payload, parsed)
            elif event.application == self.key_index and not self._monitor_server.take(
                event.source, event.destination, parsed
            ):
                self._role.message(event, parsed)
        except Rejected as error:
            self.rejected += 1
            self._log.debug("message-rejected", source=f"0x{event.source:04x}", reason=error.reason)

    def _take_device_message(self, source: int, payload: bytes, parsed: AccessMessage | Opaque) -> None:
        self.client.offer(source, payload)
        self._role.device_message(source, parsed)

    def _own_config(self, payload: bytes) -> None:
        """Ask our own Config server, over no air at all."""
        if self._parts is not None and (answer := self._parts.config.answer(catalogue.parse(payload))):
            self._take_device_message(self.address, build(answer), answer)

    def _reply(self, destination: int | None, message: AccessMessage) -> None:
        if self._parts is not None:
            self._parts.speaker.reply(destination, build(message))
