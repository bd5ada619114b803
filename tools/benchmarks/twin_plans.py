"""Predicted against realised delivery after a plan, at sites whose truths no twin is told.

Each site is drawn by its seed, watched for ten minutes as agents watch theirs, and understood by the mirror's
own code. A recipe makes a plan, the plan is put into force at the true site, and a long play there says what
came of it. The applier then judges the same change by what it may count, and puts it back or not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from common.radio.tally import Record
from coordinator.recipes.judgement import Count
from coordinator.recipes.plan import Plan
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.running import run as run_recipe
from coordinator.recipes.shelf import Shelf
from coordinator.twin.mirror_judgement import Judgement, Material, judge
from coordinator.twin.score import Verdict
from coordinator.twin.site_model import SiteConfiguration, SiteFlow, SiteModel
from coordinator.twin.whatif_change import with_reach
from coordinator.twin.whatif_effect import SURE
from tools.benchmarks.twin_plans_applied import applied
from tools.benchmarks.twin_plans_site import HiddenSite, hidden_site
from tools.benchmarks.twin_plans_watch import Watch

WATCHED_S: Final = 600.0
MESSAGES: Final = 200
"""Of the rarest flow, that say how it really fares; of most, several times as many."""

AGAIN: Final = 3 * MESSAGES
TOLERANCE: Final = 0.02
FlowKey = tuple[int, int, bool, str]
Counts = dict[FlowKey, Count]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-plans")
    group.add_argument("--number", type=int, default=20, help="how many sites (default 20)")
    group.add_argument("--recipe", default="relay-thinning", help="what makes the plans")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Figures over all sites."""
    return await asyncio.to_thread(_measure, options)


@dataclass(frozen=True)
class Flow:
    """One flow of one site: what was said, and what came of it."""

    site: int
    key: FlowKey
    said_before: float
    said: float
    low: float
    high: float
    before: float
    after: float
    counted: int

    @property
    def inside(self) -> bool:
        """Whether the interval holds what was counted, but for what chance does to a count."""
        nearest = min(self.high, max(self.low, self.after))
        chance = SURE * (nearest * (1.0 - nearest) / self.counted) ** 0.5 + 0.5 / self.counted
        return bool(abs(self.after - nearest) <= chance)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    number = 4 if options.quick else options.number
    flows: list[Flow] = []
    ends: list[End] = []
    for seed in range(options.seed, options.seed + number):
        begun = time.process_time()
        found, end = _tried(seed, options.recipe)
        flows += found
        ends.append(end)
        cpu_s = round(time.process_time() - begun, 1)
        told = {"site": seed, "end": end.state, "drop": end.drop, **_shown(found), "cpu_s": cpu_s}
        print(json.dumps(told), file=sys.stderr, flush=True)
    return _figures(flows, ends)


@dataclass(frozen=True)
class End:
    """What became of one site's plan: `none` was made, it was `refused` as the twin does not vouch, `applied`
    or `undone`; and by how much it makes the flow worse that it makes worst, or would have made it."""

    site: int
    state: str
    drop: float = 0.0


def _tried(seed: int, recipe: str) -> tuple[list[Flow], End]:
    site = hidden_site(seed)
    random = np.random.default_rng((seed, 5))
    watch = Watch(site, float(random.uniform(3.0, 8.0)), bool(seed % 2), seed)
    watch.live(WATCHED_S)
    model, judged = _understood(watch)
    outcome = run_recipe(Shelf(), recipe, {}, "hidden", model, seed=seed)
    wanted = outcome.wanted or model.configuration
    plan = plan_of(Basis("hidden", model, wanted, {}, recipe, outcome.summary, watch.now, seed=seed))
    site.settle()
    traffic = watch.traffic()
    before = realised(site, traffic, model.configuration, seed)
    after = before if wanted == model.configuration else realised(site, traffic, wanted, seed)
    said = zip(with_reach(model).flows, plan.flows, strict=True)
    flows = [
        Flow(
            seed,
            key,
            f.before,
            f.after,
            f.low,
            f.high,
            _plain(before[key]),
            _plain(after[key]),
            after[key].asked,
        )
        for flow, f in said
        if (key := _key(flow)) in before
    ]
    return flows, _end(site, traffic, plan, judged, flows, model.configuration, wanted)


def _end(
    site: HiddenSite,
    traffic: tuple[SiteFlow, ...],
    plan: Plan,
    judged: Judgement,
    flows: list[Flow],
    now: SiteConfiguration,
    wanted: SiteConfiguration,
) -> End:
    seed = flows[0].site
    if wanted == now:
        return End(seed, "none")
    if judged.score.verdict is not Verdict.TRUSTED:
        return End(seed, "refused")
    site.model = site.model.with_configuration(now)
    state = applied(site, traffic, plan, seed).state
    worse = [flow.key for flow in flows if flow.before - flow.after > TOLERANCE]
    if not worse:
        return End(seed, state, round(max(flow.before - flow.after for flow in flows), 4))
    # The worst of many looks worse than it is: only another play tells.
    again = [realised(site, traffic, chosen, seed + 31, AGAIN) for chosen in (now, wanted)]
    drop = max(_plain(again[0][key]) - _plain(again[1][key]) for key in worse)
    return End(seed, state, round(drop, 4))


def _understood(watch: Watch) -> tuple[SiteModel, Judgement]:
    state, t = watch.state, watch.now
    judged = judge(Material(t, state.model(t), tuple(state.observed(t)), state.signals(t)))
    return judged.calibration.applied(state.model(t)), judged


def realised(
    site: HiddenSite,
    flows: tuple[SiteFlow, ...],
    chosen: SiteConfiguration,
    seed: int,
    messages: int = MESSAGES,
) -> Counts:
    """Delivery of each flow under a configuration, over a long time."""
    site.model = site.model.with_configuration(chosen)
    seconds = messages * max(flow.period_s for flow in flows)
    record = site.play(flows, seconds, seed + 5_000_011)
    return _counts(flows, record)


def _counts(flows: tuple[SiteFlow, ...], record: Record) -> Counts:
    number = record.messages["flow"][record.rows["message"]]
    counted = record.messages["sent"][record.rows["message"]]
    told = np.array([flow.acknowledged for flow in flows])[number]
    came = ~np.isnan(np.where(told, record.rows["round_trip"], record.rows["one_way"]))
    sent = np.bincount(number[counted], minlength=len(flows))
    arrived = np.bincount(number[counted & came], minlength=len(flows))
    return {_key(flow): Count(int(sent[i]), int(arrived[i])) for i, flow in enumerate(flows) if sent[i] > 0}


def _plain(count: Count) -> float:
    return count.answered / count.asked


def _key(flow: SiteFlow) -> FlowKey:
    name = "sensing" if flow.flow_class == "other" and not flow.acknowledged else flow.flow_class
    return flow.source, flow.destination, flow.acknowledged, name


def _shown(flows: list[Flow]) -> dict[str, Any]:
    errors = np.array([f.said - f.after for f in flows])
    before = np.array([f.said_before - f.before for f in flows])
    real = np.array([f.before for f in flows])
    changed = np.array([f.after - f.before for f in flows])
    said = np.array([f.said - f.said_before for f in flows])
    inside = np.mean([f.inside for f in flows])
    values = {
        "flows": len(flows),
        "real": real.mean(),
        "mae": np.abs(errors).mean(),
        "bias": errors.mean(),
        "mae_before": np.abs(before).mean(),
        "bias_before": before.mean(),
        "change": changed.mean(),
        "worst_change": changed.min(),
        "mae_change": np.abs(said - changed).mean(),
        "inside": inside,
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def _figures(flows: list[Flow], ends: list[End]) -> dict[str, Any]:
    errors = np.abs([f.said - f.after for f in flows])
    sites = sorted({f.site for f in flows})
    by_site = [np.mean([abs(f.said - f.after) for f in flows if f.site == s]) for s in sites]
    return {
        "mae_pdr": round(float(errors.mean()), 4),
        "p95": round(float(np.quantile(errors, 0.95)), 4),
        "worst_site_mae": round(float(max(by_site)), 4),
        "coverage_90": round(float(np.mean([f.inside for f in flows])), 3),
        "mae_vouched": round(_mae(flows, {end.site for end in ends if end.state != "refused"}), 4),
        "worst_flow_drop_not_undone": max((end.drop for end in ends if end.state == "applied"), default=0.0),
        "undone_needlessly": sum(end.state == "undone" and end.drop <= TOLERANCE for end in ends),
        **{
            state: sum(end.state == state for end in ends)
            for state in ("applied", "undone", "refused", "none")
        },
        **{f"all_{name}": value for name, value in _shown(flows).items()},
        "sites": len(sites),
    }


def _mae(flows: list[Flow], sites: set[int]) -> float:
    errors = [abs(flow.said - flow.after) for flow in flows if flow.site in sites]
    return sum(errors) / len(errors) if errors else 0.0
