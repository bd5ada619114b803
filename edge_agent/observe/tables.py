"""What was observed in a period, as the tables of the durable stream (`common.messages.KEY_COLUMNS`)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from common.averages import mean
from common.codec import Table, rows
from common.mesh.configuration import Transmit
from common.mesh.graph import LinkKey
from common.messages import Configuration
from common.messages import NodeRecord as WireNode
from common.policy.service import Service
from edge_agent.infer.expectation import Expectation
from edge_agent.observe.flows import FlowBook
from edge_agent.observe.links import LinkBook
from edge_agent.observe.nodes import NodeBook

NAN = float("nan")
MAX_TABLE_ROWS = 4_000
"""Rows of one message: 4,000 links are 130 kB."""


def split(table: Table, most: int = MAX_TABLE_ROWS) -> list[Table]:
    """A table in pieces that fit a message each; none for an empty one."""
    return [
        {name: column[start : start + most] for name, column in table.items()}
        for start in range(0, rows(table), most)
    ]


def links_table(links: LinkBook, expectations: Mapping[LinkKey, Expectation], t: float) -> Table:
    """One row per link reported in the period.

    Metrics: `heard`, `expected` (probes), `pdr`, `pdr_upper` (one transmission), `forecast` (next period's),
    `transmissions`, `rssi_dbm`.
    """
    new = links.take_new()
    return {
        "t": array("d", [t] * len(new)),
        "transmitter": array("H", [key[0] for key, *_ in new]),
        "receiver": array("H", [key[1] for key, *_ in new]),
        "heard": array("H", [min(heard, 65535) for *_, heard, _ in new]),
        "expected": array("H", [min(expected, 65535) for *_, expected in new]),
        "pdr": array("f", [link.pdr for _, link, *_ in new]),
        "pdr_upper": array("f", [link.best_pdr for _, link, *_ in new]),
        "forecast": array("f", [expectations[k].next_pdr if k in expectations else NAN for k, *_ in new]),
        "transmissions": array("B", [min(link.transmissions, 255) for _, link, *_ in new]),
        "rssi_dbm": array("f", [NAN if r.rssi_dbm is None else r.rssi_dbm for _, r, *_ in new]),
    }


def nodes_table(nodes: NodeBook, service: Service, now: float, t: float) -> Table:
    """One row per node. Metrics: `alive` (0, 1), `silent_s` since its last sign of life, `delivery` expected
    to and from the gateway, `hops`, `relay` (0, 1, 255 unknown); over its last answers `round_trip_ms` and
    `round_trip_slope` (ms per minute)."""
    known = sorted(nodes.items())
    answers = [record.round_trips.features(now) for _, record in known]
    return {
        "t": array("d", [t] * len(known)),
        "address": array("H", [address for address, _ in known]),
        "alive": array("B", [record.dead_since is None for _, record in known]),
        "silent_s": array("f", [max(0.0, now - record.heard_at) for _, record in known]),
        "delivery": array("f", [service.of(address) for address, _ in known]),
        "hops": array("f", [service.hops.get(address, NAN) for address, _ in known]),
        "relay": array("B", [_flag(record.configuration.relay) for _, record in known]),
        "round_trip_ms": array("f", [found.ewma * 1e3 for found in answers]),
        "round_trip_slope": array("f", [found.slope * 6e4 for found in answers]),
    }


def flows_table(flows: FlowBook, period_s: float, t: float) -> Table:
    """One row per flow seen in the period. Metrics: `messages`, `bytes`, `messages_per_s`, `requests`,
    `answers`, `round_trip_ms` and `hops` (means; NaN without any)."""
    taken = list(flows.take())
    return {
        "t": array("d", [t] * len(taken)),
        "source": array("H", [key[0] for key, _ in taken]),
        "destination": array("H", [key[1] for key, _ in taken]),
        "flow_class": array("B", [key[2] for key, _ in taken]),
        "messages": array("I", [flow.messages for _, flow in taken]),
        "bytes": array("I", [flow.bytes for _, flow in taken]),
        "messages_per_s": array("f", [flow.messages / period_s for _, flow in taken]),
        "requests": array("I", [flow.requests for _, flow in taken]),
        "answers": array("I", [flow.answers for _, flow in taken]),
        "round_trip_ms": array("f", [_mean(flow.round_trips_ms) for _, flow in taken]),
        "hops": array("f", [_mean(flow.hops) for _, flow in taken]),
    }


def configuration(nodes: NodeBook, service: Service, homes: Mapping[int, str], version: int) -> Configuration:
    """A snapshot of every node's configuration, as this gateway knows it."""
    return Configuration(
        version=version,
        nodes=[
            WireNode(
                address=address,
                relay=record.configuration.relay,
                default_ttl=record.configuration.default_ttl,
                network_transmit=_pair(record.configuration.network_transmit),
                relay_retransmit=_pair(record.configuration.relay_retransmit),
                alive=record.dead_since is None,
                name=record.name,
                home=homes.get(address, ""),
                hops=service.hops.get(address),
            )
            for address, record in sorted(nodes.items())
        ],
    )


def _pair(transmit: Transmit | None) -> list[int] | None:
    return None if transmit is None else [transmit.count, transmit.interval_ms]


def _flag(value: bool | None) -> int:
    return 255 if value is None else int(value)


def _mean(values: list[float] | list[int]) -> float:
    return mean(values) if values else NAN
