"""Whether a learned proposal helps the search for placements, at equal CPU time.

A small network learns from the searched solutions of drawn graphs. Other drawn graphs, and the instances of
`--instances`, are then searched with its proposals among the first candidates, and without them but with as
many more evaluations as the proposals cost CPU time. Points are hundredths of J over the best known one.
"""

from __future__ import annotations

import argparse
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from common.placement import Budget, Instance, Schedule, schedule
from common.placement.kernel.decoder import Decoder
from common.placement.placing import _Run as Run
from common.placement.problem import decoder
from coordinator.training import proposal
from tools.benchmarks.placement import DEFAULT, instance_in
from tools.benchmarks.placement import _families as families
from tools.benchmarks.proposal_instances import drawn

LEARNT: Final = 1000
STEPS: Final = 2000
HELD_OUT: Final = 60
ANSWER: Final = Budget(evaluations=15_000)
"""What is learned from, and the best known of held-out graphs."""

QUICK: Final = 10
"""So much less of everything."""

BUDGETS: Final = (300, 1000, 3000)
SAMPLES: Final = 2
SEEDS: Final = 3
BAR: Final = 0.5
TRIES: Final = 5
LEAST, MOST = 0.95, 1.02
"""How much less or longer plain search may take and still count as equal."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--instances` is placement's."""
    # Placement has the option already when all are asked for.
    if "--instances" not in parser.format_help():
        parser.add_argument("--instances", type=Path, default=DEFAULT, help="folder of families")


def inputs(options: argparse.Namespace) -> list[Path]:
    """Every instance."""
    return [path for paths in families(options.instances).values() for path in paths]


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Gains in points, per set of instances and budget."""
    less = QUICK if options.quick else 1
    weights, learning = _learned(LEARNT // less, STEPS // less, options.seed)
    sets = {"drawn": [drawn(1_000_000 + seed) for seed in range(HELD_OUT // less)]}
    references = {"drawn": [schedule(one, budget=ANSWER, seed=7).cost for one in sets["drawn"]]}
    for name, paths in families(options.instances).items():
        known = [instance_in(path) for path in paths]
        known = [one for one in known if one.reference is not None]
        sets[name] = known
        references[name] = [one.reference.best for one in known if one.reference is not None]
    figures: dict[str, Any] = {"learning": learning}
    for name, instances in sets.items():
        figures[name] = {
            str(budget): _compared(weights, instances, references[name], budget) for budget in BUDGETS
        }
    gains = [figures[name][str(budget)]["gain_points"] for name in sets for budget in BUDGETS]
    figures["mean_gain_points"] = round(sum(gains) / len(gains), 3)
    figures["joins"] = figures["mean_gain_points"] >= BAR
    return figures


def _learned(graphs: int, steps: int, seed: int) -> tuple[proposal.Weights, dict[str, Any]]:
    begun = time.process_time()
    instances = [drawn(number) for number in range(graphs)]
    answers = [_nodes(one, schedule(one, budget=ANSWER, seed=seed)) for one in instances]
    solved = time.process_time() - begun
    problems = [proposal.problem_of(one, decoder(one)) for one in instances]
    losses: list[float] = []

    def report(step: int, loss: float) -> None:
        losses.append(loss)
        print(f"step {step}: {loss:.3f} nats a task", file=sys.stderr)

    weights = proposal.fit(problems, answers, steps, seed, report)
    spent = time.process_time() - begun
    return weights, {
        "graphs": graphs,
        "solving_cpu_s": round(solved, 1),
        "fitting_cpu_s": round(spent - solved, 1),
        "loss_nats": round(losses[-1], 3) if losses else None,
    }


def _nodes(instance: Instance, found: Schedule) -> list[int]:
    number = {node.id: at for at, node in enumerate(instance.nodes)}
    where = {row.task: number[row.node] for row in found.assignments}
    return [where[task.id] for task in instance.tasks]


@dataclass
class _Tally:
    """Of one way to search."""

    ratio: float = 0.0
    cpu_s: float = 0.0
    plans: int = 0

    def add(self, cost: float, reference: float, cpu_s: float) -> None:
        self.ratio += cost / reference
        self.cpu_s += cpu_s
        self.plans += 1

    @property
    def points(self) -> float:
        """Above the best known."""
        return 100.0 * (self.ratio / self.plans - 1.0)

    @property
    def ms(self) -> float:
        return 1e3 * self.cpu_s / self.plans


def _compared(
    weights: proposal.Weights, instances: Sequence[Instance], best: Sequence[float], budget: int
) -> dict[str, float]:
    """Points above the best known: plain, with proposals at as many evaluations, plain at as much time."""
    plain = _tallied(partial(_plain, budget=budget), instances, best)
    proposed = _tallied(partial(_proposed, budget=budget, weights=weights), instances, best)
    equal = 2 * budget
    for _ in range(TRIES):
        fair = _tallied(partial(_plain, budget=equal), instances, best)
        if LEAST * proposed.ms <= fair.ms <= MOST * proposed.ms:
            break
        each = (fair.ms - plain.ms) / (equal - budget) if fair.ms > plain.ms else fair.ms / equal
        wanted = budget + (proposed.ms - plain.ms) / each
        equal = round(max(budget + 1, equal / 2, min(2 * equal, wanted)))
    return {
        "plain_points": round(plain.points, 3),
        "proposed_points": round(proposed.points, 3),
        "plain_at_equal_time_points": round(fair.points, 3),
        "gain_points": round(fair.points - proposed.points, 3),
        "gain_were_it_free_points": round(plain.points - proposed.points, 3),
        "plain_ms": round(plain.ms, 3),
        "proposed_ms": round(proposed.ms, 3),
        "plain_at_equal_time_ms": round(fair.ms, 3),
        "evaluations_at_equal_time": equal,
    }


def _tallied(
    search: Callable[[Instance, int], float], instances: Sequence[Instance], best: Sequence[float]
) -> _Tally:
    tally = _Tally()
    for seed in range(SEEDS):
        for one, reference in zip(instances, best, strict=True):
            begun = time.thread_time()
            cost = search(one, seed)
            tally.add(cost, reference, time.thread_time() - begun)
    return tally


def _plain(instance: Instance, seed: int, budget: int) -> float:
    return _searched(Run(instance, Budget(evaluations=budget), seed, None, time.monotonic))


def _proposed(instance: Instance, seed: int, budget: int, weights: proposal.Weights) -> float:
    return _searched(_ProposedRun(weights, instance, budget, seed))


def _searched(search: Run) -> float:
    search.make_candidates()
    search.improve()
    return search.result().cost


class _ProposedRun(Run):
    """A search with proposals among its candidates."""

    def __init__(self, weights: proposal.Weights, instance: Instance, budget: int, seed: int) -> None:
        super().__init__(instance, Budget(evaluations=budget), seed, None, time.monotonic)
        self._weights = weights
        self._seed = seed

    def make_candidates(self) -> None:
        super().make_candidates()
        p = self.portfolio
        placed: Decoder = p.d
        given = proposal.problem_of(self.instance, placed)
        for assignment in proposal.proposals(self._weights, given, SAMPLES, self._seed):
            placed.order[:] = p.home_order
            placed.node[:] = array("i", np.ascontiguousarray(assignment).tobytes())
            p.s.follow_tails()
            p.s.weigh()
            p.offer()
