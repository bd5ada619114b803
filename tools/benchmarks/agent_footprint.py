"""What an agent takes of its gateway: memory, a share of one core, and CPU seconds to start."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.stage.fleet import Fleet
from tools.stage.lamps import LampStage
from tools.stage.patient import until
from tools.stage.process import Memory, cpu_s, memory

AGENTS: Final = ("gw-a1", "gw-a2")
PROBE_PERIOD_S: Final = 1.0
CONNECTED_WITHIN_S: Final = 30.0
SAMPLE_S: Final = 1.0
QUICK_S: Final = 15.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("agent-footprint")
    group.add_argument("--watch", type=float, default=60.0, help="seconds that an agent is watched (60)")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH, each the worse of the site's two agents: one acts, the other is its peer."""
    seconds = min(QUICK_S, options.watch) if options.quick else options.watch
    with tempfile.TemporaryDirectory(prefix="footprint-") as name:
        async with AsyncExitStack() as stack:
            fleet = await stack.enter_async_context(Fleet(Path(name)))
            await fleet.start()
            lamps = await stack.enter_async_context(LampStage(Path(name) / "lab", seed=options.seed))
            await lamps.add_agents(fleet, monitoring={"probe_period_s": PROBE_PERIOD_S})
            starts = [await _started(fleet, agent) for agent in AGENTS]
            say(f"{lamps.plan.count} real nodes, {len(AGENTS)} agents connected; {seconds:.0f} s to watch")
            plain = await _watch([fleet.agents[agent].pid for agent in AGENTS], seconds)
    return {
        "rss_mib_no_model": round(max(use.memory.resident for use in plain), 1),
        "pss_mib_no_model": round(max(use.memory.proportional for use in plain), 1),
        "cpu_percent_no_model": round(max(use.cpu_percent for use in plain), 2),
        "start_cpu_s": round(max(starts), 2),
        "seconds": seconds,
    }


@dataclass(frozen=True, slots=True)
class Use:
    """What one agent took while it was watched: the most memory at any time, and per cent of a core."""

    memory: Memory
    cpu_percent: float


async def _started(fleet: Fleet, agent: str) -> float:
    """CPU seconds that an agent has taken when its mesh is up and its broker connected."""
    await until(fleet, agent, lambda status: bool(status["broker"] == "connected"), CONNECTED_WITHIN_S)
    return cpu_s(fleet.agents[agent].pid)


async def _watch(pids: Sequence[int], seconds: float) -> list[Use]:
    """Look at processes once a second; nobody asks them anything meanwhile."""
    begun, before = time.monotonic(), [cpu_s(pid) for pid in pids]
    most = [memory(pid) for pid in pids]
    while (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(SAMPLE_S, left))
        most = [_more(known, memory(pid)) for known, pid in zip(most, pids, strict=True)]
    taken = [cpu_s(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
    elapsed = time.monotonic() - begun
    return [Use(known, 100.0 * cpu / elapsed) for known, cpu in zip(most, taken, strict=True)]


def _more(one: Memory, other: Memory) -> Memory:
    return Memory(max(one.resident, other.resident), max(one.proportional, other.proportional))


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
