"""Delivery and latency of a site's flows in given states of its links, by playing messages in the event
simulator. What the figures mean for a change is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from common.mesh.graph import LinkKey
from common.radio import FlowOutcome, RadioParameters, simulate
from coordinator.twin.site_model import LinkBelief, SiteFlow, SiteModel

LONGEST_PERIOD_S: Final = 600.0
"""Rarer messages are played as if they came so often: they load the air as little."""

MOST_MESSAGES: Final = 15_000
"""Of one play. Beyond, a play is shorter than was asked for."""

STEADY_S: Final = 40.0
"""No play is shorter: under too much load it takes a while until relays fall behind."""

State = Mapping[LinkKey, float]


@dataclass(slots=True)
class Tally:
    """One flow's messages in one state, over all plays. `latency` sums mean and 95th percentile, each times
    the messages that arrived."""

    sent: int = 0
    arrived: int = 0
    mean_ms: float = 0.0
    p95_ms: float = 0.0
    timed: int = 0

    def add(self, outcome: FlowOutcome) -> None:
        """Count another play."""
        arrived = outcome.delivered if outcome.answered is None else outcome.answered
        self.sent += outcome.sent
        self.arrived += arrived
        latency = outcome.one_way_ms if outcome.answered is None else outcome.round_trip_ms
        if latency is not None and arrived:
            self.mean_ms += latency.mean * arrived
            self.p95_ms += latency.p95 * arrived
            self.timed += arrived

    @property
    def delivery(self) -> float:
        """Share that arrived; 0 while nothing was sent."""
        return self.arrived / self.sent if self.sent else 0.0

    @property
    def variance(self) -> float:
        """Of the delivery, by counting alone."""
        p = (self.arrived + 0.5) / (self.sent + 1.0)
        return p * (1.0 - p) / max(1, self.sent)


@dataclass
class Race:
    """A site's flows played in some states of its links, as long as it takes; in states of its air instead,
    where that is known.

    Equal seeds play the same luck on the site before and after a change.
    """

    model: SiteModel
    flows: Sequence[SiteFlow]
    states: Sequence[State]
    parameters: RadioParameters
    tallies: list[list[Tally]] = field(init=False)

    def __post_init__(self) -> None:
        self.tallies = [[Tally() for _ in self.flows] for _ in self.states]

    def play(self, messages: int, seed: int) -> None:
        """Let each flow send about so many messages more in each state: at least one."""
        if not self.flows:
            return
        flows = tuple(replace(f, period_s=min(f.period_s, LONGEST_PERIOD_S)) for f in self.flows)
        duration = messages * max(flow.period_s for flow in flows)
        rate = sum(1.0 / flow.period_s for flow in flows)
        duration = max(STEADY_S, min(duration, MOST_MESSAGES / rate))
        parameters = self.model.parameters(self.parameters)
        for i, (state, tallies) in enumerate(zip(self.states, self.tallies, strict=True)):
            links = self.model.links
            if self.model.air is None:
                links = {key: LinkBelief.certain(state[key]) for key in links}
            site = replace(self.model, links=links, flows=flows)
            played = simulate(site.scenario(duration, seed + i, i), parameters, seed=seed + i)
            for tally, outcome in zip(tallies, played.flows, strict=True):
                tally.add(outcome)

    def deliveries(self, flow: int) -> list[float]:
        """Of one flow, in each state."""
        return [tallies[flow].delivery for tallies in self.tallies]

    def noise(self, flow: int) -> float:
        """Variance that counting adds to the mean over states."""
        found = [tallies[flow].variance for tallies in self.tallies]
        return sum(found) / len(found) ** 2

    def latency_ms(self, flow: int) -> tuple[float, float] | None:
        """Mean and 95th percentile over all states; None when nothing arrived."""
        tallies = [tallies[flow] for tallies in self.tallies]
        timed = sum(t.timed for t in tallies)
        if not timed:
            return None
        return sum(t.mean_ms for t in tallies) / timed, sum(t.p95_ms for t in tallies) / timed
