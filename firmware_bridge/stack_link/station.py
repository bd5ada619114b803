"""Our stack's node on one bearer: PDUs in and out, and the stack's clock.

The stack decides, this moves bytes. A proxy is first told what to pass on; until it has confirmed that, the
network counts as out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Unavailable
from common.logs import Logger
from common.tasks import together
from firmware_bridge.bearers.bearer import Bearer, BearerDown, BearerUp, PduReceived
from firmware_bridge.stack.events import Received
from firmware_bridge.stack.node import Heard, StackNode
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link.outgoing import Outgoing
from firmware_bridge.stack_link.proxy_filter import ProxyControl
from firmware_bridge.stack_link.speaker import Speaker

_LONGEST_REST_S: Final = 1.0


class Holder(Protocol):
    """Who the station works for. Nothing here may block."""

    def attached(self, proxy: int | None) -> None:
        """The network can be reached: through the proxy node `proxy`, or as a node on the air."""

    def detached(self, reason: str) -> None:
        """It cannot be reached any more; told once after each `attached`."""

    def received(self, event: Received) -> None:
        """What the stack received."""

    def overheard(self, kind: PduType, data: bytes) -> None:
        """A beacon or a provisioning PDU, as it came."""


class Station:
    """Carries what `speaker` says through `outgoing` to `bearer`, and what comes back to `holder`.

    `groups` are addresses that a proxy shall pass on besides our own.
    """

    def __init__(
        self,
        node: StackNode,
        bearer: Bearer,
        groups: Collection[int],
        speaker: Speaker,
        outgoing: Outgoing,
        holder: Holder,
        clock: Clock,
        log: Logger,
    ) -> None:
        self._node = node
        self._bearer = bearer
        self._groups = groups
        self._speaker = speaker
        self._outgoing = outgoing
        self._holder = holder
        self._clock = clock
        self._log = log
        self._control: ProxyControl | None = None
        self._complained: set[bool] = set()

    async def run(self) -> None:
        """Carry until cancelled. Raises Unavailable when the bearer ends or a proxy confirms nothing, and
        what `Bearer.open` raises; the bearer is closed then."""
        try:
            await self._bearer.open()
            async with together() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._talk())
        finally:
            self._detach("the bearer is closed")
            await self._bearer.close()

    async def _listen(self) -> None:
        async for event in self._bearer.events():
            match event:
                case BearerUp(peer=peer, filters=filters):
                    self._log.debug("bearer-up", peer=peer)
                    self._connect(filters)
                case BearerDown(reason=reason):
                    self._detach(reason)
                case PduReceived(kind=kind, data=data):
                    self._take(kind, data)
        raise Unavailable("the bearer ended")

    def _connect(self, filters: bool) -> None:
        if not filters:
            self._attach(None)
            return
        self._control = ProxyControl(self._node, self._groups, self._clock.monotonic())
        self._outgoing.news.set()

    def _attach(self, proxy: int | None) -> None:
        self._control = None
        self._speaker.attached = True
        self._holder.attached(proxy)

    def _detach(self, reason: str) -> None:
        self._control = None
        was, self._speaker.attached = self._speaker.attached, False
        self._outgoing.clear()
        if was:
            self._holder.detached(reason)

    def _take(self, kind: PduType, data: bytes) -> None:
        """Hostile bytes end here, counted by the stack."""
        try:
            match kind:
                case PduType.NETWORK:
                    for event in self._node.receive(data, self._clock.monotonic()):
                        self._holder.received(event)
                case PduType.CONFIGURATION:
                    self._take_configuration(data)
                case PduType.PROVISIONING:
                    self._holder.overheard(kind, data)
                case PduType.BEACON:
                    self._holder.overheard(kind, data)
                    self._take_beacon(data)
        except MeshtwinError as error:
            self._log.debug("pdu-refused", kind=kind.name, error=error)
        self._speaker.note_outcomes()
        self._outgoing.collect()
        # An arrival may have set the stack's clock: an acknowledgement is due.
        self._outgoing.news.set()

    def _take_beacon(self, data: bytes) -> None:
        heard = self._node.authentic(data)
        if heard is None:
            return
        if self._control is not None:
            self._control.offered(heard.net_index)
        before = self._node.ignored_beacons.total()
        for event in self._node.follow(heard, self._clock.wall()):
            self._holder.received(event)
        if self._node.ignored_beacons.total() > before:
            self._complain(heard)

    def _complain(self, heard: Heard) -> None:
        """Tell of a network whose IV index is not believed, once for behind and once for ahead."""
        said, ours = heard.said.iv_index, self._node.iv.index
        if (said > ours) not in self._complained:
            self._complained.add(said > ours)
            self._log.warning("iv-index-ignored", said=said, ours=ours, net_index=heard.net_index)

    def _take_configuration(self, data: bytes) -> None:
        if self._control is not None:
            self._control.take(data)
            if self._control.dialogue.done:
                self._attach(self._control.dialogue.proxy)

    async def _talk(self) -> None:
        while True:
            now = self._clock.monotonic()
            self._outgoing.news.clear()
            self._poll(now)
            if self._control is not None and (pdu := self._control.due(now)) is not None:
                self._outgoing.put(PduType.CONFIGURATION, pdu)
            await self._outgoing.drain(self._bearer)
            await self._rest()

    def _poll(self, now: float) -> None:
        try:
            self._node.poll(now)
        except MeshtwinError as error:
            # No numbers: the disk is full, or they have run out.
            self._log.warning("message-not-sent", error=error)
        self._speaker.note_outcomes()
        self._outgoing.collect()

    async def _rest(self) -> None:
        """Until something is due, or to be sent."""
        now = self._clock.monotonic()
        times = [now + _LONGEST_REST_S, self._node.next_time()]
        if self._control is not None:
            times.append(self._control.next_time(now))
        due = min(t for t in times if t is not None)
        try:
            async with asyncio.timeout(max(0.0, due - now)):
                await self._outgoing.news.wait()
        except TimeoutError:
            pass  # something is due
