"""What the twins of a fleet cost: building, following and judging them, here and in the engine's workers.

One virtual site with hidden truths is observed as gateways observe theirs, and stored as many sites. Measured
are the coordinator's own CPU time (building a site from the repository, following five seconds of its news,
handing its state to a worker) and how long workers take to judge one site, and all of them. A state is handed
over with every judgement; the other way, one process that keeps it for each site, is priced by `worker_mb`.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from common.scenario import Flow
from coordinator.engine.processes import Processes, processors
from coordinator.repository.batch import Batch
from coordinator.repository.store import Repository
from coordinator.twin import mirror_history
from coordinator.twin.mirror import judge_state
from coordinator.twin.mirror_history import Marks
from coordinator.twin.mirror_state import SiteState
from firmware_bridge.virtual import VirtualSite
from firmware_bridge.virtual.generator import generate
from tests.twin.living_site import LivingSite

PERIOD_S: Final = 20.0
NEWS_S: Final = 5.0
LIVED_S: Final = 600.0
QUICK_LIVED_S: Final = 30.0
SITES: Final = 20
QUICK_SITES: Final = 4

Held = tuple[SiteState, Marks]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-fleet")
    group.add_argument("--fleet-sites", type=int, help=f"sites (default {SITES})")
    group.add_argument("--fleet-nodes", type=int, default=100, help="nodes of each (default 100)")
    group.add_argument("--fleet-workers", type=int, default=processors(), help="processes at once")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    return await asyncio.to_thread(_measure, options)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    sites = options.fleet_sites or (QUICK_SITES if options.quick else SITES)
    site = _site(options.fleet_nodes, options.seed)
    print("living", file=sys.stderr)
    sent = site.live(QUICK_LIVED_S if options.quick else LIVED_S)
    with (
        TemporaryDirectory() as folder,
        Repository(f"sqlite:///{Path(folder) / 'repository.db'}") as repository,
    ):
        for number in range(sites):
            repository.store(_as_site(site, sent, number))
        figures: dict[str, Any] = {"sites": sites, "nodes": options.fleet_nodes}
        held: list[Held] = []
        with _cpu(figures, "build_s", sites):
            held += [mirror_history.build(repository, f"s{i}", site.now) for i in range(sites)]
        with _cpu(figures, "follow_5_s_s", sites):
            for state, marks in held:
                mirror_history.catch_up(repository, state, marks, site.now - NEWS_S, site.now)
        _judge(figures, [state for state, _ in held], site.now, options.fleet_workers)
    return figures


def _judge(figures: dict[str, Any], states: list[SiteState], now: float, workers: int) -> None:
    figures["state_kb"] = round(len(pickle.dumps(states[0])) / 1e3)
    with _cpu(figures, "model_s", len(states)):
        for state in states:
            state.model(now)
    with Processes(workers) as engine:
        print("judging", file=sys.stderr)
        for future in [engine.submit(judge_state, state, now) for state in states[: 2 * workers]]:
            future.result()  # Everything is loaded afterwards.
        begun = time.perf_counter()
        engine.call(judge_state, states[0], now)
        figures["judge_one_s"] = round(time.perf_counter() - begun, 3)
        begun = time.perf_counter()
        with _cpu(figures, "hand_over_s", len(states)):
            futures = [engine.submit(judge_state, state, now) for state in states]
        for future in futures:
            future.result()
        figures |= {
            "judge_all_s": round(time.perf_counter() - begun, 2),
            "workers": workers,
            "worker_mb": [_mb(pid) for pid in engine.pids()],
        }


def _site(nodes: int, seed: int) -> LivingSite:
    scenario = generate(nodes, seed, gateways=2)
    flows = [Flow(source=n.address, destination=1, period_s=PERIOD_S) for n in scenario.nodes[2:]]
    scenario = scenario.model_copy(update={"flows": flows})
    return LivingSite(VirtualSite.from_scenario(scenario, loss=0.1, gateways=(1, 2)))


def _as_site(site: LivingSite, sent: list[Any], number: int) -> Batch:
    """What was sent, as if another site with gateways of its own had sent it."""
    name = f"s{number}"
    messages = [one._replace(site=name, gateway=f"{one.gateway}-{number}") for one in sent]
    heard = {
        f"{gateway}-{number}": status._replace(site=name, gateway=f"{gateway}-{number}")
        for gateway, status in site.statuses().items()
    }
    return Batch(site.now, messages, heard)


@contextmanager
def _cpu(figures: dict[str, Any], name: str, count: int) -> Iterator[None]:
    """CPU time of this process, per site."""
    begun = time.process_time()
    yield
    figures[name] = round((time.process_time() - begun) / count, 4)


def _mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 // 1_000_000
