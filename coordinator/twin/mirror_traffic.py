"""The traffic of a site, from what arrives at its gateways: who sends how often. Pure.

What does not arrive is sent all the same, and loads the air. Of nodes whose link monitors report, the share
of reports that arrive is known, and their other messages are taken to fare alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final

from common.mesh.addresses import is_unicast
from common.messages import FLOW_CLASSES
from coordinator.twin.mirror_flows import FlowLedger, FlowRecord
from coordinator.twin.mirror_reports import ReportLedger, Share
from coordinator.twin.site_model import SiteFlow

REPORTING: Final = FLOW_CLASSES.index("monitoring")
REPORT_BYTES: Final = 11
"""Of a report that fits one packet, as most do."""

LONGEST_PERIOD_S: Final = 3_600.0
"""A flow that is seen less often is taken for one that is seen so often."""

SHORTEST_PERIOD_S: Final = 0.01
LEAST_SHARE: Final = 0.2
"""A share of reports below this is too unsure to divide by."""

LEAST_REPORTS: Final = 0.05

Groups = dict[int, tuple[int, ...]]


def traffic(
    ledger: FlowLedger, reports: ReportLedger, gateways: Mapping[str, int], known: set[int], t: float
) -> tuple[tuple[SiteFlow, ...], Groups]:
    """The flows among nodes that are `known`, and the members of groups: the gateways that get their
    messages. `gateways` maps their ids to addresses. What several gateways tell of is believed of the one
    that got most."""
    flows: dict[tuple[int, int, int, bool], SiteFlow] = {}
    groups: dict[int, set[int]] = {}
    shares = {name: reports.shares(name, address, t) for name, address in gateways.items()}
    for gateway, (source, destination, class_index), record in ledger.items(t):
        listener = gateways.get(gateway)
        if is_unicast(destination):
            members = {destination}
        else:
            members = groups.setdefault(destination, set())
            members |= {listener} if listener in known else set()
        if source not in known or not members & known:
            continue
        name = FLOW_CLASSES[class_index] if class_index < len(FLOW_CLASSES) else "other"
        arrives = _arrives(shares.get(gateway, {}).get(source))
        for flow in _as_flows(source, destination, name, record, arrives, t):
            key = (source, destination, class_index, flow.acknowledged)
            if key not in flows or flow.period_s < flows[key].period_s:
                flows[key] = flow
    for flow in _monitoring(reports, gateways, known, t):
        flows.setdefault((flow.source, flow.destination, REPORTING, False), flow)
    used = {flow.destination for flow in flows.values()}
    kept = {group: tuple(sorted(m)) for group, m in groups.items() if group in used}
    return tuple(flows[key] for key in sorted(flows)), kept


def payload(record: FlowRecord) -> int:
    """Bytes of a typical message."""
    return int(min(380.0, max(1.0, record.bytes / record.messages))) if record.messages > 0.5 else 8


def _arrives(share: Share | None) -> float:
    return 1.0 if share is None else max(LEAST_SHARE, share.share)


def _monitoring(
    reports: ReportLedger, gateways: Mapping[str, int], known: set[int], t: float
) -> Iterable[SiteFlow]:
    """The reports of link monitors: no flow tells of them, and they load the air as others do. The first
    gateway's word is enough: the same reports go to all."""
    for gateway, address in sorted(gateways.items()):
        rates = reports.rates(gateway, t)
        if address not in known or not rates:
            continue
        shares = reports.shares(gateway, address, t)
        name = FLOW_CLASSES[REPORTING]
        for node, rate in rates.items():
            sent = rate / max(LEAST_REPORTS, shares[node].share if node in shares else 1.0)
            if node != address and node in known and sent > 1.0 / LONGEST_PERIOD_S:
                period = max(SHORTEST_PERIOD_S, 1.0 / sent)
                yield SiteFlow(node, address, period, REPORT_BYTES, flow_class=name)
        return


def _as_flows(
    source: int, destination: int, name: str, record: FlowRecord, arrives: float, t: float
) -> Iterable[SiteFlow]:
    """What arrived on its own, and what was asked, as flows of the model."""
    for rate, acknowledged in (
        (record.rate(record.messages, t) / arrives, False),
        (record.rate(record.requests, t), True),
    ):
        if isfinite(rate) and rate > 1.0 / (4.0 * LONGEST_PERIOD_S):
            period = min(LONGEST_PERIOD_S, max(SHORTEST_PERIOD_S, 1.0 / rate))
            size = payload(record) if not acknowledged else 2
            yield SiteFlow(source, destination, period, size, acknowledged, flow_class=name)
