"""What is known of each gateway that ever wrote: status, streams, refused messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, select

from common.errors import Rejected
from common.messages import Status, decode
from coordinator.repository import schema
from coordinator.repository.database import translated
from coordinator.repository.position import Position


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """How far one stream is stored. `holes` are missing ranges; `lost` counts sequences given up."""

    epoch: int
    sequence: int
    holes: tuple[tuple[int, int], ...]
    lost: int
    stored_at: float


@dataclass(frozen=True, slots=True)
class RejectRecord:
    """How often a gateway's messages were refused for one reason."""

    reason: str
    count: int
    last_seen: float
    detail: str


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """A gateway as last seen (Unix seconds of the coordinator; 0: never heard live). Newest stream first."""

    gateway: str
    site: str
    last_seen: float
    online: bool
    status: Status | None
    streams: tuple[StreamRecord, ...] = ()
    rejects: tuple[RejectRecord, ...] = field(default=())


def gateways(engine: Engine) -> dict[str, GatewayRecord]:
    """Every gateway that wrote or was refused, by id; the empty id collects what nobody can be named for."""
    with translated(engine), engine.connect() as connection:
        streams, rejects = _streams(connection), _rejects(connection)
        records = {row.gateway: row for row in connection.execute(select(schema.gateways))}
    names = sorted({*records, *streams, *rejects})
    return {
        name: GatewayRecord(
            gateway=name,
            site=row.site if (row := records.get(name)) else "",
            last_seen=row.last_seen if row else 0.0,
            online=bool(row and row.online),
            status=_status(row.status) if row else None,
            streams=tuple(sorted(streams.get(name, []), key=lambda s: s.stored_at, reverse=True)),
            rejects=tuple(rejects.get(name, [])),
        )
        for name in names
    }


def current_positions(engine: Engine) -> list[tuple[str, str, int, int]]:
    """Site, gateway, epoch and acknowledged sequence of the newest stream of every gateway."""
    found = [(r.site, r.gateway, r.streams[0]) for r in gateways(engine).values() if r.site and r.streams]
    return [(site, gateway, stream.epoch, stream.sequence) for site, gateway, stream in found]


def _streams(connection: Connection) -> dict[str, list[StreamRecord]]:
    found: dict[str, list[StreamRecord]] = {}
    for row in connection.execute(select(schema.streams)):
        position = Position.parse(row.contiguous, row.ahead, row.lost)
        record = StreamRecord(
            epoch=schema.unsigned(row.epoch),
            sequence=row.contiguous,
            holes=tuple(position.holes()),
            lost=row.lost,
            stored_at=row.stored_at,
        )
        found.setdefault(row.gateway, []).append(record)
    return found


def _rejects(connection: Connection) -> dict[str, list[RejectRecord]]:
    found: dict[str, list[RejectRecord]] = {}
    for row in connection.execute(select(schema.rejects).order_by(schema.rejects.c.reason)):
        record = RejectRecord(row.reason, row.times, row.last_seen, row.detail)
        found.setdefault(row.gateway, []).append(record)
    return found


def _status(packed: bytes | None) -> Status | None:
    try:
        return None if packed is None else decode(Status, packed)
    except Rejected:
        return None  # written by another version; the next one comes in seconds
