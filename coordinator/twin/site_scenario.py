"""Between a site model and a scenario: what the event simulator runs, and scenario files as sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from common.mesh.configuration import Transmit
from common.mesh.graph import LinkKey
from common.radio import RadioParameters
from common.radio.propagation import links
from common.scenario import Flow, NetworkConfiguration, Node, Radio, Scenario, TransmitTimes
from coordinator.twin.reception import attenuation_at, noise_dbm, pdr_at
from coordinator.twin.site_air import Air
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel, Stack


def scenario_of(
    model: SiteModel, duration_s: float = 60.0, seed: int = 1, state: int | None = None
) -> Scenario:
    """What the event simulator needs of a site, in a state of its air, where that is known. Otherwise a link
    of unknown attenuation gets that of its mean PDR.

    The parts come from a model, which is not an outside input, and are not validated again.
    """
    return Scenario.model_construct(
        nodes=nodes_of(model),
        links=_links(model) if model.air is None else _all_links(model, model.air, state),
        attenuation_db=None,
        radio=Radio.model_construct(noise_figure_db=model.stack.noise_figure_db),
        configuration=configured_times(model),
        flows=[_flow(flow) for flow in model.flows],
        groups={group: list(members) for group, members in model.groups.items()},
        duration_s=duration_s,
        seed=seed,
    )


def configured(model: SiteModel, scenario: Scenario) -> Scenario:
    """The scenario with the model's configuration in place of its own, the rest shared."""
    return scenario.model_copy(update={"nodes": nodes_of(model), "configuration": configured_times(model)})


def nodes_of(model: SiteModel) -> list[Node]:
    """The nodes, relaying as the model's configuration says."""
    return [_node(model, address) for address in model.addresses]


def site_of(scenario: Scenario) -> SiteModel:
    """A scenario as a site: its links are certain, and every node can relay.

    Where most flows end is taken for the gateway. Raises nothing: scenarios are valid.
    """
    power = {node.address: node.tx_power_dbm for node in scenario.nodes}
    times = scenario.configuration
    return SiteModel(
        addresses=tuple(node.address for node in scenario.nodes),
        gateways=_gateways(scenario),
        links=_beliefs(scenario, power),
        configuration=SiteConfiguration(
            frozenset(node.address for node in scenario.nodes if node.relay),
            times.ttl,
            times.network_transmit.transmit(),
            times.relay_retransmit.transmit(),
        ),
        flows=tuple(_site_flow(flow) for flow in scenario.flows),
        groups={group: tuple(members) for group, members in scenario.groups.items()},
        capable=frozenset(power),
        positions={node.address: (node.x, node.y) for node in scenario.nodes},
        tx_power_dbm=power,
        stack=Stack(
            times.relay_sets,
            times.scan_window_ms,
            times.scan_interval_ms,
            times.message_cache,
            scenario.radio.noise_figure_db,
        ),
    )


def _node(model: SiteModel, address: int) -> Node:
    x, y = model.positions.get(address, (0.0, 0.0))
    power = model.tx_power_dbm.get(address, 0.0)
    relay = address in model.relays
    return Node.model_construct(address=address, x=x, y=y, relay=relay, tx_power_dbm=power)


def _links(model: SiteModel) -> list[tuple[int, int, float]]:
    power, noise = model.tx_power_dbm, model.stack.noise_figure_db
    listening = model.stack.scan_window_ms / model.stack.scan_interval_ms
    return [
        (
            a,
            b,
            attenuation_at(belief.pdr / listening, power.get(a, 0.0), noise)
            if belief.attenuation_db is None
            else belief.attenuation_db,
        )
        for (a, b), belief in model.links.items()
    ]


def _all_links(model: SiteModel, air: Air, state: int | None) -> list[tuple[int, int, float]]:
    """Every signal of the air, and the links of nodes that it does not know."""
    covered = set(air.addresses)
    new = {key: belief for key, belief in model.links.items() if not covered.issuperset(key)}
    return [*air.attenuations(model, state), *_links(replace(model, links=new))]


def configured_times(model: SiteModel) -> NetworkConfiguration:
    """TTL and retransmits of the model's configuration, and what nodes are built with."""
    chosen, stack = model.configuration, model.stack
    return NetworkConfiguration.model_construct(
        ttl=chosen.ttl,
        network_transmit=_times(chosen.network_transmit),
        relay_retransmit=_times(chosen.relay_retransmit),
        relay_sets=stack.relay_sets,
        scan_window_ms=stack.scan_window_ms,
        scan_interval_ms=stack.scan_interval_ms,
        message_cache=stack.message_cache,
    )


def _times(transmit: Transmit) -> TransmitTimes:
    return TransmitTimes.model_construct(count=transmit.count, interval_ms=transmit.interval_ms)


def _flow(flow: SiteFlow) -> Flow:
    values: dict[str, Any] = {name: getattr(flow, name) for name in _SHARED}
    values["class"] = flow.flow_class
    return Flow.model_construct(None, **values)


def _site_flow(flow: Flow) -> SiteFlow:
    return SiteFlow(**{name: getattr(flow, name) for name in _SHARED}, flow_class=flow.flow_class)


_SHARED = (
    "source",
    "destination",
    "period_s",
    "offset_s",
    "payload_bytes",
    "acknowledged",
    "response_bytes",
    "response_delay_ms",
)


def _gateways(scenario: Scenario) -> tuple[int, ...]:
    ends = Counter(flow.destination for flow in scenario.flows if flow.destination not in scenario.groups)
    return tuple(address for address, _ in ends.most_common(1))


def _beliefs(scenario: Scenario, power: dict[int, float]) -> dict[LinkKey, LinkBelief]:
    noise, times = scenario.radio.noise_figure_db, scenario.configuration
    listening = times.scan_window_ms / times.scan_interval_ms
    return {
        (a, b): LinkBelief.certain(listening * pdr_at(attenuation, power[a], noise), attenuation)
        for a, b, attenuation in _attenuations(scenario, power)
    }


def _attenuations(scenario: Scenario, power: dict[int, float]) -> Iterator[tuple[int, int, float]]:
    """Of all pairs that hear or disturb each other, as the simulator takes them."""
    found = links(scenario, noise_dbm(scenario.radio.noise_figure_db, RadioParameters()))
    addresses = [node.address for node in scenario.nodes]
    for i, j, received in zip(
        found.transmitter.tolist(), found.receiver.tolist(), found.received_dbm.tolist(), strict=True
    ):
        yield addresses[i], addresses[j], power[addresses[i]] - received
