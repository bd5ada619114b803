"""Choose relay set and TTL over the site graph when a needed relay dies or a link falls below need.

The search first makes nodes reachable (cheapest path, where turning a relay on costs), then strong enough
(the neighbour whose help gains most), then drops what turned out not to be needed. It is greedy: relay sets
of a site differ by one or two nodes after a fault, and a decision must take milliseconds on a gateway.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from math import log

from common.mesh.configuration import ConfigurationChange
from common.mesh.graph import Flooding, LinkKey, Reach, SiteGraph, heard_once
from common.policy.actions import Action, ActionKind, Effect, Forecast, Observation, Priority, SiteState, Step
from common.policy.service import UNKNOWN_TTL, Problem, Service, problem_of, relay_set, site_service

TURN_ON_COST = 0.5
"""A new relay must save as much as a path of delivery exp(-0.5) loses: each one loads the channel."""

CLEAR_GAIN = 0.03
"""A degraded node's delivery must be expected to rise by this much to be worth a change."""

CUT_OFF = 0.1
"""Delivery below which a node counts as cut off."""

MOST_CULPRITS = 16

TTL_MARGIN = 2
"""Spare hops above the longest path: floods do not always take the best one."""


def reroute(state: SiteState, observation: Observation, now: float) -> list[Action]:
    """One action that restores service, or none when nothing is wrong, or nothing can be done now."""
    site = problem_of(state, observation, now)
    relays = relay_set(state.nodes, observation.dead)
    before = site.within_ttl(site.service(relays))
    unserved = site.unserved(site.within_ttl(site.service(relays, site.best_case)))
    if not unserved or _being_mended(state, unserved):
        return []
    chosen = _choose(site, relays)
    after = site.service(relays | chosen)
    gained = _gained(site, unserved, before, after)
    steps = _steps(state, site, chosen, relays, after, gained)
    if not gained or not steps:
        return []
    return [_action(state, observation, steps, before, after, gained, now)]


def _being_mended(state: SiteState, unserved: list[int]) -> bool:
    """True while an earlier action for (some of) these nodes still waits for its effect."""
    return any(action.expected.nodes & set(unserved) for action in state.pending)


def _choose(site: Problem, relays: frozenset[int]) -> frozenset[int]:
    """New relays, fewest first."""
    chosen: set[int] = set()
    hopeless: set[int] = set()
    while True:
        # Enough is what may well be enough: the same yardstick as for acting at all. Estimates lie a little
        # below the truth, and relays added to please them only load the channel.
        service = site.service(relays | chosen, site.best_case)
        waiting = [node for node in site.unserved(service) if node not in hopeless]
        if not waiting:
            return _prune(site, relays, chosen)
        helpers = _path(site, relays | chosen, waiting[0]) if service.of(waiting[0]) == 0.0 else set()
        if not helpers:
            helpers = _best_helper(site, relays | chosen, waiting[0], site.score(service))
        if helpers:
            chosen |= helpers
        else:
            hopeless.add(waiting[0])


def _path(site: Problem, relays: frozenset[int] | set[int], node: int) -> set[int]:
    """The new relays on the cheapest two-way path from a gateway to `node`; empty when there is none."""
    queue: list[tuple[float, int, int]] = [(0.0, gateway, gateway) for gateway in sorted(site.gateways)]
    came: dict[int, int] = {}
    while queue:
        cost, here, previous = heapq.heappop(queue)
        if here in came:
            continue
        came[here] = previous
        if here == node:
            return _interior(came, node) - set(relays)
        if here not in site.gateways and here not in relays and here not in site.candidates:
            continue
        for other, pdr in site.graph.receivers(here):
            if other not in came:
                price = TURN_ON_COST if other in site.candidates and other != node else 0.0
                heapq.heappush(queue, (cost + price + _hop_cost(site, here, other, pdr), other, here))
    return set()


def _hop_cost(site: Problem, transmitter: int, receiver: int, pdr: float) -> float:
    """Minus log delivery of the worse direction: a relay must hear as well as be heard."""
    back = dict(site.graph.receivers(receiver)).get(transmitter, 0.0)
    worse = heard_once(min(pdr, back), site.repeats)
    return -log(max(worse, 1e-6)) + 0.01


def _interior(came: Mapping[int, int], node: int) -> set[int]:
    path = set()
    here = came[node]
    while came[here] != here:
        path.add(here)
        here = came[here]
    return path


def _best_helper(site: Problem, relays: frozenset[int] | set[int], node: int, score: float) -> set[int]:
    """The one candidate, near the node or on its way, that gains most; none below a clear gain."""
    near = {other for other, _ in site.graph.transmitters(node)}
    far = {other for helper in near for other, _ in site.graph.transmitters(helper)}
    gains = []
    for candidate in sorted((near | far) & site.candidates - set(relays)):
        gain = site.score(site.service(frozenset(relays) | {candidate}, site.best_case)) - score
        if gain >= CLEAR_GAIN:
            gains.append((-gain, candidate))
    return {min(gains)[1]} if gains else set()


def _prune(site: Problem, relays: frozenset[int], chosen: set[int]) -> frozenset[int]:
    """Drop each new relay without which service is no worse."""
    kept = set(chosen)
    for candidate in sorted(chosen, reverse=True):
        with_it = site.score(site.service(relays | kept, site.best_case))
        without = site.score(site.service(relays | (kept - {candidate}), site.best_case))
        if with_it - without < CLEAR_GAIN:
            kept.discard(candidate)
    return frozenset(kept)


def _gained(site: Problem, unserved: list[int], before: Service, after: Service) -> frozenset[int]:
    """The unserved nodes that the plan helps clearly."""
    return frozenset(
        node
        for node in unserved
        if after.of(node) >= min(site.need, before.of(node) + CLEAR_GAIN) and after.of(node) > before.of(node)
    )


def _steps(
    state: SiteState,
    site: Problem,
    chosen: frozenset[int],
    relays: frozenset[int],
    after: Service,
    gained: frozenset[int],
) -> tuple[Step, ...]:
    """The gateway's own TTL, then relays outwards from it, then the nodes' TTL, where it is too short."""
    outwards = _depth(site, state.gateway, relays | chosen)
    longest = max((after.hops[node] for node in gained), default=0)
    ttl = ConfigurationChange(default_ttl=min(127, longest + TTL_MARGIN))
    short = [
        address
        for address in sorted(gained | {state.gateway}, key=lambda n: (outwards.get(n, 0), n))
        if longest > site.ttl.get(address, UNKNOWN_TTL) and address in state.changeable
    ]
    turned_on = sorted(chosen, key=lambda n: (outwards.get(n, len(outwards)), n))
    own = [Step(address, ttl) for address in short if address == state.gateway]
    others = [Step(address, ttl) for address in short if address != state.gateway]
    return tuple(own + [Step(a, ConfigurationChange(relay=True)) for a in turned_on] + others)


def _depth(site: Problem, gateway: int, relays: frozenset[int]) -> dict[int, int]:
    reach: Mapping[int, Reach] = site.graph.flood_from(
        gateway, Flooding(relays, site.transmissions, site.repeats)
    )
    return {node: found.hops for node, found in reach.items()}


def _action(
    state: SiteState,
    observation: Observation,
    steps: tuple[Step, ...],
    before: Service,
    after: Service,
    gained: frozenset[int],
    now: float,
) -> Action:
    cut_off = frozenset(node for node in gained if before.of(node) < CUT_OFF)
    return Action(
        kind=ActionKind.REROUTE,
        cause=_cause(state, observation, before, gained, cut_off),
        steps=steps,
        expected=Effect(gained, round(min(after.of(n) for n in gained), 3), state.confirm_s),
        priority=Priority.CUT_OFF if cut_off else Priority.DEGRADED,
        lease_until=now + state.lease_s,
    )


def _cause(
    state: SiteState,
    observation: Observation,
    before: Service,
    gained: frozenset[int],
    cut_off: frozenset[int],
) -> str:
    culprits = _culprits(state, observation, cut_off)
    if culprits:
        return f"relay {', '.join(culprits)} dead, {len(cut_off)} nodes cut off"
    worst = min(gained, key=before.of)
    return f"delivery of 0x{worst:04x} expected to be {before.of(worst):.2f}, below need"


def _culprits(state: SiteState, observation: Observation, cut_off: frozenset[int]) -> list[str]:
    """The dead relays each of which, alive, would serve some of the cut-off nodes."""
    found = []
    for address in sorted(observation.dead)[:MOST_CULPRITS]:
        known = state.nodes.get(address)
        if known is not None and known.relay:
            others = replace(observation, dead=observation.dead - {address})
            service = site_service(state, others)
            if any(service.of(node) > CUT_OFF for node in cut_off):
                found.append(f"0x{address:04x}")
    return found


def falling(
    graph: SiteGraph, forecasts: Mapping[LinkKey, Forecast], margin: float
) -> dict[LinkKey, Forecast]:
    """The forecasts worth planning with: links expected to lose more than `margin`."""
    return {
        key: expected
        for key, expected in forecasts.items()
        if key in graph.links and expected.pdr < graph.links[key] - margin
    }
