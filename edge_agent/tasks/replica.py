"""A job as it is given to another gateway: its document, what its tasks gave so far, and how it stands. One
blob, which names the other blobs that belong to it."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from common.errors import Rejected, RejectReason
from common.exchange.messages import Digest, Size
from common.record import Field, Record, ValidationError
from common.taskgraph import graph
from common.taskgraph.wire import JobId, TaskResult

MAX_BYTES: Final = 32 << 20
"""Unpacked: ten thousand tasks with their results take half of it."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A job. `submitted` and `deadline` are Unix times; `blobs` what it needs, by digest, with sizes. `state`
    is a JobState's value, and `reason` why it ended so."""

    job: str
    document: bytes
    submitted: float
    deadline: float | None
    results: dict[str, TaskResult]
    blobs: dict[str, int]
    state: str = "live"
    reason: str = ""

    def packed(self) -> bytes:
        """For a blob. The same job packs to the same bytes. Takes a moment for large ones."""
        document = {
            "v": 1,
            "job": self.job,
            "document": self.document.decode(),
            "submitted": self.submitted,
            "deadline": self.deadline,
            "results": [b64encode(self.results[task].pack()).decode() for task in sorted(self.results)],
            "blobs": dict(sorted(self.blobs.items())),
            "state": self.state,
            "reason": self.reason,
        }
        return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def owner_of(job: str) -> str:
    """The gateway that a job was submitted to: ids are `<gateway>-<random>`."""
    return job.rpartition("-")[0]


class _Packed(Record, strict=True, extra="ignore"):
    v: Literal[1]
    job: JobId
    document: str = Field(max_length=graph.MAX_GRAPH_BYTES)
    submitted: float = Field(ge=0, le=253_402_300_800.0, allow_inf_nan=False)
    deadline: float | None = Field(default=None, ge=0, le=253_402_300_800.0, allow_inf_nan=False)
    results: list[str] = Field(max_length=graph.MAX_TASKS)
    blobs: Annotated[dict[Digest, Size], Field(max_length=graph.MAX_EDGES)]
    state: Literal["live", "done", "failed", "cancelled"] = "live"
    reason: str = Field(default="", max_length=2000)


def unpack(data: bytes) -> Replica:
    """The job in a blob. Takes a moment for large ones.

    Raises Rejected: OVERSIZED, MALFORMED or INVALID; also when a result is of another job or unknown task.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MAX_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise Rejected(RejectReason.OVERSIZED, f"a job of more than {MAX_BYTES} bytes, or cut")
        found = _Packed.model_validate(json.loads(text))
        packed = [b64decode(body, validate=True) for body in found.results]
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        raise Rejected(RejectReason.INVALID, f"{first['loc']}: {first['msg']}"[:200]) from error
    except (zlib.error, ValueError, RecursionError) as error:
        raise Rejected(RejectReason.MALFORMED, f"no job: {error}"[:200]) from error
    return _checked(found, [TaskResult.unpack(body) for body in packed])


def _checked(found: _Packed, results: list[TaskResult]) -> Replica:
    document = found.document.encode()
    tasks = {task.id for task in graph.parse(document).tasks}
    if any(result.job != found.job or result.task not in tasks for result in results):
        raise Rejected(RejectReason.INVALID, f"results of something else than {found.job}")
    return Replica(
        found.job,
        document,
        found.submitted,
        found.deadline,
        {result.task: result for result in results if result.failure is None},
        found.blobs,
        found.state,
        found.reason,
    )


class Jobs(Protocol):
    """The gateway's desk, as those need it who keep jobs for others or have them kept."""

    def own(self) -> Iterable[str]:
        """The live jobs that were submitted here."""

    def state(self, job: str) -> str | None:
        """A job's JobState, whosesoever; None where it is not known."""

    def replica(self, job: str) -> Replica | None:
        """A job as it stands, whosesoever; None where it is not known. Its blobs are those that are here."""

    def adopt(self, replica: Replica, owner: str) -> None:
        """Store another gateway's job and run what is left of it. Harmless to repeat. Raises Unavailable."""

    def merge(self, replica: Replica) -> None:
        """Take over what became of an own job elsewhere: results that are not there yet, and its end. An
        unknown one is stored: this gateway has lost its disk. Raises Unavailable."""

    def withdraw(self, job: str) -> None:
        """Stop an adopted job and forget it. Harmless to repeat."""
