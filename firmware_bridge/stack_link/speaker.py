"""What our own node says by itself or for a caller: the `Sender` of the Config client and the monitor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from common.logs import Logger
from common.mesh.configuration import Transmit
from firmware_bridge.access import link_monitor
from firmware_bridge.access.fields import ModelId
from firmware_bridge.stack.events import AccessReceived
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.outbound import Sent
from firmware_bridge.stack_link.outgoing import Outgoing

_PROBE_INTERVAL_MS: Final = 20


class Speaker:
    """Sends by `node` into `outgoing` while `attached`.

    `to_ourselves` hears what we send to our own address under an application key, `own_config` under our
    device key: the stack does not hear itself. `probe_transmissions` is how often a publication goes on air.
    """

    def __init__(
        self,
        node: StackNode,
        key_index: int,
        outgoing: Outgoing,
        to_ourselves: Callable[[AccessReceived], None],
        own_config: Callable[[bytes], None],
        clock: Clock,
        log: Logger,
    ) -> None:
        self._node = node
        self._key_index = key_index
        self._outgoing = outgoing
        self._to_ourselves = to_ourselves
        self._own_config = own_config
        self._clock = clock
        self._log = log
        self._under_way: dict[tuple[int, bytes], Sent] = {}
        self.attached = False
        self.probe_transmissions = 1
        self.replies_dropped = 0

    async def send(self, destination: int, payload: bytes, key_index: int) -> None:
        await self._ready()
        self._speak(destination, payload, key_index)

    async def send_with_device_key(self, destination: int, payload: bytes) -> None:
        await self._ready()
        if destination == self._node.address:
            self._own_config(payload)
        else:
            self._send(destination, payload, None, destination)

    async def publish(self, model: ModelId, payload: bytes) -> None:
        """Only the link monitor publishes: to direct neighbours."""
        await self._ready()
        self._publish(payload)

    def reply(self, destination: int | None, payload: bytes) -> None:
        """Answer from where nothing may wait; without a destination, publish. A full queue drops the answer,
        counted: who asked asks again."""
        try:
            self._check()
            if self._outgoing.full:
                raise Unavailable("too many PDUs wait")
            if destination is None:
                self._publish(payload)
            else:
                self._speak(destination, payload, self._key_index)
        except MeshtwinError as error:
            self.replies_dropped += 1
            self._log.debug("reply-not-sent", error=error)

    def note_outcomes(self) -> None:
        """Forget segmented messages that came to their end."""
        ended = {sent for sent, _ in self._node.outcomes()}
        if ended:
            self._under_way = {what: sent for what, sent in self._under_way.items() if sent not in ended}

    def _speak(self, destination: int, payload: bytes, key_index: int) -> None:
        if destination == self._node.address:
            heard = AccessReceived(destination, destination, payload, key_index, 0, 0)
            asyncio.get_running_loop().call_soon(self._to_ourselves, heard)
        else:
            self._send(destination, payload, key_index, None)

    def _send(self, destination: int, payload: bytes, application: int | None, device: int | None) -> None:
        # The stack repeats a segmented message by itself: the same again would only wait behind it.
        if (destination, payload) in self._under_way:
            return
        now = self._clock.monotonic()
        try:
            sent = self._node.send(destination, payload, now, application=application, device=device)
        except Misconfigured as error:
            raise Rejected(RejectReason.INVALID, error.problem) from error
        if sent.segments:
            self._under_way[destination, payload] = sent
        self._outgoing.collect()

    def _publish(self, payload: bytes) -> None:
        self._outgoing.collect()
        self._node.send(
            link_monitor.MONITOR_PROBES,
            payload,
            self._clock.monotonic(),
            application=self._key_index,
            ttl=0,
        )
        # Network transmit does not count here: a probe says itself how often it goes on air.
        self._outgoing.collect(Transmit(self.probe_transmissions, _PROBE_INTERVAL_MS))

    async def _ready(self) -> None:
        self._check()
        await self._outgoing.room()
        self._check()

    def _check(self) -> None:
        if not self.attached:
            raise Unavailable("the mesh cannot be reached")
