"""Whether a connection still lives, which nobody else tells.

After a `kill -9` of bluetoothd, bleak's `is_connected` stays True and no callback comes. A proxy that hangs
keeps its connection up, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NoReturn

from common.errors import Unavailable
from common.tasks import together
from firmware_bridge.bluez.bus import Bus

BLUETOOTHD: Final = "org.bluez"
_LEFT: Final = "bluetoothd left the message bus"


class Check(Enum):
    """What to do about a silence."""

    WAIT = auto()
    ASK = auto()
    """Ask the proxy something over the air."""
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class Liveness:
    """When a silence is suspicious, in seconds.

    After `ask_after_s` without a PDU or an answer the proxy is asked for a descriptor; it has `answer_s`.
    After `silence_s` without a PDU the connection is given up although the proxy answers: its mesh side may
    be dead, and a proxy that is well greets every new connection with a beacon. The holder's own probing of
    the mesh usually keeps it from coming to that.
    """

    ask_after_s: float = 15.0
    answer_s: float = 5.0
    silence_s: float = 300.0

    def check(self, heard: float, answered: float, now: float) -> tuple[Check, float]:
        """What to do now, and in how many seconds to look again. `heard` is when the last PDU came,
        `answered` when the proxy last answered."""
        if now - heard >= self.silence_s:
            return Check.GIVE_UP, 0.0
        quiet = now - max(heard, answered)
        if quiet >= self.ask_after_s:
            return Check.ASK, min(self.ask_after_s, heard + self.silence_s - now)
        return Check.WAIT, min(self.ask_after_s - quiet, heard + self.silence_s - now)


async def until_bluetoothd_goes() -> NoReturn:
    """Raise Unavailable once bluetoothd leaves the system's message bus, or the bus itself ends."""
    async with Bus(None) as bus:
        gone = await bus.watch(BLUETOOTHD)
        try:
            await bus.owner(BLUETOOTHD)
        except Unavailable as error:  # it had gone before the watch stood
            raise Unavailable(_LEFT) from error
        async with together() as tasks:
            tasks.create_task(_end_after(gone, _LEFT))
            tasks.create_task(_end_after(bus.closed, "the message bus closed"))
    raise AssertionError("one of the two raises")


async def _end_after(event: asyncio.Event, what: str) -> None:
    await event.wait()
    raise Unavailable(what)
