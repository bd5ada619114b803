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
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.running import run as run_recipe
from coordinator.recipes.shelf import Shelf
from coordinator.twin.mirror_judgement import Judgement, Material, judge
from coordinator.twin.site_model import SiteConfiguration, SiteFlow, SiteModel
from coordinator.twin.whatif_change import with_reach
from tools.benchmarks.twin_plans_site import HiddenSite, hidden_site
from tools.benchmarks.twin_plans_watch import Watch

WATCHED_S: Final = 600.0
MESSAGES: Final = 300
"""Of the rarest flow, that say how it really fares; of most, several times as many."""

TOLERANCE: Final = 0.02
FlowKey = tuple[int, int, bool, str]
Shares = dict[FlowKey, float]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-plans")
    group.add_argument("--number", type=int, default=20, help="how many sites (default 20)")
    group.add_argument("--recipe", default="relay-thinning", help="what makes the plans")
    group.add_argument("--table", action="store_true", help="each site on standard error")


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


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    number = 4 if options.quick else options.number
    flows: list[Flow] = []
    for seed in range(options.seed, options.seed + number):
        begun = time.process_time()
        found = _tried(seed, options.recipe)
        flows += found
        print(json.dumps({"site": seed, **_shown(found), "cpu_s": round(time.process_time() - begun, 1)}),
              file=sys.stderr, flush=True)  # fmt: skip
    return _figures(flows)


def _tried(seed: int, recipe: str) -> list[Flow]:
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
    after = realised(site, traffic, wanted, seed)
    said = zip(with_reach(model).flows, plan.flows, strict=True)
    return [
        Flow(seed, key, f.before, f.after, f.low, f.high, before[key], after[key])
        for flow, f in said
        if (key := _key(flow)) in before
    ]


def _understood(watch: Watch) -> tuple[SiteModel, Judgement]:
    state, t = watch.state, watch.now
    judged = judge(Material(t, state.model(t), tuple(state.observed(t)), state.signals(t)))
    return judged.calibration.applied(state.model(t)), judged


def realised(site: HiddenSite, flows: tuple[SiteFlow, ...], chosen: SiteConfiguration, seed: int) -> Shares:
    """Delivery of each flow under a configuration, over a long time."""
    site.model = site.model.with_configuration(chosen)
    seconds = MESSAGES * max(flow.period_s for flow in flows)
    record = site.play(flows, seconds, seed + 5_000_011)
    return _shares(flows, record)


def _shares(flows: tuple[SiteFlow, ...], record: Record) -> Shares:
    number = record.messages["flow"][record.rows["message"]]
    counted = record.messages["sent"][record.rows["message"]]
    told = np.array([flow.acknowledged for flow in flows])[number]
    came = ~np.isnan(np.where(told, record.rows["round_trip"], record.rows["one_way"]))
    sent = np.bincount(number[counted], minlength=len(flows))
    arrived = np.bincount(number[counted & came], minlength=len(flows))
    return {_key(flow): float(arrived[i] / sent[i]) for i, flow in enumerate(flows) if sent[i] > 0}


def _key(flow: SiteFlow) -> FlowKey:
    name = "sensing" if flow.flow_class == "other" and not flow.acknowledged else flow.flow_class
    return flow.source, flow.destination, flow.acknowledged, name


def _shown(flows: list[Flow]) -> dict[str, Any]:
    errors = np.array([f.said - f.after for f in flows])
    before = np.array([f.said_before - f.before for f in flows])
    real = np.array([f.before for f in flows])
    changed = np.array([f.after - f.before for f in flows])
    said = np.array([f.said - f.said_before for f in flows])
    inside = np.mean([f.low <= f.after <= f.high for f in flows])
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


def _figures(flows: list[Flow]) -> dict[str, Any]:
    errors = np.abs([f.said - f.after for f in flows])
    sites = sorted({f.site for f in flows})
    by_site = [np.mean([abs(f.said - f.after) for f in flows if f.site == s]) for s in sites]
    return {
        "mae_pdr": round(float(errors.mean()), 4),
        "p95": round(float(np.quantile(errors, 0.95)), 4),
        "worst_site_mae": round(float(max(by_site)), 4),
        "coverage_90": round(float(np.mean([f.low <= f.after <= f.high for f in flows])), 3),
        **{f"all_{name}": value for name, value in _shown(flows).items()},
        "sites": len(sites),
    }
