"""Costs of tasks: how far hint, robust estimate and learned model are off, on runs held out.

Every kind is run with drawn inputs by a real worker; the model learns from the first 70 %, and all three
foretell each of the rest before they see it. CPU seconds, as they bear a busy machine best.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from common.errors import Misconfigured
from common.kinds.kind import Cost
from common.models import task_cost
from coordinator.training import task_costs
from coordinator.training.bundle import Label
from coordinator.training.task_costs import Run
from edge_agent.tasks.cost_model import Corrected, Corrector, Duel, ModelledCosts, corrector, prepare
from edge_agent.tasks.costs import Costs
from tools.benchmarks.task_runs import measured

EACH: Final = 100
EACH_QUICK: Final = 20
LEARNT: Final = 0.7


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many runs, and where they are kept."""
    parser.add_argument("--runs", type=int, help=f"task-costs: of each kind (default {EACH})")
    parser.add_argument("--read-runs", type=Path, help="task-costs: a file of runs, instead of running any")
    parser.add_argument("--write-runs", type=Path, help="task-costs: file for the runs")


def inputs(options: argparse.Namespace) -> list[Path]:
    """The runs, when they are given."""
    return [] if options.read_runs is None else [options.read_runs]


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Median relative errors, in all and by kind."""
    if options.read_runs is not None:
        runs, _ = task_costs.read(options.read_runs.read_text().splitlines())
    else:
        runs = await measured(options.runs or (EACH_QUICK if options.quick else EACH), options.seed)
    if options.write_runs is not None:
        options.write_runs.write_text("".join(json.dumps(one.as_json()) + "\n" for one in runs))
    split = int(LEARNT * len(runs))
    if split < task_costs.LEAST_RUNS:
        raise Misconfigured(f"{len(runs)} runs are too few", "--runs 20 or more")
    return _judged(runs[:split], runs[split:], options.seed)


def _judged(learnt: Sequence[Run], held: Sequence[Run], seed: int) -> dict[str, Any]:
    begun = time.process_time()
    weights = task_costs.fit(learnt, seed)
    bundle = task_costs.bundle(weights, Label(task_cost.NAME, 1, time.time()), learnt)
    spent = time.process_time() - begun
    correct = corrector(prepare(bundle))
    errors, duels = _played(learnt, held, correct)
    figures: dict[str, Any] = {"runs": len(learnt), "held_out": len(held)}
    figures |= _medians([error for rows in errors.values() for error in rows])
    figures["training_cpu_s"], figures["bundle_bytes"] = round(spent, 1), len(bundle)
    figures["network"] = bool(weights["last"].any())
    figures["kinds"] = {
        kind: {"held_out": len(rows), **_medians(rows), **_standing(duels.get(kind))}
        for kind, rows in sorted(errors.items())
    }
    return figures


_Errors = dict[str, float]


def _played(
    learnt: Sequence[Run], held: Sequence[Run], correct: Corrector
) -> tuple[dict[str, list[_Errors]], dict[str, Duel]]:
    """Foretell each held-out run, then learn it, as a gateway does."""
    estimate, model, agent = Costs(), Costs(), ModelledCosts()
    errors: dict[str, list[_Errors]] = defaultdict(list)
    for number, one in enumerate([*learnt, *held]):
        factor = correct(one.kind, one.parameters, one.sizes, one.hint)
        hint = Corrected(one.hint.cpu_s, one.hint.output_bytes, one.hint.memory_bytes, factor)
        if number >= len(learnt):
            guesses = {
                "hint": one.hint.cpu_s,
                "estimate": _seconds(estimate, one, one.hint),
                "model": _seconds(model, one, hint.plain),
                "as_used": _seconds(agent, one, hint),
            }
            errors[one.kind].append({name: abs(s / one.cpu_s - 1.0) for name, s in guesses.items()})
            agent.learn(one.kind, one.machine, hint, one.cpu_s)
        else:
            # Runs that the model has learnt from would flatter it: the gateway begins with the estimate.
            Costs.learn(agent, one.kind, one.machine, one.hint, one.cpu_s)
        estimate.learn(one.kind, one.machine, one.hint, one.cpu_s)
        model.learn(one.kind, one.machine, hint.plain, one.cpu_s)
    return errors, agent.duels


def _seconds(costs: Costs, one: Run, hint: Cost) -> float:
    return costs.predict(one.kind, one.machine, hint).seconds


def _medians(rows: Sequence[_Errors]) -> dict[str, float]:
    return {f"{name}_error": round(median(row[name] for row in rows), 4) for name in rows[0]}


def _standing(duel: Duel | None) -> dict[str, Any]:
    told = Counter[str]() if duel is None else duel.told()
    return {"used": told["used"], "why": told["why"]} if duel is not None else {"used": "estimate"}
