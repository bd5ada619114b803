"""A model's whole way, by real processes: released, fetched over HTTPS, used, found wanting, taken back."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.release.store import ModelStore
from coordinator.training.job import Evaluation, TrainingResult
from tests.models import bundles
from tests.release.models import NAME, score
from tools.stage.fleet import Fleet, command

pytestmark = pytest.mark.broker

SITE, GATEWAY = "hall", "gw-1"
WITHIN_S = 60.0
# Short windows, so that a trial is soon over.
TABLES: dict[str, dict[str, Any]] = {
    "mesh": {"link": "virtual", "nodes": 14, "seed": 3},
    "monitoring": {"probe_period_s": 0.5, "report_every": 2, "budget_messages_per_s": 10_000.0},
    "status": {"period_s": 0.5},
}


GOOD = Evaluation(overall=score(0.03), synthetic=score(0.03))


def trained(version: int) -> TrainingResult:
    """What a training would have given that thinks well of a model which knows nothing."""
    content = bundles.wrong(version).content
    return TrainingResult(NAME, version, {"float32": content}, {"float32": GOOD}, {"synthetic": 10}, 1.0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        yield Path(name)


def loaded_libraries(fleet: Fleet) -> str:
    """The files that the agent's process has mapped."""
    return Path(f"/proc/{fleet.agents[GATEWAY].pid}/maps").read_text()


async def asked(fleet: Fleet, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What the agent says of its models, once that is so."""
    deadline = time.monotonic() + WITHIN_S
    while not condition(models := (await fleet.ask_agent(GATEWAY, "status"))["models"]):
        assert time.monotonic() < deadline, models
        await asyncio.sleep(0.2)
    return models  # type: ignore[no-any-return]


async def known(fleet: Fleet, name: str) -> dict[str, Any]:
    """An event of this name, once the coordinator has stored it."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        events = await fleet.ask_coordinator("events", site=SITE)
        for event in events:
            if event["name"] == name:
                found: dict[str, Any] = event
                return found
        assert time.monotonic() < deadline, name
        await asyncio.sleep(0.2)


def states(models: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(model["version"], model["state"]) for model in models]


async def test_a_random_model_is_released_loaded_found_worse_reported_kept_and_rolled_back(
    folder: Path,
) -> None:
    async with Fleet(folder) as fleet:
        ModelStore(fleet.state / "models").add(trained(1), time.time())
        await fleet.start()
        await fleet.add_agent(SITE, GATEWAY, 1, TABLES)
        assert await asked(fleet, lambda models: True) == []
        # The simulator of this site needs numpy; what a model needs comes with the model.
        assert "litert" not in loaded_libraries(fleet).lower()

        where = ("--state", str(fleet.state))
        await command("coordinator", "models", "release", "1", *where)
        models = await asked(fleet, lambda models: states(models) == [(1, "worse-than-naive")])
        assert models[0]["error"] > models[0]["naive_error"]
        assert "libLiteRt.so" in loaded_libraries(fleet)
        assert (await fleet.ask_agent(GATEWAY, "status"))["forecaster"] == "naive"
        await known(fleet, "model-loaded")
        told = await known(fleet, "model-worse-than-naive")
        assert told["fields"]["version"] == 1

        await fleet.coordinator.kill()
        await fleet.broker.kill()
        await fleet.agents[GATEWAY].kill()
        await fleet.agents[GATEWAY].start()
        assert states(await asked(fleet, bool)) in ([(1, "trial")], [(1, "worse-than-naive")])

        await fleet.start()
        await command("coordinator", "models", "rollback", *where)
        assert await asked(fleet, lambda models: not models) == []
        assert list((folder / "agents" / GATEWAY / "state" / "models").glob("*.tflite")) == []
