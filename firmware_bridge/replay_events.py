"""From what was recorded of a site to the events that a gateway's link would have told. Pure.

A recording holds periods, not packets, so events come at the end of their period. What a node's silence meant
to its neighbours is not recorded; from the verdict that a node died, the word of those that heard it well
is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, TypeAlias

from common.codec import Table, rows
from common.errors import Rejected
from common.mesh.addresses import is_unicast
from common.mesh.configuration import NodeConfiguration, Transmit
from common.messages import FLOW_CLASSES, Configuration, Kind, NodeRecord, decode, decode_measurement
from common.recording import Entry, Recording
from firmware_bridge.link import (
    Event,
    Heartbeat,
    LostNeighbour,
    Message,
    NeighbourCount,
    NeighbourReport,
    NodeStatus,
)

WELL_HEARD: Final = 0.7
"""Who heard so much of a node's probes tells when it falls silent (PROTOCOL.md, Probe Request)."""

MISSED: Final = 3
MOST_MESSAGES: Final = 1_000
"""Of one flow in one period."""

_PAYLOADS: Final = {"lighting": b"\x82\x04\x00", "sensing": b"\x52", "configuration": b"\x80\x4a"}
"""What a message of a class begins with; the rest was not recorded."""


@dataclass(slots=True)
class Neighbourhood:
    """What is known at a moment of the replay: configuration, who lives, round trips, good neighbours."""

    configurations: dict[int, NodeConfiguration] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    round_trip_s: dict[int, float] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)
    listeners: dict[int, dict[int, float]] = field(default_factory=dict)


def beginning(recording: Recording) -> Neighbourhood:
    """What is known when the replay begins: the configuration that was told first."""
    known = Neighbourhood()
    for entry in recording.entries:
        if entry.kind is Kind.CONFIGURATION:
            try:
                told = decode(Configuration, entry.body)
            except Rejected:
                continue
            configurations = {node.address: _configuration(node) for node in told.nodes}
            known.configurations = {a: c for a, c in configurations.items() if c is not None}
            break
    return known


Change: TypeAlias = "tuple[float, Event | None]"
"""When something happens, in seconds from the start, and the event that tells of it."""


def happenings(recording: Recording, known: Neighbourhood) -> Iterator[Change]:
    """Every event in order of time. `known` is kept at the moment of the event that was taken last.

    Entries that cannot be read are passed over; their number is not known before the end.
    """
    start = recording.header.t0
    yield from ((0.0, NodeStatus(0.0, told)) for told in known.configurations.values())
    for entry in recording.entries:
        offset = max(0.0, entry.t - start)
        try:
            found = list(_events(entry, offset, known))
        except Rejected:
            continue
        yield from ((offset, event) for event in found)
        yield offset, None


def _events(entry: Entry, t: float, known: Neighbourhood) -> Iterator[Event]:
    if entry.kind is Kind.CONFIGURATION:
        return _statuses(decode(Configuration, entry.body), t, known)
    table = decode_measurement(entry.kind, entry.body)
    readers = {Kind.LINKS: _reports, Kind.NODES: _lives, Kind.FLOWS: _messages}
    return readers[entry.kind](table, t, known)


def _reports(table: Table, t: float, known: Neighbourhood) -> Iterator[Event]:
    """One report per receiver of the period."""
    grouped: dict[int, list[NeighbourCount]] = {}
    for row in _rows(table, ("transmitter", "receiver", "heard", "expected", "transmissions", "rssi_dbm")):
        transmitter, receiver = int(row["transmitter"]), int(row["receiver"])
        heard, expected = row["heard"], row["expected"]
        if not (0 < expected <= 0xFFFF and 0 <= heard <= expected) or transmitter == receiver:
            continue
        times = row["transmissions"] if 1 <= row["transmissions"] <= 8 else 1
        rssi = round(row["rssi_dbm"]) if isfinite(row["rssi_dbm"]) and abs(row["rssi_dbm"]) < 127 else None
        count = NeighbourCount(transmitter, int(heard), int(expected), int(times), rssi)
        grouped.setdefault(receiver, []).append(count)
        known.listeners.setdefault(transmitter, {})[receiver] = heard / expected
    for receiver, counts in grouped.items():
        yield NeighbourReport(t, receiver, tuple(counts))


def _lives(table: Table, t: float, known: Neighbourhood) -> Iterator[Event]:
    for row in _rows(table, ("address", "alive", "silent_s")):
        address = int(row["address"])
        if row["alive"] == 0:
            if address not in known.dead:
                known.dead.add(address)
                yield from _witnesses(address, t, known)
        else:
            known.dead.discard(address)
            if 0 <= row["silent_s"] <= t:
                yield Heartbeat(t - row["silent_s"], address, None)


def _witnesses(address: int, t: float, known: Neighbourhood) -> Iterator[Event]:
    for other, share in sorted(known.listeners.get(address, {}).items()):
        if share >= WELL_HEARD and other not in known.dead:
            yield LostNeighbour(t, other, address, MISSED)


def _messages(table: Table, t: float, known: Neighbourhood) -> Iterator[Event]:
    names = ("source", "destination", "flow_class", "messages", "bytes", "requests", "answers")
    for row in _rows(table, (*names, "round_trip_ms", "hops")):
        source, destination = int(row["source"]), int(row["destination"])
        if row["requests"] > 0 and is_unicast(destination):
            _asked(destination, row, known)
        count = int(min(row["messages"], MOST_MESSAGES)) if row["messages"] > 0 else 0
        hops = round(row["hops"]) if 1 <= row["hops"] <= 127 else None
        for _ in range(count):
            yield Message(t, source, destination, _payload(row), hops)


def _asked(node: int, row: dict[str, float], known: Neighbourhood) -> None:
    if row["answers"] > 0 and 0 < row["round_trip_ms"] < 60_000:
        known.round_trip_s[node] = row["round_trip_ms"] / 1000.0
        known.unanswered.discard(node)
    elif row["answers"] == 0:
        known.unanswered.add(node)


def _payload(row: dict[str, float]) -> bytes:
    index = int(row["flow_class"])
    name = FLOW_CLASSES[index] if 0 <= index < len(FLOW_CLASSES) else "other"
    start = _PAYLOADS.get(name, b"\x82\x80")
    size = row["bytes"] / row["messages"] if 0 < row["bytes"] <= 380 * row["messages"] else len(start)
    return start + bytes(max(0, round(size) - len(start)))


def _statuses(told: Configuration, t: float, known: Neighbourhood) -> Iterator[Event]:
    """The nodes whose configuration became known or another one."""
    for node in told.nodes:
        found = _configuration(node)
        if found is not None and known.configurations.get(node.address) != found:
            known.configurations[node.address] = found
            yield NodeStatus(t, found)


def _configuration(node: NodeRecord) -> NodeConfiguration | None:
    try:
        return NodeConfiguration(
            address=node.address,
            relay=node.relay,
            default_ttl=node.default_ttl,
            network_transmit=_transmit(node.network_transmit),
            relay_retransmit=_transmit(node.relay_retransmit),
        )
    except Rejected:
        return None


def _transmit(pair: list[int] | None) -> Transmit | None:
    return None if pair is None else Transmit(*pair)


def _rows(table: Table, names: Iterable[str]) -> Iterator[dict[str, float]]:
    """The rows of a table; a column that is missing reads as NaN, which no comparison holds for."""
    wanted = list(names)
    columns = [table.get(name) for name in wanted]
    for i in range(rows(table)):
        yield {n: float("nan") if c is None else float(c[i]) for n, c in zip(wanted, columns, strict=True)}
