"""Reads what a bundle says of itself out of a `.tflite` file, and nothing else.

The file is a FlatBuffer (flatbuffers.dev, "Internals") with the schema of TensorFlow Lite's
`schema.fbs`. Only the path root -> metadata -> buffer is followed, every step of it checked, in pure Python:
a hostile file costs a named error. Whether the model itself can be run is for the runtime to find out.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from common.errors import Rejected, RejectReason
from common.messages import ModelReference
from common.models import link_forecast
from common.models.metadata import BUFFER, MAX_BUNDLE_BYTES, MAX_METADATA_BYTES, Metadata, from_bytes

IDENTIFIER: Final = b"TFL3"
MAX_ENTRIES: Final = 64
"""Entries of the metadata table that are looked at; the writer makes one."""

# Fields by their place in a table's declaration in schema.fbs.
_MODEL_BUFFERS: Final = 4
_MODEL_METADATA: Final = 6
_ENTRY_NAME: Final = 0
_ENTRY_BUFFER: Final = 1
_BUFFER_DATA: Final = 0


def read_metadata(model: bytes) -> Metadata:
    """The metadata of a bundle.

    Raises Rejected: OVERSIZED, TRUNCATED (an offset leads out of the file), MALFORMED (no TFLite file, or one
    without our metadata) or INVALID.
    """
    if len(model) > MAX_BUNDLE_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"a bundle of {len(model)} bytes")
    flat = _Flat(model)
    root = flat.follow(0)
    if flat.take(4, 4) != IDENTIFIER:
        raise Rejected(RejectReason.MALFORMED, "not a TFLite file")
    number = _buffer_number(flat, root)
    buffer = flat.element(flat.required(root, _MODEL_BUFFERS, "buffers"), number)
    data = flat.vector(flat.required(buffer, _BUFFER_DATA, "metadata content"), MAX_METADATA_BYTES)
    return from_bytes(data)


def check_content(model: bytes, reference: ModelReference) -> None:
    """That `model` is the file which was released. Raises Rejected: TRUNCATED, OVERSIZED or ALTERED."""
    if len(model) < reference.size:
        raise Rejected(RejectReason.TRUNCATED, f"{len(model)} of {reference.size} bytes")
    if len(model) > reference.size:
        raise Rejected(RejectReason.OVERSIZED, f"{len(model)} bytes, not {reference.size}")
    found = sha256(model).hexdigest()
    if found != reference.digest:
        raise Rejected(RejectReason.ALTERED, f"digest {found[:12]}…, not {reference.digest[:12]}…")


def check_schema(metadata: Metadata) -> None:
    """That a model speaks of what the link forecast speaks of, and its golden vectors have that shape.

    Raises Rejected: FOREIGN_SCHEMA or INVALID.
    """
    shape = (link_forecast.INPUTS, link_forecast.OUTPUTS)
    check_shape(metadata, link_forecast.NAME, link_forecast.schema_hash(), shape)


def check_shape(metadata: Metadata, name: str, schema_hash: str, shape: tuple[int, int]) -> None:
    """That a model is `name`, made for the schema, with that many inputs and outputs; golden vectors too.

    Raises Rejected: FOREIGN_SCHEMA or INVALID.
    """
    if metadata.schema_hash != schema_hash:
        raise Rejected(
            RejectReason.FOREIGN_SCHEMA,
            f"feature schema {metadata.schema_hash[:12]}…, not {schema_hash[:12]}…",
        )
    found = (metadata.inputs, metadata.outputs)
    if metadata.name != name or found != shape:
        raise Rejected(
            RejectReason.FOREIGN_SCHEMA, f"{metadata.name} with {found[0]} inputs, {found[1]} outputs"
        )
    golden = metadata.golden
    if (
        len(golden.inputs) != len(golden.outputs)
        or any(len(row) != metadata.inputs for row in golden.inputs)
        or any(len(row) != metadata.outputs for row in golden.outputs)
    ):
        raise Rejected(RejectReason.INVALID, "golden vectors of another shape than the model's")


def _buffer_number(flat: _Flat, root: int) -> int:
    """Which buffer holds our metadata."""
    table = flat.required(root, _MODEL_METADATA, "metadata")
    wanted = BUFFER.encode()
    for index in range(min(flat.u32(table), MAX_ENTRIES)):
        entry = flat.element(table, index)
        name = flat.field(entry, _ENTRY_NAME)
        if name is not None and flat.vector(flat.follow(name), MAX_METADATA_BYTES) == wanted:
            # A number that is the schema's default, 0, is not written.
            place = flat.field(entry, _ENTRY_BUFFER)
            return 0 if place is None else flat.u32(place)
    raise Rejected(RejectReason.MALFORMED, f"no metadata named {BUFFER!r}")


class _Flat:
    """Checked steps through a FlatBuffer. Places are byte positions in the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, place: int, size: int) -> bytes:
        """`size` bytes. Raises Rejected(TRUNCATED) when they are not all there."""
        if place < 0 or place + size > len(self._data):
            raise Rejected(RejectReason.TRUNCATED, f"{place + size} bytes needed, {len(self._data)} there")
        return self._data[place : place + size]

    def u16(self, place: int) -> int:
        return int.from_bytes(self.take(place, 2), "little")

    def u32(self, place: int) -> int:
        return int.from_bytes(self.take(place, 4), "little")

    def follow(self, place: int) -> int:
        """Where the offset at `place` leads: always forward."""
        offset = self.u32(place)
        if offset < 4:
            raise Rejected(RejectReason.MALFORMED, f"an offset of {offset}")
        return place + offset

    def field(self, table: int, index: int) -> int | None:
        """The place of a table's field; None when it is left out."""
        vtable = table - int.from_bytes(self.take(table, 4), "little", signed=True)
        size = self.u16(vtable)
        slot = 4 + 2 * index
        if slot + 2 > size:
            return None
        offset = self.u16(vtable + slot)
        return table + offset if offset else None

    def required(self, table: int, index: int, what: str) -> int:
        """Where a field that is an offset leads. Raises Rejected(MALFORMED) when it is left out."""
        place = self.field(table, index)
        if place is None:
            raise Rejected(RejectReason.MALFORMED, f"no {what}")
        return self.follow(place)

    def element(self, vector: int, index: int) -> int:
        """Where an element of a vector of tables leads."""
        if index >= self.u32(vector):
            raise Rejected(RejectReason.MALFORMED, f"element {index} of {self.u32(vector)}")
        return self.follow(vector + 4 + 4 * index)

    def vector(self, place: int, limit: int) -> bytes:
        """The bytes of a string or byte vector. Raises Rejected(OVERSIZED) beyond `limit`."""
        size = self.u32(place)
        if place + 4 + size <= len(self._data) and size > limit:
            raise Rejected(RejectReason.OVERSIZED, f"metadata of {size} bytes")
        return self.take(place + 4, size)
