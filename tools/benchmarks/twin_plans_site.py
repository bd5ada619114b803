"""A site as it really is, drawn by seed, of which no twin is told: walls, drift, bursts, unseen traffic.

The event simulator plays it. What of a play may be told, and to whom, is `twin_plans_watch`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.mesh.configuration import Transmit
from common.radio import RadioParameters
from common.radio.play import run
from common.radio.tally import Record
from coordinator.twin.reception import attenuation_at
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel, Stack

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GATEWAY: Final = 1
UNSEEN: Final = 0xC0AA
"""A group that no gateway listens to."""

GOOD_PDR: Final = (0.3, 0.5, 0.7)
"""Every node has a way to the gateway over links as good as this: sites are weak, middling, or sound."""

DRIFT_S: Final = 900.0
"""In which a link's drift forgets where it was."""

SEGMENT_S: Final = 60.0
"""A site stands still for so long."""

QUIET: Final = 0.7
"""Share of segments without a burst of interference."""


@dataclass(frozen=True)
class Truth:
    """What is drawn once. `attenuation` [N, N] in dB, row transmits; `drift_db` is its deviation over time;
    `spoilt` and `bursts` are the shares of packets that other networks destroy, always and at times."""

    model: SiteModel
    attenuation: Floats
    drift_db: float
    spoilt: float
    bursts: float
    shadowing_db: float


class HiddenSite:
    """Time passes by segments; `play` lets the flows of one live through the air of now."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self.truth = truth
        self.model = truth.model
        self._seed = seed
        self._random = np.random.default_rng((seed, 3))
        size = len(truth.attenuation)
        self._drift = truth.drift_db * _symmetric(self._random, size)
        self.parameters = RadioParameters(burst_loss=truth.spoilt)

    def pass_time(self) -> None:
        """A segment later."""
        kept = float(np.exp(-SEGMENT_S / DRIFT_S))
        step = self.truth.drift_db * _symmetric(self._random, len(self._drift))
        self._drift = kept * self._drift + (1.0 - kept**2) ** 0.5 * step
        burst = self.truth.bursts if self._random.random() > QUIET else 0.0
        self.parameters = RadioParameters(burst_loss=1.0 - (1.0 - self.truth.spoilt) * (1.0 - burst))

    def settle(self) -> None:
        """The mean share of bursts from now on: what a long time has of them."""
        mean = self.truth.bursts * (1.0 - QUIET)
        self.parameters = RadioParameters(burst_loss=1.0 - (1.0 - self.truth.spoilt) * (1.0 - mean))

    @property
    def attenuation(self) -> Floats:
        """[N, N] dB, of now."""
        now: Floats = self.truth.attenuation + self._drift
        return now

    def play(self, flows: tuple[SiteFlow, ...], seconds: float, seed: int, **site: Any) -> Record:
        """What becomes of single messages. `site` replaces fields of the scenario's configuration."""
        model = replace(self.model, flows=flows, links=self._links())
        scenario = model.scenario(seconds)
        times = scenario.configuration.model_copy(update=site)
        scenario = scenario.model_copy(update={"configuration": times})
        return run(scenario, self.parameters, list(enumerate(scenario.flows)), seed, seconds)

    def _links(self) -> dict[tuple[int, int], LinkBelief]:
        known, addresses = self.attenuation, self.model.addresses
        return {
            (a, b): LinkBelief.certain(0.0, float(known[i, j]))
            for i, a in enumerate(addresses)
            for j, b in enumerate(addresses)
            if i != j and known[i, j] < 125.0
        }


def hidden_site(seed: int) -> HiddenSite:
    """Site number `seed`."""
    random = np.random.default_rng((seed, 1))
    size = int(random.integers(20, 41))
    shadowing = float(random.uniform(4.0, 8.0))
    reach_db = _reach(GOOD_PDR[seed % len(GOOD_PDR)])
    attenuation = _attenuation(random, size, shadowing, reach_db)
    addresses = tuple(range(1, size + 1))
    relays = _relays(random, attenuation < reach_db)
    times = SiteConfiguration(
        relays, 7, Transmit(int(random.integers(2, 4)), 20), Transmit(int(random.integers(1, 4)), 20)
    )
    flows, members = _flows(random, addresses)
    model = SiteModel(
        addresses, (GATEWAY,), {}, times, flows, {UNSEEN: members}, capable=frozenset(addresses) - {GATEWAY}
    )
    # What nodes are made of is hidden, too.
    stack = Stack(int(random.choice([1, 2, 4])), message_cache=int(random.choice([32, 64, 256])))
    model = replace(model, stack=stack)
    truth = Truth(
        model,
        attenuation,
        drift_db=float(random.uniform(0.3, 1.2)),
        spoilt=float(random.uniform(0.0, 0.06)),
        bursts=float(random.uniform(0.0, 0.15)),
        shadowing_db=shadowing,
    )
    return HiddenSite(truth, seed)


def _attenuation(random: np.random.Generator, size: int, shadowing: float, reach_db: float) -> Floats:
    """A law of distance with walls, transmitters and receivers that differ, and no two ways quite alike;
    scaled so that a node hears so many well, and drawn again while some node is cut off."""
    neighbours = random.uniform(4.0, 14.0)
    while True:
        places = random.uniform(0.0, 1.0, (size, 2)) * [1.6, 1.0]
        distance = np.hypot(*(places[:, None, :] - places).transpose(2, 0, 1))
        loss = 10.0 * random.uniform(2.0, 3.6) * np.log10(np.maximum(distance, 0.01))
        loss += shadowing * _symmetric(random, size)
        loss += random.normal(0.0, 1.5, size)[:, None] + random.normal(0.0, 1.5, size)[None, :]
        loss += random.normal(0.0, 0.7, (size, size))
        np.fill_diagonal(loss, np.inf)
        level = np.quantile(loss[np.isfinite(loss)], min(0.9, neighbours / (size - 1)))
        loss += reach_db - level
        if _reached(loss < reach_db, set(range(size))) == size:
            np.fill_diagonal(loss, 300.0)
            return np.asarray(loss)


def _reach(pdr: float) -> float:
    """The attenuation at which a link is so good."""
    return attenuation_at(pdr)


def _relays(random: np.random.Generator, good: Bools) -> frozenset[int]:
    """Enough relays to reach everybody, and some more by chance."""
    size = len(good)
    relays: set[int] = set()
    while _reached(good, relays) < size:
        best = [(_reached(good, relays | {i}), random.random(), i) for i in range(1, size)]
        relays.add(max(best)[2])
    spare = [i for i in range(1, size) if i not in relays]
    more = min(len(spare), int(round(len(relays) * random.uniform(0.5, 2.5))))
    relays |= set(random.choice(spare, more, replace=False).tolist())
    return frozenset(i + 1 for i in relays)


def _reached(good: Bools, relays: set[int]) -> int:
    """Nodes to and from which the gateway has a way over good links."""
    both = good & good.T
    seen, todo = {0}, [0]
    while todo:
        for node in np.flatnonzero(both[todo.pop()]).tolist():
            if node not in seen:
                seen.add(node)
                if node in relays:
                    todo.append(node)
    return len(seen)


def _flows(
    random: np.random.Generator, addresses: tuple[int, ...]
) -> tuple[tuple[SiteFlow, ...], tuple[int, ...]]:
    """Readings to the gateway, its questions, and what nodes tell each other."""
    period = float(np.exp(random.uniform(np.log(4.0), np.log(40.0))))
    readings = [SiteFlow(a, GATEWAY, period * random.uniform(0.8, 1.0)) for a in addresses[1:]]
    asked = [
        SiteFlow(GATEWAY, a, 40.0, 2, acknowledged=True, response_delay_ms=8.0, flow_class="lighting")
        for a in addresses[1:]
    ]
    chosen = random.choice(addresses[1:], 6, replace=False).tolist()
    among = [SiteFlow(a, UNSEEN, float(random.uniform(8.0, 30.0)), 6) for a in chosen[:3]]
    return (*readings, *asked, *among), tuple(sorted(chosen[3:]))


def _symmetric(random: np.random.Generator, size: int) -> Floats:
    drawn = np.triu(random.normal(size=(size, size)), 1)
    return np.asarray(drawn + drawn.T)
