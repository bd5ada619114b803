"""A drifting site and its monitoring on the air: who hears which probe, what reports cost.

The event simulator plays it, message by message. The site stands still for a segment and drifts between two;
nobody is told how.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.mesh.configuration import Transmit
from common.policy.monitoring import AIR_S, ENTRIES, Pace
from common.radio import DEFAULT
from common.radio.play import run
from common.radio.tally import Record
from common.scenario import Flow, NetworkConfiguration, Node, Scenario, TransmitTimes
from coordinator.twin.reception import attenuation_at, pdr_at

Floats = NDArray[np.float64]

GATEWAY: Final = 1
PROBES: Final = 0xC100
TRANSMIT: Final = Transmit(2, 20)
SEGMENT_S: Final = 30.0
NEIGHBOURS: Final = 7.0
"""Nodes that one hears well, in the mean."""

PATH_LOSS: Final = 30.0
"""Decibels for ten times the distance."""

SHADOWING_DB: Final = 4.0
ONE_WAY_DB: Final = 1.0
"""By how much the two directions of a pair differ."""

IN_EARSHOT_DB: Final = 112.0
"""Weaker signals are left out, as a tenth of what could disturb the weakest packet."""

LEAST_PDR: Final = 0.05
GOOD_PDR: Final = 0.8
"""Of the links that relays were chosen by."""

COVER: Final = 2
"""Relays that a node is to hear: links drift."""

PROBE_BYTES: Final = 7
REPORT_BYTES: Final = 11
REPORT_PLAY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Probes:
    """One row per probe and possible receiver, by indices of nodes. `time` in seconds from the start."""

    time: Floats
    transmitter: NDArray[np.int64]
    receiver: NDArray[np.int64]
    heard: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reports:
    """What became of reports: `delivery` to the gateway by node, and transmissions a second of the site."""

    delivery: Floats
    transmissions_per_s: float


class DriftingSite:
    """`nodes` scattered by `seed`; attenuations wander by `drift_db` (deviation), and forget in `drift_s`."""

    def __init__(self, nodes: int, drift_db: float, drift_s: float, seed: int) -> None:
        self._random = np.random.default_rng((seed, nodes))
        self._drift_db, self._kept = drift_db, float(np.exp(-SEGMENT_S / drift_s)) if drift_s > 0 else 0.0
        self.addresses = tuple(range(GATEWAY, GATEWAY + nodes))
        self._steady, relays = self._connected(nodes)
        self._wander = drift_db * self._pairs(nodes)
        self.relays = frozenset(self.addresses[index] for index in relays)
        self._seed, self._plays = seed, 0

    def pass_time(self) -> None:
        """A segment later."""
        fresh = self._drift_db * self._pairs(len(self.addresses))
        self._wander = self._kept * self._wander + (1.0 - self._kept**2) ** 0.5 * fresh

    @property
    def attenuation(self) -> Floats:
        """[N, N] dB of now, row transmits."""
        now: Floats = self._steady + self._wander
        return now

    def truth(self) -> Floats:
        """[N, N]: the chance that one transmission is received while nobody disturbs, 0 on the diagonal."""
        found = np.vectorize(pdr_at, otypes=[np.float64])(self.attenuation)
        np.fill_diagonal(found, 0.0)
        return np.asarray(found)

    def reports(self, pace: Pace) -> Reports:
        """Play the reports of a while over the relays, the site as it is now."""
        each_s = pace.window_s / self._messages()
        flows = [_flow(a, GATEWAY, each_s, REPORT_BYTES) for a in self.addresses if a != GATEWAY]
        seconds = max(REPORT_PLAY_S, pace.window_s)
        record = self._play(flows, seconds, self.relays)
        delivery = np.ones(len(self.addresses))
        flow = record.messages["flow"][record.rows["message"]]
        arrived = ~np.isnan(record.rows["one_way"])
        for number in range(len(flows)):
            mine = flow == number
            delivery[number + 1] = arrived[mine].mean() if mine.any() else 1.0
        return Reports(delivery, record.totals.transmissions / seconds)

    def probes(self, pace: Pace, reports: Reports) -> Probes:
        """Play a segment: every node's probes, disturbed by each other and by what reports put on the air.

        Reports and their repetitions are packets that go nowhere: the nodes' own, and the rest from relays.
        """
        flows = [_flow(a, PROBES, pace.period_s, PROBE_BYTES) for a in self.addresses]
        flows += self._murmur(pace, reports)
        record = self._play(flows, SEGMENT_S, frozenset())
        message = record.rows["message"]
        flow = record.messages["flow"][message]
        receiver = record.rows["node"].astype(np.int64)
        probe = (flow < len(self.addresses)) & (flow != receiver)
        return Probes(
            record.messages["time"][message][probe] / 1000.0,
            flow[probe].astype(np.int64),
            receiver[probe],
            ~np.isnan(record.rows["one_way"][probe]),
        )

    def heard_share(self, pace: Pace, reports: Reports) -> float:
        """Share of a channel's time that monitoring takes where a node is, the mean over nodes."""
        reach = (self.truth() > LEAST_PDR).sum() / len(self.addresses)
        return float(reach * self.sent_share(pace, reports) / len(self.addresses))

    def sent_share(self, pace: Pace, reports: Reports) -> float:
        """Air time of all the site's nodes together, as a share of a channel's time; it may exceed 1."""
        probes = len(self.addresses) * TRANSMIT.count / pace.period_s
        return (probes + reports.transmissions_per_s) * AIR_S

    def _murmur(self, pace: Pace, reports: Reports) -> list[Flow]:
        own = (len(self.addresses) - 1) * self._messages() / pace.window_s
        relayed = max(0.0, reports.transmissions_per_s / TRANSMIT.count - own) / max(1, len(self.relays))
        rates = dict.fromkeys(self.addresses[1:], own / (len(self.addresses) - 1))
        rates |= {a: rates.get(a, 0.0) + relayed for a in self.relays}
        return [_flow(a, GATEWAY, 1.0 / rate, REPORT_BYTES) for a, rate in rates.items() if rate > 1e-4]

    def _messages(self) -> int:
        known = (self.truth() > LEAST_PDR).sum() / len(self.addresses)
        return int(np.ceil(max(1.0, known) / ENTRIES))

    def _play(self, flows: list[Flow], seconds: float, relays: frozenset[int]) -> Record:
        now = self.attenuation
        near = np.argwhere(now < IN_EARSHOT_DB).tolist()
        times = TransmitTimes(count=TRANSMIT.count, interval_ms=TRANSMIT.interval_ms)
        scenario = Scenario(
            nodes=[Node(address=a, relay=a in relays) for a in self.addresses],
            links=[(GATEWAY + a, GATEWAY + b, float(now[a, b])) for a, b in near],
            configuration=NetworkConfiguration(ttl=10, network_transmit=times, relay_retransmit=times),
            flows=flows,
            groups={PROBES: list(self.addresses)},
            duration_s=seconds,
        )
        self._plays += 1
        seed = self._seed * 100_003 + self._plays
        return run(scenario, replace(DEFAULT), list(enumerate(scenario.flows)), seed, seconds)

    def _connected(self, nodes: int) -> tuple[Floats, set[int]]:
        """Drawn again while a node is cut off."""
        while True:
            steady = self._scatter(nodes)
            relays = _relays(steady < attenuation_at(GOOD_PDR))
            if relays is not None:
                return steady, relays

    def _scatter(self, nodes: int) -> Floats:
        """Nodes in a rectangle, its size such that each hears about `NEIGHBOURS` of them well."""
        places = self._random.uniform(0.0, 1.0, (nodes, 2)) * [1.6, 1.0]
        places[0] = (0.8, 0.5)
        distance = np.hypot(*(places[:, None, :] - places).transpose(2, 0, 1))
        loss = PATH_LOSS * np.log10(np.maximum(distance, 0.01)) + SHADOWING_DB * self._pairs(nodes)
        loss += ONE_WAY_DB * self._random.normal(size=(nodes, nodes))
        apart = ~np.eye(nodes, dtype=np.bool_)
        loss += attenuation_at(GOOD_PDR) - np.quantile(loss[apart], min(0.9, NEIGHBOURS / (nodes - 1)))
        np.fill_diagonal(loss, 300.0)
        return np.asarray(np.clip(loss, 20.0, 300.0))

    def _pairs(self, nodes: int) -> Floats:
        """Standard normals, the same both ways."""
        drawn = np.triu(self._random.normal(size=(nodes, nodes)), 1)
        return np.asarray(drawn + drawn.T)


def _relays(good: NDArray[np.bool_]) -> set[int] | None:
    """Relays that reach everybody, most of them twice, grown from the gateway; None if there are none."""
    both = good & good.T
    count, chosen = both[0].astype(int), {0}
    count[0] = COVER
    while (count < COVER).any():
        gain = (both & (count < COVER)).sum(axis=1) * (count > 0)
        gain[list(chosen)] = 0
        best = int(gain.argmax())
        if not gain[best]:
            break
        chosen.add(best)
        count += both[best]
    return chosen - {0} if count.all() else None


def _flow(source: int, destination: int, period_s: float, size: int) -> Flow:
    return Flow(source=source, destination=destination, period_s=period_s, payload_bytes=size)
