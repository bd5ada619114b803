"""The letters about tasks, between an *asker*, whose task it is, and a *host*, which runs it.

    offer    Offer      asker → host    will you run this? Repeated until the end, to ask how it is
             Answer     host → asker    accepted, or refused with the reason; names the host's current life
             Keep       owner → deputy  keep this job for me, as far as it is (see `edge_agent.tasks.deputy`)
             Kept       deputy → owner  kept, or refused with the reason
             Forget     owner → deputy  the job is over
             HandOver   deputy → owner  you were gone: this is what became of your job
             TakenOver  owner → deputy  stored; you may forget it
    task     Want       either way      send me this part of a blob
             Piece      either way      a part of a blob, answer to Want
             Lacking    either way      the blob is not here, or not for you
             Cancel     asker → host    stop it, nobody waits any more
    result   Done       host → asker    the result, or why there is none. Repeated until the receipt
             Receipt    asker → host    stored, or not wanted any more; forget it

A letter may be lost or come twice; every one of these may be repeated. An errand is one attempt of one task
at one host: its id is the asker's choice and never used again. Every letter fits an MQTT message of 64 KiB.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from common.codec import pack, unpack
from common.errors import Rejected, RejectReason
from common.messages import SCHEMA_VERSION, Count, Message, validate
from common.record import Field
from common.taskgraph.wire import JobId
from common.topics import Channel

PIECE_BYTES: Final = 32 * 1024
MAX_BLOB_BYTES: Final = 64 << 20
MAX_BLOBS: Final = 256
"""Inputs, or outputs, of one task."""
MAX_REQUEST_BYTES: Final = 40 * 1024
MAX_RESULT_BYTES: Final = 40 * 1024
MAX_TEXT: Final = 300
UNKNOWN: Final = "unknown"
"""Reason of an answer: the host has no such errand."""

Id = Annotated[str, Field(pattern="^[0-9a-z.-]{8,64}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=MAX_BLOB_BYTES)]
Sizes = Annotated[dict[Digest, Size], Field(max_length=MAX_BLOBS)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(max_length=64)]


class Party(NamedTuple):
    """Who a letter comes from or goes to."""

    site: str
    name: str


class Offer(Message):
    """`request` is a packed task request, `sizes` those of its input blobs. Without a request it asks about
    an errand that was accepted before: a host that does not know it answers `unknown`."""

    v: Literal[1] = SCHEMA_VERSION
    id: Id
    request: bytes | None = Field(default=None, max_length=MAX_REQUEST_BYTES)
    sizes: Sizes = Field(default_factory=dict)


class Answer(Message):
    """`run` names the host's current life: another one than before knows nothing of the errand. `reason` is
    countable, `text` for people."""

    v: Literal[1] = SCHEMA_VERSION
    id: Id
    accepted: bool
    reason: Name = ""
    text: Text = ""
    run: Name = ""


class Want(Message):
    """`count` pieces of a blob from byte `offset` on."""

    v: Literal[1] = SCHEMA_VERSION
    digest: Digest
    offset: Size
    count: int = Field(ge=1, le=16)


class Piece(Message):
    """The bytes of a blob of `total` bytes from `offset` on."""

    v: Literal[1] = SCHEMA_VERSION
    digest: Digest
    offset: Size
    total: Size
    data: bytes = Field(max_length=PIECE_BYTES)


class Lacking(Message):
    """The holder has no such blob, or not for the one who asked."""

    v: Literal[1] = SCHEMA_VERSION
    digest: Digest


class Cancel(Message):
    """Stop the errand."""

    v: Literal[1] = SCHEMA_VERSION
    id: Id


class Done(Message):
    """`result` is a packed task result, `sizes` those of its output blobs. Without a result, `reason` and
    `text` say why the host could not run it; elsewhere it may go."""

    v: Literal[1] = SCHEMA_VERSION
    id: Id
    result: bytes | None = Field(default=None, max_length=MAX_RESULT_BYTES)
    sizes: Sizes = Field(default_factory=dict)
    reason: Name = ""
    text: Text = ""


class Receipt(Message):
    """The errand is over for the asker."""

    v: Literal[1] = SCHEMA_VERSION
    id: Id


class Keep(Message):
    """The state of a job is the blob `state`, which names all others that belong to it. `version` counts the
    changes since its owner was started, for people."""

    v: Literal[1] = SCHEMA_VERSION
    job: JobId
    version: Count
    state: Digest
    size: Size


class Kept(Message):
    """The job as `state` has it is on the deputy's disk, with its blobs; or `refused` says why not."""

    v: Literal[1] = SCHEMA_VERSION
    job: JobId
    state: Digest
    refused: Text = ""


class Forget(Message):
    """The job is over for its owner."""

    v: Literal[1] = SCHEMA_VERSION
    job: JobId


class HandOver(Message):
    """What the deputy made of a job while its owner was gone: the blob `state`."""

    v: Literal[1] = SCHEMA_VERSION
    job: JobId
    state: Digest
    size: Size


class TakenOver(Message):
    """The owner has stored it."""

    v: Literal[1] = SCHEMA_VERSION
    job: JobId
    state: Digest


Letter: TypeAlias = (
    "Offer | Answer | Want | Piece | Lacking | Cancel | Done | Receipt"
    " | Keep | Kept | Forget | HandOver | TakenOver"
)

_ON: Final[dict[Channel, tuple[type[Message], ...]]] = {
    Channel.OFFER: (Offer, Answer, Keep, Kept, Forget, HandOver, TakenOver),
    Channel.TASK: (Want, Piece, Lacking, Cancel),
    Channel.RESULT: (Done, Receipt),
}
_KINDS: Final = {(channel, kind.__name__.lower()): kind for channel, kinds in _ON.items() for kind in kinds}
_CHANNELS: Final = {kind: channel for channel, kinds in _ON.items() for kind in kinds}


def channel_of(letter: Letter) -> Channel:
    """The channel that a letter travels on."""
    return _CHANNELS[type(letter)]


def encode_letter(letter: Letter) -> bytes:
    """The wire form of a letter: its fields, and under `what` which it is."""
    return pack({"what": type(letter).__name__.lower(), **letter.model_dump()})


def decode_letter(channel: Channel, payload: bytes) -> Letter:
    """The letter in `payload`, which came on `channel`.

    Raises Rejected: as `common.messages.decode` does, and UNKNOWN_KIND for a letter that has no place there.
    """
    value = unpack(payload)
    if not isinstance(value, dict):
        raise Rejected(RejectReason.INVALID, "a letter is a map")
    what = value.get("what")
    kind = _KINDS.get((channel, what)) if isinstance(what, str) else None
    if kind is None:
        raise Rejected(RejectReason.UNKNOWN_KIND, f"no letter {str(what)[:40]!r} travels on {channel.value}")
    letter: Letter = validate(kind, value)  # type: ignore[assignment]  # the table holds letters only
    return letter
