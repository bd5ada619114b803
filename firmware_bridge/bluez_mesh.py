"""A MeshLink over a real `bluetooth-meshd`: the gateway is a node of the site with a daemon of its own.

The daemon tells neither hop counts, nor signal strength, nor heartbeats: those fields are None here and
`Heartbeat` events never come. Keys come from the site file; the daemon keeps sequence numbers itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from common.clock import Clock, SystemClock
from common.errors import (
    MeshtwinError,
    Misconfigured,
    Rejected,
    RejectReason,
    Unavailable,
)
from common.logs import get_logger
from common.mesh import addresses
from common.mesh.addresses import show
from common.mesh.cdb import Node, SiteFile
from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit
from firmware_bridge.access.config_state import NetworkTransmitGet, NetworkTransmitSet, NetworkTransmitStatus
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.access.opcodes import check_payload, split
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez.node import AttachedNode
from firmware_bridge.bluez.own_node import OwnNode, Surroundings
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.event_queue import EventQueue
from firmware_bridge.foundation import reports
from firmware_bridge.foundation.commissioner import (
    GATEWAY_MODELS,
    NETWORK_TRANSMIT,
    NodePlan,
    commission,
    gateway_plan,
)
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.foundation.configurator import Configurator
from firmware_bridge.foundation.requester import Requester, has_monitor
from firmware_bridge.link import (
    Event,
    LinkDown,
    LinkUp,
    LostNeighbour,
    Message,
    NeighbourCount,
    NeighbourReport,
    NodeStatus,
)
from firmware_bridge.neighbours import Loss

OPEN_TIMEOUT_S: Final = 8.0
_SLUGGISH: Final = Transmit(1, 100)


@dataclass(frozen=True, slots=True)
class BluezSettings:
    """Where the gateway's own node and its daemon are."""

    site: SiteFile
    address: int
    state_dir: Path
    place: DaemonPlace = DaemonPlace()


class BluezMeshLink:
    """See `firmware_bridge.link.MeshLink`. Events wait in an `EventQueue`."""

    def __init__(
        self,
        settings: BluezSettings,
        clock: Clock | None = None,
        random: Random | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._open_timeout_s = open_timeout_s
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._requester = Requester(self.send, self._restartable, self._random)
        self._log = get_logger(__name__, mesh_address=show(settings.address))
        self._events = EventQueue()
        tokens = TokenStore(settings.state_dir / "tokens")
        surroundings = Surroundings(
            settings.site, settings.place, tokens, self._clock, self._random, self._log
        )
        self._app_key = surroundings.app_key()
        self._own = OwnNode(surroundings, settings.address, GATEWAY_MODELS, self, self)
        self._configurator = Configurator(self._own.client, self._stated)
        self._owner: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._problem: MeshtwinError = Unavailable("no attempt to attach has ended yet")
        self._up = False

    @property
    def events_dropped(self) -> int:
        """Events that nobody read in time."""
        return self._events.dropped

    @property
    def client(self) -> ConfigClient:
        """Asks nodes' Config servers; for the operator, not a method of `MeshLink`."""
        return self._own.client

    async def open(self) -> None:
        if self._owner is not None:
            return
        if self._events.closed:
            self._events = EventQueue()
        self._opened = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._open_timeout_s):
                await self._opened
        except TimeoutError:
            await self.close()
            raise self._problem from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
        self._up = False
        self._events.close()

    def events(self) -> AsyncIterator[Event]:
        return self._events

    async def configure(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        return await self._configurator.apply(address, change)

    async def send(self, destination: int, payload: bytes) -> None:
        check_payload(payload)
        if not addresses.UNASSIGNED < destination <= addresses.ALL_NODES:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{destination} is not an address to send to")
        await self._own.node().send(destination, payload, self._own.key_index)

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        return await self._requester.request(destination, payload, response, timeout)

    async def restart(self, address: int) -> None:
        await self._requester.restart(address)

    async def commission(self, address: int, plan: NodePlan) -> None:
        """Make a provisioned node ready, see `foundation.commissioner`; not a method of `MeshLink`."""
        await commission(self._own.client, address, plan)

    async def adopt(self, site: SiteFile, nodes: Collection[int]) -> None:
        """See `firmware_bridge.link.KeyKeeper`."""
        own = [node for node in self._settings.site.nodes if node.unicast_address == self._settings.address]
        others = [node for node in site.nodes if node.unicast_address != self._settings.address]
        self._settings = replace(self._settings, site=site.model_copy(update={"nodes": (*own, *others)}))
        if not self._up:
            return  # `serve` imports them all.
        try:
            for node in others:
                if node.unicast_address in nodes:
                    await self._import_key(self._own.node(), node)
        except Unavailable as error:
            self._log.debug("keys-imported-later", reason=error)

    @staticmethod
    async def _import_key(attached: AttachedNode, node: Node) -> None:
        key = node.device_key.reveal()
        await attached.import_device_key(node.unicast_address, max(1, len(node.elements)), key)

    async def _run(self) -> None:
        """The link's own task. A bug in it ends the events, so that the consumer's owner notices."""
        try:
            await self._own.run()
        except Exception as error:
            self._log.exception("mesh-link-failed")
            self.detached(Unavailable(f"the link failed: {error}"))
            self._events.close()

    # What the own node's daemon brings, see `own_node.Role`.

    async def serve(self, node: AttachedNode) -> None:
        """Make the node ready, tell that the link is up, and stay."""
        for other in self._settings.site.live_nodes():
            await self._import_key(node, other)
        try:
            await commission(self._own.client, self._settings.address, gateway_plan(self._app_key))
        except Rejected as error:
            raise Misconfigured(
                f"the gateway's own node does not fit the site file: {error}",
                "remove the node's folder from the daemon's storage and its token, and restart the daemon",
            ) from error
        await self._quicken()
        self._up = True
        self._events.put(LinkUp(self._clock.monotonic(), self._settings.address))
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        try:
            await asyncio.Event().wait()
        finally:
            self._requester.answers.fail(Unavailable("bluetooth-meshd went away"))

    def _restartable(self, address: int) -> bool:
        return address != self._settings.address and has_monitor(self._settings.site, address)

    async def _quicken(self) -> None:
        """Replace the network transmit state that a fresh daemon starts with: ten packets a second."""
        own = self._settings.address
        found = await self._own.client.ask(own, NetworkTransmitGet(), NetworkTransmitStatus)
        if found.transmit == _SLUGGISH:
            await self._own.client.ask(own, NetworkTransmitSet(NETWORK_TRANSMIT), NetworkTransmitStatus)

    def detached(self, error: MeshtwinError) -> None:
        self._problem = error
        self._log.debug("mesh-detached", error=error)
        if self._up:
            self._up = False
            self._events.put(LinkDown(self._clock.monotonic(), str(error)))
        if isinstance(error, Misconfigured):
            self._log.warning("mesh-misconfigured", error=error)
            if self._opened is not None and not self._opened.done():
                self._opened.set_exception(error)

    def device_message(self, source: int, parsed: AccessMessage | Opaque) -> None:
        self._configurator.note(source, parsed)

    def message(self, source: int, destination: int, payload: bytes, parsed: AccessMessage | Opaque) -> None:
        t = self._clock.monotonic()
        if self._requester.answers.offer_first(source, split(payload)[0], payload):
            return
        if source == self._settings.address:
            return  # The daemon lets a node hear what it sends to its own groups.
        self._tell(reports.told(t, source, parsed) or Message(t, source, destination, payload))

    def _tell(self, event: Event) -> None:
        """Queue an event; while the node is being made ready nothing counts yet."""
        if self._up:
            self._events.put(event)

    def _stated(self, configuration: NodeConfiguration) -> None:
        self._tell(NodeStatus(self._clock.monotonic(), configuration))

    # What the own node's monitor finds, see `foundation.monitor.Listener`.

    def counted(self, counts: tuple[NeighbourCount, ...]) -> None:
        self._tell(NeighbourReport(self._clock.monotonic(), self._settings.address, counts))

    def lost(self, loss: Loss) -> None:
        t = self._clock.monotonic()
        self._tell(LostNeighbour(t, self._settings.address, loss.transmitter, loss.missed))
