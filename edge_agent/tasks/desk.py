"""Answers the operator's questions about tasks over the agent's socket: files in, jobs in, how they stand,
and files out."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import Misconfigured, Rejected, RejectReason, Unavailable
from common.kinds import catalogue
from edge_agent.api import Question
from edge_agent.tasks import admission, telling
from edge_agent.tasks.cost_model import prepare
from edge_agent.tasks.job import Job
from edge_agent.tasks.job_store import JobRow
from edge_agent.tasks.replica import owner_of

if TYPE_CHECKING:
    from edge_agent.tasks.service import TaskService

Fields = dict[str, Any]
PIECE_BYTES: Final = 64 << 10
"""Of a file on its way in."""

ANSWER_BYTES: Final = 1 << 20
"""Of a file on its way out."""

MAX_UPLOADS: Final = 8
UPLOAD_S: Final = 120.0
"""After so long without a piece an upload is given up."""

FOLLOW_S: Final = 5.0


@dataclass(slots=True)
class _Upload:
    part: Path
    touched: float
    size: int = 0
    hasher: Any = field(default_factory=hashlib.sha256)


class Desk:
    """Run `run()` beside it: it gives up what was begun and never ended."""

    def __init__(self, service: TaskService, token: Callable[[], str] = lambda: secrets.token_hex(6)) -> None:
        self._service = service
        self._token = token
        self._uploads: dict[str, _Upload] = {}

    def questions(self) -> dict[str, Question]:
        """For `reception`."""
        return {
            "tasks-put": self.put,
            "tasks-submit": self.submit,
            "tasks-list": self.list,
            "tasks-show": self.show,
            "tasks-follow": self.follow,
            "tasks-cancel": self.cancel,
            "tasks-explain": self.explain,
            "tasks-get": self.get,
            "tasks-kinds": self.kinds,
            "tasks-costs": self.costs,
            "tasks-runs": self.runs,
            "tasks-use-costs": self.use_costs,
        }

    async def run(self) -> None:
        """Give up uploads that nobody goes on with, until cancelled."""
        clock = self._service.clock
        try:
            while True:
                await clock.sleep(UPLOAD_S / 4)
                for name, upload in list(self._uploads.items()):
                    if clock.monotonic() - upload.touched > UPLOAD_S:
                        self._give_up(name)
        finally:
            for name in list(self._uploads):
                self._give_up(name)

    async def put(self, asked: Fields) -> Fields:
        """A piece of a file: `data` in base64, `upload` as told for the first piece, `last` with the last
        one, which tells the digest. Raises Rejected, Refused."""
        name, upload = self._upload(asked.get("upload"))
        data = _piece(asked.get("data"))
        try:
            upload.size += len(data)
            self._service.blobs.make_room(upload.size)
            upload.hasher.update(data)
            with upload.part.open("ab") as file:
                file.write(data)
        except OSError as error:
            self._give_up(name)
            raise Unavailable(f"the file cannot be stored: {error.strerror}") from error
        except BaseException:
            self._give_up(name)
            raise
        if asked.get("last") is not True:
            return {"upload": name}
        del self._uploads[name]
        digest = upload.hasher.hexdigest()
        self._service.blobs.settle(upload.part, digest)
        return {"digest": digest}

    async def submit(self, asked: Fields) -> Fields:
        """Take the job whose document is the blob `graph`. `token` makes its id, so that the same submission
        asked twice is one job. Raises Rejected, Refused, Unavailable."""
        token = asked.get("token", "") or self._token()
        if not isinstance(token, str) or not token.isascii() or not token.isalnum() or len(token) > 32:
            raise Rejected(RejectReason.INVALID, '"token" is a short text of letters and digits')
        service = self._service
        document = service.blobs.get(_text(asked, "graph"))
        admission.check_job(0, service.machine(), service.local.ceilings)
        row = await service.runner.submit(f"{service.gateway}-{token.lower()}", document)
        return telling.job(row, self._live(row.id)) | {"deputy": service.deputy_of(row.id)}

    async def list(self, asked: Fields) -> Fields:
        """All jobs, the newest first: those of this gateway, and those of others that it works on as their
        deputy."""
        rows = self._service.store.rows()
        return {"jobs": [self._told(row) for row in rows]}

    async def show(self, asked: Fields) -> Fields:
        """One job with its tasks and results."""
        row = self._row(asked)
        document = self._service.store.document(row.id)
        results = self._service.store.results(row.id)
        told = await asyncio.to_thread(
            telling.whole, row, self._live(row.id), document, results, self._service.blobs.has
        )
        return told | self._told(row) | {"deputy": self._service.deputy_of(row.id)}

    async def follow(self, asked: Fields) -> Fields:
        """A job as soon as it has changed since `seen`, or after a while."""
        row = self._row(asked)
        held = self._live(row.id)
        if held is not None and held.changes <= _number(asked, "seen"):
            try:
                async with asyncio.timeout(FOLLOW_S):
                    await held.changed.wait()
            except TimeoutError:
                pass
        return self._told(self._row(asked))

    async def cancel(self, asked: Fields) -> Fields:
        """Stop a job. Raises Rejected where it is over."""
        row = self._row(asked)
        if not self._service.runner.cancel(row.id):
            raise Rejected(RejectReason.INVALID, f"{row.id} is over already: {row.state.value}")
        return self._told(self._row(asked))

    async def explain(self, asked: Fields) -> Fields:
        """The plan of a job; with `task`, what each place for it would cost."""
        row = self._row(asked)
        held, plans = self._live(row.id), self._service.runner.book.of(row.id)
        task = asked.get("task")
        results = self._service.store.results(row.id)
        if task is None:
            return telling.plan(row, held, plans, results)
        return await asyncio.to_thread(telling.why, row, plans, str(task), results)

    async def get(self, asked: Fields) -> Fields:
        """A piece of a blob from `offset` on, in base64, and the size of the whole."""
        digest, offset = _text(asked, "digest"), _number(asked, "offset")
        blobs = self._service.blobs
        size = blobs.size(digest)
        if size is None:
            raise Unavailable(f"blob {digest[:16]}… is no longer here")
        with blobs.path(digest).open("rb") as file:
            file.seek(offset)
            data = file.read(ANSWER_BYTES)
        return {"data": b64encode(data).decode(), "size": size}

    async def kinds(self, asked: Fields) -> Fields:
        """Every kind of task there is."""
        found = await asyncio.to_thread(catalogue.every)
        return {"kinds": [kind.described() for kind in found.values()]}

    async def costs(self, asked: Fields) -> Fields:
        """What was learned of the machines, and how the cost model fares."""
        return {"costs": self._service.costs.table(), "model": self._service.cost_model_told()}

    async def runs(self, asked: Fields) -> Fields:
        """The runs that a cost model may learn from."""
        return {"runs": await asyncio.to_thread(self._service.runs.lines)}

    async def use_costs(self, asked: Fields) -> Fields:
        """Follow the cost model that is the blob `digest` from now on; without it, none. Raises Rejected,
        NotSupported, Misconfigured."""
        bundle = None if asked.get("digest") is None else self._service.blobs.get(_text(asked, "digest"))
        if bundle is not None:
            await asyncio.to_thread(prepare, bundle)
        self._service.use_cost_model(bundle)
        return {"model": self._service.cost_model_told()}

    def _told(self, row: JobRow) -> Fields:
        """One line of the list; `adopted_from` names the owner of another gateway's job."""
        held, owner = self._live(row.id), owner_of(row.id)
        done = 0 if held is not None else self._service.store.done(row)
        told = telling.job(row, held, done)
        return told if owner == self._service.gateway else told | {"adopted_from": owner}

    def _live(self, job: str) -> Job | None:
        return self._service.runner.jobs.get(job)

    def _row(self, asked: Fields) -> Any:
        """The job that is asked for, by its id or the end of it. Raises Rejected, Misconfigured (there is
        none, or not only one)."""
        wanted = _text(asked, "job")
        row = self._service.store.row(wanted)
        if row is not None:
            return row
        near = [row for row in self._service.store.rows() if row.id.endswith(wanted)]
        if len(near) != 1:
            count = f"{len(near)} jobs end with" if near else "there is no job"
            raise Misconfigured(f"{count} {wanted[:100]!r}", "name one of: edge-agent tasks list")
        return near[0]

    def _upload(self, name: object) -> tuple[str, _Upload]:
        now = self._service.clock.monotonic()
        if name is None:
            if len(self._uploads) >= MAX_UPLOADS:
                raise Unavailable(f"{MAX_UPLOADS} files are on their way already; try again")
            name = self._token()
            self._uploads[name] = _Upload(self._service.blobs.begin(), now)
        if not isinstance(name, str) or name not in self._uploads:
            raise Rejected(RejectReason.INVALID, "there is no such upload; it may have waited too long")
        self._uploads[name].touched = now
        return name, self._uploads[name]

    def _give_up(self, name: str) -> None:
        self._service.blobs.abandon(self._uploads.pop(name).part)


def _piece(data: object) -> bytes:
    if not isinstance(data, str) or len(data) > 2 * PIECE_BYTES:
        raise Rejected(RejectReason.INVALID, '"data" is a piece in base64')
    try:
        return b64decode(data, validate=True)
    except ValueError as error:
        raise Rejected(RejectReason.MALFORMED, '"data" is no base64') from error


def _text(asked: Fields, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise Rejected(RejectReason.INVALID, f'"{name}" has to be a text of 1 to 200 characters')
    return value


def _number(asked: Fields, name: str) -> int:
    value = asked.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise Rejected(RejectReason.INVALID, f'"{name}" is a number')
    return value
