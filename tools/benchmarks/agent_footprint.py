"""What an agent takes of its gateway: memory, a share of one core, and CPU seconds to start."""

from __future__ import annotations

import argparse
import asyncio
import compileall
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.errors import MeshtwinError
from common.models import link_forecast
from tools.benchmarks.report import ROOT
from tools.stage.daemon import Daemon
from tools.stage.fleet import Fleet
from tools.stage.lamps import LampStage
from tools.stage.patient import until
from tools.stage.process import Memory, cpu_s, memory

AGENTS: Final = ("gw-a1", "gw-a2")
PROBE_PERIOD_S: Final = 1.0
CONNECTED_WITHIN_S: Final = 30.0
SAMPLE_S: Final = 1.0
COPIES: Final = 4
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
            await asyncio.to_thread(precompile)
            await lamps.add_agents(fleet, monitoring={"probe_period_s": PROBE_PERIOD_S})
            for agent in AGENTS:
                await _connected(fleet, agent)
            starts = [cpu_s(fleet.agents[agent].pid) for agent in AGENTS]
            say(f"{lamps.plan.count} real nodes, {len(AGENTS)} agents connected; {seconds:.0f} s to watch")
            plain = await _watch([fleet.agents[agent].pid for agent in AGENTS], seconds)
            bundle = Path(name) / "model.tflite"
            bundle.write_bytes(await asyncio.to_thread(make_bundle, options.seed))
            say(f"{seconds:.0f} s more with {COPIES} copies of the forecaster, each asked once a second")
            loaded = await _with_copies(fleet, bundle, seconds)
    return {
        "rss_mib": round(max(use.memory.resident for use in loaded), 1),
        "pss_mib": round(max(use.memory.proportional for use in loaded), 1),
        "cpu_percent": round(max(use.cpu_percent for use in loaded), 2),
        "rss_mib_no_model": round(max(use.memory.resident for use in plain), 1),
        "pss_mib_no_model": round(max(use.memory.proportional for use in plain), 1),
        "cpu_percent_no_model": round(max(use.cpu_percent for use in plain), 2),
        "start_cpu_s": round(max(starts), 2),
        "seconds": seconds,
    }


def precompile() -> None:
    """Byte code of ours, as an installation makes it; without it every start compiles."""
    for package in ("common", "edge_agent", "firmware_bridge"):
        compileall.compile_dir(ROOT / package, quiet=1)


def make_bundle(seed: int) -> bytes:
    """The forecaster's network as a bundle, not trained: what it takes does not depend on what it knows."""
    # JAX takes seconds to import, which the other benchmarks need not wait for.
    from coordinator.training import bundle, network

    weights = network.unscaled(network.initial(seed), network.scale_of(bundle.golden_inputs()))
    return bundle.float32(weights, bundle.Label(link_forecast.NAME, 1, time.time()))


async def _with_copies(fleet: Fleet, bundle: Path, seconds: float) -> list[Use]:
    """The same agents, ended and started again, with several forecasters in each."""
    async with AsyncExitStack() as stack:
        agents = []
        for gateway in AGENTS:
            await fleet.agents[gateway].stop()
            agent = _loaded_agent(fleet, gateway, bundle)
            stack.push_async_callback(agent.stop)
            await agent.start()
            agents.append(agent)
        for gateway in AGENTS:
            await _connected(fleet, gateway)
            # A link's first window makes the first question.
            await until(fleet, gateway, lambda status: status["links"] > 0, CONNECTED_WITHIN_S)
        return await _watch([agent.pid for agent in agents], seconds)


def _loaded_agent(fleet: Fleet, gateway: str, bundle: Path) -> Daemon:
    async def answers() -> bool:
        try:
            return bool((await fleet.ask_agent(gateway, "status"))["mesh"] == "up")
        except MeshtwinError:
            return False

    command = [sys.executable, "-m", "tools.stage.forecasters", str(bundle), str(COPIES)]
    config = ["--config", str(fleet.config_of(gateway))]
    return Daemon(gateway, [*command, *config], fleet.folder / f"{gateway}-loaded.log", answers)


@dataclass(frozen=True, slots=True)
class Use:
    """What one agent took while it was watched: the most memory at any time, and per cent of a core."""

    memory: Memory
    cpu_percent: float


async def _connected(fleet: Fleet, agent: str) -> None:
    """Wait until the broker answers an agent, whose mesh is up already."""
    await until(fleet, agent, lambda status: bool(status["broker"] == "connected"), CONNECTED_WITHIN_S)


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
