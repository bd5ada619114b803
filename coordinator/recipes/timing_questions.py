"""How long messages take, flow by flow, against what they may take. By the event simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from common.errors import Rejected, RejectReason
from common.radio import DEFAULT, FlowOutcome, Latency, Outcome, simulate
from coordinator.recipes.answer import Answer, Case, percent, show_flow
from coordinator.twin.site_model import SiteFlow, SiteModel
from coordinator.twin.whatif_play import STEADY_S

COLUMNS: Final = (
    "flow", "class", "sent", "delivered", "hops", "p50 ms", "p95 ms", "limit ms", "left ms", "in time",
)  # fmt: skip
LONGEST_S: Final = 24 * 3600.0
MOST_MESSAGES: Final = 200_000
"""A play is no longer than it takes all flows together to send these, however rarely some of them send."""
DOUBT: Final = 1.96
"""Standard errors of a share that are allowed to chance (Wilson 1927)."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A flow as it was played, its limit, and the share of all messages sent that came within it."""

    flow: SiteFlow
    found: FlowOutcome
    limit_ms: float
    within: float


def latency_budget(case: Case) -> Answer:
    """Which flows keep their limit, and what is left of it for each."""
    timed = played(case.model, case.number("limit_ms"), case.whole("messages"), case.seed)
    wanted = case.number("share")
    timed.sort(key=lambda one: (one.within, one.flow.source, one.flow.destination))
    short = [one for one in timed if one.within < wanted]
    late = [one for one in short if _at_most(one) < wanted]
    doubtful = f" Of {len(short) - len(late)} others nobody can tell yet." if len(short) > len(late) else ""
    rows = tuple(_row(one) for one in timed)
    return Answer(
        recipe="latency-budget",
        summary=f"{len(timed) - len(short)} of {len(timed)} flows bring {percent(wanted)} of what they send "
        f"in time, {len(late)} do not.{doubtful}",
        columns=(
            "flow",
            "class",
            "sent",
            "delivered",
            "hops",
            "p50 ms",
            "p95 ms",
            "limit ms",
            "left ms",
            "in time",
        ),
        rows=rows,
        figures={
            "flows": len(timed),
            "late": len(late),
            "undecided": len(short) - len(late),
            "in_time": sum(one.within for one in timed) / len(timed),
        },
        marks=dict.fromkeys((one.flow.source for one in late), "late"),
        notes=(
            "Times are one way. The share in time counts lost messages as late.",
            "A flow is called late where chance alone does not explain it; more messages decide more flows.",
        ),
    )


def played(model: SiteModel, limit_ms: float, messages: int, seed: int) -> list[Timed]:
    """Every flow, about `messages` messages each. A flow's own limit goes before `limit_ms`. Raises Rejected
    for a site without flows."""
    if not model.flows:
        raise Rejected(RejectReason.INVALID, "no flow is known at this site: nothing can be timed")
    outcome = play(model, messages, seed)
    limits = [flow.limit_ms or limit_ms for flow in model.flows]
    return [
        Timed(flow, found, limit, found.pdr * within(found.one_way_ms, limit))
        for flow, found, limit in zip(model.flows, outcome.flows, limits, strict=True)
    ]


def play(model: SiteModel, messages: int, seed: int) -> Outcome:
    """One play, so long that the rarest flow sends so many messages, as far as that can be paid for."""
    rate = sum(1.0 / flow.period_s for flow in model.flows)
    wanted = messages * max(flow.period_s for flow in model.flows)
    seconds = max(STEADY_S, min(LONGEST_S, MOST_MESSAGES / rate, wanted))
    return simulate(model.scenario(seconds), model.parameters(DEFAULT), seed=seed, duration_s=seconds)


def within(latency: Latency | None, limit_ms: float) -> float:
    """Share of what arrived that took at most `limit_ms`: between the quantiles in a straight line, beyond
    the last one by a tail as long as from there to it."""
    if latency is None:
        return 0.0
    points = [(0.0, 0.0), (latency.p50, 0.5), (latency.p95, 0.95), (latency.p99, 0.99)]
    points.append((2.0 * latency.p99 - latency.p95, 1.0))
    for (t0, q0), (t1, q1) in zip(points, points[1:], strict=False):
        if limit_ms < t1:
            return q0 + (q1 - q0) * (limit_ms - t0) / (t1 - t0)
    return 1.0


def _at_most(one: Timed) -> float:
    """The share in time may be so large, by its Wilson interval."""
    n, share = max(1, one.found.sent), one.within
    middle = share + DOUBT**2 / (2 * n)
    half = DOUBT * math.sqrt(share * (1.0 - share) / n + (DOUBT / (2 * n)) ** 2)
    return (middle + half) / (1.0 + DOUBT**2 / n)


def _row(one: Timed) -> tuple[str | float | None, ...]:
    latency = one.found.one_way_ms
    return (
        show_flow(one.flow),
        one.flow.flow_class,
        one.found.sent,
        percent(one.found.pdr),
        round(one.found.hops, 1),
        None if latency is None else round(latency.p50, 1),
        None if latency is None else round(latency.p95, 1),
        one.limit_ms,
        None if latency is None else round(one.limit_ms - latency.p95, 1),
        percent(one.within),
    )
