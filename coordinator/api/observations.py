"""Whole ranges of observations, streamed: what `coordinator export` reads.

`/v1/observations` answers with frames: a MessagePack map of `site`, `gateway` and `table` (a packed table, as
in the durable stream) per stored message, one after the other; memory stays the same for any range.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from common.codec import pack
from coordinator.repository.samples import Subject
from coordinator.repository.store import Repository

MEDIA_TYPE: Final = "application/vnd.msgpack"
_FRAMES_AT_ONCE: Final = 64
Time = Annotated[float, Query(ge=0, le=1e12)]


class Extent(BaseModel):
    """How much a range holds; `columns` maps names to type codes of `array`."""

    messages: int
    rows: int
    columns: dict[str, str]


def make_router(repository: Repository) -> APIRouter:
    """The paths over `repository`."""
    router = APIRouter()

    @router.get("/observations/extent")
    def extent(
        subject: Subject, since: Time, until: Time, site: str | None = None, gateway: str | None = None
    ) -> Extent:
        found = repository.extent(subject, since, until, site, gateway)
        return Extent(messages=found.messages, rows=found.rows, columns=found.columns)

    @router.get("/observations", response_class=StreamingResponse)
    def observations(
        subject: Subject, since: Time, until: Time, site: str | None = None, gateway: str | None = None
    ) -> StreamingResponse:
        found = repository.messages(subject, since, until, site, gateway)
        return StreamingResponse(_frames(found), media_type=MEDIA_TYPE)

    return router


def _frames(messages: Iterator[tuple[str, str, bytes]]) -> Iterator[bytes]:
    """Packed frames, some at a time: each piece costs a hop between threads."""
    waiting: list[bytes] = []
    for site, gateway, table in messages:
        waiting.append(pack({"site": site, "gateway": gateway, "table": table}))
        if len(waiting) >= _FRAMES_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)
