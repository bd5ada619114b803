"""A site as it really is, which the twin does not know: the event simulator plays it. Hands that change and
count it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from common.errors import Unavailable
from common.mesh.configuration import Transmit
from common.radio import RadioParameters, simulate
from coordinator.recipes.applying import Ordered
from coordinator.recipes.judgement import Count, Key
from coordinator.recipes.plan import NodeSetting
from coordinator.twin.reception import pdr_at
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel
from tools.benchmarks.twin_plans_applied import with_settings


class Killed(BaseException):
    """The coordinator's process is gone."""


@dataclass
class Reality:
    """`truth` is the site; orders are carried out once for each id, whoever repeats them. `dies_at` kills the
    process that asks, before or after its n-th question is answered; `away`: no gateway is there; `lost` are
    orders that do not arrive."""

    truth: SiteModel
    dies_at: float = float("inf")
    away: bool = False
    lost: int = 0
    done: dict[str, Ordered] = field(default_factory=dict)
    carried_out: list[str] = field(default_factory=list)
    questions: int = 0
    played: int = 0
    parameters: RadioParameters = field(default_factory=RadioParameters)

    async def whom(self) -> str:
        if self.away:
            raise Unavailable("no gateway of the site is live")
        return "gw-1"

    async def change(
        self,
        command_id: str,
        gateway: str,
        settings: tuple[NodeSetting, ...],
        expects: tuple[int, ...],
        cause: str,
    ) -> Ordered:
        self._count_question(0.0)
        if self.lost > 0:
            self.lost -= 1
            raise Unavailable("the broker is gone")
        if command_id not in self.done:
            self.carried_out.append(command_id)
            self.done[command_id] = Ordered(True)
            self.truth = self.truth.with_configuration(with_settings(self.truth.configuration, settings))
        self._count_question(0.5)
        return self.done[command_id]

    async def count(self, keys: Collection[Key], times: int) -> Mapping[Key, Count]:
        self._count_question(0.0)
        self.played += 1
        found = self.play(times, 1000 + self.played)
        self._count_question(0.5)
        return {key: count for key, count in found.items() if key in keys}

    def play(self, messages: int, seed: int) -> dict[Key, Count]:
        """So many messages of each flow, as they really fare."""
        seconds = messages * self.truth.flows[0].period_s
        scenario = self.truth.scenario(seconds)
        outcome = simulate(scenario, self.parameters, seed=seed, duration_s=seconds)
        return {(f.source, f.destination): Count(f.sent, f.delivered) for f in outcome.flows}

    @property
    def keys(self) -> list[Key]:
        return [(flow.source, flow.destination) for flow in self.truth.flows]

    def _count_question(self, half: float) -> None:
        self.questions += half == 0.0
        if self.questions + half > self.dies_at:
            self.dies_at = float("inf")
            raise Killed


AREA_M = 65.0
HIDDEN_LOSS = 0.03
PROBES = 400


def hidden_site(seed: int, nodes: int = 30, relays: int = 14) -> tuple[Reality, SiteModel]:
    """A site with walls and bursts of interference that nobody told the twin of, and what the twin believes
    of it after so many probes on every link."""
    random = np.random.default_rng(seed)
    places = {a: tuple(random.uniform(0.0, AREA_M, 2)) for a in range(1, nodes + 1)}
    truth, beliefs = {}, {}
    for a in places:
        for b in places:
            if a != b:
                distance = max(1.0, float(np.hypot(*np.subtract(places[a], places[b]))))
                loss = 58.0 + 30.0 * np.log10(distance) + random.normal(0.0, 5.0)
                heard = pdr_at(loss) * (1.0 - HIDDEN_LOSS)
                truth[a, b] = LinkBelief.certain(pdr_at(loss), float(loss))
                count = int(random.binomial(PROBES, heard))
                if count:
                    beliefs[a, b] = LinkBelief.counted(count, PROBES - count)
    chosen = frozenset(int(a) for a in random.choice(range(2, nodes + 1), relays, replace=False))
    times = SiteConfiguration(chosen, 7, Transmit(2, 20), Transmit(2, 20))
    flows = tuple(SiteFlow(node, 1, 15.0) for node in places if node != 1)
    known = SiteModel(tuple(places), (1,), beliefs, times, flows, capable=frozenset(places))
    real = replace(known, links=truth)
    return Reality(real, parameters=RadioParameters(burst_loss=HIDDEN_LOSS)), known
