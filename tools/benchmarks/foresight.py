"""Seconds between an agent's bypass of a decaying link and the moment when its flow falls below need."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from common.models.link_forecast import NAME
from coordinator.training.job import Observed, TrainingRequest, train
from edge_agent.infer.model_forecaster import LoadedModel, ModelForecaster, prepare
from firmware_bridge.virtual import VirtualSite
from tools.stage.crowds import Crowd
from tools.stage.decaying import DECAY_S, TO_PDR, Corridor, Course
from tools.stage.simulated import Simulation, simulated

P = ParamSpec("P")
R = TypeVar("R")

MODES: Final = ("model", "naive", "off")
NEED: Final = 0.9
SETTLE_S: Final = 300.0
"""To learn the site, and for the model's trial."""

PATIENCE_S: Final = 300.0
STEP_S: Final = 0.5
QUICK_SEEDS: Final = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("foresight")
    group.add_argument("--seeds", type=int, default=20, help="decays per mode (20)")
    group.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="which (all)")
    group.add_argument("--crowd", type=int, default=0, help="nodes on the demo's corridors, 25, 30 ...")
    group.add_argument("--to", type=float, default=TO_PDR, help=f"PDR that the link goes to ({TO_PDR})")
    group.add_argument(
        "--over", type=float, default=DECAY_S, help=f"seconds it takes; 0: a step ({DECAY_S:g})"
    )
    group.add_argument("--steady", type=float, default=0.0, help="minutes without any decay instead: actions")
    group.add_argument("--bundle", type=Path, help="a model's .tflite (default: one is trained for this)")


class Ground(Protocol):
    """A site, the gateway that minds it, and a link of it that a flow needs."""

    site: VirtualSite
    gateway: int

    def begin(self, need: float, course: Course) -> None: ...

    def hurts(self, need: float) -> bool: ...

    def bypassed(self) -> bool: ...


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH. A flow over five hops; the link decays both ways; simulated time."""
    seeds = min(QUICK_SEEDS, options.seeds) if options.quick else options.seeds
    model = prepare(await asyncio.to_thread(_bundle, options))
    course = None if options.steady else Course(options.to, options.over)
    figures: dict[str, Any] = {"seeds": seeds, "need": NEED}
    for mode in options.modes:
        played = []
        for seed in range(options.seed, options.seed + seeds):
            ground: Ground = Crowd(seed, options.crowd) if options.crowd else Corridor(seed)
            stage = (seed, mode, model if mode == "model" else None)
            played.append(await play(ground, *stage, course, 60.0 * options.steady))
            say(f"{mode} {seed}: {played[-1]}")
        figures |= _figures(mode, played) if course else _steady(mode, played)
    return figures


@dataclass(frozen=True, slots=True)
class Play:
    """One decay: when the relay set changed, and when the flow fell below need had it not, in seconds after
    the decay began; None for never. `early` counts actions before it. `state` is the model's."""

    changed_s: float | None
    hurt_s: float | None
    early: int
    state: str

    @property
    def lead_s(self) -> float | None:
        """Positive: the change came first."""
        return None if self.changed_s is None or self.hurt_s is None else self.hurt_s - self.changed_s


async def play(
    ground: Ground, seed: int, mode: str, model: LoadedModel | None, course: Course | None, steady_s: float
) -> Play:
    """A decay on a site of its own, minded by a whole agent; or, without a course, so long without one."""
    policy = {"forecast": "auto" if mode == "model" else mode, "delivery_need": NEED}
    with tempfile.TemporaryDirectory(prefix="foresight-") as folder:
        async with simulated(Path(folder), ground.site, ground.gateway, policy=policy) as simulation:
            if model is not None:
                simulation.agent.forecasting.add(ModelForecaster(model, AtOnce()))
            await simulation.clock.advance(SETTLE_S + Random(f"begin {seed}").uniform(0.0, 10.0))
            if course is not None:
                return await _decay(simulation, ground, course)
            await simulation.clock.advance(steady_s)
            return Play(None, None, _actions(simulation), _state(simulation))


async def _decay(simulation: Simulation, ground: Ground, course: Course) -> Play:
    clock = simulation.clock
    early, begun = _actions(simulation), clock.monotonic()
    changed: float | None = None
    hurt: float | None = None
    ground.begin(NEED, course)
    while (changed is None or hurt is None) and clock.monotonic() - begun < PATIENCE_S:
        await clock.advance(STEP_S)
        if changed is None and ground.bypassed():
            changed = clock.monotonic() - begun
        if hurt is None and ground.hurts(NEED):
            hurt = clock.monotonic() - begun
    return Play(changed, hurt, early, _state(simulation))


def _actions(simulation: Simulation) -> int:
    return sum(record.state == "applying" for _, record in simulation.stream.actions)


def _state(simulation: Simulation) -> str:
    standing = simulation.agent.forecasting.standing(NAME)
    return standing.state.value if standing else ""


def _figures(mode: str, played: list[Play]) -> dict[str, Any]:
    leads = [one.lead_s for one in played if one.lead_s is not None]
    figures = {
        f"lead_s_{mode}": round(fmean(leads), 1) if leads else None,
        f"lead_min_s_{mode}": round(min(leads), 1) if leads else None,
        f"ahead_{mode}": sum(lead > 0 for lead in leads),
        f"no_action_{mode}": sum(one.changed_s is None for one in played),
        f"false_actions_{mode}": sum(one.early for one in played),
    }
    return figures | _in_use(mode, played)


def _steady(mode: str, played: list[Play]) -> dict[str, Any]:
    return {f"false_actions_{mode}": sum(one.early for one in played)} | _in_use(mode, played)


def _in_use(mode: str, played: list[Play]) -> dict[str, Any]:
    return {"model_in_use": sum(p.state == "in-use" for p in played)} if mode == "model" else {}


def _bundle(options: argparse.Namespace) -> bytes:
    """The bundle to measure: the one that was named, or one trained for this on synthetic links."""
    if options.bundle is not None:
        found: bytes = options.bundle.read_bytes()
        return found
    say("training a model on synthetic links")
    request = TrainingRequest(
        Observed(None, 0.0, time.time()), 1, time.time(), seed=options.seed, quick=options.quick
    )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(train, request).result().bundles["float32"]


class AtOnce(Executor):
    """Does what it is given before it returns: simulated time does not pass while a thread works."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
