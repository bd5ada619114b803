"""Runs one provisioning: the provisioner's machine over a link, a wire and a clock, with somebody to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, TimedOut, Unavailable
from common.tasks import together
from firmware_bridge.provisioning.bearer import Wire
from firmware_bridge.provisioning.generic import CloseReason
from firmware_bridge.provisioning.link import Arrived, LinkClosed, LinkEvent, LinkOpened, ProvisioningLink
from firmware_bridge.provisioning.pdus import Capabilities, Choice
from firmware_bridge.provisioning.provisioner import (
    PATIENCE_S,
    Authenticated,
    Capable,
    Enter,
    Provisioned,
    Provisioner,
    Refused,
    Send,
    Show,
    Step,
)
from firmware_bridge.provisioning.security import NetworkData

MAX_WAITING: Final = 16
TRIES: Final = 3
"""For entering a value that can be one."""
CLOSING_S: Final = 1.0
"""What telling the device of the end may take at most."""


class Dialogue(Protocol):
    """Who is asked during a provisioning. Errors raised here end it."""

    async def choose(self, said: Capabilities) -> Choice:
        """How to authenticate a device that can do this."""

    async def enter(self, choice: Choice) -> str:
        """The value that the device shows."""

    async def show(self, choice: Choice, value: str) -> None:
        """Let this value be entered on the device."""

    async def keep(self, device_key: bytes) -> NetworkData:
        """Store the node's key durably, and say what the node shall be told. After this the device may be
        a node, whatever happens."""


async def provision(
    provisioner: Provisioner, link: ProvisioningLink, wire: Wire, dialogue: Dialogue, clock: Clock
) -> None:
    """Make a device a node (5.4.2). The link is closed in every case, in bounded time.

    Raises Unavailable (no such device, or it went away), TimedOut, Rejected (REFUSED_BY_NODE, or what the
    device did wrong), NotSupported, and what `dialogue` raises.
    """
    session = _Session(provisioner, link, wire, dialogue, clock)
    reason = CloseReason.FAIL
    try:
        await session.run()
        reason = CloseReason.SUCCESS
    finally:
        await session.end(reason)


class _Session:
    """One conversation. `run` alone moves link and provisioner; children bring what it wakes for."""

    def __init__(
        self,
        provisioner: Provisioner,
        link: ProvisioningLink,
        wire: Wire,
        dialogue: Dialogue,
        clock: Clock,
    ) -> None:
        self._provisioner = provisioner
        self._link = link
        self._wire = wire
        self._dialogue = dialogue
        self._clock = clock
        self._wake = asyncio.Event()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self._answered: list[Step] = []
        self._children: set[asyncio.Task[None]] = set()
        self._asking = 0
        self._deadline = float("inf")
        self._over = False

    async def run(self) -> None:
        self._link.open(self._clock.monotonic())
        async with together() as tasks:
            self._child(tasks, self._read())
            try:
                while True:
                    self._wake.clear()
                    self._advance(tasks)
                    await self._flush()
                    if self._over:
                        break
                    await self._rest(tasks)
            finally:
                for child in self._children:
                    child.cancel()

    async def end(self, reason: CloseReason) -> None:
        """Tell the device, as often as the link does, and no longer than `CLOSING_S`."""
        until = self._clock.monotonic() + CLOSING_S
        self._link.close(reason, self._clock.monotonic())
        with suppress(Unavailable):
            while not self._link.finished and (now := self._clock.monotonic()) < until:
                self._link.poll(now)
                await self._flush()
                if (due := self._link.next_time()) is not None:
                    await self._clock.sleep(max(0.0, due - now))

    async def _read(self) -> None:
        while True:
            # A full queue lets the bearer drop, which counts.
            await self._arrived.put(await self._wire.receive())
            self._wake.set()

    async def _flush(self) -> None:
        for data in self._link.outgoing():
            await self._wire.send(data)

    async def _rest(self, tasks: asyncio.TaskGroup) -> None:
        """Wait until something arrived, was answered, or is due."""
        due = min(self._deadline, self._link.next_time() or float("inf"))
        alarm = None
        if due < float("inf"):
            alarm = self._child(tasks, self._alarm(due - self._clock.monotonic()))
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    async def _alarm(self, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        self._wake.set()

    def _advance(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock.monotonic()
        events = self._link.poll(now)
        while not self._arrived.empty():
            events += self._link.receive(self._arrived.get_nowait(), now)
        steps, self._answered = self._answered, []
        for event in events:
            steps += self._heard(event, now)
        for step in steps:
            self._do(step, tasks, now)
        # Somebody who is being asked is not hurried by this side: the device gives up by itself.
        if now >= self._deadline and not self._asking:
            raise TimedOut(f"the device did not answer for {PATIENCE_S:g} s")

    def _heard(self, event: LinkEvent, now: float) -> list[Step]:
        match event:
            case LinkOpened():
                self._deadline = now + PATIENCE_S
                return self._provisioner.begin()
            case Arrived(pdu):
                self._deadline = now + PATIENCE_S
                return self._provisioner.receive(pdu)
            case LinkClosed(reason, by_peer):
                raise _closed(reason, by_peer)

    def _do(self, step: Step, tasks: asyncio.TaskGroup, now: float) -> None:
        match step:
            case Send(pdu):
                self._link.send(pdu, now)
            case Provisioned():
                self._over = True
            case Refused(reason, detail):
                raise Rejected(reason, detail)
            case Capable() | Enter() | Show() | Authenticated():
                self._child(tasks, self._ask(step))

    async def _ask(self, step: Capable | Enter | Show | Authenticated) -> None:
        self._asking += 1
        try:
            self._answered += await self._answer(step)
        finally:
            self._asking -= 1
        self._deadline = self._clock.monotonic() + PATIENCE_S
        self._wake.set()

    async def _answer(self, step: Capable | Enter | Show | Authenticated) -> list[Step]:
        match step:
            case Capable(said):
                return self._provisioner.choose(await self._dialogue.choose(said))
            case Enter(choice):
                return await self._entered(choice)
            case Show(choice, value):
                await self._dialogue.show(choice, value)
                return []
            case Authenticated(device_key):
                return self._provisioner.distribute(await self._dialogue.keep(device_key))

    async def _entered(self, choice: Choice) -> list[Step]:
        """Ask again for what cannot be the value: a slip costs nothing yet."""
        for left in range(TRIES - 1, -1, -1):
            try:
                return self._provisioner.entered(await self._dialogue.enter(choice))
            except Rejected as error:
                if error.reason is not RejectReason.INVALID or not left:
                    raise
        raise AssertionError

    def _child(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        child = tasks.create_task(work)
        self._children.add(child)
        child.add_done_callback(self._children.discard)
        return child


def _closed(reason: int, by_peer: bool) -> MeshtwinError:
    if not by_peer:
        return Unavailable("the device does not answer: too far, switched off, or provisioned meanwhile")
    if reason == CloseReason.TIMEOUT:
        return TimedOut("the device waited too long and closed the link")
    return Unavailable(f"the device closed the link (reason {reason})")
