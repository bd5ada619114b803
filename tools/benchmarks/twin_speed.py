"""Simulated seconds for each CPU second of the event simulator, against SimPy too, compile time apart.

Each scenario is played for long enough that packing it hardly counts; CPU time of this thread from the
scenario to the outcome, the best of several plays, because what else the machine does only ever adds. The
comparison is the SimPy model of the tests, in turns with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from common import scenario
from common.radio import DEFAULT, simulate
from common.scenario import Scenario
from tests.radio.simpy_model import simulate_with_simpy
from tools.benchmarks.chain import data

SIZES: Final = {100: 3600.0, 500: 600.0, 1000: 240.0, 2000: 90.0}
"""Nodes, and seconds to simulate."""

ALL_RELAYS_S: Final = 60.0
ROUNDS: Final = 3
SIMPY_S: Final = 30.0
QUICK: Final = 0.25


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-speed")
    group.add_argument("--scenarios", type=Path, help="folder of speed_*.json.gz (default: MESHTWIN_DATA's)")


def inputs(options: argparse.Namespace) -> list[Path]:
    """The files measured on. Raises Misconfigured if there are none."""
    folder = options.scenarios or data("scenarios")
    return [folder / f"speed_{size}.json.gz" for size in SIZES]


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH."""
    return await asyncio.to_thread(_measure, inputs(options), options.quick)


def _measure(files: list[Path], quick: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"compile_s": _compile_s()}
    share = QUICK if quick else 1.0
    sites = dict(zip(SIZES, map(scenario.read, files), strict=True))
    for size, site in sites.items():
        figures[f"rtf_{size}"] = _factor(site, share * SIZES[size])
    figures["rtf_500_all_relays"] = _factor(_all_relays(sites[500]), share * ALL_RELAYS_S)
    figures["simpy_ratio_100"] = _against_simpy(sites[100], share * SIMPY_S)
    return figures


def _all_relays(site: Scenario) -> Scenario:
    return site.model_copy(update={"nodes": [n.model_copy(update={"relay": True}) for n in site.nodes]})


def _factor(site: Scenario, seconds: float) -> float:
    simulate(site, duration_s=1.0)
    return round(max(seconds / simulate(site, duration_s=seconds).totals.cpu_s for _ in range(ROUNDS)), 1)


def _against_simpy(site: Scenario, seconds: float) -> float:
    """How many times as long SimPy takes for the same."""
    ours, theirs = float("inf"), float("inf")
    for _ in range(ROUNDS):
        # Ours for longer, as it is over too soon to be measured.
        ours = min(ours, simulate(site, duration_s=20 * seconds).totals.cpu_s / 20)
        begun = time.thread_time()
        simulate_with_simpy(site, DEFAULT, seed=1, duration_s=seconds)
        theirs = min(theirs, time.thread_time() - begun)
    return round(theirs / ours, 1)


def _compile_s() -> float:
    """CPU seconds until a process without any cache has compiled the kernel."""
    code = "import time; from common.radio import compilation; compilation.warm(); print(time.process_time())"
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        )
    return round(float(done.stdout.split()[-1]), 1)
