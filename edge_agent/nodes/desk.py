"""Answers the operator's questions about nodes over the agent's socket. One node is added at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from common.clock import Clock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason
from common.mesh.addresses import show
from edge_agent.api import Question
from edge_agent.nodes import removing, request
from edge_agent.nodes.job import Job
from edge_agent.nodes.request import Addition
from edge_agent.nodes.store import SiteStore
from firmware_bridge.provisioning.administration import Administration
from firmware_bridge.provisioning.bearer import Heard, ProvisioningBearer
from firmware_bridge.provisioning.oob import Randomness

if TYPE_CHECKING:
    from edge_agent.nodes.adding import Newcomer

MOST_HEARD: Final = 256
"""Devices that one scan tells of; anybody can make them up."""

Fields = dict[str, Any]


class Desk:
    """`administration` is None for a link that can do nothing of this. Run `run()` in the supervisor: the
    jobs live there, so that they end with the agent. `refresh` makes the agent take the site file over."""

    def __init__(
        self,
        own: int,
        store: SiteStore | None,
        administration: Administration | None,
        refresh: Callable[[], Awaitable[None]],
        clock: Clock,
        announce: Callable[..., None],
        randomness: Randomness = os.urandom,
    ) -> None:
        self._own = own
        self._store = store
        self._administration = administration
        self._refresh = refresh
        self._clock = clock
        self._announce = announce
        self._randomness = randomness
        self._tasks: asyncio.TaskGroup | None = None
        self.ready = asyncio.Event()
        """Set while `run` owns the jobs."""
        self._job: Job | None = None
        self._numbered = 0

    def questions(self) -> dict[str, Question]:
        """For `api.LocalApi`."""
        return {
            "nodes-scan": self.scan,
            "nodes-add": self.add,
            "nodes-follow": self.follow,
            "nodes-answer": self.answer,
            "nodes-remove": self.remove,
        }

    async def run(self) -> None:
        """Own the jobs until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self.ready.set()
                await asyncio.Event().wait()
        finally:
            self.ready.clear()
            self._tasks = None

    async def scan(self, asked: Fields) -> Fields:
        """Listen for unprovisioned devices for `seconds`; each with the best signal heard."""
        seconds = request.seconds(asked.get("seconds", 5.0))
        bearers = self._with().bearers
        if not bearers:
            raise NotSupported("this link leads to no unprovisioned devices")
        found: dict[bytes, tuple[Heard, set[str]]] = {}
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for bearer in bearers:
                    tasks.create_task(_listen(bearer, found))
        except TimeoutError:
            pass
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        devices = sorted(found.values(), key=lambda entry: -(entry[0].rssi_dbm or -128))
        return {"devices": [_told(heard, names) for heard, names in devices]}

    async def add(self, asked: Fields) -> Fields:
        """Begin to add a node; `follow` tells how it goes."""
        # Late: the cryptography of provisioning is needed by few agents, and seldom.
        from edge_agent.nodes.adding import Newcomer

        wanted = Addition.of(asked)
        administration, store = self._with(), self._kept()
        if self._job is not None and not self._job.over:
            raise Rejected(RejectReason.INVALID, "another node is being added; wait for its end")
        if self._tasks is None:
            raise NotSupported("the agent is just starting or stopping")
        self._numbered += 1
        self._job = Job(self._numbered)
        newcomer = Newcomer(
            wanted, administration, store, self._refresh, self._job, self._clock, self._randomness
        )
        self._tasks.create_task(self._carry_out(newcomer, self._job))
        return {"job": self._job.number}

    async def follow(self, asked: Fields) -> Fields:
        """The steps of a job beyond those seen, see `job.Job.follow`."""
        return await self._numbered_job(asked).follow(asked.get("seen", 0))

    async def answer(self, asked: Fields) -> Fields:
        """Answer what a job asks."""
        self._numbered_job(asked).answer(asked.get("value"))
        return {}

    async def remove(self, asked: Fields) -> Fields:
        """Expel a node and take it out of the site file; with `forget`, also one that does not answer."""
        address = request.address(asked.get("node"))
        removing.check_not_own(address, self._own)
        store = self._kept()
        store.read().site.node(address)
        leave = None
        try:
            leave = await removing.expel(self._with(), address)
        except MeshtwinError as error:
            if asked.get("forget") is not True:
                raise removing.stays(address, error) from error
        told = removing.strike_out(store, self._administration, address, leave, self._clock)
        await self._refresh()
        self._announce("operator-removed-node", node=show(address), reset=leave is not None)
        return told

    async def _carry_out(self, newcomer: Newcomer, job: Job) -> None:
        try:
            address = await newcomer.add()
        except MeshtwinError as error:
            job.end(error)
            self._announce("operator-add-failed", reason=str(error).splitlines()[0][:200])
            return
        except asyncio.CancelledError:
            job.end(NotSupported("the agent was stopped"))
            raise
        job.end(node=show(address))
        self._announce("operator-added-node", node=show(address))

    def _with(self) -> Administration:
        if self._administration is None:
            raise NotSupported("this link (mesh.link) can neither add nor remove nodes")
        return self._administration

    def _kept(self) -> SiteStore:
        if self._store is None:
            raise NotSupported("this site is simulated and has no site file")
        return self._store

    def _numbered_job(self, asked: Fields) -> Job:
        if self._job is None or asked.get("job") != self._job.number:
            raise Rejected(RejectReason.INVALID, "there is no such job")
        return self._job


async def _listen(bearer: ProvisioningBearer, found: dict[bytes, tuple[Heard, set[str]]]) -> None:
    def heard(one: Heard) -> None:
        before = found.get(one.device.uuid)
        if before is None:
            if len(found) < MOST_HEARD:
                found[one.device.uuid] = (one, {bearer.name})
            return
        best = max(before[0], one, key=lambda entry: entry.rssi_dbm or -128)
        found[one.device.uuid] = (best, before[1] | {bearer.name})

    await bearer.scan(heard)


def _told(heard: Heard, bearers: set[str]) -> Fields:
    return {
        "uuid": heard.device.uuid.hex(),
        "rssi_dbm": heard.rssi_dbm,
        "oob": list(heard.device.places()),
        "bearers": sorted(bearers),
    }


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
