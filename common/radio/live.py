"""The event simulator played in pieces, for virtual sites: messages come from outside while it runs.

    radio = LiveRadio(scenario, seed=7)
    number = radio.send(1, 0xFFFF, 8, ttl=0)
    heard = radio.advance(radio.now_s + 0.1)

The kernel and its physics are those of `common.radio.simulate`. Equal calls give equal deliveries, in however
many pieces the time between them is played. Who sends what, and what a node does with it, is the caller's.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import Rejected, RejectReason
from common.mesh.configuration import Transmit
from common.radio import compilation, kernel, live_tables, packing, tables, timing, working
from common.radio.parameters import DEFAULT, RadioParameters
from common.radio.propagation import Links, links
from common.radio.traffic import failure
from common.scenario import NO_SIGNAL_DB, Scenario

ALL_NODES: Final = 0xFFFF
MAX_GROUPS: Final = 256
MAX_BYTES: Final = 380
_NOBODY, _ALL = 0, 1
# Seconds become milliseconds and back: x * 1000 / 1000 may be above x, by less than this up to 1e9 s.
_ROUNDING_S: Final = 1e-6


class Delivery(NamedTuple):
    """The first reception of a message by a node: its address, when the last bit came, and how strongly the
    packet was received that completed the message. `hops` is 1 for what the source itself sent."""

    message: int
    node: int
    time_s: float
    hops: int
    rssi_dbm: float


class LiveRadio:
    """One site's air. Addresses are those of `scenario.nodes`; its flows are not played, its failures are."""

    def __init__(
        self, scenario: Scenario, parameters: RadioParameters = DEFAULT, *, seed: int | None = None
    ) -> None:
        compilation.warm()
        seed = scenario.seed if seed is None else seed
        self._scenario, self._parameters = scenario, parameters
        self._address = np.array([node.address for node in scenario.nodes])
        self._index = {node.address: place for place, node in enumerate(scenario.nodes)}
        rotation = 3 * scenario.configuration.scan_interval_ms
        phases = rotation * np.random.default_rng((seed, 1 << 32)).random(len(scenario.nodes))
        self._weakest = packing.noise_floor_dbm(scenario, parameters) + parameters.interference_floor_db
        self._base = _matrix(links(scenario, -10.0 * NO_SIGNAL_DB), len(scenario.nodes))
        self._dbm = self._base.copy()
        near = links(scenario, self._weakest)
        self._world = live_tables.world(scenario, parameters, near, phases, MAX_GROUPS, seed)
        self._floor = float(self._world.ears["floor"][0])
        self._least = self._floor * 10 ** (parameters.sync_snr_db / 10)
        self._ttl = [scenario.configuration.ttl] * len(scenario.nodes)
        self._groups: dict[int, int] = {}
        self._slots = live_tables.Slots()
        self._now, self._order, self._message = 0.0, 0, 0
        self._due: list[tuple[float, int, int]] = []
        self._bursts: list[tuple[float, int, int, float]] = []
        self._heard = np.zeros(0, tables.DELIVERY)
        self._world.members["belongs"][_ALL] = True
        self._groups[ALL_NODES] = _ALL
        for address, members in scenario.groups.items():
            self.group(address, members)
        for when, address, to in scenario.failures:
            self._at(1000.0 * when, failure(self._node(address), to == "up"))

    @property
    def now_s(self) -> float:
        """Until when it has been played."""
        return self._now / 1000

    def send(
        self,
        source: int,
        destination: int,
        payload_bytes: int,
        ttl: int | None = None,
        at_s: float | None = None,
        *,
        transmit: Transmit | None = None,
        everyone: bool = False,
    ) -> int:
        """Hand a message to its source's stack at `at_s`, or now if that is past; its number, from 1 on.

        `payload_bytes` is the access PDU, 1 to 380; above 11 it goes in segments, and is delivered when it is
        whole. `ttl` and `transmit` replace what the source is configured to. With `everyone` each node that
        hears it is told of, whoever it is for: of messages in one packet alone. A destination that nobody
        here has is flooded and delivered to nobody. A node that is down then sends nothing. Raises Rejected.
        """
        node, segments = self._node(source), timing.segments(_within("payload_bytes", payload_bytes, 1, 380))
        ttl = _within("ttl", self._ttl[node] if ttl is None else ttl, 0, 127)
        if everyone and segments > 1:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"everyone, and {payload_bytes} bytes; 11 at most")
        self._message += 1
        time = max(self._now, self._now if at_s is None else 1000 * _within("at_s", at_s, 0, 1e9))
        target = self._index.get(destination, -1 - self._groups.get(destination, _NOBODY))
        slot, first = self._slot(segments, target, time)
        audience = _ALL if everyone else max(-1, -1 - target)
        flow = self._world.flows[slot]
        flow["source"], flow["destination"], flow["audience"], flow["ttl"] = node, target, audience, ttl
        flow["segments"][0], flow["last_size"][0] = segments, timing.last_packet_bytes(payload_bytes)
        flow["retry"] = timing.retry_ms(ttl) if target >= 0 else timing.MULTICAST_RETRY_MS
        flow["count"], flow["interval"] = (transmit.count, transmit.interval_ms) if transmit else (0, 0)
        flow["nobody"] = target == node
        self._world.messages[slot] = (time, self._message, first, slot, False)
        self._at(time, slot)
        return self._message

    def advance(self, until_s: float) -> list[Delivery]:
        """Play on; the deliveries since the last call, in order of time.

        A packet is judged some milliseconds after it ended: what was heard in the last four may come with the
        next call. Raises Rejected for a time that is past, by more than rounding.
        """
        heard = self.heard(until_s)
        if not len(heard):
            return []
        columns = (heard[name].tolist() for name in ("message", "node", "time", "hops", "power"))
        return [Delivery(*row) for row in zip(*columns, strict=True)]

    def heard(self, until_s: float) -> NDArray[np.void]:
        """Like `advance`, as a table: message, node (address), time (s), hops, power (dBm)."""
        asked = _within("until_s", until_s, self.now_s - _ROUNDING_S, 1e9)
        until = max(self._now, 1000 * asked)
        while self._bursts and self._bursts[0][0] <= until:
            self._play(self._bursts[0][0])
            _, _, node, _ = heapq.heappop(self._bursts)
            self._set_floor(node)
        self._play(until)
        return self._told()

    def configure(
        self,
        node: int,
        *,
        relay: bool | None = None,
        ttl: int | None = None,
        network_transmit: Transmit | None = None,
        relay_retransmit: Transmit | None = None,
    ) -> None:
        """Change a node's settings from now on; what it is already sending goes on as it began."""
        place = self._node(node)
        record = self._world.nodes[place]
        if relay is not None:
            record["relay"] = relay
        if ttl is not None:
            self._ttl[place] = _within("ttl", ttl, 0, 127)
        if network_transmit is not None:
            record["own_count"] = network_transmit.count
            record["own_interval"] = network_transmit.interval_ms
        if relay_retransmit is not None:
            record["relay_count"] = relay_retransmit.count
            record["relay_interval"] = relay_retransmit.interval_ms

    def group(self, address: int, members: Iterable[int]) -> None:
        """Who takes messages to a group from now on. Raises Rejected for unknown nodes or too many groups."""
        nodes = [self._node(member) for member in members]
        number = self._groups.get(address, len(self._groups) + _ALL)
        if number >= MAX_GROUPS:
            raise Rejected(RejectReason.OVERSIZED, f"group 0x{address:04X}; at most {MAX_GROUPS - 2} groups")
        self._groups[address] = number
        self._world.members["belongs"][number] = False
        self._world.members["belongs"][number, nodes] = True

    def fail(self, node: int) -> None:
        """The node dies now, with all that it had in mind."""
        self._at(self._now, failure(self._node(node), False))

    def restore(self, node: int) -> None:
        """The node is back now, with nothing in mind but its configuration."""
        self._at(self._now, failure(self._node(node), True))

    def attenuate(self, transmitter: int, receiver: int, extra_db: float) -> None:
        """From now on the link loses so much more than the scenario says (less, if negative)."""
        one, other = self._node(transmitter), self._node(receiver)
        dbm = self._base[one, other] - _within("extra_db", extra_db, -300, 300)
        power = 10 ** (dbm / 10) if dbm >= self._weakest else 0.0
        self._dbm[one, other], self._world.power[one, other] = dbm, power
        _set_bit(self._world.hearers[one], other, power >= self._least)
        _set_bit(self._world.audible[other], one, power > 0.0)

    def erase(self, transmitter: int, receiver: int, share: float) -> None:
        """From now on the link loses this share of packets besides, however strong they are: fades."""
        one, other = self._node(transmitter), self._node(receiver)
        self._world.fades[one, other] = share = _within("share", share, 0, 1)
        if share:
            self._world.site["fading"] = True

    def attenuate_all(self, extra_db: NDArray[np.float64]) -> None:
        """The same for all links at once: transmitter, receiver, in the order of `scenario.nodes`."""
        if extra_db.shape != self._base.shape or not np.isfinite(extra_db).all():
            raise Rejected(RejectReason.INVALID, f"extra_db {extra_db.shape}; {self._base.shape}, finite")
        self._dbm[:] = self._base - extra_db
        power = np.where(self._dbm >= self._weakest, 10 ** (self._dbm / 10), 0.0)
        self._world.power[:, : len(power)] = power
        heard = packing.who_hears(self._world.power[:, : len(power)], self._least)
        self._world.hearers[:], self._world.audible[:] = heard["hearers"], heard["audible"]

    def interfere(self, node: int, noise_db: float, seconds: float) -> None:
        """From now on, for so long, the node's noise floor is raised by so much; bursts add up.

        What it is receiving at the beginning is judged by the floor that it began with.
        """
        place, ends = self._node(node), self._now + 1000 * _within("seconds", seconds, 0, 1e9)
        power = self._floor * (10 ** (_within("noise_db", noise_db, 0, 200) / 10) - 1)
        self._order += 1
        heapq.heappush(self._bursts, (ends, self._order, place, power))
        self._set_floor(place)

    def received_dbm(self, transmitter: int, receiver: int) -> float:
        """How strongly the one hears the other now; -inf for not at all."""
        return float(self._dbm[self._node(transmitter), self._node(receiver)])

    def air_time_s(self) -> float:
        """Seconds of all advertising events together since the beginning, on one of the three channels."""
        return float(self._world.status["on_air"][0]) / 1000

    def fork(self, seed: int) -> LiveRadio:
        """The same air, from now on by itself and with luck of its own."""
        other = copy.copy(self)
        other._world = tables.World._make(table.copy() for table in self._world)
        other._world.status["random"] = seed
        other._base, other._dbm, other._heard = self._base.copy(), self._dbm.copy(), self._heard.copy()
        other._ttl, other._groups = list(self._ttl), dict(self._groups)
        other._due, other._bursts = list(self._due), list(self._bursts)
        other._slots = copy.deepcopy(self._slots)
        return other

    def totals(self) -> dict[str, int]:
        """Counted since the beginning: events, transmissions, collisions, dropped, as in `Totals`."""
        status = self._world.status[0]
        return {name: int(status[name]) for name in ("events", "transmissions", "collisions", "dropped")}

    def _node(self, address: int) -> int:
        place = self._index.get(address)
        if place is None:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"no node has address {address}")
        return place

    def _slot(self, segments: int, target: int, time: float) -> tuple[int, int]:
        rows = 0 if segments == 1 else 1 if target >= 0 else len(self._index)
        until = time + (live_tables.SEGMENTED_MS if rows else 0.0)
        self._world, slot, first = self._slots.take(self._world, rows, until)
        if rows:
            self._world.rows["node"][first : first + rows] = target if target >= 0 else np.arange(rows)
        return slot, first

    def _at(self, time: float, what: int) -> None:
        self._order += 1
        heapq.heappush(self._due, (max(time, self._now), self._order, what))

    def _set_floor(self, node: int) -> None:
        self._world.ears["floor"][node] = self._floor + sum(
            power for _, _, other, power in sorted(self._bursts) if other == node
        )

    def _play(self, until: float) -> None:
        self._set_agenda(until)
        while full := kernel.play(self._world, until):
            if full == kernel.DELIVERIES_FULL:
                self._collect()
            else:
                self._world = working.wider(self._world, full)
        self._now = until
        self._collect()
        self._slots.release(until)
        if self._world.status["crowded"][0]:
            self._world = live_tables.with_packets(self._world)

    def _set_agenda(self, until: float) -> None:
        coming = []
        while self._due and self._due[0][0] <= until:
            time, _, what = heapq.heappop(self._due)
            coming.append((time, what))
        if len(coming) > len(self._world.agenda):
            self._world = self._world._replace(agenda=np.zeros(2 * len(coming), tables.AGENDA))
        if coming:
            self._world.agenda[: len(coming)] = np.array(coming, tables.AGENDA)
        self._world.status["agenda"], self._world.status["agenda_end"] = 0, len(coming)

    def _collect(self) -> None:
        count = int(self._world.status["deliveries"][0])
        if count:
            self._heard = np.concatenate([self._heard, self._world.deliveries[:count]])
            self._world.status["deliveries"] = 0

    def _told(self) -> NDArray[np.void]:
        """What can be told: nothing will be judged later that ended sooner."""
        if not len(self._heard):
            return self._heard
        horizon = self._now - float(self._world.site["end_after"][0])
        ready = self._heard["time"] <= horizon
        told, self._heard = self._heard[ready], self._heard[~ready]
        told = told[np.lexsort((told["node"], told["message"], told["time"]))]
        told["time"] /= 1000
        told["node"] = self._address[told["node"]]
        told["power"] = 10 * np.log10(told["power"])
        return told


def _set_bit(words: NDArray[np.uint64], number: int, value: bool) -> None:
    bit = np.uint64(1 << (number & 63))
    words[number >> 6] &= ~bit
    if value:
        words[number >> 6] |= bit


def _matrix(found: Links, size: int) -> NDArray[np.float32]:
    matrix = np.full((size, size), -np.inf, np.float32)
    matrix[found.transmitter, found.receiver] = found.received_dbm
    return matrix


def _within(name: str, value: Any, low: float, high: float) -> Any:
    if not low <= value <= high:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{name} {value}; {low:g} to {high:g} is possible")
    return value
