"""The document of a task graph: what a job consists of, as it is submitted. JSON with closed keys, bounded.

    {"version": 1, "name": "bearing check", "service": "standard", "deadline_s": 30,
     "tasks": [
       {"id": "spectrum", "kind": "spectrum", "inputs": {"block": {"file": "bearing.wav"}}},
       {"id": "packed", "kind": "compress", "inputs": {"data": {"task": "spectrum", "output": "features"}}}]}

`parse` says whether a document is one; `checks` whether what it asks for can be done at all. Nothing here
runs, places or stores.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NoReturn

from common.errors import Rejected, RejectReason
from common.record import Field, Record, ValidationError

MAX_GRAPH_BYTES: Final = 8 << 20
MAX_TASKS: Final = 10_000
MAX_INPUTS: Final = 256
"""Of one task."""
MAX_EDGES: Final = 100_000
MAX_BLOB_BYTES: Final = 64 << 20
"""Of one input or output."""
MAX_PRIORITY: Final = 9
MAX_DEADLINE_S: Final = 7 * 86_400.0
MAX_PARAMETERS_BYTES: Final = 64 << 10

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"
Name = Annotated[str, Field(pattern=_NAME)]
"""Of a task, an input or an output."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a blob, in hexadecimal digits."""


class Tier(StrEnum):
    """How far from the asking gateway a task runs."""

    LOCAL = "local"
    PEER = "peer"
    MEC = "mec"
    CLOUD = "cloud"


SERVICES: Final = {"urgent": 0.9, "standard": 0.5, "thrifty": 0.1}
"""Weight of the delay in J by class of service; the rest is the energy's."""


class Source(Record, strict=True, extra="forbid"):
    """Where an input comes from: an output of another task, a blob that is there, or a file: one of these.

    A file is read by whoever submits; what is stored and sent names blobs only.
    """

    task: Name | None = None
    output: Name | None = None
    """Of that task; may be left out where it has only one."""
    blob: Digest | None = None
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class Limits(Record, strict=True, extra="forbid"):
    """What a task may take. Whoever runs it may allow less."""

    memory_mib: int | None = Field(default=None, ge=16, le=65_536)
    cpu_s: float | None = Field(default=None, gt=0, le=86_400)
    """CPU seconds of all its processes."""


class Size(Record, strict=True, extra="forbid"):
    """What the submitter knows better than the kind's hint."""

    cpu_s: float | None = Field(default=None, ge=0, le=86_400)
    """On the reference machine, see `common.kinds.kind.Cost`."""
    output_bytes: int | None = Field(default=None, ge=0, le=MAX_BLOB_BYTES)
    """Of all outputs together."""


class Task(Record, strict=True, extra="forbid"):
    """One task of a graph."""

    id: Name
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[Name, Source] = Field(default_factory=dict, max_length=MAX_INPUTS)
    after: list[Name] = Field(default_factory=list, max_length=MAX_INPUTS)
    """Tasks that have to be done before, although nothing is taken from them."""
    limits: Limits = Field(default_factory=Limits)
    size: Size = Field(default_factory=Size)
    local: bool = False
    """Runs on the asking gateway and nowhere else."""

    def needs(self) -> list[str]:
        """The tasks that this one waits for, each once."""
        sources = (source.task for source in self.inputs.values())
        return list(dict.fromkeys([*(task for task in sources if task is not None), *self.after]))


class TaskGraph(Record, strict=True, extra="forbid"):
    """A job: tasks, and what is wanted of them together."""

    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=120)]
    service: Literal["urgent", "standard", "thrifty"] = "standard"
    """Class of service: how delay and energy are weighed."""
    priority: int = Field(default=4, ge=0, le=MAX_PRIORITY)
    """Higher goes first where tasks wait for the same machine."""
    deadline_s: float | None = Field(default=None, gt=0, le=MAX_DEADLINE_S)
    """Seconds from the submission on."""
    on_deadline: Literal["finish", "cancel"] = "finish"
    """What becomes of a job that is late. It is told in any case."""
    tiers: list[Literal["local", "peer", "mec", "cloud"]] = Field(
        default_factory=lambda: [tier.value for tier in Tier], min_length=1, max_length=4
    )
    """Where its tasks may run."""
    tasks: list[Task] = Field(min_length=1, max_length=MAX_TASKS)

    @property
    def weight(self) -> float:
        """Of the delay, 0 to 1."""
        return SERVICES[self.service]

    def files(self) -> list[str]:
        """The files that the document names, each once."""
        sources = (source for task in self.tasks for source in task.inputs.values())
        return list(dict.fromkeys(source.file for source in sources if source.file is not None))

    def blobs(self) -> set[str]:
        """The digests of the blobs that the document names."""
        sources = (source for task in self.tasks for source in task.inputs.values())
        return {source.blob for source in sources if source.blob is not None}

    def with_blobs(self, digests: dict[str, str]) -> TaskGraph:
        """The same graph with every file of `digests` replaced by its blob."""
        return self.model_copy({"tasks": [_resolved(task, digests) for task in self.tasks]})

    def packed(self) -> bytes:
        """The document, for `parse`."""
        return json.dumps(_bare(self.model_dump()), separators=(",", ":")).encode()


def parse(document: bytes | str) -> TaskGraph:
    """The graph that a JSON document describes.

    Raises Rejected: OVERSIZED, MALFORMED (no JSON, or a key twice), OUT_OF_RANGE (a size, a time or a number
    of tasks beyond its limits, such as a negative one) or INVALID (anything else, such as an unknown key; it
    is named).
    """
    if len(document) > MAX_GRAPH_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"a graph of {len(document)} bytes, at most {MAX_GRAPH_BYTES}")
    found = _decoded(document)
    try:
        return TaskGraph.model_validate(found)
    except ValidationError as error:
        raise _explained(error, found) from error


def _resolved(task: Task, digests: dict[str, str]) -> Task:
    if all(source.file is None for source in task.inputs.values()):
        return task
    inputs = {
        name: source if source.file is None else Source(blob=digests[source.file])
        for name, source in task.inputs.items()
    }
    return task.model_copy({"inputs": inputs})


def _bare(value: Any) -> Any:
    """Without the keys that say nothing: ten thousand tasks have many."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if inner is not None and inner != {}}
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    return value


def _decoded(document: bytes | str) -> Any:
    try:
        return json.loads(document, parse_constant=_no_number, object_pairs_hook=_once)
    except RecursionError as error:
        raise Rejected(RejectReason.MALFORMED, "a task graph is JSON: this is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Rejected(RejectReason.MALFORMED, "a task graph is JSON: this is no UTF-8") from error
    except json.JSONDecodeError as error:
        raise Rejected(RejectReason.MALFORMED, f"a task graph is JSON: {error}"[:300]) from error
    except ValueError as error:
        # All that is left: Python converts no number of thousands of digits.
        raise Rejected(RejectReason.MALFORMED, "a number in the graph has too many digits") from error


def _no_number(name: str) -> NoReturn:
    raise Rejected(RejectReason.MALFORMED, f"a task graph is JSON: {name} is no number there")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; whoever writes a key twice means one of them, and nobody knows which."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Rejected(RejectReason.MALFORMED, f"the key {twice[:64]!r} is there twice")
    return found


_BOUNDS: Final = ("greater_than", "less_than", "finite_number", "too_long", "too_short")


def _explained(error: ValidationError, document: Any) -> Rejected:
    """The first problem in words, with the task's own name where it has one."""
    detail = error.errors(include_url=False, include_input=False)[0]
    where = [str(part) for part in detail["loc"]]
    if where[:1] == ["tasks"] and len(where) > 2:
        task = document["tasks"][int(where[1])]
        name = task.get("id") if isinstance(task, dict) else None
        where[:2] = [f"task {str(name)[:64] if name is not None else 'number ' + where[1]}"]
    out_of_range = any(bound in detail["type"] for bound in _BOUNDS)
    reason = RejectReason.OUT_OF_RANGE if out_of_range else RejectReason.INVALID
    message = detail["msg"]
    if detail["type"] == "extra_forbidden":
        message = "there is no such key"
    elif detail["type"] in ("model_type", "dict_type"):
        message = "it has to be a JSON object"
    more = f" (and {error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    return Rejected(reason, f"{'.'.join(where) or 'the graph'}: {message[:1].lower()}{message[1:]}{more}")
