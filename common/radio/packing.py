"""A scenario in arrays, as the kernel takes it. Nothing here depends on the seed but the scanning phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.radio import tables, timing
from common.radio.parameters import DEFAULT, RadioParameters
from common.radio.propagation import THERMAL_FLOOR_DBM, Links
from common.scenario import Flow, NetworkConfiguration, Scenario


def noise_floor_dbm(scenario: Scenario, parameters: RadioParameters) -> float:
    """What a receiver hears when nobody sends."""
    return THERMAL_FLOOR_DBM + scenario.radio.noise_figure_db + parameters.extra_noise_db


FAR_SNR_DB = 6.0
DENSE, MANY = 40, 64
"""Signals over the noise floor by less than FAR_SNR_DB are not followed singly, but drawn at random, as often
as they may be there. At a site of MANY receivers that notice DENSE transmitters each, this holds for all
that are too weak to be noticed: it costs 1 to 4 % of latency there, and halves the work. At smaller or
sparser sites it would cost up to 3 % of delivery, for work that is cheap."""


def followed(
    scenario: Scenario, parameters: RadioParameters, links: Links, heard: NDArray[np.bool_], ears: int
) -> NDArray[np.bool_]:
    """Which links are followed signal by signal: all that can be received, and many that only disturb."""
    floor = noise_floor_dbm(scenario, parameters)
    noticed = floor + parameters.detector_loss_db + parameters.sync_snr_db
    strong = int((heard & (links.received_dbm >= noticed)).sum())
    dense = ears >= MANY and strong >= DENSE * ears
    weakest = noticed if dense else min(noticed, floor + FAR_SNR_DB)
    return np.asarray(links.received_dbm >= weakest)


@dataclass(frozen=True, slots=True)
class Recipients:
    """Destinations of flows as the kernel knows them: a node's index, or -1 - group for a group.

    `members[group]` are indices, ascending.
    """

    destinations: list[int]
    members: list[NDArray[np.int64]]

    def of(self, flow: int, source: int) -> NDArray[np.int64]:
        """Who shall get a flow's messages. A group's row for the source itself stays empty."""
        destination = self.destinations[flow]
        if destination < 0:
            return self.members[-1 - destination]
        return np.array([] if destination == source else [destination], dtype=np.int64)


def recipients(scenario: Scenario, flows: Sequence[Flow], index: dict[int, int]) -> Recipients:
    """Resolve every flow's destination."""
    groups: dict[int, int] = {}
    destinations: list[int] = []
    members: list[NDArray[np.int64]] = []
    for flow in flows:
        if flow.destination in index:
            destinations.append(index[flow.destination])
            continue
        if flow.destination not in groups:
            groups[flow.destination] = len(members)
            named = {index[address] for address in scenario.groups[flow.destination]}
            members.append(np.array(sorted(named), dtype=np.int64))
        destinations.append(-1 - groups[flow.destination])
    return Recipients(destinations, members)


def listeners(
    scenario: Scenario, flows: Sequence[Flow], index: dict[int, int], who: Recipients
) -> NDArray[np.bool_]:
    """Nodes whose reception can matter: relays, recipients, and sources that wait for an answer."""
    listens = np.array([node.relay for node in scenario.nodes])
    for number, flow in enumerate(flows):
        listens[who.of(number, index[flow.source])] = True
        if flow.acknowledged or timing.segments(flow.payload_bytes) > 1:
            listens[index[flow.source]] = True
    return listens


def network(
    scenario: Scenario,
    links: Links,
    listens: NDArray[np.bool_],
    phases: NDArray[np.float64],
    parameters: RadioParameters = DEFAULT,
) -> dict[str, NDArray[Any]]:
    """The tables of nodes, ears and links. `phases` (ms): where each node's scanning is at the beginning."""
    size, ears = len(scenario.nodes), np.flatnonzero(listens)
    nodes = np.zeros(size + 1, tables.NODE)
    nodes["relay"][:size] = [node.relay for node in scenario.nodes]
    configuration = scenario.configuration
    nodes["own_count"] = configuration.network_transmit.count
    nodes["own_interval"] = configuration.network_transmit.interval_ms
    nodes["relay_count"] = configuration.relay_retransmit.count
    nodes["relay_interval"] = configuration.relay_retransmit.interval_ms
    nodes["alive"] = True
    nodes["ear"] = -1
    nodes["ear"][ears] = np.arange(len(ears))
    table = np.zeros(max(len(ears), 1), tables.EAR)
    table["floor"] = _ratio(noise_floor_dbm(scenario, parameters) + parameters.detector_loss_db)
    owners = np.zeros(len(table), np.int32)
    owners[: len(ears)] = ears
    heard = listens[links.receiver]
    near = followed(scenario, parameters, links, heard, len(ears))
    strong, weak = np.flatnonzero(heard & near), np.flatnonzero(heard & ~near)
    rank = np.empty(size, np.int64)
    rank[np.argsort(phases, kind="stable")] = np.arange(size)
    order = np.argsort(links.transmitter[strong].astype(np.int64) * size + rank[links.receiver[strong]])
    nodes["first_link"] = np.searchsorted(links.transmitter[strong], np.arange(size + 1))
    strong = strong[order]
    near_links = np.zeros(len(strong), tables.LINK)
    near_links["ear"] = nodes["ear"][links.receiver[strong]]
    near_links["power"] = 10 ** (links.received_dbm[strong] / 10)
    near_links["phase"] = phases[links.receiver[strong]]
    far = _far(links, weak, nodes, len(table))
    return {"links": near_links, "nodes": nodes, "ears": table, "owners": owners, "far": far}


def _far(links: Links, weak: NDArray[np.int64], nodes: NDArray[np.void], ears: int) -> NDArray[np.float32]:
    """What each advertising event adds to the mean power at each ear, of transmitters that are too weak."""
    if not len(weak):
        return np.zeros((0, ears), np.float32)
    far = np.zeros(((len(nodes) - 1), ears), np.float32)
    power = tables.FAR_SHARE * 10 ** (links.received_dbm[weak] / 10)
    far[links.transmitter[weak], nodes["ear"][links.receiver[weak]]] = power
    return far


def members(who: Recipients, size: int) -> NDArray[np.void]:
    """The table of groups: at least one, as an empty table would have no columns."""
    table = np.zeros((max(len(who.members), 1), size), tables.MEMBER)
    for group, nodes in enumerate(who.members):
        table["belongs"][group, nodes] = True
        table["place"][group, nodes] = np.arange(len(nodes))
    return table


def site(scenario: Scenario, parameters: RadioParameters) -> NDArray[np.void]:
    """All that holds for the whole site."""
    configuration = scenario.configuration
    values = _air(scenario, parameters) | _advertising(configuration) | _TRANSPORT
    table = np.zeros(1, tables.SITE)
    for name, value in (values | {"nodes": len(scenario.nodes)}).items():
        table[name] = value
    return table


def _air(scenario: Scenario, parameters: RadioParameters) -> dict[str, float]:
    return {
        "noise": _ratio(noise_floor_dbm(scenario, parameters)),
        "sync_ratio": _ratio(parameters.sync_snr_db),
        "capture_ratio": _ratio(parameters.capture_db),
        "receiver_lock": parameters.receiver_lock,
        "burst_loss": parameters.burst_loss,
        "gap": parameters.channel_gap_ms,
        "wait": parameters.advertising_wait_ms,
        "delay": parameters.advertising_delay_ms,
        "end_after": 3 * timing.BYTE_MS * timing.LONGEST_BYTES + 2 * parameters.channel_gap_ms,
    }


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 10))


def _advertising(configuration: NetworkConfiguration) -> dict[str, float]:
    return {
        "scan_interval": configuration.scan_interval_ms,
        "scan_window": configuration.scan_window_ms,
        "sets": 1 + configuration.relay_sets,
    }


_TRANSPORT: Final = {
    "segment_interval": timing.SEGMENT_INTERVAL_MS,
    "segment_retries": timing.SEGMENT_RETRIES,
    "acknowledge_after": timing.ACKNOWLEDGEMENT_SEGMENTS,
    "group_response_from": timing.GROUP_RESPONSE_MS[0],
    "group_response_to": timing.GROUP_RESPONSE_MS[1],
    "full_bytes": timing.FULL_SEGMENT_BYTES,
    "acknowledgement_bytes": timing.ACKNOWLEDGEMENT_BYTES,
}
