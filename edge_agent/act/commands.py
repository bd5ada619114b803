"""Carries out what the coordinator orders on `command`, each order once, and tells the result.

A change of configuration goes through the executor like any action, with the operator's priority; a probe
asks nodes for round trips. Results go into the durable stream. Nothing here can expel a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from common import commands
from common.clock import Clock
from common.commands import Answers, Command, CommandResult
from common.errors import MeshtwinError, Misconfigured, Rejected, Unavailable
from common.logs import get_logger
from common.mesh.addresses import show
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.messages import Kind, encode, validate
from common.policy.actions import Action, ActionKind, Effect, Priority, Step
from edge_agent.act.command_ledger import Ledger
from edge_agent.act.executor import State
from edge_agent.act.pacing import Pace
from edge_agent.share.inbox import Inbox

log = get_logger(__name__)

WAITING: Final = 16
"""Commands that wait for their turn; of more, the oldest is forgotten, and comes again."""
REMEMBERED: Final = 16
BUSY_PAUSE_S: Final = 0.25
REPEAT_S: Final = 1.0
ASK_AT_ONCE: Final = 2
UNSENT: Final = 20
"""Pauses for which the link may be away before a probe fails: a new connection to a proxy takes seconds."""
ACTION_PREFIX: Final = "command-"

_ENDED: Final[Mapping[State, commands.State]] = {
    "confirmed": "done",
    "failed": "failed",
    "rolled-back": "undone",
    "abandoned": "expired",
    "superseded": "refused",
}


class Hands(Protocol):
    """What commands are carried out with: the agent."""

    def may_command(self, touches: frozenset[int]) -> tuple[bool, str]:
        """Whether this gateway may change these nodes now, and who else acts ("" when not known)."""

    def known(self) -> Mapping[int, NodeConfiguration]:
        """What is known of every node."""

    def excused(self) -> frozenset[int]:
        """The nodes that need not answer: dead ones, and the gateway's own."""

    def offer(self, action: Action, action_id: str) -> bool:
        """Give an action to the executor; False while another one is at the same nodes."""

    async def read(self, address: int) -> None:
        """Read a node's configuration from it. Raises as the mesh link does."""

    async def ask(self, address: int) -> float | None:
        """Seconds of one round trip; None when no answer came. Raises Unavailable where none could be asked
        for: that says nothing of the node."""


class Commands:
    """Run `run()` in the supervisor; `take` gets what came in. `told` must hear of every action's end."""

    def __init__(
        self, hands: Hands, ledger: Ledger, clock: Clock, append: Callable[[Kind, bytes, float], int]
    ) -> None:
        self._hands = hands
        self._ledger = ledger
        self._clock = clock
        self._append = append
        self._pace = Pace(clock)
        self._waiting: Inbox[Command] = Inbox(WAITING)
        self._under_way: set[str] = set()
        self._ends: dict[str, asyncio.Future[CommandResult]] = {}
        # Results of what changed nothing: to do it again does no harm.
        self._light: dict[str, CommandResult] = {}
        self._repeated: dict[str, float] = {}
        self._resuming: set[str] = set()

    def recover(self, resumed: set[str]) -> set[str]:
        """Take up what an earlier run left: `resumed` are the ids of actions that the journal holds open. The
        ids among them whose command has ended, and which must not be touched again. Raises Corrupt.
        """
        self._ledger.load(self._clock.wall())
        over = set()
        for action_id in resumed:
            noted = self._ledger.find(action_id.removeprefix(ACTION_PREFIX))
            if action_id.startswith(ACTION_PREFIX) and noted is not None and noted.result is not None:
                over.add(action_id)
        for noted in self._ledger.open():
            if ACTION_PREFIX + noted.id in resumed:
                self._resuming.add(noted.id)
            else:
                self._end(_result(noted.id, "interrupted", "the agent ended before anything was changed"))
        return over

    def take(self, value: Mapping[str, Any]) -> None:
        """Take in an order. Raises Rejected for what is none; anything else is answered by a result."""
        command = commands.check(validate(Command, value))
        if command.id in self._under_way or command.id in self._resuming:
            return
        if (ended := self._ended(command.id)) is not None:
            self._repeat(ended)
            return
        dropped = self._waiting.dropped
        self._under_way.add(command.id)
        self._waiting.put(command)
        if self._waiting.dropped > dropped:
            self._under_way = {command.id, *self._ends}

    async def run(self) -> None:
        """Carry out one command after the other until cancelled."""
        while True:
            command = await self._waiting.get()
            try:
                # A repetition may have waited behind the order itself.
                if self._ended(command.id) is None:
                    result = await self._carry_out(command)
                    if self._ended(command.id) is None:
                        self._end(result)
            finally:
                self._under_way.discard(command.id)

    def told(self, action_id: str, state: State, detail: str, seconds: float | None) -> None:
        """One more step in the life of any action of this gateway."""
        if not action_id.startswith(ACTION_PREFIX) or state not in _ENDED:
            return
        command_id = action_id.removeprefix(ACTION_PREFIX)
        result = _result(command_id, _ENDED[state], detail, seconds or 0.0)
        if command_id in self._resuming:
            self._resuming.discard(command_id)
            result = result.model_copy(update={"state": "interrupted"})
        # On disk before the journal forgets the action: a kill in between must not begin it again.
        self._end(result)
        if (waiting := self._ends.get(command_id)) is not None and not waiting.done():
            waiting.set_result(result)

    async def _carry_out(self, command: Command) -> CommandResult:
        now = self._clock.wall()
        if now > command.expires:
            late = f"by this gateway's clock it expired {now - command.expires:.0f} s ago"
            return _result(command.id, "expired", late, kind=command.kind)
        if command.kind == "probe":
            return await self._probe(command)
        if command.issued < self._ledger.since:
            return _result(command.id, "refused", "the record of earlier commands was lost: order it anew")
        try:
            self._ledger.take(command, now)
        except (Rejected, Misconfigured) as error:
            return _result(command.id, "refused", f"it cannot be written down: {error}")
        return await self._configure(command)

    async def _probe(self, command: Command) -> CommandResult:
        gate = asyncio.Semaphore(ASK_AT_ONCE)
        start = self._clock.monotonic()
        deadline = start + command.expires - self._clock.wall()
        away: list[Unavailable] = []

        async def one(address: int) -> Answers:
            times: list[float | None] = []
            unsent = 0
            async with gate:
                while len(times) < command.times and self._clock.monotonic() < deadline and not away:
                    await self._pace.turn()
                    try:
                        times.append(await self._hands.ask(address))
                        self._pace.answered(address, times[-1])
                        unsent = 0
                    except Unavailable as error:
                        unsent += 1
                        if unsent > UNSENT:
                            away.append(error)
                        else:
                            await self._clock.sleep(BUSY_PAUSE_S)
            heard = [seconds for seconds in times if seconds is not None]
            mean = round(1000.0 * sum(heard) / len(heard), 3) if heard else None
            return Answers(address=address, asked=len(times), answered=len(heard), mean_ms=mean)

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(one(node)) for node in dict.fromkeys(command.nodes)]
        seconds = self._clock.monotonic() - start
        if away:
            return _result(command.id, "failed", f"the mesh is down: {away[0]}"[:500], seconds, "probe")
        result = _result(command.id, "done", "", seconds, "probe")
        return result.model_copy(update={"answers": [task.result() for task in asking]})

    async def _configure(self, command: Command) -> CommandResult:
        steps = tuple(Step(step.address, step.change()) for step in command.steps)
        if refusal := await self._refusal(command, steps):
            return refusal
        ended: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._ends[command.id] = ended
        try:
            action = self._action(command, steps)
            while not self._hands.offer(action, ACTION_PREFIX + command.id):
                if self._clock.monotonic() > action.lease_until:
                    return _result(command.id, "expired", "other changes of these nodes were under way")
                await self._clock.sleep(BUSY_PAUSE_S)
            return await ended
        finally:
            del self._ends[command.id]

    async def _refusal(self, command: Command, steps: tuple[Step, ...]) -> CommandResult | None:
        """Why it cannot be begun; None when it can: what it changes is known then, and can be undone."""
        touches = frozenset(step.address for step in steps)
        may, acting = self._hands.may_command(touches)
        if not may:
            result = _result(command.id, "refused", "another gateway acts for this site")
            return result.model_copy(update={"acting": acting})
        if strangers := (touches | set(command.nodes)) - self._hands.known().keys():
            return _result(command.id, "refused", f"this site has no node {show(min(strangers))}")
        for step in steps:
            if _is_unknown(self._hands.known()[step.address], step.change):
                try:
                    await self._hands.read(step.address)
                except MeshtwinError as error:
                    return _result(command.id, "refused", f"{show(step.address)} cannot be read: {error}")
        return None

    def _action(self, command: Command, steps: tuple[Step, ...]) -> Action:
        nodes = frozenset(command.nodes or [step.address for step in steps]) - self._hands.excused()
        return Action(
            kind=ActionKind.CONFIGURE,
            cause=command.cause or "the operator wants it",
            steps=steps,
            expected=Effect(nodes, 1.0, command.window_s),
            priority=Priority.OPERATOR,
            lease_until=self._clock.monotonic() + command.expires - self._clock.wall(),
        )

    def _ended(self, command_id: str) -> CommandResult | None:
        noted = self._ledger.find(command_id)
        return self._light.get(command_id) if noted is None else noted.result

    def _end(self, result: CommandResult) -> None:
        """Write a result down, then tell it."""
        if self._ledger.find(result.id) is not None:
            try:
                self._ledger.finish(result)
            except Misconfigured as error:
                log.error("ledger-unwritable", reason=error)
        else:
            self._light[result.id] = result
            while len(self._light) > REMEMBERED:
                del self._light[next(iter(self._light))]
        log.info("command-ended", id=result.id, state=result.state, detail=result.detail)
        self._repeat(result)

    def _repeat(self, result: CommandResult) -> None:
        """Tell a result (again), though not faster than it can be stored."""
        now = self._clock.monotonic()
        self._repeated = {key: at for key, at in self._repeated.items() if now - at < REPEAT_S}
        if result.id not in self._repeated:
            self._repeated[result.id] = now
            self._append(Kind.RESULT, encode(result), self._clock.wall())


def _is_unknown(known: NodeConfiguration, change: ConfigurationChange) -> bool:
    """Whether a change touches a value that could not be brought back."""
    undo = change.undo(known)
    return any(
        getattr(change, name) is not None and getattr(undo, name) is None
        for name in ("relay", "default_ttl", "network_transmit", "relay_retransmit")
    )


def _result(
    command_id: str, state: commands.State, detail: str, seconds: float = 0.0, kind: str = "configure"
) -> CommandResult:
    return CommandResult(
        id=command_id, kind=kind, state=state, detail=detail[:512], seconds=round(max(0.0, seconds), 3)
    )
