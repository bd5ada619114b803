"""A change that somebody thinks of, and the site as it would be with it. Pure; nothing is predicted here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from common.errors import Rejected, RejectReason
from common.mesh.addresses import is_unicast, show
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel

REACH_PERIOD_S: Final = 60.0
ADDED_EVIDENCE: Final = 8.0
"""A link that is only expected counts as so many transmissions seen."""

FlowKey = tuple[int, int, bool, str]
"""(source, destination, acknowledged, class): what makes a flow the same one after a change."""


@dataclass(frozen=True, slots=True)
class AddedNode:
    """A node that is not there yet. `pdr` is what is expected of its links to and from its neighbours."""

    address: int
    pdr: Mapping[int, float]
    relay: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Any of: another configuration, relays switched on or off, nodes that fail, nodes that are added, flows
    that are added, and all present flows sending `load` times as often."""

    configuration: SiteConfiguration | None = None
    relays_on: frozenset[int] = frozenset()
    relays_off: frozenset[int] = frozenset()
    failed: tuple[int, ...] = ()
    added: tuple[AddedNode, ...] = ()
    flows: tuple[SiteFlow, ...] = ()
    load: float = 1.0
    latency_matters: bool = field(default=False, kw_only=True)
    """Whether times are asked for, too: only the event simulator knows them."""

    def applied(self, model: SiteModel) -> SiteModel:
        """The site with the change. Raises Rejected for a change that makes no sense there."""
        self._check(model)
        after = replace(model, flows=_more_often(model.flows, self.load))
        for node in self.added:
            after = _with_node(after, node)
        chosen = self.configuration or after.configuration
        added = {node.address for node in self.added if node.relay}
        relays = (chosen.relays | self.relays_on | added) - self.relays_off
        after = after.with_configuration(replace(chosen, relays=relays))
        after = replace(after, flows=(*after.flows, *self.flows))
        return after.without(*self.failed) if self.failed else after

    def _check(self, model: SiteModel) -> None:
        new = {node.address for node in self.added}
        known = set(model.addresses) | new
        chosen = self.configuration.relays if self.configuration else frozenset()
        named = {*self.failed, *self.relays_on, *self.relays_off, *chosen}
        ends = {f.source for f in self.flows} | {f.destination for f in self.flows if f.destination < 0x8000}
        neighbours = {address for node in self.added for address in node.pdr}
        for address in sorted((named | ends | neighbours) - known):
            raise Rejected(RejectReason.INVALID, f"the site has no node {show(address)}")
        for address in sorted(new):
            if address in model.addresses or not is_unicast(address):
                raise Rejected(RejectReason.INVALID, f"{show(address)} is taken, or no address of a node")
        if both := self.relays_on & self.relays_off:
            raise Rejected(RejectReason.INVALID, f"relay on and off: {show(min(both))}; say one of them")
        if any(not 0.0 <= pdr <= 1.0 for node in self.added for pdr in node.pdr.values()):
            raise Rejected(RejectReason.OUT_OF_RANGE, "a PDR of an added node is not within 0 to 1")
        if not 0.0 < self.load <= 1000.0:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"load {self.load}; more than 0 up to 1000 is possible")


def with_reach(model: SiteModel) -> SiteModel:
    """The model with a flow each way between every node and its gateways, where nothing is sent: a site
    whose traffic nobody has seen yet must reach everybody all the same."""
    sending = {flow.source for flow in model.flows}
    reached = {end for flow in model.flows for end in model.destinations(flow)}
    added = []
    for gateway in model.gateways[:1]:
        for node in model.addresses:
            if node not in model.gateways and node not in sending:
                added.append(SiteFlow(node, gateway, REACH_PERIOD_S, flow_class="other"))
            if node not in model.gateways and node not in reached:
                added.append(SiteFlow(gateway, node, REACH_PERIOD_S, flow_class="other"))
    return replace(model, flows=(*model.flows, *added))


def key_of(flow: SiteFlow) -> FlowKey:
    """What makes a flow the same one after a change."""
    return flow.source, flow.destination, flow.acknowledged, flow.flow_class


def _more_often(flows: tuple[SiteFlow, ...], load: float) -> tuple[SiteFlow, ...]:
    return flows if load == 1.0 else tuple(replace(flow, period_s=flow.period_s / load) for flow in flows)


def _with_node(model: SiteModel, node: AddedNode) -> SiteModel:
    links = dict(model.links)
    for other, pdr in node.pdr.items():
        belief = LinkBelief.counted(pdr * ADDED_EVIDENCE, (1.0 - pdr) * ADDED_EVIDENCE)
        links[node.address, other] = links[other, node.address] = belief
    return replace(
        model,
        addresses=tuple(sorted((*model.addresses, node.address))),
        links=links,
        capable=model.capable | {node.address},
    )
