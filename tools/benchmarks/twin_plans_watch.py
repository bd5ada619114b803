"""What the gateway of a hidden site gets to know of it, in the tables that its agent would send.

Probes are played in the same air as everything else, single-hop and beside the traffic: what collides there,
collides here. Reports are messages as others are, and are lost as these are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from common.messages import FLOW_CLASSES, Kind, NodeRecord
from common.radio.tally import Record
from coordinator.repository.history import Snapshot
from coordinator.twin.mirror_state import SiteState, Table
from coordinator.twin.site_model import SiteConfiguration, SiteFlow
from firmware_bridge.access.link_monitor import EXPECTED_MAX, ReportEntry, reports
from firmware_bridge.neighbours import Detection
from tools.benchmarks.twin_plans_site import GATEWAY, SEGMENT_S, HiddenSite

START: Final = 1_700_000_000.0
PROBES: Final = 0xC0BB
"""The group of all nodes, as far as probes go."""

REPORT_EVERY: Final = 5
TRANSMISSIONS: Final = 2
ENTRIES: Final = 8
REPORT_BYTES: Final = 11
RECEIVER_ERROR_DB: Final = 2.5
PACKET_SPREAD_DB: Final = 3.0
APART: Final = 4.0
"""Probes are played so much farther apart, for so much longer: the long play that says how flows fare has
none, so these must not disturb each other either."""


@dataclass(slots=True)
class _Neighbour:
    """What one node counted of another since its last report; `missed` in a row."""

    heard: int = 0
    expected: int = 0
    missed: int = 0


class NeighbourCounts:
    """One receiver's neighbour table (PROTOCOL.md, Counting), without its doubts: nobody dies here."""

    def __init__(self) -> None:
        self._table: dict[int, _Neighbour] = {}

    def __len__(self) -> int:
        return len(self._table)

    def count(self, transmitter: int, heard: bool) -> None:
        """A probe was due, and heard or not."""
        neighbour = self._table.get(transmitter)
        if neighbour is None:
            if not heard:
                return
            neighbour = self._table[transmitter] = _Neighbour()
        if neighbour.expected == EXPECTED_MAX:
            neighbour.heard //= 2
            neighbour.expected //= 2
        neighbour.heard += heard
        neighbour.expected += 1
        neighbour.missed = 0 if heard else neighbour.missed + 1
        if neighbour.missed >= Detection().forget_after:
            del self._table[transmitter]

    def report(self, rssi_dbm: Callable[[int, int], int | None]) -> list[ReportEntry]:
        """Those that wait longest; their counts begin anew."""
        chosen = [t for t, neighbour in self._table.items() if neighbour.expected][:ENTRIES]
        entries = []
        for transmitter in chosen:
            told = self._table.pop(transmitter)
            rssi = rssi_dbm(transmitter, told.heard)
            entries.append(ReportEntry(transmitter, told.heard, told.expected, TRANSMISSIONS, rssi))
            self._table[transmitter] = _Neighbour(missed=told.missed)
        return entries


@dataclass
class Watch:
    """Feeds a `SiteState` with what becomes known of a site while time passes."""

    site: HiddenSite
    probe_period_s: float
    rssi: bool
    seed: int
    state: SiteState = field(init=False)
    now: float = START

    def __post_init__(self) -> None:
        self.state = SiteState("hidden", {"gw-1": GATEWAY}, START)
        self._random = np.random.default_rng((self.seed, 2))
        self._counts = {a: NeighbourCounts() for a in self.site.model.addresses}
        self._errors = self._random.normal(0.0, RECEIVER_ERROR_DB, len(self._counts))
        self._due = 0.0
        self._segment = 0
        self.state.configured(self._snapshot())

    def traffic(self) -> tuple[SiteFlow, ...]:
        """All that is on the air: the site's flows, and the reports of its monitors."""
        entries = min(ENTRIES, self._neighbours())
        messages = max(1, entries if self.rssi else (entries + 1) // 2)
        period = REPORT_EVERY * self.probe_period_s / messages
        told = [
            SiteFlow(a, GATEWAY, period, REPORT_BYTES, flow_class="monitoring")
            for a in self.site.model.addresses
            if a != GATEWAY
        ]
        return (*self.site.model.flows, *told)

    def live(self, seconds: float) -> None:
        """Watch for so long."""
        for _ in range(round(seconds / SEGMENT_S)):
            self.site.pass_time()
            self._segment += 1
            flows = self.traffic()
            record = self.site.play(flows, SEGMENT_S, self.seed * 1009 + self._segment)
            self._tell_flows(flows, record)
            self._probe(flows, _arrivals(flows, record))
            self.now += SEGMENT_S
            self.state.take(Kind.NODES, "gw-1", self._nodes())

    def _neighbours(self) -> int:
        heard = [len(counts) for counts in self._counts.values()]
        return round(sum(heard) / len(heard)) or ENTRIES

    def _probe(self, flows: tuple[SiteFlow, ...], arrived: dict[int, list[bool]]) -> None:
        """Probes of a segment, counted as nodes count them, and the reports that come through."""
        heard = self._played_probes(flows)
        reporting: dict[int, Iterator[bool]] = {a: _endless(found) for a, found in arrived.items()}
        for number in range(round(SEGMENT_S / self.probe_period_s)):
            for transmitter in self._counts:
                for receiver, counts in self._counts.items():
                    if receiver != transmitter and number < len(heard[transmitter]):
                        counts.count(transmitter, receiver in heard[transmitter][number])
            self._due += 1
            if self._due >= REPORT_EVERY:
                self._due = 0
                t = self.now + (number + 1) * self.probe_period_s
                self._report(min(t, self.now + SEGMENT_S), reporting)

    def _played_probes(self, flows: tuple[SiteFlow, ...]) -> dict[int, list[set[int]]]:
        """Who heard each probe of each node. Relays are made to send what they would relay, at random times:
        a probe meets what it would meet, and is not relayed itself."""
        addresses = self.site.model.addresses
        times = self.site.model.configuration
        probes = [SiteFlow(a, PROBES, APART * self.probe_period_s, 8) for a in addresses]
        messages = sum((2.0 if f.acknowledged else 1.0) / f.period_s for f in flows)
        each = messages * times.relay_retransmit.count / TRANSMISSIONS
        load = [SiteFlow(a, GATEWAY, 1.0 / each, 8) for a in sorted(times.relays)]
        scale = TRANSMISSIONS / times.network_transmit.count
        load += [replace(f, period_s=f.period_s * scale, acknowledged=False) for f in flows]
        groups = {**self.site.model.groups, PROBES: addresses}
        known, self.site.model = self.site.model, replace(self.site.model, groups=groups)
        own = known_times(self.site, TRANSMISSIONS)
        record = self.site.play((*probes, *load), APART * SEGMENT_S, self.seed * 1013 + self._segment, **own)
        self.site.model = known
        return _heard(record, addresses)

    def _report(self, t: float, reporting: dict[int, Iterator[bool]]) -> None:
        rows = []
        for receiver, counts in self._counts.items():
            entries = counts.report(self._rssi(receiver))
            for message in reports(entries):
                if receiver == GATEWAY or next(reporting[receiver]):
                    rows += [(receiver, entry) for entry in message.entries]
        if rows:
            table: Table = {
                "t": np.full(len(rows), t),
                "transmitter": np.array([e.transmitter for _, e in rows], np.uint16),
                "receiver": np.array([r for r, _ in rows], np.uint16),
                "heard": np.array([e.heard for _, e in rows], np.uint16),
                "expected": np.array([e.expected for _, e in rows], np.uint16),
                "transmissions": np.array([e.transmissions for _, e in rows], np.uint8),
                "rssi_dbm": np.array([np.nan if e.rssi_dbm is None else e.rssi_dbm for _, e in rows]),
            }
            self.state.take(Kind.LINKS, "gw-1", table)

    def _rssi(self, receiver: int) -> Callable[[int, int], int | None]:
        place = self.site.model.addresses.index(receiver)

        def read(transmitter: int, heard: int) -> int | None:
            if not self.rssi or heard <= 0:
                return None
            level = -self.site.attenuation[self.site.model.addresses.index(transmitter), place]
            noise = self._random.normal(0.0, PACKET_SPREAD_DB / heard**0.5)
            return round(min(20.0, max(-127.0, float(level + self._errors[place] + noise))))

        return read

    def _tell_flows(self, flows: tuple[SiteFlow, ...], record: Record) -> None:
        """What the gateway saw of messages: arrivals, hops, and answers to its questions."""
        seen: dict[tuple[int, int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for flow, row in _rows(flows, record):
            if flow.acknowledged:
                told = seen[flow.source, flow.destination, flow.flow_class]
                told["asked"].append(1.0)
                if not np.isnan(row["round_trip"]):
                    told["trips"].append(float(row["round_trip"]))
                    seen[flow.destination, flow.source, flow.flow_class]["bytes"].append(3.0)
            elif _is_told(flow) and not np.isnan(row["one_way"]):
                told = seen[flow.source, flow.destination, flow.flow_class]
                told["bytes"].append(flow.payload_bytes)
                told["hops"].append(float(row["hops"]))
        if seen:
            self.state.take(Kind.FLOWS, "gw-1", _flow_table(dict(seen), self.now + SEGMENT_S))

    def _nodes(self) -> Table:
        addresses = self.site.model.addresses
        relays = self.site.model.relays
        return {
            "t": np.full(len(addresses), self.now),
            "address": np.array(addresses, np.uint16),
            "alive": np.ones(len(addresses), np.uint8),
            "relay": np.array([a in relays for a in addresses], np.uint8),
        }

    def _snapshot(self) -> Snapshot:
        times: SiteConfiguration = self.site.model.configuration
        nodes = tuple(
            NodeRecord(
                address=a,
                relay=a in times.relays,
                default_ttl=times.ttl,
                network_transmit=[times.network_transmit.count, times.network_transmit.interval_ms],
                relay_retransmit=[times.relay_retransmit.count, times.relay_retransmit.interval_ms],
                alive=True,
            )
            for a in self.site.model.addresses
        )
        return Snapshot("hidden", "gw-1", self.now, 1, nodes)


def known_times(site: HiddenSite, transmissions: int) -> dict[str, Any]:
    """Single-hop, each probe sent so many times."""
    times = site.model.scenario().configuration.network_transmit
    return {"ttl": 1, "network_transmit": times.model_copy(update={"count": transmissions})}


def _is_told(flow: SiteFlow) -> bool:
    """Whether the gateway counts a flow's messages: reports are not among them."""
    return flow.destination == GATEWAY and flow.flow_class != "monitoring"


def _rows(flows: tuple[SiteFlow, ...], record: Record) -> Iterator[tuple[SiteFlow, np.void]]:
    for row in record.rows:
        message = record.messages[row["message"]]
        if message["sent"]:
            yield flows[message["flow"]], row


def _arrivals(flows: tuple[SiteFlow, ...], record: Record) -> dict[int, list[bool]]:
    found: dict[int, list[bool]] = defaultdict(list)
    for flow, row in _rows(flows, record):
        if flow.flow_class == "monitoring":
            found[flow.source].append(not np.isnan(row["one_way"]))
    return found


def _heard(record: Record, addresses: tuple[int, ...]) -> dict[int, list[set[int]]]:
    found: dict[int, dict[int, set[int]]] = {a: {} for a in addresses}
    flow = record.messages["flow"][record.rows["message"]]
    probes = record.rows[flow < len(addresses)]
    senders = flow[flow < len(addresses)]
    for sender, message, node, one_way in zip(
        senders.tolist(), probes["message"].tolist(), probes["node"].tolist(), probes["one_way"].tolist(),
        strict=True,
    ):  # fmt: skip
        heard = found[addresses[sender]].setdefault(message, set())
        if one_way == one_way:
            heard.add(addresses[node])
    return {a: list(of.values()) for a, of in found.items()}


def _endless(found: list[bool]) -> Iterator[bool]:
    while True:
        yield from found


def _flow_table(seen: dict[tuple[int, int, str], dict[str, list[float]]], t: float) -> Table:
    keys = list(seen)
    told = [seen[key] for key in keys]
    return {
        "t": np.full(len(keys), t),
        "source": np.array([key[0] for key in keys], np.uint16),
        "destination": np.array([key[1] for key in keys], np.uint16),
        "flow_class": np.array([FLOW_CLASSES.index(key[2]) for key in keys], np.uint8),
        "messages": np.array([len(one["bytes"]) for one in told], np.uint32),
        "bytes": np.array([sum(one["bytes"]) for one in told], np.uint32),
        "requests": np.array([len(one["asked"]) for one in told], np.uint32),
        "answers": np.array([len(one["trips"]) for one in told], np.uint32),
        "round_trip_ms": np.array([np.mean(one["trips"]) if one["trips"] else np.nan for one in told]),
        "hops": np.array([np.mean(one["hops"]) if one["hops"] else np.nan for one in told]),
    }
