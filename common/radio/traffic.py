"""When each flow sends what, and to whom: drawn from the seed alone, so that two configurations of a site are
compared under the same traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Rejected, RejectReason
from common.radio import tables, timing
from common.radio.packing import Recipients
from common.scenario import Flow, Scenario

PERIOD_JITTER = 0.05
MAX_ROWS = 100_000_000
"""Messages times recipients: 4 GB of results."""


def traffic(
    scenario: Scenario,
    flows: Sequence[tuple[int, Flow]],
    index: dict[int, int],
    who: Recipients,
    duration_s: float,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """The tables of flows, messages, rows and failures. `flows` come with their numbers in the scenario.

    Raises Rejected for more messages than fit in memory.
    """
    sources = [index[flow.source] for _, flow in flows]
    targets = [who.of(place, source) for place, source in enumerate(sources)]
    _check_size(flows, targets, duration_s)
    times = [_times(flow, number, duration_s, seed) for number, flow in flows]
    messages = _messages(times, np.array([len(nodes) for nodes in targets], dtype=np.int64))
    return {
        "flows": _flows(flows, sources, who, scenario.configuration.ttl),
        "messages": messages,
        "rows": _rows(messages, targets),
        "agenda": _agenda(scenario, index, messages),
    }


def _messages(times: list[NDArray[np.float64]], recipients: NDArray[np.int64]) -> NDArray[np.void]:
    time = np.concatenate([*times, np.empty(0)]) * 1000.0
    flow = np.repeat(np.arange(len(times)), [len(each) for each in times])
    order = np.argsort(time, kind="stable")
    table = np.zeros(len(time) + 1, tables.MESSAGE)
    table["time"] = np.append(time[order], np.inf)
    table["flow"][:-1] = flow[order]
    if len(time):
        table["first_row"][1:] = np.cumsum(recipients[flow[order]])
    return table


def _rows(messages: NDArray[np.void], targets: Sequence[NDArray[np.int64]]) -> NDArray[np.void]:
    table = np.zeros(messages["first_row"][-1], tables.ROW)
    table["one_way"] = table["round_trip"] = np.nan
    if len(table):
        table["message"] = np.repeat(np.arange(len(messages) - 1), np.diff(messages["first_row"]))
        starts = np.cumsum([0, *(len(nodes) for nodes in targets)])
        inside = np.arange(len(table)) - messages["first_row"][table["message"]]
        flow = messages["flow"][table["message"]]
        table["node"] = np.concatenate(targets)[starts[flow] + inside]
    return table


def _flows(
    flows: Sequence[tuple[int, Flow]], sources: list[int], who: Recipients, ttl: int
) -> NDArray[np.void]:
    table = np.zeros(len(flows), tables.FLOW)
    table["source"], table["destination"] = sources, who.destinations
    table["audience"] = np.maximum(-1, -1 - table["destination"])
    table["ttl"], table["retry"] = ttl, timing.retry_ms(ttl)
    table["retry"][table["destination"] < 0, 0] = timing.MULTICAST_RETRY_MS
    table["nobody"] = [not len(who.of(place, source)) for place, source in enumerate(sources)]
    for place, (_, flow) in enumerate(flows):
        payloads = (flow.payload_bytes, flow.response_bytes)
        table["acknowledged"][place] = flow.acknowledged
        table["response_delay"][place] = flow.response_delay_ms
        table["segments"][place] = [timing.segments(size) for size in payloads]
        table["last_size"][place] = [timing.last_packet_bytes(size) for size in payloads]
    return table


def _check_size(
    flows: Sequence[tuple[int, Flow]], targets: Sequence[NDArray[np.int64]], duration_s: float
) -> None:
    sizes = [
        (duration_s / flow.period_s + 1) * max(len(nodes), 1)
        for (_, flow), nodes in zip(flows, targets, strict=True)
    ]
    if (rows := sum(sizes)) > MAX_ROWS:
        number, most = flows[int(np.argmax(sizes))]
        raise Rejected(
            RejectReason.OVERSIZED,
            f"{rows:.3g} messages to recipients in {duration_s:g} s; at most {MAX_ROWS}: shorten it, or "
            f"raise flows.{number}.period_s: {most.period_s:g} s, "
            f"0x{most.source:04X} to 0x{most.destination:04X}",
        )


def _times(flow: Flow, number: int, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Seconds. Each period is drawn anew, ± 5 %. Without an offset the first falls anywhere in one."""
    random = np.random.default_rng((seed, number))
    first = flow.period_s * random.random() if flow.offset_s is None else flow.offset_s
    if first >= duration_s:
        return np.empty(0)
    most = int((duration_s - first) / (flow.period_s * (1 - PERIOD_JITTER))) + 1
    periods = flow.period_s * (1 + PERIOD_JITTER * (2 * random.random(most) - 1))
    times = first + np.concatenate([[0.0], np.cumsum(periods)])
    return np.asarray(times[times < duration_s])


def _agenda(scenario: Scenario, index: dict[int, int], messages: NDArray[np.void]) -> NDArray[np.void]:
    """Failures before messages of the same time."""
    failures = len(scenario.failures)
    table = np.zeros(failures + len(messages) - 1, tables.AGENDA)
    for place, (when, address, to) in enumerate(scenario.failures):
        table[place] = 1000.0 * when, failure(index[address], to == "up")
    table["time"][failures:] = messages["time"][:-1]
    table["what"][failures:] = np.arange(len(messages) - 1)
    return np.asarray(table[np.argsort(table["time"], kind="stable")])


def failure(node: int, up: bool) -> int:
    """A node's death or return, as the agenda has it."""
    return -1 - 2 * node - up
