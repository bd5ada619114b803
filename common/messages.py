"""What travels between agents and the coordinator: the envelope of the durable stream and its bodies,
the retained status, and the acknowledgement.

Everything is a MessagePack map with a schema version `v`. Bodies of measurements are columnar tables
(`common.codec`); the others are small maps, validated by the models below.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

from common import topics
from common.codec import (
    MAX_MESSAGE_BYTES,
    Table,
    decode_table,
    encode_table,
    pack,
    rows,
    table_bytes,
    unpack,
)
from common.errors import Rejected, RejectReason
from common.mesh.addresses import UNICAST_MAX
from common.record import AfterValidator, Field, Record, ValidationError

SCHEMA_VERSION: Final = 1
MAX_U64: Final = 2**64 - 1
MAX_COUNT: Final = 2**53  # the largest that readers of JSON keep exact
MAX_TIME: Final = 253_402_300_800.0  # year 10000


class Kind(StrEnum):
    """What the body of an envelope is."""

    LINKS = "links"
    NODES = "nodes"
    HOST = "host"
    FLOWS = "flows"
    EVENT = "event"
    ACTION = "action"
    CONFIGURATION = "configuration"
    RESULT = "result"
    DROPPED = "dropped"


# Raw telemetry: the first to go when the outbox is full. All of these have table bodies.
MEASUREMENTS: Final = frozenset({Kind.LINKS, Kind.NODES, Kind.HOST, Kind.FLOWS})

# Columns that say what a row is about; every other column of a table is a metric. `t` is Unix time in
# seconds ("d"), addresses are unicast or group ("H"), `flow_class` is a FlowClass ("B").
KEY_COLUMNS: Final[dict[Kind, dict[str, str]]] = {
    Kind.LINKS: {"t": "d", "transmitter": "H", "receiver": "H"},
    Kind.NODES: {"t": "d", "address": "H"},
    Kind.HOST: {"t": "d"},
    Kind.FLOWS: {"t": "d", "source": "H", "destination": "H", "flow_class": "B"},
}

# Key columns that name one node; a `destination` may also be a group.
_ONE_NODE: Final = frozenset({"transmitter", "receiver", "address", "source"})
_ANY_ADDRESS: Final = _ONE_NODE | {"destination"}

FLOW_CLASSES: Final = ("other", "lighting", "sensing", "monitoring", "configuration")


def _name(value: str) -> str:
    return topics.check_name(value)


Name = Annotated[str, AfterValidator(_name)]
UnixTime = Annotated[float, Field(ge=0, le=MAX_TIME, allow_inf_nan=False)]
Address = Annotated[int, Field(ge=1, le=UNICAST_MAX)]
U64 = Annotated[int, Field(ge=0, le=MAX_U64)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
NodeCount = Annotated[int, Field(ge=0, le=UNICAST_MAX)]


class Message(Record, strict=True, extra="ignore"):
    """Base of every map on the wire. Unknown keys of the same schema version are ignored."""


class Envelope(Message):
    """One entry of a gateway's durable stream."""

    v: Literal[1] = SCHEMA_VERSION
    site: Name
    gateway: Name
    epoch: U64
    sequence: Annotated[int, Field(ge=1, le=2**63 - 1)]
    time: UnixTime
    kind: str = Field(max_length=32)
    body: bytes


class Ack(Message):
    """The coordinator has stored everything of `epoch` up to and including `sequence`."""

    v: Literal[1] = SCHEMA_VERSION
    epoch: U64
    sequence: Annotated[int, Field(ge=0, le=2**63 - 1)]


class Event(Message):
    """Something that happened on a gateway, told in words; body of kind `event`."""

    name: str = Field(max_length=64)
    fields: dict[str, str | int | float | bool | None] = Field(default_factory=dict, max_length=32)


class ActionRecord(Message):
    """One step in the life of an action; body of kind `action`. `id` is unique over the fleet."""

    id: str = Field(max_length=64)
    state: Literal[
        "proposed", "superseded", "applying", "applied", "confirmed", "failed", "rolled-back", "abandoned"
    ]
    kind: str = Field(max_length=32)
    cause: str = Field(max_length=256)
    expected: str = Field(max_length=256)
    priority: int = Field(ge=0, le=9)
    steps: list[dict[str, int | None]] = Field(default_factory=list, max_length=512)
    detail: str = Field(default="", max_length=512)
    seconds: float | None = None


class NodeRecord(Message):
    """One node in a configuration snapshot."""

    address: Address
    relay: bool | None = None
    default_ttl: int | None = None
    network_transmit: list[int] | None = Field(default=None, min_length=2, max_length=2)
    relay_retransmit: list[int] | None = Field(default=None, min_length=2, max_length=2)
    alive: bool | None = None
    name: str = Field(default="", max_length=64)
    home: str = Field(default="", max_length=64)
    hops: int | None = None


class Configuration(Message):
    """The site's configuration as the gateway knows it; body of kind `configuration`."""

    version: int = Field(ge=0)
    nodes: list[NodeRecord] = Field(max_length=32_767)


class Dropped(Message):
    """A tombstone: telemetry that the full outbox gave up; body of kind `dropped`."""

    kind: str = Field(max_length=32)
    rows: Count
    reason: str = Field(default="outbox-full", max_length=64)


class ModelReference(Message):
    """A released bundle: what it is called, and the SHA-256 (hex) and size in bytes of its file."""

    name: Name
    version: int = Field(ge=1, le=2**31)
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=1, le=4 * 1024 * 1024)


class Desired(Message):
    """What the coordinator wants of a gateway; retained on `desired`. A name that is not listed under
    `models` is not to be used: the naive forecast serves. `issue` counts how often these were released: a
    release of the same again asks a gateway that refused it to try anew."""

    v: Literal[1] = SCHEMA_VERSION
    models: list[ModelReference] = Field(default_factory=list, max_length=16)
    issue: Count = 0


class ModelState(Message):
    """How a gateway fares with a model, for `status`.

    `error` is the mean absolute error of the share of probes heard that it forecast for the next window,
    `naive_error` the naive forecast's over the same windows, `windows` how many were compared. `reason` says
    why it is refused or not there yet, `retry_s` in how many seconds from the status it is tried again.
    """

    name: Name
    version: int = 0
    digest: str = Field(default="", max_length=64)
    state: Literal["fetching", "refused", "trial", "in-use", "worse-than-naive"]
    reason: str = Field(default="", max_length=200)
    error: float | None = None
    naive_error: float | None = None
    windows: Count = 0
    retry_s: float | None = Field(default=None, ge=0, le=1e6)


class TaskLoad(Message):
    """How a machine stands with tasks, for `status`; where its peers place theirs follows from it.

    `slots` tasks run at once, 0 while it takes none; `busy` run and `queued` wait, of whomever. `speed` is by
    kind the wall seconds for one second of the kind's hint, as learned there, the key "" for all others.
    `watts` is the active power of a busy slot, `memory_bytes` the most that it allows a task.
    """

    slots: int = Field(ge=0, le=1024)
    busy: Count = 0
    queued: Count = 0
    speed: dict[str, float] = Field(default_factory=dict, max_length=64)
    watts: float = Field(default=1.5, gt=0, le=1e6, allow_inf_nan=False)
    memory_bytes: int = Field(default=1 << 62, ge=0, le=1 << 62)


class JobStanding(Message):
    """How far a job is that a gateway runs, for `status`."""

    id: str = Field(max_length=100)
    name: str = Field(default="", max_length=120)
    done: Count = 0
    running: Count = 0
    tasks: Count = 0
    late: bool = False
    # Who finishes it should the gateway die; empty when nobody would.
    deputy: str = Field(default="", max_length=64)


class Status(Message):
    """A gateway's retained status, for peers and the coordinator. `online` false is the last will's."""

    v: Literal[1] = SCHEMA_VERSION
    site: Name
    gateway: Name
    time: UnixTime
    online: bool
    period_s: float = Field(default=2.0, gt=0, le=3600)
    version: str = Field(default="", max_length=32)
    address: Address | None = None
    link: str = Field(default="", max_length=32)
    mesh_up: bool = False
    acting: bool = False
    epoch: U64 = 0
    # The lowest sequence that the outbox still holds, or the next one when it is empty; 0: not told. All
    # below is gone for good, so that a coordinator which lost its repository need not wait for it.
    oldest: int = Field(default=0, ge=0, le=2**63 - 1)
    queued: Count = 0
    dropped: Count = 0
    nodes_alive: NodeCount = 0
    nodes_known: NodeCount = 0
    cpu_percent: float | None = None
    memory_percent: float | None = None
    probe_period_s: float | None = None
    forecaster: str = Field(default="naive", max_length=64)
    models: list[ModelState] = Field(default_factory=list, max_length=16)
    # The nodes that it believes to relay: where peers disagree, each asks the node itself.
    relays: list[Address] = Field(default_factory=list, max_length=8192)
    # Which gateway is home to which node. Filled by the actor alone; the others adopt it.
    homes: dict[str, list[int]] = Field(default_factory=dict, max_length=256)
    # A `mec` machine and the `cloud` only run tasks: no lease is theirs, and no node is at home there.
    tier: Literal["gateway", "mec", "cloud"] = "gateway"
    # None: runs no tasks of others.
    tasks: TaskLoad | None = None
    # The most urgent live jobs.
    jobs: list[JobStanding] = Field(default_factory=list, max_length=32)


M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """The wire form of a message."""
    return pack(message.model_dump())


def decode(model: type[M], data: bytes) -> M:
    """Parse and validate one message.

    Raises Rejected: OVERSIZED, TRUNCATED, MALFORMED, FOREIGN_VERSION or INVALID.
    """
    return validate(model, unpack(data))


def validate(model: type[M], value: Any) -> M:
    """Validate an unpacked map as `model`. Raises Rejected: FOREIGN_VERSION or INVALID."""
    if not isinstance(value, dict):
        raise Rejected(RejectReason.INVALID, "a message is a map")
    if "v" in model.model_fields:
        _check_version(value.get("v"))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Rejected(RejectReason.INVALID, f"{key}: {first['msg']}"[:200]) from error


def decode_envelope(data: bytes, topic: topics.Topic) -> Envelope:
    """Parse a message of the durable stream that came in on `topic`.

    Raises Rejected as `decode` does, and FORGED when it names another sender than its topic.
    """
    envelope = decode(Envelope, data)
    if (envelope.site, envelope.gateway) != (topic.site, topic.gateway):
        raise Rejected(
            RejectReason.FORGED, f"names {envelope.site}/{envelope.gateway} on the topic of {topic.gateway}"
        )
    return envelope


def encode_measurement(kind: Kind, table: Table) -> bytes:
    """The body of a measurement. Raises ValueError when a key column is missing: the caller's mistake."""
    for name, code in KEY_COLUMNS[kind].items():
        if name not in table or table[name].typecode != code:
            raise ValueError(f"{kind.value} needs column {name} of type {code}")
    body = encode_table(table)
    if len(body) > MAX_MESSAGE_BYTES - 1024:
        raise ValueError(f"{len(body)} bytes do not fit a message; send fewer rows")
    return body


def decode_measurement(kind: Kind, body: bytes) -> Table:
    """The table of a measurement, with its key columns checked. Raises Rejected."""
    check_keys(kind, table_bytes(body))
    table = decode_table(body)
    if rows(table) and not all(0.0 <= t <= MAX_TIME for t in table["t"]):
        raise Rejected(RejectReason.OUT_OF_RANGE, "a time stamp lies outside the calendar")
    return table


def check_keys(kind: Kind, columns: Mapping[str, tuple[str, bytes]]) -> None:
    """Check types and addresses of the key columns of a packed measurement (`table_bytes`).

    Raises Rejected: INVALID or OUT_OF_RANGE. Runs for each row that a coordinator stores, so the addresses
    stay packed: a unicast address (section 3.4.2.2) is one whose high byte, the second, is ASCII.
    """
    for name, code in KEY_COLUMNS[kind].items():
        if name not in columns or columns[name][0] != code:
            raise Rejected(RejectReason.INVALID, f"{kind.value}: column {name} of type {code} is missing")
        packed = columns[name][1]
        if name in _ONE_NODE and not packed[1::2].isascii():
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{kind.value}: {name} is not always a unicast address")
        # Two zero bytes may also be the end of one address and the start of the next.
        if name in _ANY_ADDRESS and b"\0\0" in packed and 0 in array("H", packed):
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{kind.value}: {name} is not always assigned")


def _check_version(version: object) -> None:
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
        raise Rejected(
            RejectReason.FOREIGN_VERSION,
            f"schema version {version} is newer than {SCHEMA_VERSION}: update meshtwin",
        )
