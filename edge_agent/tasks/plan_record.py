"""What is kept of a job's plans: the first one, the last one, and what has come true of them, so that they
can be explained after the agent was restarted and after the job has ended. Compressed JSON; nothing is
decided from it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import Corrupt
from edge_agent.tasks.planning import Plan, Planned

MAX_BYTES: Final = 16 << 20
"""Unpacked: two plans of five hundred tasks on sixteen machines take a tenth of it."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """All times in seconds from the job's submission on."""

    first: Plan | None = None
    last: Plan | None = None
    first_at_s: float | None = None
    """When the first plan was made."""
    ran: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By task, the begin and the end of the run that gave its result, as far as this life saw them."""
    promised_s: float | None = None
    """When the end was foretold with the first plan."""

    def packed(self) -> bytes:
        """For `unpacked`."""
        document = {
            "first": _written(self.first),
            "last": _written(self.last),
            "first_at_s": self.first_at_s,
            "promised_s": self.promised_s,
            "ran": {task: [round(at, 4) for at in span] for task, span in self.ran.items()},
        }
        return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def unpacked(data: bytes) -> PlanRecord:
    """The record that was packed. Raises Corrupt."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MAX_BYTES)
        if not unpacker.eof:
            raise ValueError("it is cut, or too long")
        found = json.loads(text)
        at, promised = found["first_at_s"], found["promised_s"]
        return PlanRecord(
            _read(found["first"]),
            _read(found["last"]),
            None if at is None else float(at),
            {str(task): (float(began), float(ended)) for task, (began, ended) in found["ran"].items()},
            None if promised is None else float(promised),
        )
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Corrupt(f"no record of plans: {error}"[:200]) from error


def _written(plan: Plan | None) -> Any:
    if plan is None:
        return None
    rows = {
        task: [one.machine, round(one.start_s, 4), round(one.finish_s, 4), one.rank]
        for task, one in plan.tasks.items()
    }
    numbers = [plan.finish_s, plan.energy_j, plan.cost]
    return {"tasks": rows, "numbers": numbers, "method": plan.method, "document": plan.document}


def _read(written: Any) -> Plan | None:
    if written is None:
        return None
    tasks = {
        str(task): Planned(str(machine), float(start), float(finish), int(rank))
        for task, (machine, start, finish, rank) in written["tasks"].items()
    }
    finish_s, energy_j, cost = map(float, written["numbers"])
    document = written["document"]
    if document is not None and not isinstance(document, dict):
        raise ValueError("a plan of something else")
    return Plan(tasks, finish_s, energy_j, cost, str(written["method"]), 0.0, document)
