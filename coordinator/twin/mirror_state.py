"""What the twin holds of one site, fed with what gateways stored: links, flows, nodes and configuration.

Pure: measurements come in in order of time, a `SiteModel` and the observed flows come out for any time after.
Reading the repository is `mirror_history`'s, keeping up with it the mirror's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any, Final

from numpy.typing import NDArray

from common.mesh.addresses import is_unicast
from common.mesh.configuration import Transmit
from common.mesh.graph import LinkKey
from common.messages import FLOW_CLASSES, Kind, NodeRecord
from coordinator.repository.history import Snapshot
from coordinator.twin.mirror_flows import FlowLedger
from coordinator.twin.mirror_links import LinkLedger, LinkRow
from coordinator.twin.mirror_reports import SYSTEMATIC, ReportLedger
from coordinator.twin.mirror_traffic import REPORTING, payload, traffic
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteModel, Stack

Table = dict[str, NDArray[Any]]

STACK: Final = Stack(relay_sets=4, message_cache=256)
"""What nodes are taken for, as nobody can ask them: several relay advertising sets, and a cache that outlasts
queues, as current stacks for relays have."""

UNKNOWN_RELAY: Final = 255
BACK_S: Final = 30.0
"""A node that was dead is left out of observations for so long after it came back."""

SPEAKS_S: Final = 30.0
"""So long after its last word on nodes, a gateway still speaks for the site. As for acting, the lowest id
does: two gateways that differ for a moment would otherwise look like a change at every turn."""


@dataclass(frozen=True, slots=True)
class ObservedFlow:
    """How a flow really fared. Of `trials` messages (faded) `successes` arrived, there or there and back if
    `both_ways`. Hops and round trip are None where nothing was measured; errors are standard errors."""

    source: int
    destination: int
    flow_class: str
    both_ways: bool
    trials: float
    successes: float
    hops: float | None = None
    hops_error: float = 0.0
    round_trip_ms: float | None = None
    round_trip_error_ms: float = 0.0
    payload_bytes: int = 8
    systematic: float = 0.0
    """How far off the observed delivery may be however many messages there were."""

    @property
    def certainty(self) -> float:
        """Trials that would tell as much, were there nothing systematic."""
        if self.trials <= 0:
            return 0.0
        p = (self.successes + 0.5) / (self.trials + 1.0)
        return 1.0 / (1.0 / self.trials + self.systematic**2 / (p * (1.0 - p) + 0.01))

    @property
    def delivery(self) -> float | None:
        """Share that arrived; None without trials."""
        return self.successes / self.trials if self.trials > 0 else None


@dataclass(slots=True)
class _NodeState:
    """What gateways last said of a node."""

    seen_at: float = 0.0
    alive: bool = True
    relay: bool | None = None
    died_at: float | None = None


class SiteState:
    """The twin's memory of one site. `gateways` maps the ids of its gateways to their unicast addresses."""

    def __init__(self, site: str, gateways: Mapping[str, int], since: float) -> None:
        self.site = site
        self.gateways = dict(gateways)
        self.links = LinkLedger()
        self.flows = FlowLedger()
        self.reports = ReportLedger(since)
        self.snapshot: Snapshot | None = None
        self.updated_at = 0.0
        """The newest measurement that went in (Unix time, a gateway's clock)."""
        self._nodes: dict[int, _NodeState] = {}
        self._applied: SiteConfiguration | None = None
        self._spoke: dict[str, float] = {}

    def take(self, kind: Kind, gateway: str, table: Table) -> None:
        """Take in a table of measurements; kinds that say nothing of the mesh are passed over."""
        if not len(table["t"]):
            return
        self.updated_at = max(self.updated_at, float(table["t"].max()))
        if kind is Kind.LINKS:
            self.links.take(gateway, table)
            self.reports.take(gateway, table)
        elif kind is Kind.NODES:
            self._take_nodes(gateway, table)
        elif kind is Kind.FLOWS:
            self.flows.take(gateway, self._of_the_living(table))

    def configured(self, snapshot: Snapshot) -> None:
        """Take in a configuration snapshot. What was observed under another configuration no longer tells
        how flows fare."""
        self.updated_at = max(self.updated_at, snapshot.t)
        self.snapshot = snapshot
        named = {node.address for node in snapshot.nodes}
        self._nodes = {a: n for a, n in self._nodes.items() if a in named or n.seen_at > snapshot.t}
        for node in snapshot.nodes:
            state = self._nodes.setdefault(node.address, _NodeState())
            if snapshot.t >= state.seen_at:
                self._told(state, node.address, snapshot.t, node.alive is not False, node.relay)
        self._compare(snapshot.t)

    def configuration(self) -> SiteConfiguration | None:
        """The site's configuration; None before a gateway told of one."""
        if self.snapshot is None:
            return None
        relays = (a for a, n in self._nodes.items() if n.relay and n.alive)
        return _site_configuration(self.snapshot.nodes, relays)

    @property
    def nodes(self) -> int:
        """How many nodes gateways know, the dead among them."""
        return len(self._nodes)

    def dead(self) -> frozenset[int]:
        """The nodes held dead by their gateways."""
        return frozenset(a for a, n in self._nodes.items() if not n.alive)

    def model(self, t: float) -> SiteModel:
        """The site as it is believed to be at `t`, without the dead."""
        dead = self.dead()
        rows = {key: row for key, row in self.links.rows(t).items() if dead.isdisjoint(key)}
        known = {a for a in self._nodes if a not in dead} | {a for key in rows for a in key}
        addresses = tuple(sorted(known))
        flows, groups = traffic(self.flows, self.reports, self.gateways, known, t)
        return SiteModel(
            addresses=addresses,
            gateways=tuple(sorted({a for a in self.gateways.values() if a in known})),
            links={key: row.belief() for key, row in sorted(rows.items())},
            configuration=self.configuration() or SiteConfiguration(frozenset()),
            flows=flows,
            groups=groups,
            capable=frozenset(a for a in addresses if self._can_relay(a)),
            stack=STACK,
        )

    def signals(self, t: float) -> dict[LinkKey, tuple[LinkBelief, float]]:
        """Belief and signal strength (dBm) of every link whose strength was read."""
        rows: dict[LinkKey, LinkRow] = self.links.rows(t)
        return {k: (r.belief(), r.rssi_dbm) for k, r in rows.items() if r.rssi_dbm is not None}

    def observed(self, t: float) -> list[ObservedFlow]:
        """How each flow fared lately, under the configuration of now."""
        dead = self.dead()
        found = [*self._answered(t), *self._reported(t)]
        return [flow for flow in found if dead.isdisjoint((flow.source, flow.destination))]

    def _speaks(self, gateway: str, t: float) -> bool:
        """Whether this gateway is the one to believe in matters of nodes."""
        self._spoke[gateway] = max(t, self._spoke.get(gateway, 0.0))
        return all(gateway <= other or t - at > SPEAKS_S for other, at in self._spoke.items())

    def _take_nodes(self, gateway: str, table: Table) -> None:
        if not self._speaks(gateway, float(table["t"].max())):
            return
        alive = table.get("alive")
        relay = table.get("relay")
        for i, (t, address) in enumerate(zip(table["t"].tolist(), table["address"].tolist(), strict=True)):
            state = self._nodes.setdefault(address, _NodeState())
            if t >= state.seen_at:
                lives = True if alive is None else bool(alive[i])
                on = None if relay is None or relay[i] == UNKNOWN_RELAY else bool(relay[i])
                self._told(state, address, t, lives, on)
        self._compare(float(table["t"].max()))

    def _told(self, state: _NodeState, address: int, t: float, alive: bool, relay: bool | None) -> None:
        if not alive:
            state.died_at = t
        elif state.died_at is not None and t - state.died_at > BACK_S:
            state.died_at = None
            self.reports.forget([address])
        state.seen_at, state.alive = t, alive
        state.relay = state.relay if relay is None else relay

    def _compare(self, t: float) -> None:
        """Begin to observe anew when the configuration is another one."""
        now = self.configuration()
        if self._applied is not None and now is not None and now != self._applied:
            self.flows, self.reports = FlowLedger(), ReportLedger(t)
        self._applied = now or self._applied

    def _of_the_living(self, table: Table) -> Table:
        """Without questions to nodes that were dead or just back: their silence is no fault of the way."""
        away = {a for a, n in self._nodes.items() if n.died_at is not None}
        if not away:
            return table
        kept = [i for i, address in enumerate(table["destination"].tolist()) if address not in away]
        return {name: column[kept] for name, column in table.items()}

    def _can_relay(self, address: int) -> bool:
        state = self._nodes.get(address)
        return state is None or state.relay is not None

    def _answered(self, t: float) -> Iterable[ObservedFlow]:
        """Questions of gateways, and what arrived at them with a number of hops."""
        for gateway, (source, destination, class_index), record in self.flows.items(t):
            name = FLOW_CLASSES[class_index] if class_index < len(FLOW_CLASSES) else "other"
            own = self.gateways.get(gateway)
            end = destination if is_unicast(destination) else own
            if end is None:
                continue
            base = ObservedFlow(source, end, name, both_ways=record.requests > 0, trials=0.0, successes=0.0)
            yield replace(
                base,
                trials=record.requests,
                successes=record.answers,
                hops=record.hops.mean if record.hops else None,
                hops_error=record.hops.standard_error if record.hops else 0.0,
                round_trip_ms=record.round_trip_ms.mean if record.round_trip_ms else None,
                round_trip_error_ms=record.round_trip_ms.standard_error if record.round_trip_ms else 0.0,
                payload_bytes=payload(record),
            )

    def _reported(self, t: float) -> Iterable[ObservedFlow]:
        for gateway, address in sorted(self.gateways.items()):
            for node, share in self.reports.shares(gateway, address, t).items():
                arrived = share.share * share.trials
                yield ObservedFlow(
                    node,
                    address,
                    FLOW_CLASSES[REPORTING],
                    False,
                    share.trials,
                    arrived,
                    systematic=SYSTEMATIC,
                )


def _site_configuration(nodes: Iterable[NodeRecord], relays: Iterable[int]) -> SiteConfiguration:
    """One configuration for the site: what most nodes have."""
    known = [n for n in nodes if n.alive is not False]
    ttls = [n.default_ttl for n in known if n.default_ttl is not None and 2 <= n.default_ttl <= 127]
    default = SiteConfiguration(frozenset(relays))
    return replace(
        default,
        ttl=median_low(ttls) if ttls else default.ttl,
        network_transmit=_usual([n.network_transmit for n in known]) or default.network_transmit,
        relay_retransmit=_usual([n.relay_retransmit for n in known]) or default.relay_retransmit,
    )


def _usual(pairs: Iterable[list[int] | None]) -> Transmit | None:
    """The commonest pair of count and interval that a node can have."""
    counted = Counter((p[0], p[1]) for p in pairs if p is not None and _possible(p))
    if not counted:
        return None
    count, interval = max(counted, key=lambda pair: (counted[pair], pair))
    return Transmit(count, interval)


def _possible(pair: list[int]) -> bool:
    return 1 <= pair[0] <= 8 and 10 <= pair[1] <= 320 and pair[1] % 10 == 0
