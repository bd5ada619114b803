"""A MeshLink over our own stack: through a GATT proxy like a phone, or as a node on the lab's air.

The gateway's node is a client: it relays nothing, and answers no one's Config messages but its own. On the
air it probes and counts like any node. Behind a proxy nobody's single-hop probe reaches it: there it tells of
one perfect link to the proxy and back while the connection stands, since nothing is lost on a connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from common.mesh import addresses
from common.mesh.addresses import show
from common.mesh.cdb import SiteFile
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from firmware_bridge.access.link_monitor import MONITOR_REPORTS
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.access.opcodes import check_payload, split
from firmware_bridge.bearers.bearer import Bearer
from firmware_bridge.event_queue import EventQueue
from firmware_bridge.foundation import reports
from firmware_bridge.foundation.commissioner import NodePlan, commission
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.foundation.configurator import Configurator
from firmware_bridge.foundation.requester import Requester, has_monitor
from firmware_bridge.link import (
    Event,
    Heartbeat,
    LinkDown,
    LinkUp,
    LostNeighbour,
    Message,
    NeighbourCount,
    NeighbourReport,
    NodeStatus,
)
from firmware_bridge.neighbours import Loss
from firmware_bridge.stack.events import AccessReceived, HeartbeatReceived
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link.own_node import OwnStackNode, Surroundings

OPEN_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class StackSettings:
    """The gateway's own node: its keys, where it keeps its numbers, and groups it hears besides reports."""

    site: SiteFile
    address: int
    state_dir: Path
    groups: tuple[int, ...] = ()


class StackMeshLink:
    """See `firmware_bridge.link.MeshLink`. Events wait in an `EventQueue`. The bearer is the link's from now
    on, and opened and closed by it."""

    def __init__(
        self,
        settings: StackSettings,
        bearer: Bearer,
        clock: Clock | None = None,
        random: Random | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._bearer = bearer
        self._open_timeout_s = open_timeout_s
        self._clock = clock or SystemClock()
        self._log = get_logger(__name__, mesh_address=show(settings.address))
        self._events = EventQueue()
        random = random or Random()
        surroundings = Surroundings(
            settings.site,
            settings.state_dir,
            (MONITOR_REPORTS, *settings.groups),
            bearer,
            self._clock,
            random,
            self._log,
        )
        self._own = OwnStackNode(surroundings, settings.address, self)
        self._requester = Requester(self.send, self._restartable, random)
        self._configurator = Configurator(self._own.client, self._stated)
        self._owner: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._trouble = ""
        self._problem: MeshtwinError = Unavailable("no attempt to reach the network has ended yet")
        self._up = False
        self.on_overheard: Callable[[PduType, bytes], None] = _ignore
        """Called with each beacon and provisioning PDU that the bearer brings; for a provisioner."""

    @property
    def events_dropped(self) -> int:
        """Events that nobody read in time."""
        return self._events.dropped

    @property
    def refused(self) -> Counter[RejectReason]:
        """What came under our keys and still was wrong, by reason, since the link opened."""
        return self._own.refused

    @property
    def client(self) -> ConfigClient:
        """Asks nodes' Config servers; for whoever commissions."""
        return self._own.client

    def iv_state(self) -> IvState | None:
        """The network's IV index; None until a beacon has told it."""
        return self._own.iv_state()

    def network_keys(self) -> list[NetworkKey]:
        """The network keys in use, of every phase; none while closed."""
        return self._own.network_keys()

    def addresses(self) -> list[int]:
        """The primary addresses of the site's nodes, as known now."""
        return [node.unicast_address for node in self._settings.site.live_nodes()]

    @property
    def problem(self) -> str:
        """See `firmware_bridge.link.Troubled`."""
        return "" if self._up else self._trouble

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
        await self._own.speaker().send(destination, payload, self._own.key_index)

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        return await self._requester.request(destination, payload, response, timeout)

    async def restart(self, address: int) -> None:
        await self._requester.restart(address)

    async def commission(self, address: int, plan: NodePlan) -> None:
        """Make a provisioned node ready, see `foundation.commissioner`; not a method of `MeshLink`."""
        await commission(self._own.client, address, plan)

    async def transmit(self, kind: PduType, data: bytes) -> None:
        """Pass a beacon or a provisioning PDU to the bearer as it is; see `on_overheard`. Raises Unavailable,
        Rejected."""
        await self._bearer.send(kind, data)

    async def adopt(self, site: SiteFile, nodes: Collection[int]) -> None:
        """See `firmware_bridge.link.KeyKeeper`."""
        own = [node for node in self._settings.site.nodes if node.unicast_address == self._settings.address]
        others = [node for node in site.nodes if node.unicast_address != self._settings.address]
        adopted = self._settings.site.model_copy(update={"nodes": (*own, *others)})
        self._settings = replace(self._settings, site=adopted)
        self._own.adopt(adopted, nodes)

    async def _run(self) -> None:
        """The link's own task. What no retry mends ends the events, so that the consumer's owner notices."""
        try:
            await self._own.run()
        except MeshtwinError as error:
            self.detached(error)
            self._refuse(error)
            self._events.close()
        except Exception as error:
            self._log.exception("mesh-link-failed")
            self.detached(Unavailable(f"the link failed: {error}"))
            self._events.close()

    def _restartable(self, address: int) -> bool:
        return address != self._settings.address and has_monitor(self._settings.site, address)

    def _refuse(self, error: MeshtwinError) -> None:
        """Let `open` fail at once."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(error)

    # What our own node tells, see `own_node.Role`.

    def attached(self) -> None:
        self._up = True
        self._events.put(LinkUp(self._clock.monotonic(), self._settings.address))
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def detached(self, error: MeshtwinError) -> None:
        self._problem = error
        if not self._up and str(error) != self._trouble:
            # Once: opening goes on for long, and in the end tells the last reason only.
            self._log.warning("mesh-away", error=error)
        self._trouble = str(error)
        if self._up:
            self._up = False
            self._events.put(LinkDown(self._clock.monotonic(), str(error)))
            self._requester.answers.fail(Unavailable(f"the mesh cannot be reached: {error}"))
        if isinstance(error, Misconfigured):
            self._log.warning("mesh-misconfigured", error=error)
            self._refuse(error)

    def message(self, event: AccessReceived, parsed: AccessMessage | Opaque) -> None:
        t, source, payload = self._clock.monotonic(), event.source, event.payload
        if self._requester.answers.offer_first(source, split(payload)[0], payload):
            return
        if source != self._settings.address:
            self._tell(reports.told(t, source, parsed) or Message(t, source, event.destination, payload))

    def device_message(self, source: int, parsed: AccessMessage | Opaque) -> None:
        self._configurator.note(source, parsed)

    def heartbeat(self, event: HeartbeatReceived) -> None:
        self._tell(Heartbeat(self._clock.monotonic(), event.source, event.hops))

    def neighbours(self, receiver: int, counts: tuple[NeighbourCount, ...]) -> None:
        self._tell(NeighbourReport(self._clock.monotonic(), receiver, counts))

    def lost(self, loss: Loss) -> None:
        t = self._clock.monotonic()
        self._tell(LostNeighbour(t, self._settings.address, loss.transmitter, loss.missed))

    def overheard(self, kind: PduType, data: bytes) -> None:
        self.on_overheard(kind, data)

    def _tell(self, event: Event) -> None:
        if self._up:
            self._events.put(event)

    def _stated(self, configuration: NodeConfiguration) -> None:
        self._tell(NodeStatus(self._clock.monotonic(), configuration))


def _ignore(kind: PduType, data: bytes) -> None:
    """There is no provisioner."""
