"""One site prepared for many plays that differ in configuration alone.

Who hears whom is worked out once, traffic and scanning phases once for each seed and length. What is left is
the event simulator's kernel, and counting. The outcome is that of `common.radio.simulate`, number for number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.radio import RadioParameters, compilation, packing
from common.radio.play import until_it_fits
from common.radio.propagation import links
from common.radio.tables import World
from common.radio.traffic import traffic
from common.scenario import Flow, Scenario
from coordinator.twin.site_model import SiteConfiguration, SiteModel
from coordinator.twin.site_scenario import configured_times, nodes_of

Floats = NDArray[np.float64]

KEPT_TRAFFIC: Final = 16


@dataclass(frozen=True)
class Played:
    """Per flow [F]: messages times recipients `sent`, and of these `arrived` (of acknowledged flows, those
    answered); milliseconds one way that 95 % keep, NaN where nobody has set a limit or nothing came."""

    sent: Floats
    arrived: Floats
    p95_ms: Floats
    transmissions: int
    simulated_s: float


class Stage:
    """Plays configurations of one site."""

    def __init__(self, model: SiteModel, parameters: RadioParameters) -> None:
        compilation.warm()
        self._model, self._parameters = model, model.parameters(parameters)
        self._scenario = model.scenario()
        self._flows: list[tuple[int, Flow]] = list(enumerate(self._scenario.flows))
        self._index = {address: place for place, address in enumerate(model.addresses)}
        flows = self._scenario.flows
        none, every = (nodes_of(model.with_relays(on)) for on in ((), model.addresses))
        self._nodes = {False: none, True: every}
        self._who = packing.recipients(self._scenario, flows, self._index)
        parameters = self._parameters
        weakest = packing.noise_floor_dbm(self._scenario, parameters) + parameters.interference_floor_db
        self._links = links(self._scenario, weakest)
        self._members = packing.members(self._who, len(self._index))
        self._limited = [i for i, flow in enumerate(model.flows) if flow.limit_ms is not None]
        self._traffic = lru_cache(KEPT_TRAFFIC)(self._new_traffic)

    def play(self, configuration: SiteConfiguration, seed: int, seconds: float) -> Played:
        """Equal arguments give equal results."""
        scenario = self._under(configuration)
        listens = packing.listeners(scenario, scenario.flows, self._index, self._who)
        messages, phases = self._traffic(seed, seconds)
        fixed = {
            **packing.network(scenario, self._links, listens, phases, self._parameters),
            **messages,
            "site": packing.site(scenario, self._parameters),
            "members": self._members,
        }
        cache = scenario.configuration.message_cache
        return self._counted(until_it_fits(fixed, cache, self._parameters.queue_length, seed))

    def _under(self, configuration: SiteConfiguration) -> Scenario:
        """The same site with other settings, of nodes made once."""
        times = configured_times(self._model.with_configuration(configuration))
        nodes = [self._nodes[address in configuration.relays][i] for address, i in self._index.items()]
        return self._scenario.model_copy(update={"nodes": nodes, "configuration": times})

    def _new_traffic(self, seed: int, seconds: float) -> tuple[dict[str, NDArray[Any]], Floats]:
        rotation = 3 * self._scenario.configuration.scan_interval_ms
        phases = rotation * np.random.default_rng((seed, 1 << 32)).random(len(self._scenario.nodes))
        return traffic(self._scenario, self._flows, self._index, self._who, seconds, seed), phases

    def _counted(self, world: World) -> Played:
        rows, flows, status = world.rows, world.flows, world.status[0]
        flow = world.messages["flow"][rows["message"]]
        counted = world.messages["sent"][rows["message"]] & (flows["source"][flow] != rows["node"])
        arrived = ~np.isnan(np.where(flows["acknowledged"][flow], rows["round_trip"], rows["one_way"]))
        count = len(flows)
        p95 = np.full(count, np.nan)
        for number in self._limited:
            times = rows["one_way"][(flow == number) & counted]
            times = times[~np.isnan(times)]
            if len(times):
                p95[number] = np.percentile(times, 95)
        return Played(
            np.bincount(flow[counted], minlength=count).astype(np.float64),
            np.bincount(flow[counted & arrived], minlength=count).astype(np.float64),
            p95,
            int(status["transmissions"]),
            float(status["clock"]) / 1000,
        )
