"""Messages of the link-monitor vendor model; PROTOCOL.md specifies them byte by byte.

All but long reports fit one unsegmented access message: three bytes of opcode and at most eight more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from common.errors import Rejected, RejectReason
from common.mesh.addresses import check_unicast
from firmware_bridge.access.fields import ModelId, check_range
from firmware_bridge.access.layout import UNICAST, octet, word
from firmware_bridge.access.message import AccessMessage
from firmware_bridge.access.opcodes import vendor_opcode
from firmware_bridge.access.record import Question, Record

# A vendor who ships this model uses a company id of its own; everything follows from this constant.
COMPANY: Final = 0x05F1
SERVER: Final = ModelId(0x4D54, COMPANY)
CLIENT: Final = ModelId(0x4D55, COMPANY)

MONITOR_PROBES: Final = 0xC100
MONITOR_REPORTS: Final = 0xC101

PERIOD_UNIT_S: Final = 0.1
TRANSMISSIONS_MAX: Final = 8
EXPECTED_MAX: Final = 31
ENTRIES_MAX: Final = 64
UNSEGMENTED_ENTRIES: Final = 2
PAIR_RSSI_DBM: Final = (-104, -41)
PAIR_TRANSMISSIONS_MAX: Final = 4
"""What two entries with signal strength can say in one packet."""

_ENTRY = struct.Struct("<HBB")
_ENTRY_RSSI = struct.Struct("<HBBb")
_PAIR = struct.Struct("<Q")
_HALF_BITS: Final = 31

_TRANSMISSIONS = octet("transmissions", 1, TRANSMISSIONS_MAX)
_TOKEN = word("restart token")


@dataclass(frozen=True, slots=True)
class _Sign(Record):
    """A sign of life to direct neighbours. `period_units` are 100 ms."""

    sequence: int
    period_units: int
    transmissions: int
    FIELDS: ClassVar = (word("probe sequence"), octet("probe period"), _TRANSMISSIONS)


class Probe(_Sign):
    """Sent once a period and counted. A period of 0 says that this was the last one."""

    OPCODE = vendor_opcode(0x01, COMPANY)


class ProbeAnswer(_Sign):
    """Sent when a neighbour asked, with the sequence of the last probe; not counted."""

    OPCODE = vendor_opcode(0x0B, COMPANY)


@dataclass(frozen=True, slots=True)
class ProbeRequest(Record):
    """A neighbour that missed a probe of `transmitter` asks it for a sign of life."""

    transmitter: int
    OPCODE: ClassVar = vendor_opcode(0x0A, COMPANY)
    FIELDS: ClassVar = (UNICAST,)


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """What a receiver counted of one transmitter since its last entry about it."""

    transmitter: int
    heard: int
    expected: int
    transmissions: int = 1
    rssi_dbm: int | None = None

    def __post_init__(self) -> None:
        check_unicast(self.transmitter)
        check_range(self.expected, 0, EXPECTED_MAX, "expected probes")
        check_range(self.heard, 0, self.expected, "heard probes")
        check_range(self.transmissions, 1, TRANSMISSIONS_MAX, "transmissions")
        if self.rssi_dbm is not None:
            check_range(self.rssi_dbm, -128, 127, "RSSI")

    def counts(self) -> tuple[int, int, int]:
        return self.transmitter, self.heard, self.expected | (self.transmissions - 1) << 5


def _entry(fields: tuple[int, ...]) -> ReportEntry:
    transmitter, heard, packed, *rssi = fields
    return ReportEntry(transmitter, heard, packed & 0x1F, (packed >> 5) + 1, rssi[0] if rssi else None)


def _entries(layout: struct.Struct, parameters: bytes) -> tuple[ReportEntry, ...]:
    count, rest = divmod(len(parameters), layout.size)
    if rest:
        raise Rejected(RejectReason.TRUNCATED, f"a report of {len(parameters)} bytes ends within an entry")
    check_range(count, 1, ENTRIES_MAX, "report entries")
    return tuple(_entry(fields) for fields in layout.iter_unpack(parameters))


@dataclass(frozen=True, slots=True)
class Report:
    """A part of a neighbour table from a node that cannot read signal strength."""

    entries: tuple[ReportEntry, ...]
    OPCODE: ClassVar[int] = vendor_opcode(0x02, COMPANY)

    def __post_init__(self) -> None:
        check_range(len(self.entries), 1, ENTRIES_MAX, "report entries")

    def parameters(self) -> bytes:
        return b"".join(_ENTRY.pack(*entry.counts()) for entry in self.entries)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(_entries(_ENTRY, parameters))


@dataclass(frozen=True, slots=True)
class ReportRssi:
    """The same with the mean signal strength of each transmitter's probes."""

    entries: tuple[ReportEntry, ...]
    OPCODE: ClassVar[int] = vendor_opcode(0x03, COMPANY)

    def __post_init__(self) -> None:
        check_range(len(self.entries), 1, ENTRIES_MAX, "report entries")
        if any(entry.rssi_dbm is None for entry in self.entries):
            raise Rejected(RejectReason.INVALID, "every entry of this report has an RSSI")

    def parameters(self) -> bytes:
        return b"".join(_ENTRY_RSSI.pack(*entry.counts(), entry.rssi_dbm) for entry in self.entries)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(_entries(_ENTRY_RSSI, parameters))


@dataclass(frozen=True, slots=True)
class ReportPair:
    """Two entries with signal strength in one packet, where it lies in `PAIR_RSSI_DBM` and both transmitters
    send their probes equally often. Each takes 31 bits, and the transmissions the last two."""

    entries: tuple[ReportEntry, ...]
    OPCODE: ClassVar[int] = vendor_opcode(0x0C, COMPANY)

    def __post_init__(self) -> None:
        check_range(len(self.entries), 2, 2, "entries of a pair")
        if not all(_fits_a_pair(entry) for entry in self.entries) or len(set(self._transmissions())) > 1:
            raise Rejected(RejectReason.INVALID, "these two entries do not fit one packet")

    def parameters(self) -> bytes:
        first, second = (_packed(entry) for entry in self.entries)
        return _PAIR.pack(first | second << _HALF_BITS | (self._transmissions()[0] - 1) << 2 * _HALF_BITS)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) != _PAIR.size:
            raise Rejected(RejectReason.TRUNCATED, f"a pair of entries has 8 bytes, not {len(parameters)}")
        (bits,) = _PAIR.unpack(parameters)
        transmissions = (bits >> 2 * _HALF_BITS) + 1
        return cls((_unpacked(bits, transmissions), _unpacked(bits >> _HALF_BITS, transmissions)))

    def _transmissions(self) -> tuple[int, ...]:
        return tuple(entry.transmissions for entry in self.entries)


def _fits_a_pair(entry: ReportEntry) -> bool:
    weakest, strongest = PAIR_RSSI_DBM
    known = entry.rssi_dbm is not None and weakest <= entry.rssi_dbm <= strongest
    return known and entry.transmissions <= PAIR_TRANSMISSIONS_MAX


def _packed(entry: ReportEntry) -> int:
    """From the lowest bit: transmitter (15), heard (5), expected (5), RSSI above the weakest (6)."""
    level = (entry.rssi_dbm or 0) - PAIR_RSSI_DBM[0]
    return entry.transmitter | entry.heard << 15 | entry.expected << 20 | level << 25


def _unpacked(bits: int, transmissions: int) -> ReportEntry:
    level = (bits >> 25 & 0x3F) + PAIR_RSSI_DBM[0]
    return ReportEntry(bits & 0x7FFF, bits >> 15 & 0x1F, bits >> 20 & 0x1F, transmissions, level)


AnyReport: TypeAlias = Report | ReportRssi | ReportPair


def reports(entries: Iterable[ReportEntry]) -> list[AnyReport]:
    """As many unsegmented reports as the entries need: two in each, as far as they go together."""
    waiting: dict[int, ReportEntry] = {}
    messages: list[AnyReport] = []
    plain: list[ReportEntry] = []
    for entry in entries:
        if entry.rssi_dbm is None:
            plain.append(entry)
        elif not _fits_a_pair(entry):
            messages.append(ReportRssi((entry,)))
        elif entry.transmissions in waiting:
            messages.append(ReportPair((waiting.pop(entry.transmissions), entry)))
        else:
            waiting[entry.transmissions] = entry
    messages += [ReportRssi((entry,)) for entry in waiting.values()]
    short = UNSEGMENTED_ENTRIES
    return [Report(tuple(plain[i : i + short])) for i in range(0, len(plain), short)] + messages


@dataclass(frozen=True, slots=True)
class Lost(Record):
    """A usually good transmitter went silent: `missed` probes and questions of ours in a row.

    `share_octet` is the share of its probes heard before, 255 for all.
    """

    transmitter: int
    missed: int
    share_octet: int
    OPCODE: ClassVar = vendor_opcode(0x04, COMPANY)
    FIELDS: ClassVar = (UNICAST, octet("missed probes", 1), octet("share heard"))


class MonitorGet(Question):
    OPCODE = vendor_opcode(0x05, COMPANY)


@dataclass(frozen=True, slots=True)
class _Settings(Record):
    """How a node monitors: probe period (100 ms units, 0 is off), probes per report, their transmissions."""

    period_units: int = 10
    report_every: int = 5
    transmissions: int = 2
    FIELDS: ClassVar = (
        octet("probe period"),
        octet("probes per report", 1, EXPECTED_MAX - 1),
        _TRANSMISSIONS,
    )

    @property
    def period_s(self) -> float:
        return self.period_units * PERIOD_UNIT_S


class MonitorSet(_Settings):
    """Answered by MonitorStatus when it came to a unicast address."""

    OPCODE = vendor_opcode(0x06, COMPANY)


class MonitorStatus(_Settings):
    OPCODE = vendor_opcode(0x07, COMPANY)


@dataclass(frozen=True, slots=True)
class Restart(Record):
    """Reboot and keep everything. The same token from the same sender reboots a node once."""

    token: int
    OPCODE: ClassVar = vendor_opcode(0x08, COMPANY)
    FIELDS: ClassVar = (_TOKEN,)


@dataclass(frozen=True, slots=True)
class RestartStatus(Record):
    """Sent before the reboot. `status` 0: it reboots (or just did); 1: it cannot now."""

    token: int
    status: int = 0
    OPCODE: ClassVar = vendor_opcode(0x09, COMPANY)
    FIELDS: ClassVar = (_TOKEN, octet("restart status"))


MESSAGES: tuple[type[AccessMessage], ...] = (
    Probe,
    ProbeRequest,
    ProbeAnswer,
    Report,
    ReportRssi,
    ReportPair,
    Lost,
    MonitorGet,
    MonitorSet,
    MonitorStatus,
    Restart,
    RestartStatus,
)
