"""A scenario in arrays, as the kernel takes it. Nothing here depends on the seed but the scanning phases."""

from __future__ import annotations

import math
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
    """The tables of nodes, ears, powers and hearers. `phases` (ms): where each node's scanning begins."""
    owners = np.flatnonzero(listens)
    nodes = _nodes(scenario)
    nodes["ear"][owners] = np.arange(len(owners))
    # Those that relay send most: their powers lie together.
    nodes["column"][np.concatenate([owners, np.flatnonzero(~listens)])] = np.arange(len(nodes))
    ears = np.zeros(max(len(owners), 1), tables.EAR)
    ears["node"][: len(owners)], ears["phase"][: len(owners)] = owners, phases[owners]
    ears["deaf_from"] = -math.inf
    ears["floor"] = _ratio(noise_floor_dbm(scenario, parameters) + parameters.detector_loss_db)
    heard = np.flatnonzero(listens[links.receiver])
    lanes = 64 * words_of(len(ears))
    # Rows are a line longer, lest they all begin in the same few sets of the processor's cache.
    power = np.zeros((len(nodes), lanes + tables.LINE // 4), np.float32)
    turns = np.zeros(lanes, np.float32)
    turns[: len(owners)] = phases[owners] % scenario.configuration.scan_interval_ms
    strength = 10 ** (links.received_dbm[heard] / 10)
    power[nodes["column"][links.transmitter[heard]], nodes["ear"][links.receiver[heard]]] = strength
    least = float(ears["floor"][0]) * _ratio(parameters.sync_snr_db)
    heard_by = who_hears(power[:, : len(ears)], least)
    return {"nodes": nodes, "ears": ears, "power": power, "turns": turns, **heard_by}


def who_hears(power: NDArray[np.float32], least: float) -> dict[str, NDArray[np.uint64]]:
    """Bits for each transmitter's hearers, which get `least` (mW) of it and can notice it, and for each ear
    of whom anything comes there."""
    return {"hearers": _bits(power >= least), "audible": _bits((power > 0.0).T)}


def _bits(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """A row's flags in words, the first in the lowest bit."""
    words = np.zeros((len(flags), 8 * words_of(flags.shape[1])), np.uint8)
    packed = np.packbits(flags, axis=1, bitorder="little")
    words[:, : packed.shape[1]] = packed
    return words.view(np.uint64)


def words_of(ears: int) -> int:
    """Words of 64 bits that take a bit for each ear."""
    return -(-ears // 64)


def _nodes(scenario: Scenario) -> NDArray[np.void]:
    configuration = scenario.configuration
    nodes = np.zeros(len(scenario.nodes), tables.NODE)
    nodes["relay"] = [node.relay for node in scenario.nodes]
    nodes["own_count"] = configuration.network_transmit.count
    nodes["own_interval"] = configuration.network_transmit.interval_ms
    nodes["relay_count"] = configuration.relay_retransmit.count
    nodes["relay_interval"] = configuration.relay_retransmit.interval_ms
    nodes["alive"], nodes["ear"] = True, -1
    return nodes


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
        "floor": _ratio(noise_floor_dbm(scenario, parameters) + parameters.detector_loss_db),
        "sync_ratio": _ratio(parameters.sync_snr_db),
        "capture_ratio": _ratio(parameters.capture_db),
        "receiver_lock": parameters.receiver_lock,
        "burst_loss": parameters.burst_loss,
        "gap": parameters.channel_gap_ms,
        "wait": parameters.advertising_wait_ms,
        "delay": parameters.advertising_delay_ms,
        "shortest": timing.BYTE_MS * timing.SHORTEST_BYTES,
        "longest": timing.BYTE_MS * timing.LONGEST_BYTES,
        "end_after": 3 * timing.BYTE_MS * timing.LONGEST_BYTES + 2 * parameters.channel_gap_ms,
    }


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 10))


def _advertising(configuration: NetworkConfiguration) -> dict[str, float]:
    return {
        "scan_interval": configuration.scan_interval_ms,
        "scan_window": configuration.scan_window_ms,
        "rotations": 1 / (3 * configuration.scan_interval_ms),
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
