"""Placement online: graphs arrive at a site whose machines fail and whose WAN fades; what do they cost?

Event simulation, with the same arrivals, failures, fading and runtimes for every strategy (paired seeds). The
cost of a graph is its realised J, 5 for one that is lost: no result by three times its deadline. Rivals know
what ours knows (heartbeats of 100 ms), place again what a failure took, and have deputies; beside HEFT these
are HEFT-J and the seven static cases, of which the best in the mean over all seeds counts. What is lost where
a graph has to wait for its own gateway is told beside. The world is told in `online/fleet.py` and
`online/graphs.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from common.placement import CASES
from tools.benchmarks.online.fleet import Fate, fate
from tools.benchmarks.online.graphs import arrivals
from tools.benchmarks.online.job import Job
from tools.benchmarks.online.play import Play
from tools.benchmarks.online.strategies import Strategy, ours, rivals

RATES: Final = (1.5, 2.2)
SEEDS: Final = 6
LENGTH_S: Final = 300.0
QUICK_SEEDS: Final = 2
QUICK_S: Final = 60.0
LOST_COST: Final = 5.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Of all graphs of some plays: mean cost, and percentages."""

    cost: float
    lost: float
    missed: float
    p99_s: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("placement-online")
    group.add_argument("--online-seeds", type=int, help=f"paired plays of each strategy and rate ({SEEDS})")
    group.add_argument("--online-first-seed", type=int, default=1, help="the first of them")
    group.add_argument("--online-seconds", type=float, help=f"length of arrivals in each, s ({LENGTH_S:.0f})")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures by BENCH's names."""
    count = options.online_seeds or (QUICK_SEEDS if options.quick else SEEDS)
    length_s = options.online_seconds or (QUICK_S if options.quick else LENGTH_S)
    seeds = range(options.online_first_seed, options.online_first_seed + count)
    figures: dict[str, Any] = {}
    for rate in RATES:
        figures |= _compare(rate, seeds, length_s)
    for name in ("lost_percent", "miss_percent", "heft_miss_percent"):
        figures[name] = max(figures[f"{name}_{_suffix(rate)}"] for rate in RATES)
    return figures | {"seeds": count, "seconds": length_s}


def _suffix(rate: float) -> str:
    return f"{rate:.1f}".replace(".", "_")


def _compare(rate: float, seeds: range, length_s: float) -> dict[str, Any]:
    strategies = {"ours": ours()} | rivals()
    tallies = {name: _tally(strategy, rate, seeds, length_s, name) for name, strategy in strategies.items()}
    calm = tally(job for seed in seeds for job in _play(ours(), rate, seed, length_s, Fate()))
    waiting = _tally(replace(ours(), deputies=False), rate, seeds, length_s, "ours without deputies")
    mine, best = tallies["ours"], min(CASES, key=lambda case: tallies[case].cost)
    suffix = _suffix(rate)
    return {
        f"gain_percent_{suffix}": _gain(mine, tallies["heft"]),
        f"gain_percent_{suffix}_heft_j": _gain(mine, tallies["heft-j"]),
        f"gain_percent_{suffix}_best_static": _gain(mine, tallies[best]),
        f"best_static_{suffix}": best,
        f"lost_percent_{suffix}": round(mine.lost, 2),
        f"lost_without_deputies_percent_{suffix}": round(waiting.lost, 2),
        f"miss_percent_{suffix}": round(mine.missed, 2),
        f"heft_miss_percent_{suffix}": round(tallies["heft"].missed, 2),
        f"heft_lost_percent_{suffix}": round(tallies["heft"].lost, 2),
        f"p99_no_failures_s_{suffix}": round(calm.p99_s, 2),
        f"mean_j_{suffix}": {name: round(one.cost, 4) for name, one in tallies.items()},
    }


def _gain(mine: Tally, other: Tally) -> float:
    return round(100.0 * (1.0 - mine.cost / other.cost), 1)


def _tally(strategy: Strategy, rate: float, seeds: range, length_s: float, name: str) -> Tally:
    jobs: list[Job] = []
    for seed in seeds:
        print(
            f"\rplacement-online: {name} at {rate}/s, seed {seed}", end=" " * 20, file=sys.stderr, flush=True
        )
        jobs += _play(strategy, rate, seed, length_s, fate(seed, length_s))
    print(file=sys.stderr)
    return tally(jobs)


def _play(strategy: Strategy, rate: float, seed: int, length_s: float, befalls: Fate) -> list[Job]:
    return Play(arrivals(seed, rate, length_s), befalls, strategy, seed).run()


def tally(jobs: Iterable[Job]) -> Tally:
    """What became of jobs that are over."""
    jobs = list(jobs)
    ends = [job.finished_ms for job in jobs]
    took = [
        (job.graph.lost_ms if end is None else end) - job.graph.arrival_ms
        for job, end in zip(jobs, ends, strict=True)
    ]
    costs = [
        LOST_COST if job.lost else job.asked.cost(ms, job.energy_j)
        for job, ms in zip(jobs, took, strict=True)
    ]
    late = sum(job.lost or ms > job.graph.deadline_ms for job, ms in zip(jobs, took, strict=True))
    return Tally(
        cost=sum(costs) / len(jobs),
        lost=100.0 * sum(job.lost for job in jobs) / len(jobs),
        missed=100.0 * late / len(jobs),
        p99_s=sorted(took)[int(0.99 * (len(took) - 1))] / 1000.0,
    )
