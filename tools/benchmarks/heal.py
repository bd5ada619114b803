"""Seconds from a relay's death until every node that it cut off answers three times in a row."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

from common.errors import MeshtwinError, TimedOut
from tools.benchmarks import heal_simulated
from tools.stage import corridors
from tools.stage.fleet import Fleet
from tools.stage.healing import Healed, Ping, measure
from tools.stage.lamps import LampStage
from tools.stage.patient import Patient, pinger, until, victims_of
from tools.stage.virtual import VirtualStage

PROBE_PERIOD_S: Final = 1.0
LEARN_WITHIN_S: Final = 240.0
SETTLE_WITHIN_S: Final = 90.0
SETTLE_S: Final = 4.0
GREET_PAUSE_S: Final = 0.3
LEAST_SERVICE: Final = 0.75

Results = dict[tuple[str, str], list[Healed]]
"""By site and mode."""

MODES: Final = {"": "with everything", "_no_coordinator": "no coordinator", "_no_broker": "no broker"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("heal")
    group.add_argument("--faults", type=int, default=30, help="relay deaths per site and mode (30)")
    group.add_argument("--soak", type=float, default=1800.0, help="seconds without faults (1800)")
    group.add_argument("--loss", type=float, default=0.1, help="loss per link and transmission (0.1)")
    group.add_argument(
        "--manual-clock", action="store_true", help="simulated sites alone, in simulated time, from --seed on"
    )
    group.add_argument(
        "--simulated-sites", type=int, default=3, help="of them, each of a seed of its own (3)"
    )
    group.add_argument("--only", choices=("lamps", "virtual"), help="one of the two sites")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH: per mode, over both sites."""
    faults = 3 if options.quick else options.faults
    soak_s = min(60.0, options.soak) if options.quick else options.soak
    if options.manual_clock:
        seeds = range(options.seed, options.seed + (1 if options.quick else options.simulated_sites))
        return await heal_simulated.figures(seeds, faults, options.loss, soak_s, say)
    with tempfile.TemporaryDirectory(prefix="heal-") as name:
        async with AsyncExitStack() as stack:
            fleet = await stack.enter_async_context(Fleet(Path(name)))
            await fleet.start()
            patients = await _admit(fleet, stack, options, Path(name))
            await _learned(fleet, patients)
            results: Results = {}
            for mode in MODES:
                results |= await _campaign(fleet, patients, mode, faults, options.seed)
            false_actions = await _soak(fleet, patients, soak_s)
            rate = await _monitoring_rate(fleet, patients)
    names = [patient.stage.name for patient in patients]
    figures: dict[str, Any] = {"false_actions": false_actions, "soak_s": soak_s}
    for mode in MODES:
        figures |= _figures([healed for name in names for healed in results[name, mode]], mode)
    return {
        **figures,
        "probe_period_s": PROBE_PERIOD_S,
        "loss": options.loss,
        "monitoring_messages_per_s": rate,
        "sites": {
            name: {k: v for mode in MODES for k, v in _figures(results[name, mode], mode).items()}
            for name in names
        },
    }


async def _admit(
    fleet: Fleet, stack: AsyncExitStack, options: argparse.Namespace, folder: Path
) -> list[Patient]:
    """Start the agents of both sites."""
    patients = []
    if options.only != "virtual":
        lamps = await stack.enter_async_context(LampStage(folder / "lab", options.loss, options.seed))
        say(f"{lamps.plan.count} real nodes up, provisioned and configured in {lamps.ready_s:.1f} s")
        await lamps.add_agents(fleet, monitoring={"probe_period_s": PROBE_PERIOD_S})
        patients.append(Patient(lamps, {"gw-a1": lamps.address(0), "gw-a2": lamps.address(1)}))
    if options.only != "lamps":
        control = folder / "site-b.sock"
        mesh = {
            "link": "virtual",
            "scenario": str(corridors.write(folder / "site-b.json", options.seed)),
            "loss": options.loss,
            "control": str(control),
        }
        await fleet.add_agent("site-b", "gw-b1", corridors.GATEWAY, {"mesh": mesh})
        patients.append(Patient(VirtualStage("site-b", control), {"gw-b1": corridors.GATEWAY}))
    return patients


async def _learned(fleet: Fleet, patients: list[Patient]) -> None:
    say("waiting until the agents know their sites")
    for patient in patients:
        for agent in patient.agents:
            await until(fleet, agent, lambda status: bool(status["learned"]), LEARN_WITHIN_S)
        patient.baseline = await patient.stage.relays()
        await _well(fleet, patient)


async def _campaign(fleet: Fleet, patients: list[Patient], mode: str, faults: int, seed: int) -> Results:
    """One mode on all sites at once."""
    say(f"{faults} relay deaths per site, {MODES[mode]}")
    if mode == "_no_coordinator":
        await fleet.coordinator.kill()
    elif mode == "_no_broker":
        await fleet.broker.kill()
        for patient in patients:
            for agent in patient.agents:
                await until(fleet, agent, lambda status: status["role"] == "alone", 30.0)
    async with asyncio.TaskGroup() as tasks:
        campaigns = {
            (patient.stage.name, mode): tasks.create_task(
                _injure(fleet, patient, mode, faults, random.Random(f"{seed} {mode}"))
            )
            for patient in patients
        }
    if mode == "_no_coordinator":
        await fleet.coordinator.start()
    elif mode == "_no_broker":
        await fleet.broker.start()
    return {key: task.result() for key, task in campaigns.items()}


async def _injure(fleet: Fleet, patient: Patient, mode: str, faults: int, rng: random.Random) -> list[Healed]:
    healed: list[Healed] = []
    while len(healed) < faults:
        victims = await victims_of(fleet, patient, alone=mode == "_no_broker")
        if not victims:
            raise TimedOut(f"{patient.stage.name} has no relay whose death can be mended")
        victim = rng.choice(victims)
        await asyncio.sleep(rng.uniform(0.0, PROBE_PERIOD_S))
        outcome = await measure(patient.stage, victim.relay, victim.cut_off, pinger(fleet, victim.agent))
        healed.append(outcome)
        told = "not repaired"
        if outcome.seconds is not None:
            told = f"{outcome.seconds:.2f} s (first answer after {outcome.first_sign_s:.2f} s)"
        who = f"{patient.stage.name}{mode} {len(healed)}/{faults}"
        say(f"{who}: 0x{victim.relay:04x}, {len(victim.cut_off)} cut off, {told}")
        await _restore(fleet, patient, victim.relay)
    return healed


async def _restore(fleet: Fleet, patient: Patient, relay: int) -> None:
    """Bring the dead back and the relay set to what it was, as an operator would."""
    await patient.stage.revive(relay)
    await until(
        fleet, patient.first, lambda status: all(n["alive"] for n in status["nodes"]), SETTLE_WITHIN_S
    )
    await _idle(fleet, patient)
    for node in sorted(await patient.stage.relays() - patient.baseline):
        for agent in patient.agents:
            await _persist(fleet, agent, node)
    await _well(fleet, patient)


async def _greet(ping: Ping, node: int) -> None:
    """Ask a node that came back until it answers: the agent would notice its next report only."""
    async with asyncio.timeout(SETTLE_WITHIN_S):
        # Another process's node: there is no event to wait for.
        while not await ping(node):  # noqa: ASYNC110
            await asyncio.sleep(GREET_PAUSE_S)


async def _persist(fleet: Fleet, agent: str, node: int) -> None:
    for attempt in range(5):
        try:
            await fleet.ask_agent(agent, "relay", node=node, relay=False)
            return
        except MeshtwinError:
            if attempt == 4:
                raise
            await asyncio.sleep(1.0)


async def _well(fleet: Fleet, patient: Patient) -> None:
    """Wait until every agent sees every node alive and served, and has nothing under way."""
    for agent in patient.agents:
        await until(fleet, agent, _is_well, SETTLE_WITHIN_S)
    await _idle(fleet, patient)
    await asyncio.sleep(SETTLE_S)


async def _idle(fleet: Fleet, patient: Patient) -> None:
    for agent in patient.agents:
        await until(fleet, agent, lambda status: not status["actions_pending"], SETTLE_WITHIN_S)


def _all_alive(status: dict[str, Any]) -> bool:
    return all(node["alive"] for node in status["nodes"])


def _is_well(status: dict[str, Any]) -> bool:
    return all(node["alive"] and node["delivery"] >= LEAST_SERVICE for node in status["nodes"])


async def _soak(fleet: Fleet, patients: list[Patient], seconds: float) -> int:
    """Time without faults; the number of actions begun in it."""
    for patient in patients:
        await _well(fleet, patient)
    before = await _begun(fleet)
    say(f"{seconds / 60:.0f} min without faults")
    await asyncio.sleep(seconds)
    return await _begun(fleet) - before


async def _begun(fleet: Fleet) -> int:
    """Actions that were ever applied, as the coordinator knows them after the streams have caught up."""
    for agent in fleet.agents:
        await until(fleet, agent, lambda status: status["outbox"]["queued"] < 50, SETTLE_WITHIN_S)
    actions = await fleet.ask_coordinator("actions", limit=10_000)
    return sum(any(step["state"] == "applying" for step in action["steps"]) for action in actions)


async def _monitoring_rate(fleet: Fleet, patients: list[Patient]) -> dict[str, float]:
    """Monitoring messages per second and site: a probe per node and period, and the reports that arrive."""
    rates = {}
    for patient in patients:
        status = await fleet.ask_agent(patient.first, "status")
        rates[patient.stage.name] = round(len(status["nodes"]) / PROBE_PERIOD_S + status["reports_per_s"], 1)
    return rates


def _figures(healed: list[Healed], mode: str) -> dict[str, Any]:
    times = sorted(h.seconds for h in healed if h.seconds is not None)
    return {
        f"median_s{mode}": round(median(times), 2) if times else None,
        f"p95_s{mode}": round(times[min(len(times) - 1, int(0.95 * len(times)))], 2) if times else None,
        f"faults{mode}": len(healed),
        f"repaired{mode}": len(times),
    }


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
