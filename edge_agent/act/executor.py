"""Applies actions outwards from the gateway, confirms their effect, and rolls back what does not help.

One action is applied at a time; confirmations of disjoint actions go on side by side. An action's life is
announced step by step: applying, applied, confirmed; or failed (a node refused, or the lease ended halfway),
rolled-back (no effect was seen), abandoned (the lease ended before anything was done), superseded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, TimedOut
from common.logs import get_logger
from common.policy.actions import Action, ActionKind, Step
from edge_agent.act.confirmation import Confirmation
from edge_agent.act.journal import Entry, Journal
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView
from firmware_bridge.link import MeshLink

log = get_logger(__name__)

State = Literal[
    "proposed", "superseded", "applying", "applied", "confirmed", "failed", "rolled-back", "abandoned"
]
QUEUE_LIMIT = 16
CONFIRM_AT_ONCE = 2
CONFIRM_PAUSE_S = 0.3
CONFIRM_AFTER_S = 1.5
"""Before the first question after a change: people and applications ask first, who have waited for it, and
what they are answered counts. Nothing else waits for a confirmation."""
MESH_PAUSE_S = 0.2


class Announce(Protocol):
    """Who wants to hear of an action's life; `seconds` since the action was taken up."""

    def __call__(
        self, action_id: str, action: Action, state: State, detail: str, seconds: float | None
    ) -> None: ...


class Executor:
    """Carries out actions, one owner of the link's configuration on this gateway.

    `may_act` says whether this gateway still holds the site's lease; it is asked before every step.
    `refuse` is told which nodes to leave alone after a failure.
    """

    def __init__(
        self,
        link: MeshLink,
        site: SiteView,
        prober: Prober,
        journal: Journal,
        clock: Clock,
        announce: Announce,
        may_act: Callable[[Action], bool],
        refuse: Callable[[frozenset[int]], None],
        new_id: Callable[[], str],
    ) -> None:
        self._link = link
        self._site = site
        self._prober = prober
        self._journal = journal
        self._clock = clock
        self._announce = announce
        self._may_act = may_act
        self._refuse = refuse
        self._new_id = new_id
        self._queued: list[tuple[str, Action]] = []
        self._running: dict[str, Action] = {}
        self._wake = asyncio.Event()

    @property
    def pending(self) -> tuple[Action, ...]:
        """Actions queued, being applied, or waiting for their effect."""
        return tuple(action for _, action in self._queued) + tuple(self._running.values())

    def offer(self, action: Action, action_id: str | None = None) -> bool:
        """Queue an action unless an older or more important one touches the same nodes.

        A queued action of lower priority gives way; one that already runs does not. Without `action_id` it
        gets an id of its own.
        """
        if any(action.touches & other.touches for other in self._running.values()):
            return False
        rivals = [(i, other) for i, other in self._queued if action.touches & other.touches]
        if any(other.priority >= action.priority for _, other in rivals) or len(self._queued) >= QUEUE_LIMIT:
            return False
        for action_id, other in rivals:
            self._queued.remove((action_id, other))
            self._announce(action_id, other, "superseded", f"gives way to: {action.cause}", None)
        self._queued.append((action_id or self._new_id(), action))
        self._queued.sort(key=lambda item: -item[1].priority)
        self._wake.set()
        return True

    async def run(self, resumed: list[Entry]) -> None:
        """Work until cancelled. `resumed` are entries that an earlier run left open."""
        async with asyncio.TaskGroup() as tasks:
            for entry in resumed:
                self._running[entry.id] = entry.action
                tasks.create_task(self._resume(entry))
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queued:
                    action_id, action = self._queued.pop(0)
                    self._running[action_id] = action
                    start = self._clock.monotonic()
                    applied = await self._apply(action_id, action, start)
                    if applied is not None:
                        tasks.create_task(self._settle(applied, start))
                    else:
                        self._running.pop(action_id, None)

    async def _apply(self, action_id: str, action: Action, start: float) -> Entry | None:
        """Take every step; None when the action ended without having changed anything for good."""
        entry = Entry(action_id, action, self._undo_of(action))
        self._write_down(entry)
        self._announce(action_id, action, "applying", "", 0.0)
        taken: list[Step] = []
        for step in action.steps:
            if not self._holds_lease(action):
                await self._lose_lease(entry, taken, start)
                return None
            problem = await self._take(step)
            if problem and (step.change.relay is not None or action.kind is ActionKind.CONFIGURE):
                await self._give_up(entry, taken, problem, start)
                return None
            if not problem:
                taken.append(step)
        if not taken:
            await self._give_up(entry, taken, "no node took the change", start)
            return None
        seconds = self._clock.monotonic() - start
        self._announce(action_id, action, "applied", f"{len(taken)} nodes changed", seconds)
        return entry

    def _holds_lease(self, action: Action) -> bool:
        return self._clock.monotonic() <= action.lease_until and self._may_act(action)

    async def _lose_lease(self, entry: Entry, taken: list[Step], start: float) -> None:
        """Another gateway may act now, or things have changed: leave no half of an action behind."""
        if taken:
            await self._give_up(entry, taken, "the lease has ended", start)
        else:
            seconds = self._clock.monotonic() - start
            self._announce(entry.id, entry.action, "abandoned", "the lease has ended", seconds)
            self._end(entry)

    async def _take(self, step: Step) -> str:
        """Apply one step; what went wrong, or nothing."""
        try:
            configuration = await self._link.configure(step.address, step.change)
        except MeshtwinError as error:
            if isinstance(error, TimedOut):
                # Only the answer may have been lost: what the node did has to be read from it.
                self._site.reread(step.address)
            return f"0x{step.address:04x}: {error}"
        self._site.observe_configuration(configuration, self._clock.monotonic())
        return ""

    async def _settle(self, entry: Entry, start: float) -> None:
        """Wait for the effect, then confirm or roll back. Cancelled in between, the journal keeps it."""
        confirmation = Confirmation(entry.action)
        applied_at = self._clock.monotonic()
        await self._mesh_is_up()
        end = self._clock.monotonic() + entry.action.expected.window_s
        if confirmation.takes_any_answer:
            await self._clock.sleep(min(CONFIRM_AFTER_S, entry.action.expected.window_s / 2))
        while waiting := confirmation.waiting(self._is_dead):
            if self._clock.monotonic() >= end:
                break
            if not self._site.mesh_up:
                # Nobody can be asked: this time counts neither for nor against the action.
                end += await self._mesh_is_up()
                continue
            await self._ask(confirmation, waiting, applied_at)
            await self._clock.sleep(CONFIRM_PAUSE_S)
        seconds = self._clock.monotonic() - start
        if confirmation.enough():
            self._announce(entry.id, entry.action, "confirmed", str(confirmation), seconds)
            self._end(entry)
        else:
            await self._roll_back(entry, entry.undo, "rolled-back", str(confirmation), start)

    async def _resume(self, entry: Entry) -> None:
        """Go on with what an earlier run left open. How far it had come is not known: people without light
        keep the change if it helps; an operator's is put back, and may be ordered anew."""
        start = self._clock.monotonic()
        if entry.action.kind is ActionKind.CONFIGURE:
            await self._roll_back(entry, entry.undo, "rolled-back", "the agent ended in the middle", start)
        else:
            await self._settle(entry, start)

    async def _ask(self, confirmation: Confirmation, nodes: list[int], applied_at: float) -> None:
        """Ask each of `nodes` once. One that meanwhile answered somebody else need not be asked: whoever
        waits for it asks too, and a channel that carries both answers neither."""
        gate = asyncio.Semaphore(CONFIRM_AT_ONCE)

        async def one(node: int) -> None:
            async with gate:
                known = confirmation.takes_any_answer and self._site.has_answered_since(node, applied_at)
                confirmation.count(node, known or await self._prober.ask(node) is not None)

        async with asyncio.TaskGroup() as tasks:
            for node in nodes:
                tasks.create_task(one(node))

    async def _give_up(self, entry: Entry, taken: list[Step], problem: str, start: float) -> None:
        done = {step.address for step in taken}
        undo = tuple(step for step in entry.undo if step.address in done)
        await self._roll_back(entry, undo, "failed", problem, start)

    async def _roll_back(
        self, entry: Entry, undo: tuple[Step, ...], state: State, detail: str, start: float
    ) -> None:
        """Undo steps, latest first. A node that cannot be reached stays changed, and is named."""
        stuck = []
        for step in undo:
            await self._mesh_is_up()
            try:
                configuration = await self._link.configure(step.address, step.change)
                self._site.observe_configuration(configuration, self._clock.monotonic())
            except MeshtwinError as error:
                stuck.append(f"0x{step.address:04x} keeps the change ({type(error).__name__})")
        if entry.action.kind is not ActionKind.CONFIGURE:
            # What an operator's plan could not do says nothing about what these nodes can heal.
            self._refuse(entry.action.touches)
        text = "; ".join([detail, *stuck])
        self._announce(entry.id, entry.action, state, text[:500], self._clock.monotonic() - start)
        self._end(entry)

    async def _mesh_is_up(self) -> float:
        """Wait until the gateway is attached to its mesh; the seconds that it took."""
        start = self._clock.monotonic()
        # Polled: the site view is pure and wakes nobody; daemons take seconds to come back.
        while not self._site.mesh_up:
            await self._clock.sleep(MESH_PAUSE_S)
        return self._clock.monotonic() - start

    def _undo_of(self, action: Action) -> tuple[Step, ...]:
        nodes = self._site.nodes.configurations()
        steps = [Step(s.address, s.change.undo(nodes[s.address])) for s in action.steps if s.address in nodes]
        return tuple(step for step in reversed(steps) if step.change)

    def _write_down(self, entry: Entry) -> None:
        try:
            self._journal.put(entry)
        except Misconfigured as error:
            # The change is made all the same. A crash within the next seconds would leave it in place
            # unconfirmed; the survey then finds it in the nodes themselves.
            log.error("journal-unwritable", reason=error)

    def _end(self, entry: Entry) -> None:
        self._running.pop(entry.id, None)
        try:
            self._journal.close(entry.id)
        except Misconfigured as error:
            log.error("journal-unwritable", reason=error)

    def _is_dead(self, address: int) -> bool:
        record = self._site.nodes.get(address)
        return record is not None and record.dead_since is not None
