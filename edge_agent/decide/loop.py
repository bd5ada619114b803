"""The loop around the decisions: wakes on urgent events and every second, asks suspects, hands actions on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from common.clock import Clock
from common.logs import get_logger
from common.policy.actions import Action
from common.policy.lease import Role, View
from edge_agent.decide.decider import Decider, Decision
from edge_agent.decide.second_look import SecondLook
from edge_agent.infer.forecasting import Forecasting
from edge_agent.observe.probe import Prober

log = get_logger(__name__)

TICK_S = 1.0
REPEAT_PROPOSAL_S = 30.0


class DecisionLoop:
    """Runs a `Decider`.

    `view` gives what is known of the peers, `pending` the executor's open actions, `offer` hands it a new
    one, `propose` records what would be done if this gateway held the lease.
    """

    def __init__(
        self,
        decider: Decider,
        forecasting: Forecasting,
        prober: Prober,
        clock: Clock,
        wake: asyncio.Event,
        view: Callable[[], View],
        pending: Callable[[], tuple[Action, ...]],
        offer: Callable[[Action], bool],
        propose: Callable[[Action], None],
        announce: Callable[..., None],
        dry_run: bool = False,
    ) -> None:
        self._decider = decider
        self._forecasting = forecasting
        self._prober = prober
        self._clock = clock
        self._wake = wake
        self._view = view
        self._pending = pending
        self._offer = offer
        self._propose = propose
        self._announce = announce
        self._dry_run = dry_run
        self._second_look = SecondLook(decider.site, prober.question, clock)
        self._questioned: set[int] = set()
        self._proposed: dict[frozenset[int], float] = {}
        self.role = Role.ALONE
        self.on_turn: Callable[[], None] = lambda: None
        """Called after every turn: somebody may want to know that decisions are made at all."""

    async def run(self) -> None:
        """Decide until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._forecasting.refresh()
                decision = self._decider.decide(
                    self._view(), self._forecasting.forecasts(), self._pending(), self._clock.monotonic()
                )
                self._tell(decision)
                for address in set(decision.ask) - self._questioned:
                    self._questioned.add(address)
                    tasks.create_task(self._question(address))
                self._hand_on(decision, tasks)
                self.on_turn()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            self._wake.set()

    async def _question(self, address: int) -> None:
        try:
            if await self._prober.question(address):
                log.info("suspect-answered", node=f"0x{address:04x}")
        finally:
            self._questioned.discard(address)
            self._wake.set()

    def _tell(self, decision: Decision) -> None:
        if decision.role is not self.role:
            self._announce("role-changed", role=decision.role.value, before=self.role.value)
            self.role = decision.role
        for address in decision.convicted:
            self._announce("node-dead", node=f"0x{address:04x}")

    def _hand_on(self, decision: Decision, tasks: asyncio.TaskGroup) -> None:
        for action in decision.actions:
            if decision.role is Role.PROPOSER or self._dry_run:
                self._propose_once(action)
            elif not self._second_look.is_needed(action):
                self._act(action)
            elif self._second_look.is_due(action):
                tasks.create_task(self._look_and_act(action))

    async def _look_and_act(self, action: Action) -> None:
        if await self._second_look.confirms(action) and self.role is not Role.PROPOSER:
            self._act(action)

    def _act(self, action: Action) -> None:
        if self._offer(action):
            log.info("action-decided", cause=action.cause, nodes=_shown(action.touches))

    def _propose_once(self, action: Action) -> None:
        now = self._clock.monotonic()
        self._proposed = {k: t for k, t in self._proposed.items() if now - t < REPEAT_PROPOSAL_S}
        if action.touches not in self._proposed:
            self._proposed[action.touches] = now
            self._propose(action)


def _shown(addresses: Collection[int]) -> str:
    return ",".join(f"0x{address:04x}" for address in sorted(addresses)[:16])
