"""The task instance as it is written: closed keys, bounded numbers. `instance.py` gives it meaning."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from common.placement.errors import BadInstance, Flaw
from common.record import Field, Record, ValidationError

MAX_BYTES: Final = 64 << 20
MAX_NODES: Final = 64
MAX_TASKS: Final = 10_000
MAX_EDGES: Final = 100_000
MAX_CHANNELS: Final = 16
MAX_SLOTS: Final = 256
MAX_NUMBER: Final = 1e15
"""Of milliseconds, joules and bits. Sums over a whole graph of such stay exact enough to compare."""

_Id = Annotated[str, Field(min_length=1, max_length=128)]
_Amount = Annotated[float, Field(ge=0.0, le=MAX_NUMBER, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0.0, le=MAX_NUMBER, allow_inf_nan=False)]
_PerNode = Annotated[list[_Amount], Field(min_length=1, max_length=MAX_NODES)]


class AllLocal(Record, strict=True, extra="forbid"):
    """Time and energy with every task on the gateway: what J is measured by."""

    time_ms: _Positive
    energy_j: _Positive


class NodeDocument(Record, strict=True, extra="forbid"):
    id: _Id
    tier: Annotated[str, Field(max_length=32)]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)] | None


class TaskDocument(Record, strict=True, extra="forbid"):
    """`duration_ms` has null for nodes that cannot run the task."""

    id: _Id
    pinned: _Id | None = None
    duration_ms: Annotated[list[_Amount | None], Field(min_length=1, max_length=MAX_NODES)]
    energy_j: _PerNode


class EdgeDocument(Record, strict=True, extra="forbid"):
    source: int = Field(alias="from", ge=0)
    target: int = Field(alias="to", ge=0)
    bits: _Amount
    transfer_ms: dict[_Id, _Amount]


class Reference(Record, strict=True, extra="forbid"):
    """The best J known for an instance; only benchmarks have one."""

    best: float = Field(alias="J", ge=0.0, allow_inf_nan=False)
    proven_optimal: bool
    lower_bound: Annotated[float, Field(allow_inf_nan=False)] | None


class Document(Record, strict=True, extra="forbid"):
    name: Annotated[str, Field(max_length=256)] = ""
    weight: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
    all_local: AllLocal
    nodes: Annotated[list[NodeDocument], Field(min_length=1, max_length=MAX_NODES)]
    tasks: Annotated[list[TaskDocument], Field(min_length=1, max_length=MAX_TASKS)]
    edges: Annotated[list[EdgeDocument], Field(max_length=MAX_EDGES)]
    channel: Annotated[list[list[_Id | None]], Field(max_length=MAX_NODES)]
    latency_ms: Annotated[list[_PerNode], Field(max_length=MAX_NODES)]
    energy_j_per_bit: Annotated[list[_PerNode], Field(max_length=MAX_NODES)]
    reference: Reference | None = None


def read(document: bytes | str | dict[str, Any]) -> Document:
    """Raises BadInstance."""
    try:
        return Document.model_validate(_decoded(document))
    except ValidationError as error:
        raise _named(error) from error


def _decoded(document: bytes | str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    if not isinstance(document, bytes | str):
        # Of a JSON text that somebody else has read: whatever stood there.
        raise BadInstance(Flaw.INVALID, "an instance is a JSON object")
    if len(document) > MAX_BYTES:
        raise BadInstance(Flaw.TOO_LARGE, f"{len(document)} bytes; at most {MAX_BYTES}")
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadInstance(Flaw.NOT_JSON, str(error)[:200]) from error
    if not isinstance(value, dict):
        raise BadInstance(Flaw.INVALID, "an instance is a JSON object")
    return value


def _named(error: ValidationError) -> BadInstance:
    """The first thing wrong, with its place."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:200] or "instance"
    flaw = {"extra_forbidden": Flaw.UNKNOWN_KEY, "too_long": Flaw.TOO_LARGE}.get(first["type"], Flaw.INVALID)
    return BadInstance(flaw, f"{place}: {first['msg']}")
