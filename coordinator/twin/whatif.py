"""What if: a change's effect on every flow, by the cheapest model that can decide.

    graph        changes that touch no message's way, and who is cut off whatever the luck: exact, at once
    percolation  delivery in quiet air with unchanged repeats: a fraction of a millisecond a state
    simulation   load, repeats and time: the event simulator, racing from 1 message a flow to 30

Uncertain links are put to chosen states, the same before and after, and so are the worlds and seeds that both
are played in: what is compared is the change, not the luck. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.radio import RadioParameters
from coordinator.twin.percolation import WORDS, WORLDS_PER_WORD
from coordinator.twin.score_prediction import chosen_states, percolated
from coordinator.twin.site_model import SiteFlow, SiteModel
from coordinator.twin.whatif_change import Change, key_of, with_reach
from coordinator.twin.whatif_effect import Effect, Estimate, FlowEffect, Method, WhatIf, judge_effect
from coordinator.twin.whatif_evidence import corrected
from coordinator.twin.whatif_play import Race, State

TOLERANCE: Final = 0.02
"""Delivery that a flow may lose before it counts as worse."""

STATES: Final = 6
PLAYED_STATES: Final = 6
ROUNDS: Final = (1, 3, 10, 30)
"""Messages per flow and state of each round of the race."""

CLOSE: Final = (20,)
"""The same where figures are wanted, not verdicts: 120 messages of the rarest flow, more of the others."""

QUIET: Final = 0.05
"""Below this share of channel time collisions hardly matter, and percolation may decide."""

PACKET_MS: Final = 0.38
"""Air time of a packet on one channel (47 bytes at 1 Mbit/s)."""

AUDIBLE: Final = 0.1
NOMINAL: Final = RadioParameters()
_COUNTING: Final = 0.25 / (WORDS * WORLDS_PER_WORD * STATES)
"""Variance of a delivery by the number of worlds, at most."""


@dataclass(frozen=True)
class _Question:
    """The site before and after, and each flow with what becomes of it; None when one of its ends is gone."""

    before: SiteModel
    after: SiteModel
    flows: tuple[tuple[SiteFlow, SiteFlow | None], ...]
    tolerance: float
    occupancy: float

    @property
    def kept(self) -> list[int]:
        """The flows that go on."""
        return [i for i, (_, there) in enumerate(self.flows) if there is not None]

    def sent_before(self) -> list[SiteFlow]:
        """The flows as they are. One that is added is asked about on the site as it is."""
        return [flow for flow, _ in self.flows]

    def sent_after(self) -> list[SiteFlow]:
        """The flows that go on, as they will be."""
        return [there for _, there in self.flows if there is not None]

    def states(self, count: int) -> list[State]:
        """Chosen states of all links there are, before or after."""
        links = {**self.after.links, **self.before.links}
        return list(chosen_states(replace(self.before, links=links), count))

    def cut_off(self) -> set[int]:
        """The flows that nothing can arrive of any more."""
        found: dict[int, frozenset[int]] = {}
        cut = set()
        for i in self.kept:
            flow = self.flows[i][0]
            reached = found.setdefault(flow.source, reachable(self.after, flow.source))
            if not reached.intersection(self.after.destinations(flow)):
                cut.add(i)
        return cut

    def answer(self, effects: Sequence[FlowEffect], method: Method, reason: str, messages: int = 0) -> WhatIf:
        return WhatIf(tuple(effects), method, reason, self.tolerance, self.occupancy, messages)


def whatif(
    model: SiteModel,
    change: Change,
    *,
    tolerance: float = TOLERANCE,
    parameters: RadioParameters = NOMINAL,
    seed: int = 1,
    rounds: Sequence[int] = ROUNDS,
) -> WhatIf:
    """The effects of a change on the model's flows, and where nothing is sent, on reach from and to the
    gateway.

    `model` should be calibrated (`Calibration.applied`); what was counted of its flows is taken into account.
    Raises Rejected for a change that makes no sense.
    """
    before = with_reach(model)
    after = change.applied(before)
    occupancy = max(channel_share(before), channel_share(after))
    question = _Question(before, after, _paired(before, after), tolerance, occupancy)
    return corrected(_answered(question, change, parameters, seed, rounds), before.delivered)


def _answered(
    question: _Question, change: Change, parameters: RadioParameters, seed: int, rounds: Sequence[int]
) -> WhatIf:
    if _touches_no_way(question.before, question.after, change):
        return _untouched(question)
    reason = _why_simulate(question, change)
    return _percolate(question) if reason is None else _simulate(question, reason, parameters, seed, rounds)


def channel_share(model: SiteModel) -> float:
    """Share of channel time that the flows take around a typical node: each message is sent by its source
    and repeated by every relay, and a node hears those that it has links from."""
    if not model.addresses:
        return 0.0
    configuration = model.configuration
    audible = sum(belief.pdr >= AUDIBLE for belief in model.links.values()) / len(model.addresses)
    share = min(1.0, audible / max(1, len(model.addresses) - 1))
    repeats = len(configuration.relays) * configuration.relay_retransmit.count
    seconds = (configuration.network_transmit.count + repeats) * share * PACKET_MS / 1000.0
    return sum((2.0 if flow.acknowledged else 1.0) * seconds / flow.period_s for flow in model.flows)


def reachable(model: SiteModel, source: int) -> frozenset[int]:
    """The nodes that a message from `source` can come to at all within the TTL."""
    out: dict[int, list[int]] = {}
    for (a, b), belief in model.links.items():
        if belief.pdr + belief.deviation > 0.01:
            out.setdefault(a, []).append(b)
    seen, front = {source}, deque([(source, 0)])
    while front:
        node, hops = front.popleft()
        if hops < model.configuration.ttl and (node == source or node in model.relays):
            for other in out.get(node, []):
                if other not in seen:
                    seen.add(other)
                    front.append((other, hops + 1))
    return frozenset(seen)


def _paired(before: SiteModel, after: SiteModel) -> tuple[tuple[SiteFlow, SiteFlow | None], ...]:
    left = {key_of(flow): flow for flow in after.flows}
    known = {key_of(flow) for flow in before.flows}
    there = set(before.addresses)
    added = [
        (flow, flow)
        for flow in after.flows
        if key_of(flow) not in known and {flow.source, *after.destinations(flow)} <= there
    ]
    return (*((flow, left.get(key_of(flow))) for flow in before.flows), *added)


def _touches_no_way(before: SiteModel, after: SiteModel, change: Change) -> bool:
    """Whether nodes merely fail that relay nothing: the others' messages go as they went."""
    more = change.load != 1.0 or change.flows or change.added or change.latency_matters
    return not more and after.configuration == before.configuration


def _untouched(question: _Question) -> WhatIf:
    state = {key: belief.pdr for key, belief in question.before.links.items()}
    now = percolated(question.before, question.sent_before(), state)
    effects = [
        _exact(flow, at, at if there else 0.0, question.tolerance, there is None)
        for (flow, there), at in zip(question.flows, now, strict=True)
    ]
    ended = len(question.flows) - len(question.kept)
    others = f"{ended} flows end with their nodes; no other message's way is touched"
    return question.answer(effects, Method.GRAPH, others if ended else "no message's way is touched")


def _why_simulate(question: _Question, change: Change) -> str | None:
    """Why percolation must not decide; None when it may."""
    before, after = question.before.configuration, question.after.configuration
    if change.latency_matters:
        return "times are asked for"
    if (before.network_transmit, before.relay_retransmit) != (after.network_transmit, after.relay_retransmit):
        return "repeats change, and load the air"
    if question.occupancy > QUIET:
        return f"flows take {question.occupancy:.0%} of the channel time"
    return None


def _percolate(question: _Question) -> WhatIf:
    states = question.states(STATES)
    # Worlds of its own for each state, but the same before and after.
    old = [percolated(question.before, question.sent_before(), s, seed=i) for i, s in enumerate(states, 1)]
    new = [percolated(question.after, question.sent_after(), s, seed=i) for i, s in enumerate(states, 1)]
    place = {i: n for n, i in enumerate(question.kept)}
    cut = question.cut_off()
    effects = []
    for i, (flow, _) in enumerate(question.flows):
        was = [state[i] for state in old]
        if i in cut or i not in place:
            effects.append(_cut(flow, Estimate.of(was, _COUNTING), question.tolerance, i not in place))
        else:
            will = [state[place[i]] for state in new]
            effects.append(_compared(flow, was, will, _COUNTING, 0.0, question.tolerance))
    if cut and all(effects[i].effect is Effect.HARMLESS for i in place if i not in cut):
        return question.answer(effects, Method.GRAPH, "whoever is affected is cut off, whatever the luck")
    return question.answer(effects, Method.PERCOLATION, f"the air is quiet: {question.occupancy:.1%} taken")


def _simulate(
    question: _Question, reason: str, parameters: RadioParameters, seed: int, rounds: Sequence[int]
) -> WhatIf:
    states = question.states(PLAYED_STATES)
    one = Race(question.before, question.sent_before(), states, parameters)
    other = Race(question.after, question.sent_after(), states, parameters)
    effects: list[FlowEffect] = []
    played = 0
    for number, messages in enumerate(rounds):
        for race in (one, other):
            race.play(messages, seed + 1000 * number)
        played += messages
        effects = _raced(question, one, other)
        if rounds is not CLOSE and not any(effect.effect is Effect.UNDECIDED for effect in effects):
            break
    return question.answer(effects, Method.SIMULATION, reason, played * PLAYED_STATES)


def _raced(question: _Question, one: Race, other: Race) -> list[FlowEffect]:
    place = {i: n for n, i in enumerate(question.kept)}
    effects = []
    for i, (flow, _) in enumerate(question.flows):
        was = one.deliveries(i)
        if i not in place:
            effects.append(_cut(flow, Estimate.of(was, one.noise(i)), question.tolerance, ended=True))
            continue
        n = place[i]
        noise = one.noise(i), other.noise(n)
        effect = _compared(flow, was, other.deliveries(n), noise[0], noise[1], question.tolerance, sum(noise))
        before, after = one.latency_ms(i), other.latency_ms(n)
        effects.append(replace(effect, latency_before_ms=before, latency_after_ms=after))
    return effects


def _exact(flow: SiteFlow, before: float, after: float, tolerance: float, ended: bool) -> FlowEffect:
    change = Estimate.exact(after - before)
    effect = Effect.ENDED if ended else judge_effect(change, tolerance)
    return _effect(flow, Estimate.exact(before), Estimate.exact(after), change, effect)


def _cut(flow: SiteFlow, before: Estimate, tolerance: float, ended: bool) -> FlowEffect:
    """A flow of which nothing arrives any more."""
    change = Estimate(-before.mean, -before.high, -before.low)
    effect = Effect.ENDED if ended else judge_effect(change, tolerance)
    return _effect(flow, before, Estimate.exact(0.0), change, effect)


def _compared(
    flow: SiteFlow,
    before: Sequence[float],
    after: Sequence[float],
    noise_before: float,
    noise_after: float,
    tolerance: float,
    noise_change: float = 0.0,
) -> FlowEffect:
    """From one delivery per state. Worlds are common, so that counting adds nothing to their difference;
    plays with one seed soon differ in their luck, and theirs adds up."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    change = Estimate.of(differences, noise_change, low=-1.0)
    was, will = Estimate.of(before, noise_before), Estimate.of(after, noise_after or noise_before)
    return _effect(flow, was, will, change, judge_effect(change, tolerance))


def _effect(
    flow: SiteFlow, before: Estimate, after: Estimate, change: Estimate, effect: Effect
) -> FlowEffect:
    return FlowEffect(
        flow.source, flow.destination, flow.flow_class, flow.acknowledged, before, after, change, effect
    )
