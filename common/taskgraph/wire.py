"""What machines tell each other of one task: the request, and what came of it. MessagePack, closed, bounded.

Blobs are named by their digests and travel by themselves.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from common.codec import pack, unpack
from common.errors import Rejected, RejectReason
from common.record import Field, Record, ValidationError
from common.taskgraph.graph import MAX_INPUTS, Digest, Name

MAX_TEXT: Final = 500
JobId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
"""`<gateway>-<random>`: unique over the fleet."""
Kind = Annotated[str, Field(min_length=1, max_length=64)]


class FailureReason(StrEnum):
    """Why a task ended without outputs."""

    MEMORY = "memory"
    """It wanted more memory than it may have."""
    CPU_TIME = "cpu-time"
    WALL_TIME = "wall-time"
    PROCESSES = "processes"
    """It started more processes than it may."""
    OUTPUT_SIZE = "output-size"
    CRASHED = "crashed"
    """A signal ended its process."""
    EXITED = "exited"
    """Its process left without an answer."""
    GARBAGE = "garbage"
    """Its process answered what is no answer."""
    INPUT = "input"
    """The kind refused its inputs or parameters."""
    CORRUPT_INPUT = "corrupt-input"
    """An input is not what its digest says."""
    MISSING_INPUT = "missing-input"
    KIND = "kind"
    """The kind is not known, or lacks a package, on that machine."""
    BUG = "bug"
    """The kind's code raised what it should not."""
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Every machine that was tried went away or refused."""
    DISK = "disk"
    """For long there was no room for its inputs or outputs."""

    @property
    def final(self) -> bool:
        """Whether trying again, here or elsewhere, is pointless."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {
        FailureReason.INPUT,
        FailureReason.DEADLINE,
        FailureReason.CANCELLED,
        FailureReason.LOST,
        FailureReason.DISK,
        FailureReason.OUTPUT_SIZE,
        FailureReason.PROCESSES,
    }
)


class _Message(Record, strict=True, extra="forbid"):
    def pack(self) -> bytes:
        """For the wire and for stores."""
        return pack(self.model_dump())

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Raises Rejected: OVERSIZED, TRUNCATED, MALFORMED or INVALID."""
        return cls.of(unpack(data))

    @classmethod
    def of(cls, value: Any) -> Self:
        """From a plain value. Raises Rejected(INVALID)."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, detail["loc"]))
            raise Rejected(
                RejectReason.INVALID, f"{cls.__name__} {where}: {detail['msg']}"[:MAX_TEXT]
            ) from error


class TaskLimits(_Message):
    """What one run may take, at most."""

    memory_bytes: int = Field(ge=1 << 20, le=1 << 40)
    cpu_s: float = Field(gt=0, le=86_400, allow_inf_nan=False)
    wall_s: float = Field(gt=0, le=86_400, allow_inf_nan=False)
    output_bytes: int = Field(ge=1, le=1 << 30)
    """Of all outputs together."""


class TaskRequest(_Message):
    """Run this. The inputs are in the blob store of whoever asks."""

    job: JobId
    task: Name
    attempt: int = Field(ge=1, le=1_000_000)
    """Counts the starts of this task, on whichever machine."""
    kind: Kind
    parameters: dict[str, Any]
    inputs: dict[Name, Digest] = Field(max_length=MAX_INPUTS)
    limits: TaskLimits
    priority: int = Field(default=4, ge=0, le=9)
    deadline_s: float | None = Field(default=None, allow_inf_nan=False)
    """Seconds left when this was sent; clocks of machines differ."""


class Failure(_Message):
    """Why there are no outputs."""

    reason: Annotated[str, Field(max_length=32)]
    """A `FailureReason`."""
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""

    @property
    def why(self) -> FailureReason:
        """The reason as a member; one of a newer version counts as a bug."""
        try:
            return FailureReason(self.reason)
        except ValueError:
            return FailureReason.BUG


class TaskResult(_Message):
    """What came of a request: outputs, or a failure."""

    job: JobId
    task: Name
    attempt: int = Field(ge=1, le=1_000_000)
    machine: Annotated[str, Field(min_length=1, max_length=64)]
    """The gateway that ran it, `cloud` for the coordinator."""
    outputs: dict[Name, Digest] = Field(default_factory=dict, max_length=MAX_INPUTS)
    output_bytes: int = Field(default=0, ge=0, le=1 << 40)
    cpu_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Measured, of all its processes."""
    wall_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Measured, from start to end on its machine, without the way there and back."""
    energy_j: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Modelled: CPU seconds times the machine's active power. Nobody measures it."""
    failure: Failure | None = None

    @classmethod
    def failed(
        cls, request: TaskRequest, machine: str, reason: FailureReason, text: str = "", **measured: float
    ) -> TaskResult:
        """The result of a run that failed; `measured` may be cpu_s, wall_s and energy_j."""
        return cls(
            job=request.job,
            task=request.task,
            attempt=request.attempt,
            machine=machine,
            failure=Failure(reason=reason.value, text=text[:MAX_TEXT]),
            **measured,  # type: ignore[arg-type]
        )
