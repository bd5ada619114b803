"""What a search is to improve, what it may change, and how a play of the event simulator scores by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.radio import RadioParameters
from common.radio.timing import BYTE_MS, FULL_SEGMENT_BYTES, last_packet_bytes, segments
from coordinator.twin.search_stage import Played
from coordinator.twin.site_model import SiteConfiguration, SiteModel


@dataclass(frozen=True, slots=True)
class Goals:
    """Weights of what a candidate is worth: `delivery` − `latency` · late − `occupancy` · … in this order of
    the terms of `Score`, each of which is a share from 0 to 1. The weights say how much delivery one would
    give for how much of each: with 0.01, all nodes changed are worth 0.01 of delivery."""

    delivery: float = 1.0
    latency: float = 0.25
    occupancy: float = 0.02
    energy: float = 0.05
    changes: float = 0.01


@dataclass(frozen=True, slots=True)
class Freedom:
    """What a search may change. Empty tuples leave the configuration's own; `fixed` nodes
    stay as they are."""

    network_counts: Sequence[int] = (1, 2, 3, 4)
    relay_counts: Sequence[int] = (1, 2, 3)
    ttl: bool = True
    fixed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Score:
    """One play, or several together. `late`: by how much p95 exceeds the limit of the flows that have one, at
    most 1 each; `occupancy`: share of a channel's time that a node hears busy; `energy`: share of battery
    nodes that have to relay; `changes`: share of nodes to be written to. `error` is delivery's standard
    error, `messages` what it rests on."""

    delivery: float
    late: float
    occupancy: float
    energy: float
    changes: float
    error: float
    messages: int

    def worth(self, goals: Goals) -> float:
        """More is better."""
        return (
            goals.delivery * self.delivery
            - goals.latency * self.late
            - goals.occupancy * self.occupancy
            - goals.energy * self.energy
            - goals.changes * self.changes
        )

    def joined(self, other: Score) -> Score:
        """Both together, by their numbers of messages."""
        total = self.messages + other.messages
        mine, its = self.messages / max(total, 1), other.messages / max(total, 1)
        return Score(
            mine * self.delivery + its * other.delivery,
            mine * self.late + its * other.late,
            mine * self.occupancy + its * other.occupancy,
            self.energy,
            self.changes,
            float(np.hypot(mine * self.error, its * other.error)),
            total,
        )


class Judge:
    """Scores plays of one site by what it was before."""

    def __init__(self, model: SiteModel) -> None:
        self._model = model
        self._weights = np.array([flow.weight for flow in model.flows])
        limits = [np.nan if flow.limit_ms is None else flow.limit_ms for flow in model.flows]
        self._limits = np.array(limits)
        self._limited = ~np.isnan(self._limits)
        self._airtime_ms = _airtime_ms(model)
        self._hearing = _hearing(model)
        self._packets_per_s = _packets_per_s(model)

    def score(self, played: Played, configuration: SiteConfiguration) -> Score:
        """Of a play under `configuration`."""
        sent, weights = played.sent, self._weights * (played.sent > 0)
        shares = played.arrived / np.maximum(sent, 1.0)
        total = float(weights.sum())
        # Messages are taken as independent and alike, and as two more, one of them lost: few prove little.
        mixed = (played.arrived.sum() + 1.0) / (sent.sum() + 2.0)
        variance = mixed * (1.0 - mixed) * float(weights**2 @ (1.0 / np.maximum(sent, 1.0)))
        return Score(
            float(weights @ shares) / total if total else 1.0,
            self._late(played),
            self._occupancy(played),
            self.energy(configuration),
            self.changes(configuration),
            float(np.sqrt(variance)) / total if total else 0.0,
            int(sent.sum()),
        )

    def changes(self, configuration: SiteConfiguration) -> float:
        """Share of nodes that have to be written to."""
        before, nodes = self._model.configuration, set(self._model.addresses)
        changed = before.relays ^ configuration.relays
        if (before.ttl, before.network_transmit) != (configuration.ttl, configuration.network_transmit):
            changed = frozenset(nodes)
        elif before.relay_retransmit != configuration.relay_retransmit:
            changed |= configuration.relays
        return len(changed) / max(len(nodes), 1)

    def load(self, configuration: SiteConfiguration, parameters: RadioParameters) -> float:
        """How busy a relay is that hears everything: above 1 it falls behind. Its advertising set is taken
        from a packet's coming until the last transmission is over."""
        times = configuration.relay_retransmit
        event_ms = parameters.advertising_delay_ms / 2 + 3 * self._airtime_ms + 2 * parameters.channel_gap_ms
        busy_ms = (
            parameters.advertising_wait_ms + times.count * event_ms + (times.count - 1) * times.interval_ms
        )
        return self._packets_per_s * busy_ms / 1000.0 / self._model.stack.relay_sets

    def _late(self, played: Played) -> float:
        """A flow of which nothing came is as late as can be."""
        counts = self._limited & (played.sent > 0)
        if not counts.any():
            return 0.0
        p95 = np.nan_to_num(played.p95_ms[counts], nan=np.inf)
        excess = np.clip(p95 / self._limits[counts] - 1.0, 0.0, 1.0)
        return float(np.average(excess, weights=self._weights[counts]))

    def _occupancy(self, played: Played) -> float:
        air_s = played.transmissions * self._airtime_ms / 1000.0
        return air_s * self._hearing / max(played.simulated_s, 1e-9)

    def energy(self, configuration: SiteConfiguration) -> float:
        """Share of battery nodes that have to relay: a relay's receiver is never off."""
        battery = self._model.battery
        return len(battery & configuration.relays) / len(battery) if battery else 0.0


def _airtime_ms(model: SiteModel) -> float:
    """Mean time of one packet on one channel, over what the flows send."""
    rates = np.array([1.0 / flow.period_s for flow in model.flows] or [1.0])
    sizes = [
        last_packet_bytes(size) if segments(size) == 1 else FULL_SEGMENT_BYTES
        for size in (flow.payload_bytes for flow in model.flows)
    ]
    return float(rates @ np.array(sizes or [FULL_SEGMENT_BYTES]) / rates.sum() * BYTE_MS)


def _packets_per_s(model: SiteModel) -> float:
    """Messages and responses of all flows, in packets."""
    return sum(
        (segments(flow.payload_bytes) + (segments(flow.response_bytes) if flow.acknowledged else 0))
        / flow.period_s
        for flow in model.flows
    )


def _hearing(model: SiteModel) -> float:
    """Share of the site's transmissions that a node hears."""
    heard = sum(belief.pdr for belief in model.links.values())
    return heard / max(len(model.addresses), 1) ** 2
