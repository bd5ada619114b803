"""Configurations searched for: retransmit counts alone, everything, or everything for lamps and buttons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from common.errors import Rejected, RejectReason
from coordinator.recipes.answer import Answer, Case, percent
from coordinator.recipes.service import NodeService
from coordinator.recipes.timing_questions import Timed, played
from coordinator.twin.reception import NOMINAL
from coordinator.twin.search import search
from coordinator.twin.search_goals import Freedom, Goals
from coordinator.twin.search_plays import Budget, Candidate, Plays
from coordinator.twin.site_model import SiteConfiguration, SiteModel

LIGHTING = "lighting"
CHECKED_MESSAGES = 20
CHECK_SEED = 7919
"""Not the search's own: a candidate must not be judged by the plays that it was chosen for."""


def retransmits(case: Case) -> Answer:
    """The best network transmit and relay retransmit counts for the relays that there are."""
    model = with_limit(case.model, case.number("limit_ms"))
    _need_flows(model)
    goals = Goals(latency=case.number("latency_weight"), occupancy=case.number("occupancy_weight"))
    plays = Plays(model, goals, Budget(case.whole("plays")), case.seed, NOMINAL)
    now = model.configuration
    tried = [now, *(now.with_counts(a, b) for a, b in product((1, 2, 3, 4), (1, 2, 3)))]
    best = plays.race(dict.fromkeys(tried), [(1, 6), (4, 3), (12, 2)])
    plays.play(now, 12)
    left = plays.ranked(dict.fromkeys([*best, now]))
    ranked = [Candidate(c, plays.scores[c], plays.worth(c)) for c in left]
    present = next(one for one in ranked if one.configuration == now)
    return _proposal(case, "retransmit-tuning", ranked, present)


def everything(case: Case) -> Answer:
    """The best relay set, TTL and counts under the weights given."""
    model = with_limit(case.model, case.number("limit_ms"))
    _need_flows(model)
    goals = Goals(
        latency=case.number("latency_weight"),
        occupancy=case.number("occupancy_weight"),
        changes=case.number("change_weight"),
    )
    return _proposal(case, "search", *_searched(case, model, goals))


def lighting(case: Case) -> Answer:
    """As many button-to-lamp messages in time as possible. Where no flow is known for lighting, all are."""
    limit, share = case.number("limit_ms"), case.number("share")
    lamps = [flow for flow in case.model.flows if flow.flow_class == LIGHTING]
    weighed = tuple(
        replace(flow, limit_ms=limit, weight=5.0) if not lamps or flow.flow_class == LIGHTING else flow
        for flow in case.model.flows
    )
    model = replace(case.model, flows=weighed)
    _need_flows(model)
    answer = _proposal(case, "lighting", *_searched(case, model, Goals(latency=1.0)))
    before, after = (
        in_time(played(m, limit, CHECKED_MESSAGES, CHECK_SEED), bool(lamps))
        for m in (model, model.with_configuration(answer.wanted or model.configuration))
    )
    if after < before:
        # Chance chose it: fresh plays say otherwise.
        answer, after = replace(answer, wanted=None), before
    notes = () if lamps else ("No flow is known to be lighting: all were taken for it.",)
    kept = "kept" if after >= share else "missed"
    return replace(
        answer,
        summary=f"{percent(after)} of button-to-lamp messages within {limit:g} ms, {percent(before)} before: "
        f"the goal of {percent(share)} is {kept}.",
        figures={**answer.figures, "in_time_before": before, "in_time_after": after, "in_time_goal": share},
        notes=(*answer.notes, *notes),
    )


def in_time(timed: Iterable[Timed], lamps_only: bool) -> float:
    """Share of the messages sent that came in time, of lighting flows or of all."""
    counted = [one for one in timed if not lamps_only or one.flow.flow_class == LIGHTING]
    sent = sum(one.found.sent for one in counted)
    return sum(one.within * one.found.sent for one in counted) / sent if sent else 0.0


def with_limit(model: SiteModel, limit_ms: float) -> SiteModel:
    """The site with this limit for every flow that has none."""
    return replace(model, flows=tuple(replace(f, limit_ms=f.limit_ms or limit_ms) for f in model.flows))


def _searched(case: Case, model: SiteModel, goals: Goals) -> tuple[list[Candidate], Candidate]:
    found = search(
        model,
        goals,
        Budget(case.whole("plays")),
        freedom=Freedom(fixed=frozenset(model.gateways)),
        seed=case.seed,
        progress=lambda share, best: case.tell(share, _told(best)),
    )
    return list(dict.fromkeys(found.candidates)), found.now


def _told(best: Candidate | None) -> str:
    if best is None:
        return "searching"
    return f"{len(best.configuration.relays)} relays deliver {percent(best.score.delivery)}"


def _proposal(case: Case, name: str, ranked: list[Candidate], now: Candidate) -> Answer:
    """The best candidate that starves nobody; none when what there is is best."""
    service = NodeService(case.model, case.seed)
    usable = [
        one
        for one in ranked
        if one.configuration == now.configuration or not service.starved(now.configuration, one.configuration)
    ]
    best = usable[0] if usable else now
    changed = best.configuration != now.configuration
    return Answer(
        recipe=name,
        summary=_summary(best, now) if changed else "Nothing that was tried is better than what there is.",
        columns=("relays", "TTL", "sends", "repeats", "delivered", "late", "channel busy", "worth"),
        rows=tuple(_row(one, one == best, one.configuration == now.configuration) for one in ranked[:8]),
        figures={
            "delivery_before": now.score.delivery,
            "delivery_after": best.score.delivery,
            "late_before": now.score.late,
            "late_after": best.score.late,
            "occupancy_before": now.score.occupancy,
            "occupancy_after": best.score.occupancy,
            "worth_before": now.worth,
            "worth_after": best.worth,
        },
        marks=_marks(now.configuration, best.configuration),
        wanted=best.configuration if changed else None,
        notes=()
        if len(usable) == len(ranked)
        else (f"{len(ranked) - len(usable)} candidates would have starved quiet nodes.",),
    )


def _summary(best: Candidate, now: Candidate) -> str:
    return (
        f"{percent(best.score.delivery)} delivered instead of {percent(now.score.delivery)}, with "
        f"{len(best.configuration.relays)} relays instead of {len(now.configuration.relays)}; a node hears "
        f"the channel busy {percent(best.score.occupancy)} of the time, {percent(now.score.occupancy)} now."
    )


def _row(one: Candidate, is_best: bool, is_now: bool) -> tuple[str | int | float, ...]:
    chosen = one.configuration
    mark = " (best)" if is_best else " (now)" if is_now else ""
    return (
        f"{len(chosen.relays)}{mark}",
        chosen.ttl,
        f"{chosen.network_transmit.count} x",
        f"{chosen.relay_retransmit.count} x",
        percent(one.score.delivery),
        round(one.score.late, 3),
        percent(one.score.occupancy),
        round(one.worth, 4),
    )


def _marks(now: SiteConfiguration, wanted: SiteConfiguration) -> dict[int, str]:
    on = dict.fromkeys(wanted.relays - now.relays, "relay on")
    return {**on, **dict.fromkeys(now.relays - wanted.relays, "relay off")}


def _need_flows(model: SiteModel) -> None:
    if not model.flows:
        raise Rejected(RejectReason.INVALID, "no flow is known at this site: what shall be delivered?")
