"""What every node of ours does, gateway or lamp: attach, know its own keys, monitor its links.

What else it does is its `Role`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import NoReturn, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, Rejected, Unavailable
from common.logs import Logger
from common.mesh.cdb import AppKey, SiteFile
from firmware_bridge.access import catalogue, link_monitor
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.bluez.application import Application, Composition
from firmware_bridge.bluez.attachment import Attachment, DaemonPlace, NodeIdentity
from firmware_bridge.bluez.node import AttachedNode
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.foundation.commissioner import probe_publication, set_publication
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.foundation.monitor import LinkMonitor, Listener
from firmware_bridge.foundation.monitor_server import MonitorServer


class Role(Protocol):
    """What a node is beside a monitor of its links. Nothing here may block."""

    async def serve(self, node: AttachedNode) -> None:
        """Runs while attached; cancelled when the daemon goes. Returning detaches and attaches anew."""

    def detached(self, error: MeshtwinError) -> None:
        """An attachment ended, or an attempt to attach failed."""

    def message(self, source: int, destination: int, payload: bytes, parsed: AccessMessage | Opaque) -> None:
        """A message under the application key; not the link monitor's own."""

    def device_message(self, source: int, parsed: AccessMessage | Opaque) -> None:
        """A message under the source's device key."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node of ours is given by whoever makes it."""

    site: SiteFile
    place: DaemonPlace
    tokens: TokenStore
    clock: Clock
    random: Random
    log: Logger

    def app_key(self) -> AppKey:
        """The site's first application key, which everything here uses. Raises Misconfigured."""
        if not self.site.app_keys:
            raise Misconfigured("the site file has no application key", "add one in the commissioning app")
        return self.site.app_keys[0]


class OwnNode:
    """One node, its daemon and its link monitor."""

    def __init__(
        self,
        surroundings: Surroundings,
        address: int,
        models: tuple[ModelId, ...],
        role: Role,
        listener: Listener | None = None,
    ) -> None:
        given = surroundings
        self._role = role
        self._log = given.log
        self._identity = NodeIdentity.of(given.site, address)
        self._attachment = Attachment(self._identity, given.place, given.tokens, given.clock, given.log)
        composition = Composition(link_monitor.COMPANY, 1, models)
        self._application = Application(composition, self, self._attachment)
        self._attached: AttachedNode | None = None
        # Destination and payload; without a destination it is the link monitor's publication.
        self._replies: asyncio.Queue[tuple[int | None, bytes]] = asyncio.Queue(32)
        self.address = address
        self.key_index = given.app_key().index
        self.client = ConfigClient(self.node, given.clock)
        self.monitor = LinkMonitor(
            address, self.key_index, self._set_transmissions, given.clock, given.random, given.log, listener
        )
        self._monitor_server = MonitorServer(address, self.monitor, self._queue)
        self.rejected = 0
        self.replies_dropped = 0

    def node(self) -> AttachedNode:
        """The node while it is attached. Raises Unavailable."""
        if self._attached is None:
            raise Unavailable("bluetooth-meshd is away")
        return self._attached

    async def run(self) -> NoReturn:
        """Stay attached until cancelled."""
        await self._attachment.run(self._application, self._serve, self._role.detached)

    def reply(self, destination: int, message: AccessMessage) -> None:
        """Answer a message, from where nothing may wait. A full queue drops the answer, counted: the one
        who asked asks again."""
        self._queue(destination, message)

    def _queue(self, destination: int | None, message: AccessMessage) -> None:
        try:
            self._replies.put_nowait((destination, build(message)))
        except asyncio.QueueFull:
            self.replies_dropped += 1

    async def _serve(self, node: AttachedNode) -> None:
        # Our own Config server is asked over the loopback, under our own device key.
        await node.import_device_key(self.address, 1, self._identity.device_key.reveal())
        self._attached = node
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(self._send_replies(node))]
                helpers.append(tasks.create_task(self.monitor.run(node)))
                await self._role.serve(node)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._attached = None
            self.client.fail(Unavailable("bluetooth-meshd went away"))

    async def _send_replies(self, node: AttachedNode) -> None:
        while True:
            destination, payload = await self._replies.get()
            try:
                if destination is None:
                    await node.publish(link_monitor.SERVER, payload)
                else:
                    await node.send(destination, payload, self.key_index)
            except MeshtwinError as error:
                self._log.debug("reply-not-sent", error=error)

    async def _set_transmissions(self, transmissions: int) -> None:
        publication = probe_publication(self.address, self.key_index, transmissions)
        await set_publication(self.client, self.address, publication)

    # Calls of the daemon, see `application.Receiver`.

    def message_received(self, source: int, destination: int, key_index: int, payload: bytes) -> None:
        if key_index != self.key_index:
            return
        try:
            parsed = catalogue.parse(payload)
        except Rejected as error:
            self._count_rejected(source, error)
            return
        if not self._monitor_server.take(source, destination, parsed):
            self._role.message(source, destination, payload, parsed)

    def device_message_received(self, source: int, remote: bool, payload: bytes) -> None:
        try:
            self.client.offer(source, payload)
            self._role.device_message(source, catalogue.parse(payload))
        except Rejected as error:
            self._count_rejected(source, error)

    def model_configured(self) -> None:
        """Nothing to do: what needs a key or a publication tries until it has it."""

    def _count_rejected(self, source: int, error: Rejected) -> None:
        self.rejected += 1
        self._log.debug("message-rejected", source=f"0x{source:04x}", reason=error.reason)
