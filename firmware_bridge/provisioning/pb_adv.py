"""PB-ADV: a provisioning link over advertisements, with transactions that are repeated until acknowledged
(5.2.1, 5.3).

    link identifier, 4 bytes │ transaction number │ generic provisioning PDU
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from common.errors import Rejected, Unavailable
from firmware_bridge.provisioning.generic import (
    Acknowledgement,
    Assembly,
    CloseReason,
    Continuation,
    Generic,
    LinkAck,
    LinkClose,
    LinkOpen,
    Start,
    build,
    parse,
    segments,
)
from firmware_bridge.provisioning.link import Arrived, LinkClosed, LinkEvent, LinkOpened

MAX_BYTES: Final = 29
LINK_TIMEOUT_S: Final = 60.0
"""For a link to open, and for silence on an open one (5.3.3)."""
TRANSACTION_TIMEOUT_S: Final = 30.0
"""For a transaction to be acknowledged (5.3.3)."""
MAX_WAITING: Final = 8
"""PDUs: a provisioner has three under way at most."""

_HEADER_BYTES: Final = 5
_GAP_S: Final = (0.020, 0.050)
_FIRST_PATIENCE_S: Final = 0.6
_MOST_PATIENCE_S: Final = 4.0
_GROWTH: Final = 1.5
_CLOSE_TIMES: Final = 3
_DEVICE_BIT: Final = 0x80

Spread = Callable[[float, float], float]
"""A random number between two, such as `random.uniform`."""


class _State(Enum):
    IDLE = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


def wanted(data: bytes, uuid: bytes) -> int | None:
    """The identifier of the link that a PB-ADV PDU asks the device `uuid` to open; None for anything else,
    whatever the bytes (5.3.1.4.1)."""
    if not _HEADER_BYTES < len(data) <= MAX_BYTES:
        return None
    try:
        pdu = parse(data[_HEADER_BYTES:])
    except Rejected:
        return None
    return int.from_bytes(data[:4], "big") if pdu == LinkOpen(uuid) else None


class AdvLink:
    """One link, at either end (5.2.1). See `link.ProvisioningLink`.

    `link_id` is random for a provisioner, and what `wanted` gave for a device. A device's link is opened by
    giving it the PDU that asked for it.
    """

    def __init__(self, link_id: int, uuid: bytes, *, provisioner: bool, spread: Spread) -> None:
        self.refused = 0
        self._id = link_id
        self._uuid = uuid
        self._provisioner = provisioner
        self._spread = spread
        self._state = _State.IDLE
        self._out: list[bytes] = []
        self._opened_at = self._heard_at = 0.0
        self._sending = _Sending(0 if provisioner else _DEVICE_BIT, spread)
        self._receiving = _Receiving(_DEVICE_BIT if provisioner else 0, spread)
        # Opening and closing repeat one PDU.
        self._repeat_at: float | None = None
        self._closes_left = 0
        self._reason = CloseReason.SUCCESS

    def open(self, now: float) -> None:
        self._state = _State.OPENING
        self._opened_at = self._heard_at = now
        self._repeat_at = now

    def send(self, pdu: bytes, now: float) -> None:
        if self._state is not _State.OPEN:
            raise Unavailable("the provisioning link is not open")
        self._sending.add(pdu, now)

    def close(self, reason: CloseReason, now: float) -> None:
        if self._state in (_State.OPENING, _State.OPEN):
            self._state = _State.CLOSED
            self._reason, self._closes_left, self._repeat_at = reason, _CLOSE_TIMES, now

    @property
    def finished(self) -> bool:
        return self._state is _State.CLOSED and not self._closes_left and not self._out

    def outgoing(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def next_time(self) -> float | None:
        times = [self._repeat_at]
        if self._state is _State.OPENING:
            times.append(self._opened_at + LINK_TIMEOUT_S)
        if self._state is _State.OPEN:
            times += [self._heard_at + LINK_TIMEOUT_S, self._sending.due, self._receiving.due]
        return min((t for t in times if t is not None), default=None)

    def poll(self, now: float) -> list[LinkEvent]:
        if self._state is _State.CLOSED:
            self._repeat_close(now)
            return []
        if self._state is _State.OPENING:
            if now - self._opened_at >= LINK_TIMEOUT_S:
                return self._give_up(now)
            if self._repeat_at is not None and now >= self._repeat_at:
                self._emit(0, LinkOpen(self._uuid))
                self._repeat_at = now + _FIRST_PATIENCE_S
        if self._state is _State.OPEN:
            if now - self._heard_at >= LINK_TIMEOUT_S or self._sending.overdue(now):
                return self._give_up(now)
            if (number := self._receiving.poll(now)) is not None:
                self._emit(number, Acknowledgement())
            for number, segment in self._sending.poll(now):
                self._emit(number, segment)
        return []

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        if len(data) <= _HEADER_BYTES or int.from_bytes(data[:4], "big") != self._id:
            return []  # Another link's: all devices hear all advertisements.
        try:
            pdu = parse(data[_HEADER_BYTES:])
        except Rejected:
            self.refused += 1
            return []
        return self._take(data[4], pdu, now)

    def _take(self, number: int, pdu: Generic, now: float) -> list[LinkEvent]:
        match pdu:
            case LinkOpen(uuid):
                return self._asked(uuid, now)
            case LinkAck() if self._provisioner and self._state is _State.OPENING:
                return self._become_open(now)
            case LinkClose(reason) if self._state in (_State.OPENING, _State.OPEN):
                self._state, self._repeat_at = _State.CLOSED, None
                return [LinkClosed(reason, by_peer=True)]
            case Acknowledgement() if self._state is _State.OPEN:
                self._heard_at = now
                self._sending.acknowledged(number, now)
            case Start() | Continuation() if self._state is _State.OPEN:
                self._heard_at = now
                whole = self._receiving.take(number, pdu, now)
                return [] if whole is None else [Arrived(whole)]
        return []

    def _asked(self, uuid: bytes, now: float) -> list[LinkEvent]:
        """A device acknowledges every request for its own link: the first answer may have been lost."""
        if self._provisioner or uuid != self._uuid or self._state is _State.CLOSED:
            return []
        self._emit(0, LinkAck())
        return self._become_open(now) if self._state is _State.IDLE else []

    def _become_open(self, now: float) -> list[LinkEvent]:
        self._state, self._repeat_at, self._heard_at = _State.OPEN, None, now
        return [LinkOpened()]

    def _give_up(self, now: float) -> list[LinkEvent]:
        self.close(CloseReason.TIMEOUT, now)
        self._repeat_close(now)
        return [LinkClosed(CloseReason.TIMEOUT, by_peer=False)]

    def _repeat_close(self, now: float) -> None:
        if self._repeat_at is None or now < self._repeat_at or not self._closes_left:
            return
        self._emit(0, LinkClose(self._reason))
        self._closes_left -= 1
        self._repeat_at = now + self._spread(*_GAP_S) if self._closes_left else None

    def _emit(self, number: int, pdu: Generic) -> None:
        self._out.append(self._id.to_bytes(4, "big") + bytes((number,)) + build(pdu))


class _Sending:
    """The transactions of one side, one at a time (5.3.2)."""

    def __init__(self, half: int, spread: Spread) -> None:
        self.due: float | None = None
        self._half = half
        self._number = half
        self._spread = spread
        self._waiting: deque[bytes] = deque()
        self._left: list[Generic] = []
        self._all: list[Generic] = []
        self._begun = 0.0
        self._patience = _FIRST_PATIENCE_S

    def add(self, pdu: bytes, now: float) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("too many provisioning PDUs wait to be sent")
        self._waiting.append(pdu)
        if not self._all:
            self._next(now)

    def overdue(self, now: float) -> bool:
        return bool(self._all) and now - self._begun >= TRANSACTION_TIMEOUT_S

    def acknowledged(self, number: int, now: float) -> None:
        if self._all and number == self._number:
            self._number = self._half | (self._number + 1) & 0x7F
            self._next(now)

    def poll(self, now: float) -> list[tuple[int, Generic]]:
        """The segment that is due, with its transaction's number: one each 20 to 50 ms (5.3.3)."""
        if self.due is None or now < self.due:
            return []
        if not self._left:
            self._left = list(self._all)
        segment = self._left.pop(0)
        if self._left:
            self.due = now + self._spread(*_GAP_S)
        else:
            self.due = now + self._patience
            self._patience = min(_MOST_PATIENCE_S, self._patience * _GROWTH)
        return [(self._number, segment)]

    def _next(self, now: float) -> None:
        self._all = segments(self._waiting.popleft()) if self._waiting else []
        self._left = []
        self._begun, self._patience = now, _FIRST_PATIENCE_S
        self.due = now if self._all else None


class _Receiving:
    """The other side's transactions: each is taken once, and acknowledged as often as it comes (5.3.2)."""

    def __init__(self, half: int, spread: Spread) -> None:
        self.due: float | None = None
        self._half = half
        self._spread = spread
        self._next = half
        self._done: int | None = None
        self._assembly = Assembly()

    def take(self, number: int, segment: Start | Continuation, now: float) -> bytes | None:
        if number == self._done:
            self._acknowledge(now)
            return None
        if number != self._next:
            return None
        whole = self._assembly.take(segment)
        if whole is not None:
            self._done, self._next = number, self._half | (number + 1) & 0x7F
            self._assembly = Assembly()
            self._acknowledge(now)
        return whole

    def poll(self, now: float) -> int | None:
        """The number of the transaction to acknowledge now."""
        if self.due is None or now < self.due:
            return None
        self.due = None
        return self._done

    def _acknowledge(self, now: float) -> None:
        if self.due is None:
            self.due = now + self._spread(*_GAP_S)
