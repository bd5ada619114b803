"""Task graphs of real work on machines that are killed all the time: lost, doubled, and how well foretold.

Three gateways, a MEC server and a coordinator with two Dask workers share one and a half processors. Beside
the planner's own choice, each of the seven static cases (`common.placement.static_cases`) is played with the
same graphs, the same gaps between them and the same rule of kills: there tasks go, one after the other, to
whichever of the case's machines ends them first and costs least. Energy is modelled from measured CPU
seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from common.errors import MeshtwinError, Unavailable
from common.placement import static_cases
from common.taskgraph.graph import Tier
from tools.stage.quotas import Quotas
from tools.stage.task_fleet import GATEWAYS, SHARES, SITE, TaskFleet
from tools.stage.task_graphs import drawn

PIECE: Final = 48 * 1024
WARM_UP_PAUSE_S: Final = 2.0
DOWN_S: Final = (1.0, 6.0)
END_WITHIN_S: Final = 600.0
PLANNED: Final = "planned"
CASES: Final = {PLANNED: tuple(tier.value for tier in Tier)} | {
    name.replace("+", "_"): tuple(sorted(tiers)) for name, tiers in static_cases.CASES.items()
}


@dataclass
class Outcome:
    """What became of the graphs of one play."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Job to gateway."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the gateways say of those that are done."""
    told: Counter[str] = field(default_factory=Counter)
    """How often each job's end was told in its gateway's stream."""
    kills: Counter[str] = field(default_factory=Counter)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the gateways explain of those that are done."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("tasks-live")
    group.add_argument("--graphs", type=int, default=500, help="graphs of the planned case (500)")
    group.add_argument("--case-graphs", type=int, default=60, help="graphs of each other case (60; 0: none)")
    group.add_argument("--pause", type=float, default=3.0, help="mean seconds between two graphs (3)")
    group.add_argument(
        "--kill-every", type=float, default=20.0, help="mean seconds between two kills (20; 0: none)"
    )
    group.add_argument(
        "--warm-up", type=int, default=12, help="graphs before the first that counts: costs are learned (12)"
    )
    group.add_argument("--rows", type=Path, help="a file that gets a line of JSON for every graph")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures, by case."""
    graphs = 12 if options.quick else options.graphs
    others = 0 if options.quick else options.case_graphs
    figures: dict[str, Any] = {}
    for name, tiers in CASES.items():
        count = graphs if name == PLANNED else others
        if count:
            outcome = await _played(options, count, tiers, search=name == PLANNED)
            figures[name] = _figures(outcome)
            _write_rows(options.rows, name, outcome)
            _say(f"{name}: {json.dumps(figures[name])}")
    return figures


async def _played(options: argparse.Namespace, count: int, tiers: tuple[str, ...], search: bool) -> Outcome:
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="tl-") as folder, Quotas(SHARES) as quotas:
        async with TaskFleet(Path(folder), quotas, search) as fleet:
            await fleet.open()
            await _warmed_up(fleet, options.warm_up, options.seed, tiers)
            async with asyncio.TaskGroup() as group:
                killer = group.create_task(_kill(fleet, options, outcome))
                await _submit_all(fleet, options, count, tiers, outcome)
                await _all_ended(fleet, outcome)
                killer.cancel()
            await _stream_read(fleet, outcome)
    return outcome


async def _warmed_up(fleet: TaskFleet, graphs: int, seed: int, tiers: tuple[str, ...]) -> None:
    outcome = Outcome()
    for number in range(graphs):
        gateway = GATEWAYS[number % len(GATEWAYS)]
        job = await _submit(fleet, gateway, seed * 1_000_003 - 1 - number, tiers, f"warm{number}")
        outcome.accepted[job] = gateway
        # At the pace of the play: what a burst teaches of waiting holds for bursts.
        await asyncio.sleep(WARM_UP_PAUSE_S)
    await _all_ended(fleet, outcome)


async def _submit_all(
    fleet: TaskFleet, options: argparse.Namespace, count: int, tiers: tuple[str, ...], outcome: Outcome
) -> None:
    chance = random.Random(options.seed)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            gateway = chance.choice(GATEWAYS)
            seed = options.seed * 1_000_003 + number
            group.create_task(_accepted(fleet, gateway, seed, tiers, f"g{number}", outcome))
            await asyncio.sleep(chance.expovariate(1 / options.pause))
            if number % 20 == 19:
                _say(f"{number + 1} graphs submitted, {sum(outcome.kills.values())} kills")


async def _accepted(
    fleet: TaskFleet, gateway: str, seed: int, tiers: tuple[str, ...], token: str, outcome: Outcome
) -> None:
    outcome.accepted[await _submit(fleet, gateway, seed, tiers, token)] = gateway


async def _submit(fleet: TaskFleet, gateway: str, seed: int, tiers: tuple[str, ...], token: str) -> str:
    """Submit until the gateway has taken it; the token makes sure that it is one job."""
    document, files = await asyncio.to_thread(drawn, seed)
    while True:
        try:
            digests = {name: await _put(fleet, gateway, data) for name, data in files.items()}
            for task in document["tasks"]:
                task["inputs"] = {
                    key: {"blob": digests[source["file"]]} if "file" in source else source
                    for key, source in task["inputs"].items()
                }
            graph = await _put(fleet, gateway, json.dumps({**document, "tiers": list(tiers)}).encode())
            told = await fleet.ask_agent(gateway, "tasks-submit", graph=graph, token=token)
            return str(told["job"])
        except MeshtwinError:
            document, files = await asyncio.to_thread(drawn, seed)
            await asyncio.sleep(1.0)


async def _put(fleet: TaskFleet, gateway: str, data: bytes) -> str:
    upload: dict[str, Any] = {}
    for offset in range(0, max(1, len(data)), PIECE):
        piece = b64encode(data[offset : offset + PIECE]).decode()
        last = offset + PIECE >= len(data)
        answer = await fleet.ask_agent(gateway, "tasks-put", data=piece, last=last, **upload)
        upload = {"upload": answer.get("upload", "")}
    return str(answer["digest"])


async def _kill(fleet: TaskFleet, options: argparse.Namespace, outcome: Outcome) -> None:
    """Kill somebody, bring him back, and so on; two are never gone together for long."""
    chance = random.Random(options.seed + 7)
    while options.kill_every > 0:
        await asyncio.sleep(chance.expovariate(1 / options.kill_every))
        name = chance.choice(sorted(fleet.mortals()))
        victim = fleet.mortals()[name]
        await victim.kill()
        outcome.kills[name] += 1
        try:
            await asyncio.sleep(chance.uniform(*DOWN_S))
        finally:
            # Also at the end: what it has to tell is still wanted.
            await asyncio.shield(victim.spawn())


async def _all_ended(fleet: TaskFleet, outcome: Outcome) -> None:
    """Return when no accepted job is live any more. Raises Unavailable when that takes too long."""
    deadline = time.monotonic() + END_WITHIN_S
    while missing := outcome.accepted.keys() - outcome.jobs.keys():
        for gateway in GATEWAYS:
            try:
                jobs = (await fleet.ask_agent(gateway, "tasks-list"))["jobs"]
                for job in jobs:
                    if job["job"] in missing and job["state"] != "live":
                        plan = await fleet.ask_agent(gateway, "tasks-explain", job=job["job"])
                        shown = await fleet.ask_agent(gateway, "tasks-show", job=job["job"])
                        outcome.plans[job["job"]] = plan
                        outcome.jobs[job["job"]] = shown
            except MeshtwinError:
                pass
        if time.monotonic() > deadline:
            _say(f"never ended: {sorted(missing)}")
            return
        await asyncio.sleep(1.0)


async def _stream_read(fleet: TaskFleet, outcome: Outcome) -> None:
    """Count the ends that reached the coordinator, each from its own gateway's stream."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            events = await fleet.ask_coordinator("events", site=SITE, limit=10_000)
        except MeshtwinError:
            events = []
        ends = [event for event in events if event["name"] in ("job-done", "job-failed")]
        outcome.told = Counter(
            end["fields"]["job"] for end in ends if end["fields"]["job"].rpartition("-")[0] == end["gateway"]
        )
        if outcome.told.keys() >= outcome.jobs.keys():
            return
        await asyncio.sleep(1.0)
    raise Unavailable("the gateways' streams did not arrive")


def _figures(outcome: Outcome) -> dict[str, Any]:
    done = [job for job in outcome.jobs.values() if job["state"] == "done"]
    spans = [job["ended"] - job["submitted"] for job in done]
    promised = [(job, span) for job, span in zip(done, spans, strict=True) if job["promised_s"] is not None]
    errors = [abs(job["promised_s"] - span) / max(1e-3, span) for job, span in promised]
    left = [_error_of_the_rest(job, span, outcome.plans.get(job["job"]) or {}) for job, span in promised]
    machines: Counter[str] = Counter()
    for job in done:
        machines.update(job["machines"])
    return {
        "graphs": len(outcome.accepted),
        "done": len(done),
        "lost": len(outcome.accepted) - len(outcome.jobs),
        "failed": len(outcome.jobs) - len(done),
        "delivered_twice": sum(count > 1 for job, count in outcome.told.items() if job in outcome.accepted),
        "kills": dict(outcome.kills),
        "finish_s_median": round(median(spans), 3) if spans else None,
        "finish_s_mean": round(sum(spans) / len(spans), 3) if spans else None,
        "promised": len(errors),
        "prediction_error_median": round(median(errors), 3) if errors else None,
        "prediction_error_of_the_rest_median": round(median(left), 3) if left else None,
        "energy_j_mean_modelled": round(sum(job["energy_j"] for job in done) / max(1, len(done)), 3),
        "tasks_by_machine": dict(machines),
        **_parts(outcome),
    }


def _parts(outcome: Outcome) -> dict[str, Any]:
    """Where the error comes from: of tasks that ran where their first plan had them, how far the time that
    they took and the time at which they began are from that plan; and how many ran elsewhere."""
    runs: list[float] = []
    begins: list[float] = []
    moved = 0
    for plan in outcome.plans.values():
        for row in plan.get("task_rows", ()):
            if row["first"] is None or row["ran_s"] is None:
                continue
            machine, start_s, finish_s = row["first"]
            began_s, ended_s = (at - plan["first_at_s"] for at in row["ran_s"])
            if machine != row["ran_on"]:
                moved += 1
                continue
            took = max(1e-3, ended_s - began_s)
            runs.append(abs(finish_s - start_s - took) / took)
            begins.append(abs(began_s - start_s))
    return {
        "run_error_median": round(median(runs), 3) if runs else None,
        "begin_error_s_median": round(median(begins), 3) if begins else None,
        "tasks_as_planned": len(runs),
        "tasks_moved": moved,
    }


def _error_of_the_rest(job: dict[str, Any], span: float, plan: dict[str, Any]) -> float:
    """The error as a share of the time that was still to come when it was foretold: the harder measure."""
    rest = span - (plan.get("first_at_s") or 0.0)
    return float(abs(job["promised_s"] - span) / max(1e-3, rest))


def _write_rows(path: Path | None, case: str, outcome: Outcome) -> None:
    if path is None:
        return
    with path.open("a") as file:
        for name, job in outcome.jobs.items():
            row = {"case": case, "job": job, "plan": outcome.plans.get(name)}
            file.write(json.dumps(row) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
