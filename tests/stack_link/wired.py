"""A link on a wire without any radio: a bearer in memory, with a proxy and one lamp at its other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random

from common.clock import SystemClock
from common.errors import Unavailable
from common.mesh.cdb import SiteFile
from common.mesh.configuration import Transmit
from firmware_bridge.access.generic_onoff import OnOffSet, OnOffStatus
from firmware_bridge.access.message import build
from firmware_bridge.access.opcodes import split
from firmware_bridge.bearers.bearer import BearerDown, BearerEvent, BearerUp, PduReceived
from firmware_bridge.bearers.event_queue import BearerEvents
from firmware_bridge.link import Event, Message
from firmware_bridge.stack import network
from firmware_bridge.stack.beacons import NetworkBeacon, build_secure
from firmware_bridge.stack.events import AccessReceived, Received
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tests.bridge.real_site import site_document
from tools.gattlab.proxy_server import ProxyServer
from tools.meshlab import poll

_NUMBERS = count(step=1 << 12)
"""Every wire's proxy goes on with its numbers, as real proxies do over their restarts."""

GATEWAY, LAMP, PROXY = 0x0001, 0x0101, 0x0B00
SITE = SiteFile.model_validate(site_document(3))
KEY = NetworkKey(SITE.net_keys[0].key.reveal())


class PeerLamp:
    """A second whole stack: a lamp that does as it is told, `iv_index` being the network's."""

    def __init__(self, iv_index: int) -> None:
        keys = Keyring.of(
            {0: KEY.key},
            {0: (SITE.app_keys[0].key.reveal(), 0)},
            {LAMP: SITE.node(LAMP).device_key.reveal()},
        )
        self.node = StackNode(LAMP, keys, IvState(iv_index), 0, lambda iv, limit: None)
        self.heard: list[AccessReceived] = []

    def take(self, data: bytes) -> list[bytes]:
        """What the lamp answers to a network PDU."""
        for event in self.node.receive(data, 0.0):
            self._obey(event)
        self.node.poll(1e9)
        return self.node.outgoing()

    def _obey(self, event: Received) -> None:
        if not isinstance(event, AccessReceived):
            return
        self.heard.append(event)
        opcode, parameters = split(event.payload)
        if opcode == OnOffSet.OPCODE:
            answer = build(OnOffStatus(OnOffSet.parse(parameters).on))
            self.node.send(event.source, answer, 0.0, application=0)


class WiredBearer:
    """See `bearers.bearer.Bearer`: a proxy that says `filters`, or the air itself. `sent` are the PDUs of the
    link; `deaf` proxies confirm nothing."""

    def __init__(self, iv_index: int = 0, *, filters: bool = True, lamp: PeerLamp | None = None) -> None:
        self.sent: list[tuple[PduType, bytes, Transmit | None]] = []
        self.lamp = lamp or PeerLamp(iv_index)
        self.deaf = False
        self.opened = 0
        self.dropped = 0
        self._filters = filters
        self._server = ProxyServer(KEY, PROXY, self.tell, self._to_air, iv_index=iv_index)
        self._server._sequence = next(_NUMBERS)
        self._events = BearerEvents()

    async def open(self) -> None:
        self.opened += 1
        self._events = BearerEvents()
        self.up()

    async def close(self) -> None:
        self._events.close()

    def events(self) -> AsyncIterator[BearerEvent]:
        return self._events

    async def send(self, kind: PduType, data: bytes) -> None:
        self.take(kind, data, None)

    def take(self, kind: PduType, data: bytes, transmit: Transmit | None) -> None:
        """A PDU of the link arrives at the other end."""
        if self._events.closed:
            raise Unavailable("the wire is cut")
        self.sent.append((kind, data, transmit))
        if not self._filters:
            self._to_air(data)
        elif not self.deaf:
            self._server.from_client(kind, data)

    def up(self) -> None:
        """Connect."""
        self._events.put(BearerUp("wire", self._filters))
        self._server.subscribed()

    def down(self) -> None:
        """Disconnect."""
        self._events.put(BearerDown("pulled out"))

    def tell(self, kind: PduType, data: bytes) -> None:
        """Bring the link a PDU."""
        self._events.put(PduReceived(kind, data))

    def beacon(self, iv_index: int, iv_update: bool = False) -> None:
        """Bring the link an authentic beacon."""
        self.tell(PduType.BEACON, build_secure(NetworkBeacon(iv_index, iv_update), KEY))

    def _to_air(self, data: bytes) -> None:
        for answer in self.lamp.take(data):
            if self._filters:
                self._server.from_air(answer)
            else:
                self.tell(PduType.NETWORK, answer)


class WiredAir(WiredBearer):
    """See `bearers.bearer.AdvertisingBearer`."""

    def __init__(self, iv_index: int = 0) -> None:
        super().__init__(iv_index, filters=False)
        self.network_transmit = Transmit(2, 20)

    async def send(self, kind: PduType, data: bytes, transmit: Transmit | None = None) -> None:
        self.take(kind, data, transmit)


class Wired:
    """An open link with its bearer; `events` is what it told so far."""

    def __init__(self, link: StackMeshLink, bearer: WiredBearer) -> None:
        self.link, self.bearer = link, bearer
        self.events: list[Event] = []

    async def listen(self) -> None:
        """Keep what the link tells."""
        async for event in self.link.events():
            self.events.append(event)

    async def switch(self, on: bool, tid: int = 0) -> OnOffStatus:
        """Switch the lamp once."""
        answer = await self.link.request(LAMP, build(OnOffSet(on, tid)), OnOffStatus.OPCODE, 2.0)
        return OnOffStatus.parse(split(answer)[1])

    def messages(self) -> list[Message]:
        """The unasked messages that it told of."""
        return [event for event in self.events if isinstance(event, Message)]

    def numbers(self) -> list[int]:
        """The sequence numbers that the link sent with, in order, proxy configuration left out."""
        opened = [self._open(data) for kind, data, _ in self.bearer.sent if kind is PduType.NETWORK]
        return [number for number in opened if number is not None]

    def _open(self, data: bytes) -> int | None:
        index = network.receive_iv_index(data, self.bearer.lamp.node.iv.index)
        pdu = network.open_sealed(data, KEY.credentials, index)
        return None if pdu is None else pdu.sequence


def new_link(bearer: WiredBearer, folder: Path) -> StackMeshLink:
    """A link of the gateway on that bearer."""
    settings = StackSettings(SITE, GATEWAY, folder)
    return StackMeshLink(settings, bearer, SystemClock(), Random(1), open_timeout_s=5.0)


@asynccontextmanager
async def wired(folder: Path, bearer: WiredBearer | None = None) -> AsyncIterator[Wired]:
    """An open link; closed at the end."""
    bearer = bearer or WiredBearer()
    held = Wired(new_link(bearer, folder), bearer)
    await held.link.open()
    listening = asyncio.create_task(held.listen())
    try:
        yield held
    finally:
        await held.link.close()
        await listening


async def until(condition: Callable[[], object]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(5.0):
        await poll.until(lambda: bool(condition()))
