"""The site as this gateway sees it: events in, estimates and evidence out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.mesh.cdb import Node, SiteFile
from common.mesh.configuration import NodeConfiguration
from common.mesh.graph import Flooding, SiteGraph
from common.mesh.site_changes import SiteChanges
from common.policy.liveness import EVIDENCE_S, Evidence, Verdict, judge
from edge_agent.observe.flows import FlowBook
from edge_agent.observe.links import LinkBook
from edge_agent.observe.nodes import NodeBook, NodeRecord
from firmware_bridge.access.generic_onoff import SERVER as ONOFF_SERVER
from firmware_bridge.link import (
    Event,
    Heartbeat,
    LinkDown,
    LinkUp,
    LostNeighbour,
    Message,
    NeighbourReport,
    NodeStatus,
)

SILENT_WINDOW_PROBES = 2
"""A report that expected at least so many probes of a good neighbour and heard none says that it is lost."""


WARM_UP_S = 20.0
"""Time to hear a few reports before anything is concluded from silence."""

SETTLED_S = 12.0
"""Once no further good link became known for so long, or a report's window if that is longer, the graph is
complete enough to plan with."""

GROWTH = 1.03
"""More links by less than this factor do not count: of many, the last few are told of late."""

GOOD_SHARE = 0.5
REPORT_WINDOW_S = 12.0
"""Time that a neighbour report covers, and a little more."""

SEASON_S = 60.0
"""How long after that a link's first windows may still be a bad moment: two more windows of most links."""

PATIENCE_S = 180.0
"""How long nodes that do not tell their configuration may hold up decisions."""


class SiteView:
    """Links, nodes and flows of one site, kept up to date by events."""

    def __init__(
        self, gateway: int, site_file: SiteFile | None, now: float, window_s: float = REPORT_WINDOW_S
    ) -> None:
        self.gateway = gateway
        self.window_s = window_s
        """Time that a neighbour report covers, and a little more."""
        self.links = LinkBook()
        self.flows = FlowBook()
        self.nodes = NodeBook(_known(site_file, now))
        self.mesh_up = False
        self.up_since = now
        self._grew_at = now
        self._known_links = 0
        self._has_learned = False
        self._learned_at = now
        self.down_reason = "not attached yet"
        self.changes = 0
        """Counts changes of any node's configuration or verdict: a version for snapshots."""
        self._graphs: tuple[SiteGraph, SiteGraph] | None = None
        self._handlers: dict[type, Callable[..., bool]] = {
            LinkUp: self._link_up,
            LinkDown: self._link_down,
            Heartbeat: self._heartbeat,
            NeighbourReport: self._report,
            LostNeighbour: self._lost,
            NodeStatus: self._status,
            Message: self._message,
        }

    def apply(self, event: Event) -> bool:
        """Take in an event; True when it calls for a decision at once."""
        return self._handlers[type(event)](event)

    def graphs(self) -> tuple[SiteGraph, SiteGraph]:
        """(expected, best case) link graphs; made anew only after reports came in."""
        if self._graphs is None:
            self._graphs = (self.links.graph(), self.links.best_case())
        return self._graphs

    def learned(self, now: float) -> bool:
        """Whether enough is known to decide. An agent that starts must not mend what it merely does not
        know yet: good links stopped turning up, and every node that is heard told whether it relays."""
        if not self._has_learned and self.mesh_up:
            waited = now - self.up_since
            settled = self._unsettled_s(now) <= 0 and not self._unheard() and not self._untold()
            self._has_learned = (settled and not self._unreached()) or waited > PATIENCE_S
            self._learned_at = now
        return self._has_learned and self.mesh_up

    def is_seasoned(self, now: float) -> bool:
        """Whether links are known for long enough to call one of them weak. Deaths are told by neighbours."""
        return self.learned(now) and now - self._learned_at >= SEASON_S

    def learning(self, now: float) -> str:
        """What `learned` waits for, in words for people; empty once it is true."""
        if self.learned(now):
            return ""
        if not self.mesh_up:
            return "the mesh to come up"
        listens = self._unsettled_s(now)
        if listens > 0:
            return f"{listens:.0f} s more without a new link"
        if unheard := len(self._unheard()):
            return f"the first report of {unheard} node{'' if unheard == 1 else 's'}"
        if untold := len(self._untold()):
            return f"{untold} node{'' if untold == 1 else 's'} to tell relay and TTL"
        unreached = len(self._unreached())
        return f"the links of {unreached} node{'' if unreached == 1 else 's'}"

    def _unsettled_s(self, now: float) -> float:
        """How long no new link may turn up yet."""
        quiet_s = max(SETTLED_S, self.window_s)
        return max(WARM_UP_S - (now - self.up_since), quiet_s - (now - self._grew_at))

    def _unheard(self) -> list[int]:
        """Nodes whose probes are heard and who never told what they hear themselves: what is not known of the
        way to them looks like no way."""
        keys = [key for key, _ in self.links.items()]
        silent = {transmitter for transmitter, _ in keys} - {receiver for _, receiver in keys}
        return [address for address, record in self.nodes.items() if address in silent and not record.lost_by]

    def _unreached(self) -> list[int]:
        """Nodes to or from which no way is known, though what they tell comes: a part of it was lost."""
        graph, flooding = self.graphs()[0], self.flooding(self.relays())
        down, up = graph.flood_from(self.gateway, flooding), graph.flood_to(self.gateway, flooding)
        return [
            address
            for address, record in self.nodes.items()
            if address in graph.nodes and not record.lost_by and not (address in down and address in up)
        ]

    def _untold(self) -> list[int]:
        """Nodes that are heard and whose configuration is not known."""
        heard = self.graphs()[0].nodes
        return [
            address
            for address, record in self.nodes.items()
            if address in heard and None in (record.configuration.relay, record.configuration.default_ttl)
        ]

    def flooding(self, relays: frozenset[int]) -> Flooding:
        """Flooding over `relays` with the site's usual repeats."""
        repeats = [r.configuration.relay_retransmit for _, r in self.nodes.items()]
        counts = sorted(t.count for t in repeats if t is not None)
        count = counts[(len(counts) - 1) // 2] if counts else 1
        return Flooding(relays, count, count)

    def relays(self) -> frozenset[int]:
        """The nodes with the relay feature on, dead ones left out."""
        return frozenset(
            address
            for address, record in self.nodes.items()
            if record.configuration.relay and record.dead_since is None
        )

    def suspects(self) -> list[int]:
        """The other nodes that some receiver lost and that are not held dead yet."""
        return [
            address
            for address, record in self.nodes.items()
            if record.lost_by and record.dead_since is None and address != self.gateway
        ]

    def verdict(self, address: int, now: float) -> Verdict:
        """Judge one node by what is known now."""
        return judge(self.evidence(address), now)

    def evidence(self, address: int) -> Evidence:
        """Evidence on one node, with its listeners reduced to those that can report without its help."""
        reached = self.graphs()[0].flood_from(self.gateway, self.flooding(self.relays() - {address}))
        shares = self.links.shares_of(address)
        return self.nodes.evidence(address, {r: share for r, share in shares.items() if r in reached})

    def convict(self, address: int, now: float) -> None:
        """Hold a node dead until something is heard of it."""
        self.nodes[address].dead_since = now
        self.changes += 1

    def observe_configuration(self, configuration: NodeConfiguration, t: float) -> None:
        """A node told its configuration, or a part of it."""
        record = self.nodes.ensure(configuration.address, t)
        configuration = configuration.over(record.configuration)
        if record.configuration != configuration:
            record.configuration = configuration
            self.changes += 1
        if None not in (configuration.relay, configuration.default_ttl):
            # Of a node that told a part only, the rest has still to be read: decisions wait for it.
            record.read_at = t
        self._alive(configuration.address, t)

    def believe_relay(self, address: int, relay: bool) -> None:
        """Take a peer's word for a node's relay feature, until the node tells itself."""
        record = self.nodes.get(address)
        if record is not None and record.configuration.relay is not None:
            record.configuration = replace(record.configuration, relay=relay)
            self.changes += 1

    def reread(self, address: int) -> None:
        """Have a node's configuration read again soon."""
        record = self.nodes.get(address)
        if record is not None:
            record.read_at = None

    def answered(self, address: int, t: float) -> None:
        """A node answered a question."""
        self._alive(address, t)
        self.nodes.ensure(address, t).answered_at = t

    def has_answered_since(self, address: int, t: float) -> bool:
        """Whether a node answered a question at `t` or later."""
        record = self.nodes.get(address)
        return record is not None and record.answered_at >= t

    def unanswered(self, address: int) -> None:
        """A node did not answer a question."""
        record = self.nodes.get(address)
        if record is not None:
            record.unanswered += 1

    def adopt(self, site_file: SiteFile, changes: SiteChanges, now: float) -> None:
        """Follow an edited site file: new nodes, names, and nodes that are gone."""
        for record in _known(site_file, now):
            address = record.configuration.address
            self.nodes.add(record)
            self.nodes[address].name = record.name
        for address in changes.removed:
            self.nodes.remove(address)
            self.links.drop(address)
        self._graphs = None
        self.changes += 1

    def _link_up(self, event: LinkUp) -> bool:
        self.mesh_up, self.down_reason, self.up_since = True, "", event.t
        return False

    def _link_down(self, event: LinkDown) -> bool:
        self.mesh_up, self.down_reason = False, event.reason
        return False

    def _heartbeat(self, event: Heartbeat) -> bool:
        record = self.nodes.ensure(event.source, event.t)
        record.hops = event.hops if event.hops is not None else record.hops
        return self._alive(event.source, event.t)

    def _report(self, event: NeighbourReport) -> bool:
        # Windows in which a node was dead, or is about to be found dead, say nothing about its links: these
        # are as good as before when it returns.
        if self.nodes.is_removed(event.receiver):
            return False
        counted = tuple(row for row in event.neighbours if not self._is_doubted(row.transmitter, event.t))
        if self.links.report(replace(event, neighbours=counted), GOOD_SHARE) and self._has_grown():
            self._grew_at = event.t
        self._graphs = None
        urgent = self._alive(event.receiver, event.t)
        for row in event.neighbours:
            if row.heard > 0:
                # The window may have begun before the node fell silent, so this is no proof against a lost
                # report that is newer than the window's start; a lost report stands until a clean sign.
                record = self.nodes.ensure(row.transmitter, event.t)
                if not record.lost_by:
                    urgent |= self._alive(row.transmitter, event.t)
                elif row.heard >= row.expected:
                    record.lost_by.pop(event.receiver, None)
            elif row.expected >= SILENT_WINDOW_PROBES and self._was_good(row.transmitter, event.receiver):
                self.nodes.lost(event.receiver, row.transmitter, event.t)
                urgent = True
        return urgent

    def _has_grown(self) -> bool:
        """Whether new links are more than the last few of many: some reports are always lost."""
        known = len(self.links)
        if known <= GROWTH * self._known_links:
            return False
        self._known_links = known
        return True

    def _was_good(self, transmitter: int, receiver: int) -> bool:
        share = self.links.share(transmitter, receiver)
        return share is not None and share >= GOOD_SHARE

    def _is_doubted(self, address: int, t: float) -> bool:
        record = self.nodes.get(address)
        if record is None:
            return self.nodes.is_removed(address)
        just_back = record.back_at is not None and t - record.back_at < self.window_s
        lost = any(t - since <= EVIDENCE_S for since in record.lost_by.values())
        return record.dead_since is not None or lost or just_back

    def _lost(self, event: LostNeighbour) -> bool:
        self._alive(event.receiver, event.t)
        self.nodes.lost(event.receiver, event.transmitter, event.t)
        return True

    def _status(self, event: NodeStatus) -> bool:
        self.observe_configuration(event.configuration, event.t)
        return False

    def _message(self, event: Message) -> bool:
        self.flows.message(event.source, event.destination, event.payload, event.hops)
        return self._alive(event.source, event.t)

    def _alive(self, address: int, t: float) -> bool:
        """True when a node held dead came back."""
        record = self.nodes.ensure(address, t)
        record.alive_sign(t)
        if record.dead_since is None:
            return False
        record.dead_since, record.back_at = None, t
        # It may have come back with another configuration: have it read again.
        record.read_at = None
        self.changes += 1
        return True


def _known(site_file: SiteFile | None, now: float) -> list[NodeRecord]:
    nodes = () if site_file is None else site_file.live_nodes()
    return [NodeRecord(n.configuration(), n.name, has_lamp=_has_lamp(n), heard_at=now) for n in nodes]


def _has_lamp(node: Node) -> bool:
    """Whether a node serves Generic OnOff; a file that names no models leaves the benefit of the doubt."""
    models = {model.model_id for element in node.elements for model in element.models}
    return not models or f"{ONOFF_SERVER.model:04x}" in {model.lower() for model in models}
