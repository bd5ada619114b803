"""All plans that are being applied: started, taken up again after a restart, looked at, stopped.

One application at a site at a time. Whatever goes wrong in one is its own failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason
from common.logs import get_logger
from common.mesh.addresses import show
from common.mesh.configuration import NodeConfiguration, Transmit
from common.messages import NodeRecord
from coordinator.recipes.application import Application, Book
from coordinator.recipes.applying import THOROUGH, Applier, Hands, Patience
from coordinator.recipes.judgement import Key
from coordinator.recipes.plan import Plan

OLDEST_S: Final = 24 * 3600.0
"""A plan older than this is made anew: what it was predicted from is gone."""

WAIT_S: Final = 1.0

log = get_logger(__name__)


class Applications:
    """Run `run()` in the coordinator. All methods belong to its event loop.

    `hands` makes the hands of one application from its site and its beginning (Unix time); `watched` says
    what is to be counted at a site: its nodes that answer.
    """

    def __init__(
        self,
        book: Book,
        hands: Callable[[str, float], Hands],
        watched: Callable[[str], Collection[Key]],
        clock: Clock,
        patience: Patience = THOROUGH,
    ) -> None:
        self._book = book
        self._hands = hands
        self._watched = watched
        self._clock = clock
        self._patience = patience
        self._appliers: dict[str, Applier] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Apply until cancelled; what is under way then is taken up at the next start."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for application in self._book.all():
                    if application.is_open:
                        self._begin(application)
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    def start(self, plan: Plan) -> Application:
        """Apply a plan from now on. Raises Rejected while one is under way at its site; Misconfigured."""
        if not plan.steps:
            raise Rejected(RejectReason.INVALID, "the plan has no steps: everything is as it wants")
        application = self._book.begin(plan, self._clock.wall())
        self._begin(application)
        return application

    def stop(self, application_id: str) -> Application:
        """Have an application put back what it did, also after a restart. Harmless for one that has ended.
        Raises Rejected for one unknown; Misconfigured when the disk refuses."""
        if (applier := self._appliers.get(application_id)) is not None:
            applier.stopped = True
        application = self._book.get(application_id)
        if application.is_open and not application.unwanted:
            self._book.keep(application.model_copy(update={"unwanted": True}))
        return self._book.get(application_id)

    def get(self, application_id: str) -> Application:
        """Raises Rejected for one unknown."""
        return self._book.get(application_id)

    def all(self) -> list[Application]:
        """The newest first."""
        return self._book.all()

    def _begin(self, application: Application) -> None:
        if self._tasks is None:
            raise Rejected(RejectReason.INVALID, "plans are not applied yet, or no more: try again")
        self._tasks.create_task(self._apply(application), name=f"apply-{application.id}")

    async def _apply(self, application: Application) -> None:
        site = application.plan.site
        try:
            keys = await self._keys(application)
            applier = Applier(
                self._hands(site, application.began), keys, self._clock, self._book.keep, self._patience
            )
            self._appliers[application.id] = applier
            # Read again: it may have become unwanted while its site was waited for.
            await applier.carry_on(self._book.get(application.id))
        except MeshtwinError as error:
            # The disk refuses, or the database is gone: taken up at the next start.
            log.error("plan-halted", id=application.id, reason=error)
        finally:
            self._appliers.pop(application.id, None)

    async def _keys(self, application: Application) -> Collection[Key]:
        """What is counted: the same as at first. A coordinator that has just started may not know a site yet,
        and is waited for."""
        if application.baseline:
            return [counted.key for counted in application.baseline]
        while True:
            try:
                return await asyncio.to_thread(self._watched, application.plan.site)
            except MeshtwinError as error:
                log.info("plan-waits", id=application.id, reason=error)
                await self._clock.sleep(WAIT_S)


def check_current(plan: Plan, present: Mapping[int, NodeConfiguration], now: float) -> None:
    """Raises Rejected for a plan that was made of another state than the present one."""
    if not 0 <= now - plan.made <= OLDEST_S:
        raise Rejected(
            RejectReason.EXPIRED, f"the plan was made {(now - plan.made) / 3600:.1f} h ago: make it anew"
        )
    supposed: dict[int, NodeConfiguration] = {}
    for step in reversed(plan.steps):
        for setting in step.undo:
            known = supposed.get(setting.address, NodeConfiguration(setting.address))
            supposed[setting.address] = setting.over(known)
    for address, was in supposed.items():
        if _differs(was, present.get(address)):
            raise Rejected(
                RejectReason.INVALID, f"{show(address)} was changed since the plan was made: make it anew"
            )


def configurations(nodes: Collection[NodeRecord]) -> dict[int, NodeConfiguration]:
    """What a snapshot knows of every node."""
    return {
        node.address: NodeConfiguration(
            node.address,
            node.relay,
            True,
            node.default_ttl,
            _transmit(node.network_transmit),
            _transmit(node.relay_retransmit),
        )
        for node in nodes
    }


def _transmit(timing: list[int] | None) -> Transmit | None:
    return None if timing is None else Transmit(timing[0], timing[1])


def _differs(was: NodeConfiguration, now: NodeConfiguration | None) -> bool:
    """Whether something that both know is different."""
    names = ("relay", "default_ttl", "network_transmit", "relay_retransmit")
    pairs = [(getattr(was, name), getattr(now, name)) for name in names] if now is not None else []
    return any(a is not None and b is not None and a != b for a, b in pairs)
