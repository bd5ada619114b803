"""The twin of real nodes against the truth of their air: links after a while, flows after an applied plan."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.averages import mean
from common.errors import MeshtwinError
from common.mesh.graph import LinkKey
from firmware_bridge.access.link_monitor import MonitorSet
from tools.stage.fleet import Fleet, command
from tools.stage.scattered import GATEWAY, ScatteredStage

GOOD_PDR: Final = 0.6
POOR_PDR: Final = 0.4
"""Links between are neither good nor poor."""

MIDDLE: Final = 0.5
TOLD_APART: Final = 0.05
"""Links of a lower PDR, in truth and by the twin, are not links: nobody judges them."""

FLOW_WITHIN: Final = 0.05
"""So near should delivery be to its prediction."""

PING_TIMEOUT_S: Final = 1.0
EACH_PING_S: Final = 1.0
"""How often one of the nodes is asked while the twin learns: somebody has to use the lamps for flows to be
seen. Of what relays can pass on, this is a few hundredths, however many nodes there are."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the benchmark holds of a run."""

    fleet: Fleet
    stage: ScatteredStage
    folder: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-links")
    group.add_argument("--nodes", type=int, default=24, help="real nodes, one of them the gateway (24)")
    group.add_argument("--learn-minutes", type=float, default=10.0, help="time to learn (10)")
    group.add_argument("--pings", type=int, default=100, help="round trips a node after the plan (100)")
    group.add_argument(
        "--ping-every",
        type=float,
        default=0.25,
        help="seconds between two of these: more is a load that the plan was not made for (0.25)",
    )
    group.add_argument("--probe-period", type=float, default=1.0, help="shortest probe period, s (1)")
    group.add_argument("--longest-period", type=float, default=4.0, help="longest probe period, s (4)")
    group.add_argument("--report-every", type=int, default=10, help="probes of the shortest report (10)")
    group.add_argument("--probe-transmissions", type=int, default=2, help="transmissions of a probe (2)")
    group.add_argument("--cover", type=int, default=2, help="relays that every node hears well (2)")
    group.add_argument("--repeats", type=int, default=2, help="transmissions of a relayed message (2)")
    group.add_argument(
        "--links-recipe", default="relay-thinning", help="whose plan is applied (relay-thinning)"
    )


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures: links, then flows after the plan."""
    minutes = min(3.0, options.learn_minutes) if options.quick else options.learn_minutes
    with tempfile.TemporaryDirectory(prefix="mt-links-") as name:
        folder = Path(name)
        async with (
            Fleet(folder / "f") as fleet,
            ScatteredStage(
                folder / "lab", options.nodes, options.seed, _first(options), options.cover, options.repeats
            ) as stage,
        ):
            say(f"{options.nodes} real nodes, {len(stage.truth())} links, up in {stage.ready_s:.0f} s")
            _be_short(fleet)
            await fleet.start()
            await stage.add_agent(fleet, monitoring=_monitoring(options))
            site = Site(fleet, stage, folder)
            return await _measured(site, options, minutes)


def _be_short(fleet: Fleet) -> None:
    """Few round trips around each step of a plan: we count for ourselves afterwards."""
    with (fleet.state / "coordinator.toml").open("a") as file:
        file.write('\n[plans]\npatience = "short"\n')


def _first(options: argparse.Namespace) -> MonitorSet:
    return MonitorSet(round(10 * options.probe_period), options.report_every, options.probe_transmissions)


def _monitoring(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "probe_period_s": options.probe_period,
        "longest_probe_period_s": options.longest_period,
        "report_every": options.report_every,
        "transmissions": options.probe_transmissions,
    }


async def _measured(site: Site, options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    begun = time.monotonic()
    before = await _cpu(site)
    await _use(site, begun + 60.0 * minutes)
    seconds = time.monotonic() - begun
    figures = {**await _links(site), **await _state(site), "learned_s": round(seconds)}
    figures["cpu_cores"] = {k: round((v - before[k]) / seconds, 2) for k, v in (await _cpu(site)).items()}
    say(json.dumps(figures))
    return {**figures, **await _applied(site, options)}


async def _use(site: Site, end: float) -> None:
    """Ask every lamp now and then, in turn, as people would, until then; say how the links look meanwhile."""
    lamps, asked, told = site.stage.lamps, 0, time.monotonic()
    while (now := time.monotonic()) < end:
        await _ping(site, lamps[asked % len(lamps)])
        asked += 1
        await asyncio.sleep(max(0.0, now + EACH_PING_S - time.monotonic()))
        if time.monotonic() - told > 60.0:
            told = time.monotonic()
            with contextlib.suppress(MeshtwinError):
                say(f"{(end - told) / 60:.0f} min left: {json.dumps(await _links(site))}")


async def _ping(site: Site, lamp: int) -> bool:
    try:
        await site.fleet.ask_agent(GATEWAY, "ping", node=lamp, timeout_s=PING_TIMEOUT_S)
    except MeshtwinError:
        return False
    return True


async def _links(site: Site) -> dict[str, Any]:
    found = await site.fleet.ask_coordinator(f"sites/{site.stage.name}/twin/links")
    believed = {(one["transmitter"], one["receiver"]): float(one["pdr"]) for one in found}
    return compared(site.stage.truth(), believed)


def compared(truth: Mapping[LinkKey, float], believed: Mapping[LinkKey, float]) -> dict[str, Any]:
    """Precision and recall of good links, and how far PDRs are off: links that are there or believed in."""
    keys = [k for k in truth.keys() | believed.keys() if max(_of(truth, k), _of(believed, k)) >= TOLD_APART]
    off = sorted(abs(_of(truth, key) - _of(believed, key)) for key in keys)
    clear = [key for key in keys if not POOR_PDR <= _of(truth, key) <= GOOD_PDR]
    hits = sum(_of(truth, key) > GOOD_PDR and _of(believed, key) >= MIDDLE for key in clear)
    return {
        "precision": _share(hits, sum(_of(believed, key) >= MIDDLE for key in clear)),
        "recall": _share(hits, sum(_of(truth, key) > GOOD_PDR for key in clear)),
        "pdr_error": round(mean(off), 4) if off else None,
        "pdr_error_p95": round(off[int(0.95 * len(off))], 4) if off else None,
        "pdr_bias": round(mean([_of(believed, k) - _of(truth, k) for k in keys]), 4) if off else None,
        "links": len(keys),
        "links_unknown": sum(key not in believed for key in keys),
    }


def _of(pdrs: Mapping[LinkKey, float], key: LinkKey) -> float:
    return pdrs.get(key, 0.0)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


async def _state(site: Site) -> dict[str, Any]:
    status = await site.fleet.ask_agent(GATEWAY, "status")
    gateways = await site.fleet.ask_coordinator("gateways")
    twin = await site.fleet.ask_coordinator(f"sites/{site.stage.name}/twin")
    stats = await site.stage.site.lab.stats()
    return {
        "probe_period_s": gateways[0]["probe_period_s"],
        "reports_per_s": status["reports_per_s"],
        "nodes_alive": sum(node["alive"] for node in status["nodes"]),
        "vouches": twin["vouches"],
        "doubt": twin["doubt"][:200],
        "datagrams_lost_to_full_queues": sum(node.full for node in stats.nodes),
        "datagrams": stats.delivered,
    }


async def _cpu(site: Site) -> dict[str, float]:
    """CPU seconds so far: the lab's air, its daemons, and the bus."""
    usage = await site.stage.site.lab.usage()
    daemons = sum(node.cpu_s for node in usage.nodes if node is not None)
    return {"air": usage.air.cpu_s, "daemons": daemons, "bus": usage.bus.cpu_s}


async def _applied(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    """Ask for a plan, apply it, and count round trips: predicted against delivered."""
    recipe = options.links_recipe
    where = ("--state", str(site.fleet.state), "--json")
    file = site.folder / "plan.json"
    await command("coordinator", "recipes", "run", recipe, site.stage.name, "--plan", str(file), *where)
    if not file.exists():
        say(f"{recipe}: nothing to change")
        return {"plan": None}
    plan = json.loads(file.read_text())
    say(f"{recipe}: {len(plan['steps'])} steps; {plan['reason']}")
    outcome = await _apply(site, file)
    say(json.dumps({"application": outcome}))
    delivered = await _counted(site, options.pings, options.ping_every)
    return {"plan": recipe, "steps": len(plan["steps"]), "vouched": plan["vouched"], **outcome,
            **judged(plan, delivered, site.stage.plan.address_of(0))}  # fmt: skip


async def _apply(site: Site, file: Path) -> dict[str, Any]:
    where = ("--state", str(site.fleet.state), "--json")
    try:
        told = await command("coordinator", "twin", "apply", str(file), "--yes", "--force", *where)
        ended = json.loads(told)
        return {"state": ended["state"], "reason": ended["reason"][:200]}
    except MeshtwinError as error:
        return {"state": "refused", "reason": str(error)[:300]}


async def _counted(site: Site, pings: int, every_s: float) -> dict[int, float]:
    """Share of round trips to each lamp that came back."""
    came = dict.fromkeys(site.stage.lamps, 0)
    for number in range(pings):
        for lamp in came:
            due = time.monotonic() + every_s
            came[lamp] += await _ping(site, lamp)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if number % 10 == 9:
            say(f"{number + 1} of {pings} rounds: {sum(came.values()) / (number + 1) / len(came):.3f}")
    return {lamp: times / pings for lamp, times in came.items()}


def judged(plan: Mapping[str, Any], delivered: Mapping[int, float], gateway: int) -> dict[str, Any]:
    """How far the plan's word on each asked node is from what was counted."""
    foretold = {f["destination"]: f["after"] for f in plan["flows"] if f["source"] == gateway}
    both = [(foretold[lamp], share) for lamp, share in delivered.items() if lamp in foretold]
    off = sorted(abs(said - share) for said, share in both)
    if not off:
        return {"flows": 0}
    for lamp in sorted(delivered.keys() & foretold.keys()):
        say(f"lamp {lamp}: predicted {foretold[lamp]:.3f}, delivered {delivered[lamp]:.3f}")
    return {
        "flows": len(off),
        "flow_predicted": round(mean([said for said, _ in both]), 4),
        "flow_delivered": round(mean([share for _, share in both]), 4),
        "flow_error": round(mean(off), 4),
        "flow_error_worst": round(off[-1], 4),
        "flows_within": _share(sum(error <= FLOW_WITHIN for error in off), len(off)),
    }


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
