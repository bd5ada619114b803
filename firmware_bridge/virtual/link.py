"""VirtualLink: a MeshLink to a simulated site, which it keeps at the time of a clock.

Several links may be attached to one site within a process; whichever wakes first moves it on. A simulation
that breaks ends the events of all of them with SiteFailed: whoever owns the process has to begin it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from common.clock import Clock, SystemClock
from common.errors import (
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)
from common.mesh.addresses import check_unicast, is_virtual, show
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from firmware_bridge.access import catalogue
from firmware_bridge.access import config_state as config
from firmware_bridge.access.link_monitor import Restart, RestartStatus
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.access.opcodes import check_payload, split
from firmware_bridge.event_queue import EventQueue
from firmware_bridge.link import Event, LinkDown, LinkUp, NodeStatus
from firmware_bridge.virtual.answers import Answer, Answers
from firmware_bridge.virtual.control import ControlSocket
from firmware_bridge.virtual.site import Packet, SiteFailed, VirtualSite
from firmware_bridge.virtual.translation import event

QUANTUM_S = 0.004
"""Events of the site that lie closer together are handled in one turn."""

ANSWER_TIMEOUTS_S = (0.2, 0.25, 0.4, 0.6, 0.9, 1.3)
"""How long each repetition of a Config message waits for its answer."""

RESTART_TIMEOUTS_S = (0.3, 0.3, 0.5, 0.9)

S = TypeVar("S", config.RelayStatus, config.DefaultTtlStatus, config.NetworkTransmitStatus)


class VirtualLink:
    """The gateway at `address` of `site`. `control` is a Unix socket (0600) through which tools injure the
    site while the link is open."""

    def __init__(
        self,
        site: VirtualSite,
        address: int,
        clock: Clock | None = None,
        *,
        control: Path | None = None,
        queue_limit: int = 4096,
        quantum_s: float = QUANTUM_S,
    ) -> None:
        self.site = site
        self.address = address
        self._clock: Clock = clock or SystemClock()
        self._queue_limit = queue_limit
        self._quantum_s = quantum_s
        self._queue = EventQueue(queue_limit)
        self._origin = 0.0
        self._opened = False
        self._up = False
        self._driver: asyncio.Task[None] | None = None
        self._sleep: asyncio.Future[None] | None = None
        self._answers = Answers(self._clock)
        self._known: dict[int, NodeConfiguration] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._restarts = 0
        self._control = None if control is None else ControlSocket(control, site, self._catch_up)

    @property
    def dropped_events(self) -> int:
        """Events that a slow consumer lost."""
        return self._queue.dropped

    async def open(self) -> None:
        if self._opened:
            return
        if self.address not in self.site.nodes:
            raise Misconfigured(
                f"the virtual site has no node {show(self.address)}", "give the gateway the address of one"
            )
        if self.site.failure is not None:
            raise SiteFailed("the simulated site failed before; make it anew") from self.site.failure
        if not self.site.nodes[self.address].alive:
            raise Unavailable(f"node {show(self.address)} of the virtual site is down")
        if self._queue.closed:
            self._queue = EventQueue(self._queue_limit)
        if self._control is not None:
            await self._control.open()
        if self.site.origin is None:
            self.site.origin = self._clock.monotonic() - self.site.now
        self._origin = self.site.origin
        self.site.attach(self.address, self)
        self._opened = self._up = True
        self._queue.put(LinkUp(self._clock.monotonic(), self.address))
        # Owned by the link from here to `close`: a task group cannot span two calls.
        self._driver = asyncio.create_task(self._drive(), name=f"virtual site of {show(self.address)}")

    async def close(self) -> None:
        self._opened = self._up = False
        self.site.detach(self.address, self)
        self._answers.fail("the link was closed")
        self._queue.close()
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
        if self._control is not None:
            await self._control.close()

    def events(self) -> AsyncIterator[Event]:
        return self._queue

    async def configure(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        check_unicast(address)
        self._require_up()
        async with self._locks.setdefault(address, asyncio.Lock()):
            if change.relay is not None or change.relay_retransmit is not None or not change:
                await self._configure_relay(address, change)
            if change.default_ttl is not None:
                ttl = await self._ask(
                    address, config.DefaultTtlSet(change.default_ttl), config.DefaultTtlStatus
                )
                _check_applied(address, ttl.ttl == change.default_ttl, "default TTL")
            elif not change:
                await self._ask(address, config.DefaultTtlGet(), config.DefaultTtlStatus)
            if change.network_transmit is not None:
                request = config.NetworkTransmitSet(change.network_transmit)
                state = await self._ask(address, request, config.NetworkTransmitStatus)
                _check_applied(address, state.transmit == change.network_transmit, "network transmit")
            elif not change:
                await self._ask(address, config.NetworkTransmitGet(), config.NetworkTransmitStatus)
        return self._known[address]

    async def send(self, destination: int, payload: bytes) -> None:
        check_payload(payload)
        _check_destination(destination)
        self._send(destination, payload)

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        check_payload(payload)
        check_unicast(destination)
        return await self._exchange(Answer(destination, response), payload, timeout)

    async def restart(self, address: int) -> None:
        check_unicast(address)
        self._require_up()
        node = self.site.nodes.get(address)
        if node is not None and not node.monitored:
            raise NotSupported(f"node {show(address)} has no link monitor to restart it")
        self._restarts += 1
        request = build(Restart(self._restarts & 0xFFFF))
        await self._repeat(Answer(address, RestartStatus.OPCODE), request, RESTART_TIMEOUTS_S)

    # What the site calls

    def received(self, packet: Packet) -> None:
        """A message reached the gateway's node."""
        t = self._origin + packet.t
        if packet.payload is None:
            self._queue.put(event(t, packet))
            return
        opcode, _ = split(packet.payload)
        if packet.device_key:
            self._learn(t, packet.source, catalogue.parse(packet.payload))
        waited = self._answers.came(Answer(packet.source, opcode, packet.device_key), packet.payload)
        if not waited and not packet.device_key:
            self._queue.put(event(t, packet))

    def powered(self, alive: bool) -> None:
        """The gateway's own node went down or came back."""
        self._up = alive
        t = self._origin + self.site.now
        if alive:
            self._queue.put(LinkUp(t, self.address))
        else:
            self._queue.put(LinkDown(t, "the gateway's node lost power"))
            self._answers.fail("the gateway's node lost power")

    # Configuration

    async def _configure_relay(self, address: int, change: ConfigurationChange) -> None:
        known = self._known.get(address, NodeConfiguration(address))
        relay, retransmit = change.relay, change.relay_retransmit or known.relay_retransmit
        # One message sets both. Whether a node relays is never set from memory: others change it too.
        if relay is None or retransmit is None:
            now = await self._ask(address, config.RelayGet(), config.RelayStatus)
            if not change:
                return
            relay = now.state == config.RelayState.ON if relay is None else relay
            retransmit = retransmit or now.retransmit
        request = config.RelaySet(config.RelayState(int(relay)), retransmit)
        then = await self._ask(address, request, config.RelayStatus)
        if relay and then.state == config.RelayState.UNSUPPORTED:
            raise NotSupported(f"node {show(address)} cannot relay")
        _check_applied(address, relay == (then.state == config.RelayState.ON), "relay")
        _check_applied(address, retransmit == then.retransmit, "relay retransmit")

    async def _ask(self, address: int, request: AccessMessage, status: type[S]) -> S:
        """Send a Config message until it is answered."""
        answer = Answer(address, status.OPCODE, device_key=True)
        payload = await self._repeat(answer, build(request), ANSWER_TIMEOUTS_S)
        return status.parse(split(payload)[1])

    def _learn(self, t: float, source: int, message: AccessMessage | Opaque) -> None:
        """Keep what a node states of itself, and tell it."""
        known = self._known.get(source, NodeConfiguration(source))
        match message:
            case config.RelayStatus(state, retransmit):
                known = replace(
                    known,
                    relay=state == config.RelayState.ON,
                    relay_supported=state != config.RelayState.UNSUPPORTED,
                    relay_retransmit=retransmit,
                )
            case config.DefaultTtlStatus(ttl):
                known = replace(known, default_ttl=ttl)
            case config.NetworkTransmitStatus(transmit):
                known = replace(known, network_transmit=transmit)
            case _:
                return
        self._known[source] = known
        self._queue.put(NodeStatus(t, known))

    # Questions and answers

    async def _repeat(self, answer: Answer, payload: bytes, timeouts: tuple[float, ...]) -> bytes:
        for timeout in timeouts[:-1]:
            with suppress(TimedOut):
                return await self._exchange(answer, payload, timeout)
        return await self._exchange(answer, payload, timeouts[-1])

    async def _exchange(self, answer: Answer, payload: bytes, timeout: float) -> bytes:
        self._send(answer.source, payload, answer.device_key)
        return await self._answers.wait_for(answer, timeout)

    def _require_up(self) -> None:
        if not self._up:
            raise Unavailable("the link to the virtual site is not up")

    def _send(self, destination: int, payload: bytes, device_key: bool = False) -> None:
        self._require_up()
        self._catch_up()
        # Catching up may have brought the gateway down.
        self._require_up()
        self.site.send(self.address, destination, payload, device_key)
        self._wake()

    # Time

    def _catch_up(self) -> None:
        self.site.advance(self._clock.monotonic() - self._origin)

    def _wake(self) -> None:
        """What the site does next may be due before the driver meant to look."""
        if self._sleep is not None:
            self._sleep.cancel()

    async def _drive(self) -> None:
        """Keep the site at the clock's time. What breaks that goes to the consumer of the events, whose owner
        tells it with its trace and starts again."""
        try:
            while True:
                self._catch_up()
                due = self.site.next_time()
                wait = 1.0 if due is None else self._origin + due - self._clock.monotonic()
                await self._interruptible_sleep(max(self._quantum_s, min(wait, 1.0)))
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._up = False
        self._queue.put(LinkDown(self._clock.monotonic(), str(error)))
        self._queue.fail(error)
        self._answers.fail(str(error))

    async def _interruptible_sleep(self, seconds: float) -> None:
        sleep = self._sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({sleep})
        finally:
            self._sleep = None
            sleep.cancel()


def _check_applied(address: int, applied: bool, what: str) -> None:
    if not applied:
        raise Rejected(RejectReason.REFUSED_BY_NODE, f"node {show(address)} keeps another {what}")


def _check_destination(destination: int) -> None:
    if not 0x0001 <= destination <= 0xFFFF or is_virtual(destination):
        raise Rejected(
            RejectReason.OUT_OF_RANGE, f"{destination:#x} is neither a unicast nor a group address"
        )
