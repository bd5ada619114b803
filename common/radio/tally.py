"""From single messages to each flow's delivery, hops and latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.radio.outcome import FlowOutcome, Latency, Totals
from common.scenario import Flow


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that a play has found: the tables `messages`, `rows` and `flows`. NaN where nothing came."""

    flows: NDArray[np.void]
    messages: NDArray[np.void]
    rows: NDArray[np.void]
    totals: Totals


def flow_outcomes(flows: Sequence[Flow], record: Record) -> tuple[FlowOutcome, ...]:
    """In the order of `flows`, which is the record's."""
    row_flow = record.messages["flow"][record.rows["message"]]
    order = np.argsort(row_flow, kind="stable")
    order = order[_counted(record, row_flow)[order]]
    bounds = np.searchsorted(row_flow[order], np.arange(len(flows) + 1))
    return tuple(
        _flow_outcome(flow, record.rows[order[bounds[number] : bounds[number + 1]]])
        for number, flow in enumerate(flows)
    )


def _counted(record: Record, row_flow: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows of messages that were sent, but a source's own row in a group that it belongs to."""
    own = record.flows["source"][row_flow] == record.rows["node"]
    return np.asarray(record.messages["sent"][record.rows["message"]] & ~own)


def _flow_outcome(flow: Flow, rows: NDArray[np.void]) -> FlowOutcome:
    arrived = rows[~np.isnan(rows["one_way"])]
    sent, delivered = len(rows), len(arrived)
    back = rows["round_trip"][~np.isnan(rows["round_trip"])]
    messages = len(np.unique(rows["message"]))
    return FlowOutcome(
        source=flow.source,
        destination=flow.destination,
        sent=sent,
        delivered=delivered,
        pdr=delivered / sent if sent else 1.0,
        reached_any=len(np.unique(arrived["message"])) / messages if sent else 1.0,
        hops=float(arrived["hops"].mean()) if delivered else 0.0,
        one_way_ms=latency(arrived["one_way"]),
        answered=len(back) if flow.acknowledged else None,
        round_trip_ms=latency(back) if flow.acknowledged else None,
    )


def latency(samples: NDArray[np.float64]) -> Latency | None:
    """Statistics of samples in milliseconds; None without any."""
    if not len(samples):
        return None
    p50, p95, p99 = np.percentile(samples, (50, 95, 99))
    error = samples.std(ddof=1) / len(samples) ** 0.5 if len(samples) > 1 else 0.0
    return Latency(float(samples.mean()), float(p50), float(p95), float(p99), float(error))
