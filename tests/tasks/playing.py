"""A fleet of real processes that run tasks: what tests and the campaign ask of it."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from common.errors import MeshtwinError
from tools.stage.fleet import Fleet

SITE = "hall"
WITHIN_S = 90.0
TABLES: dict[str, dict[str, Any]] = {
    "mesh": {"link": "none"},
    "status": {"period_s": 0.5},
    "tasks": {"slots": 1, "refuse_cpu_percent": 100.0},
}


async def submit(fleet: Fleet, gateway: str, document: dict[str, Any], token: str) -> dict[str, Any]:
    """Submit a job as the command line does; the same token again is the same job."""
    data = b64encode(json.dumps(document).encode()).decode()
    put = await fleet.ask_agent(gateway, "tasks-put", data=data, last=True)
    return await fleet.ask_agent(gateway, "tasks-submit", graph=put["digest"], token=token)


def chain(tasks: int, rounds: int, **more: Any) -> dict[str, Any]:
    """`tasks` measurements side by side, and one after them all."""
    names = [f"m{number}" for number in range(tasks)]
    work = [{"id": name, "kind": "measure", "parameters": {"rounds": rounds}} for name in names]
    last = {"id": "last", "kind": "measure", "parameters": {"rounds": 10}, "after": names}
    return {"name": f"{tasks} measurements", "tasks": [*work, last], **more}


async def until(
    fleet: Fleet,
    gateway: str,
    job: str,
    condition: Callable[[dict[str, Any]], bool],
    every_s: float = 0.1,
) -> dict[str, Any]:
    """The job as its gateway shows it, once that is so."""
    deadline, shown = time.monotonic() + WITHIN_S, {}
    while True:
        try:
            shown = await fleet.ask_agent(gateway, "tasks-show", job=job)
            if condition(shown):
                return shown
        except MeshtwinError as error:
            shown = {"error": str(error)}
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(every_s)


def is_done(shown: dict[str, Any]) -> bool:
    assert shown["state"] in ("live", "done"), shown
    return bool(shown["state"] == "done")
