"""What a bundle says of itself: JSON in the metadata buffer `BUFFER` of a `.tflite` file."""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

from common.errors import Rejected, RejectReason
from common.messages import Message, Name, UnixTime
from common.record import Field, ValidationError

BUFFER: Final = "meshtwin"
"""Name of the entry in the model's metadata table."""

MAX_BUNDLE_BYTES: Final = 4 * 1024 * 1024
MAX_METADATA_BYTES: Final = 256 * 1024

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Vector = Annotated[list[float], Field(max_length=4096)]


class Golden(Message):
    """Input and output rows that the model must reproduce within `tolerance` (absolute), on any runtime."""

    inputs: list[Vector] = Field(min_length=1, max_length=64)
    outputs: list[Vector] = Field(min_length=1, max_length=64)
    tolerance: float = Field(gt=0, le=1)


class Metadata(Message):
    """Name, version and feature schema of a model, and its golden vectors.

    `version` counts up for each name; `schema_hash` is the hash of the feature schema it was trained for.
    """

    v: Literal[1] = 1
    name: Name
    version: int = Field(ge=1, le=2**31)
    created: UnixTime
    schema_hash: Hash
    precision: Literal["float32", "int8"] = "float32"
    inputs: int = Field(ge=1, le=4096)
    outputs: int = Field(ge=1, le=4096)
    golden: Golden


def to_bytes(metadata: Metadata) -> bytes:
    """The buffer's content."""
    return json.dumps(metadata.model_dump(), separators=(",", ":")).encode()


def from_bytes(data: bytes) -> Metadata:
    """Parse the buffer's content. Raises Rejected: OVERSIZED, MALFORMED or INVALID."""
    if len(data) > MAX_METADATA_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"metadata of {len(data)} bytes")
    try:
        return Metadata.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(RejectReason.INVALID, f"metadata: {where}: {first['msg']}"[:200]) from error
    except (ValueError, RecursionError) as error:
        raise Rejected(RejectReason.MALFORMED, "metadata is not JSON") from error
