"""Turns what was observed and inferred into questions and actions. Pure: the loop around it does the I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.mesh.graph import LinkKey
from common.policy import homes as home_policy
from common.policy.actions import Action, Forecast, Observation, Priority, SiteState
from common.policy.lease import LEASE_PERIODS, Role, View, role, scope
from common.policy.liveness import Verdict
from common.policy.rerouting import falling, reroute
from common.policy.service import Service, site_service
from edge_agent.observe.site import SiteView

FALL_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now. `ask` are suspects to be asked at once; `actions` are for the executor when
    `role` allows, otherwise proposals."""

    role: Role
    ask: tuple[int, ...]
    convicted: tuple[int, ...]
    actions: tuple[Action, ...]


@dataclass(slots=True)
class Decider:
    """The decisions of one gateway. `peer_addresses` maps live peers' ids to their mesh addresses."""

    gateway_id: str
    site: SiteView
    delivery_need: float
    status_period_s: float
    confirm_s: float = 10.0
    peer_nodes: set[int] = field(default_factory=set)
    """Nodes of other gateways: these configure them themselves."""
    homes: dict[int, str] = field(default_factory=dict)
    refused: dict[int, float] = field(default_factory=dict)

    def decide(
        self,
        view: View,
        forecasts: Mapping[LinkKey, Forecast],
        pending: tuple[Action, ...],
        now: float,
    ) -> Decision:
        """Judge the suspects, then look for a change that is needed."""
        own_role = role(view, self.status_period_s)
        if not self.site.learned(now):
            return Decision(own_role, (), (), ())
        ask, convicted = self._judge(now)
        state = self._state(view, pending)
        actions = reroute(state, self._observation(forecasts), now)
        if not self.site.is_seasoned(now):
            actions = [action for action in actions if action.priority > Priority.DEGRADED]
        return Decision(own_role, ask, convicted, tuple(actions))

    def changeable(self, view: View) -> frozenset[int]:
        """The nodes that this gateway may configure now."""
        return self._scope(view)[0]

    def service(self, view: View) -> Service:
        """What each node gets now."""
        return site_service(self._state(view, ()), self._observation({}))

    def assign_homes(self, view: View, addresses: Mapping[str, int]) -> bool:
        """Assign homes anew, as the actor; true when something changed."""
        if role(view, self.status_period_s) is not Role.ACTOR:
            return False
        graph = self.site.graphs()[0].without(self.site.nodes.dead())
        flooding = self.site.flooding(self.site.relays())
        gateways = {name: addresses[name] for name in sorted(view.live) if name in addresses}
        gateways[self.gateway_id] = self.site.gateway
        assigned = home_policy.assign_homes(graph, flooding, gateways, self.homes)
        changed = assigned != self.homes
        self.homes = assigned
        return changed

    def refuse(self, nodes: frozenset[int], until: float) -> None:
        """Leave nodes alone for a while, after an action on them failed."""
        self.refused.update(dict.fromkeys(nodes, until))

    def _judge(self, now: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        ask, convicted = [], []
        for address in self.site.suspects():
            verdict = self.site.verdict(address, now)
            if verdict is Verdict.DEAD:
                self.site.convict(address, now)
                convicted.append(address)
            elif verdict is Verdict.SUSPECT:
                ask.append(address)
        return tuple(ask), tuple(convicted)

    def _addresses(self) -> frozenset[int]:
        return frozenset(address for address, _ in self.site.nodes.items())

    def _scope(self, view: View) -> tuple[frozenset[int], frozenset[int]]:
        """(changeable, responsible)"""
        own_role = role(view, self.status_period_s)
        changeable, responsible = scope(own_role, view, self._addresses(), self.homes)
        return changeable - self.peer_nodes, responsible

    def _state(self, view: View, pending: tuple[Action, ...]) -> SiteState:
        expected, best_case = self.site.graphs()
        nodes = self.site.nodes.configurations()
        changeable, responsible = self._scope(view)
        return SiteState(
            gateway=self.site.gateway,
            # The acting gateway must reach the whole site itself: it is the one that applies.
            gateways=frozenset({self.site.gateway}),
            graph=expected,
            best_case=best_case,
            nodes=nodes,
            changeable=changeable,
            responsible=responsible,
            delivery_need=self.delivery_need,
            lease_s=LEASE_PERIODS * self.status_period_s,
            confirm_s=self.confirm_s,
            pending=pending,
            refused=self.refused,
        )

    def _observation(self, forecasts: Mapping[LinkKey, Forecast]) -> Observation:
        return Observation(
            dead=self.site.nodes.dead(),
            forecast=falling(self.site.graphs()[0], forecasts, FALL_MARGIN),
        )
