"""One gateway's hands: actions applied, confirmed, undone, one at a time, on a simulated site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.clock import ManualClock
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.policy.actions import Action, ActionKind, Effect, Priority, Step
from edge_agent.act.executor import CONFIRM_PAUSE_S, Executor, State
from edge_agent.act.journal import Entry, Journal
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView
from firmware_bridge.virtual import VirtualLink, VirtualSite

# A star around gateway 1. Node 8 cannot relay.
STAR = dict.fromkeys([pair for n in range(2, 9) for pair in ((1, n), (n, 1))], 1.0)
WINDOW_S = 5.0
GIVE_UP_S = 4.0
"""For a Config message that nobody answers, with all its repetitions."""


@dataclass
class Lease:
    held: bool = True


@dataclass
class Hands:
    """An executor and everything that it works on."""

    executor: Executor
    mesh: VirtualSite
    link: VirtualLink
    site: SiteView
    clock: ManualClock
    told: list[tuple[str, State, str]]
    refused: set[int]
    lease: Lease

    def states(self, cause: str) -> list[State]:
        return [state for told, state, _ in self.told if told == cause]

    def detail(self, cause: str) -> str:
        return [detail for told, _, detail in self.told if told == cause][-1]

    async def until(self, cause: str, state: State) -> None:
        for _ in range(1000):
            if state in self.states(cause):
                return
            await self.clock.advance(0.02)
        raise AssertionError(f"{cause} was never {state}: {self.told}")


def action(
    cause: str,
    *steps: int | Step,
    nodes: tuple[int, ...] = (2,),
    priority: Priority = Priority.CUT_OFF,
    lease_until: float = 1e9,
) -> Action:
    """Switch relays on (numbers), or take other steps, so that `nodes` answer."""
    taken = [s if isinstance(s, Step) else Step(s, ConfigurationChange(relay=True)) for s in steps]
    expected = Effect(frozenset(nodes), 0.95, WINDOW_S)
    return Action(ActionKind.REROUTE, cause, tuple(taken), expected, priority, lease_until)


@asynccontextmanager
async def hands(
    folder: Path,
    clock: ManualClock | None = None,
    mesh: VirtualSite | None = None,
    *,
    attached: bool = True,
) -> AsyncIterator[Hands]:
    """Running until the block ends: what it has under way then is left as after SIGKILL."""
    clock = clock or ManualClock()
    mesh = mesh or VirtualSite(STAR, gateways=[1], without_relay=[8])
    link = VirtualLink(mesh, 1, clock)
    site = SiteView(1, None, clock.monotonic())
    for node in mesh.nodes.values():
        known = NodeConfiguration(node.address, relay=node.relay, default_ttl=node.default_ttl)
        site.nodes.ensure(node.address, 0.0).configuration = known
    numbers = iter(range(1000))
    told: list[tuple[str, State, str]] = []
    refused: set[int] = set()
    lease = Lease()
    journal = Journal(folder / "actions.json")
    executor = Executor(
        link,
        site,
        Prober(link, site, clock),
        journal,
        clock,
        announce=lambda _, act, state, detail, __: told.append((act.cause, state, detail)),
        may_act=lambda _: lease.held,
        refuse=refused.update,
        new_id=lambda: f"gw-1-{clock.monotonic():g}-{next(numbers)}",
    )
    here = Hands(executor, mesh, link, site, clock, told, refused, lease)
    resumed = journal.load()
    await link.open()
    site.mesh_up = attached
    running = asyncio.ensure_future(executor.run(resumed))
    try:
        yield here
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await link.close()


def left_open(folder: Path) -> list[Entry]:
    return Journal(folder / "actions.json").load()


async def test_an_action_is_applied_confirmed_and_forgotten(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        assert here.executor.offer(action("a", 3, 4))
        await here.until("a", "confirmed")
        assert here.states("a") == ["applying", "applied", "confirmed"]
        assert here.mesh.nodes[3].relay
        assert here.mesh.nodes[4].relay
        assert here.site.relays() == {3, 4}
        assert here.executor.pending == ()
        assert left_open(tmp_path) == []


async def test_an_action_is_on_disk_before_its_first_step(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(3)
        here.executor.offer(action("a", 3))
        await here.until("a", "applying")
        (entry,) = left_open(tmp_path)
        assert entry.action.touches == {3}
        assert entry.undo == (Step(3, ConfigurationChange(relay=False)),)


async def test_a_more_important_action_replaces_a_queued_one_and_says_so(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(7)
        here.executor.offer(action("slow", 7))  # Holds the link while the others queue.
        await here.until("slow", "applying")
        assert here.executor.offer(action("low", 3, 4, priority=Priority.DEGRADED))
        assert here.executor.offer(action("high", 4, 5, priority=Priority.CUT_OFF))
        assert here.states("low") == ["superseded"]
        assert here.detail("low") == "gives way to: high"
        await here.until("high", "confirmed")
        assert not here.mesh.nodes[3].relay
        assert here.states("low") == ["superseded"]


async def test_among_equals_the_older_action_stays(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(7)
        here.executor.offer(action("slow", 7))
        await here.until("slow", "applying")
        assert here.executor.offer(action("older", 3))
        assert not here.executor.offer(action("younger", 3, 4))
        assert not here.executor.offer(action("weaker", 3, priority=Priority.TUNE))
        await here.until("older", "confirmed")
        assert here.states("younger") == here.states("weaker") == []


async def test_a_running_action_gives_way_to_nothing(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(2)  # Its effect does not come: it runs for the whole window.
        here.executor.offer(action("a", 3))
        await here.until("a", "applied")
        assert not here.executor.offer(action("b", 3, priority=Priority.OPERATOR))
        assert here.executor.offer(action("c", 4, nodes=(5,)))  # Touches other nodes: side by side.
        await here.until("c", "confirmed")
        assert here.states("a") == ["applying", "applied"]


async def test_the_most_important_action_goes_first(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(7)
        here.executor.offer(action("slow", 7))
        await here.until("slow", "applying")
        here.executor.offer(action("low", 3, priority=Priority.TUNE))
        here.executor.offer(action("high", 4, priority=Priority.CUT_OFF))
        here.executor.offer(action("middle", 5, priority=Priority.DEGRADED))
        await here.until("low", "applied")
        begun = [cause for cause, state, _ in here.told if state == "applying"]
        assert begun == ["slow", "high", "middle", "low"]


async def test_one_action_is_applied_at_a_time(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        for number, cause in enumerate("abcd"):
            here.executor.offer(action(cause, 3 + number))
        for cause in "abcd":
            await here.until(cause, "confirmed")
        applying = [(cause, state) for cause, state, _ in here.told if state in ("applying", "applied")]
        assert applying == [(cause, state) for cause in "abcd" for state in ("applying", "applied")]


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        taken = [here.executor.offer(action(f"a{n}", 100 + n)) for n in range(20)]
        assert taken == [True] * 16 + [False] * 4
        assert len(here.executor.pending) == 16


async def test_a_node_that_refuses_fails_the_action_and_what_was_done_is_undone(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.executor.offer(action("a", 3, 4, 8))
        await here.until("a", "failed")
        assert here.states("a") == ["applying", "failed"]
        assert "0x0008 cannot relay" in here.detail("a")
        assert not any(node.relay for node in here.mesh.nodes.values())
        assert here.refused == {3, 4, 8}
        assert left_open(tmp_path) == []


async def test_steps_are_undone_in_reverse(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        told: list[int] = []
        changes = here.site.changes
        here.executor.offer(action("a", Step(1, ConfigurationChange(default_ttl=12)), 3, 4, 8))
        while "failed" not in here.states("a"):
            await here.clock.advance(0.004)
            if here.site.changes != changes:
                changes = here.site.changes
                told.append(max(n for n, r in here.site.nodes.items() if r.read_at == _latest(here.site)))
        assert told == [1, 3, 4, 4, 3, 1]
        assert here.mesh.nodes[1].default_ttl == 7


async def test_a_silent_node_fails_the_action_and_is_asked_what_it_did(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(4)
        here.site.nodes[4].read_at = 0.0
        here.executor.offer(action("a", 3, 4))
        await here.until("a", "failed")
        assert not here.mesh.nodes[3].relay
        assert here.site.nodes[4].read_at is None


async def test_a_step_that_only_adjusts_may_fail_alone(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(5)
        here.executor.offer(action("a", 3, Step(5, ConfigurationChange(default_ttl=9))))
        await here.until("a", "confirmed")
        assert "1 nodes changed" in [detail for _, state, detail in here.told if state == "applied"]


async def test_an_action_whose_effect_does_not_come_is_rolled_back(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(2)
        here.executor.offer(action("a", 3))
        await here.until("a", "rolled-back")
        assert here.detail("a") == "0 of 1 nodes answer"
        assert not here.mesh.nodes[3].relay
        assert here.refused == {3}


async def test_a_node_that_cannot_be_brought_back_is_named(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(2)
        here.executor.offer(action("a", 3))
        await here.until("a", "applied")
        here.mesh.down(3)
        await here.until("a", "rolled-back")
        assert "0x0003 keeps the change (TimedOut)" in here.detail("a")


async def test_an_action_that_waited_beyond_its_lease_is_abandoned(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(7)
        here.executor.offer(action("slow", 7))
        here.executor.offer(action("late", 3, lease_until=1.0))
        await here.until("late", "abandoned")
        assert here.states("late") == ["applying", "abandoned"]
        assert not here.mesh.nodes[3].relay
        assert 3 not in here.refused  # The node did nothing wrong.
        assert left_open(tmp_path) == []


async def test_a_lease_that_ends_halfway_undoes_what_was_done(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(4)
        ttl = Step(4, ConfigurationChange(default_ttl=9))
        here.executor.offer(action("a", 3, ttl, 5, lease_until=2.0))  # The silent node outlasts the lease.
        await here.until("a", "failed")
        assert here.detail("a") == "the lease has ended"
        assert not here.mesh.nodes[3].relay
        assert not here.mesh.nodes[5].relay


async def test_a_gateway_that_lost_its_role_stops_halfway(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.executor.offer(action("a", 3, 4))
        while not here.mesh.nodes[3].relay:
            await here.clock.advance(0.004)
        here.lease.held = False
        await here.until("a", "failed")
        assert not here.mesh.nodes[3].relay
        assert not here.mesh.nodes[4].relay


async def test_killed_between_apply_and_confirm_it_confirms_when_it_is_back(tmp_path: Path) -> None:
    async with hands(tmp_path) as before:
        before.mesh.down(2)
        before.executor.offer(action("a", 3))
        await before.until("a", "applied")
    assert len(left_open(tmp_path)) == 1
    before.mesh.up(2)
    async with hands(tmp_path, before.clock, before.mesh) as after:
        await after.until("a", "confirmed")
        assert after.mesh.nodes[3].relay
    assert left_open(tmp_path) == []


async def test_killed_between_apply_and_confirm_it_undoes_what_did_not_help(tmp_path: Path) -> None:
    async with hands(tmp_path) as before:
        before.mesh.down(2)
        before.executor.offer(action("a", 3))
        await before.until("a", "applied")
    async with hands(tmp_path, before.clock, before.mesh) as after:
        await after.until("a", "rolled-back")
        assert not after.mesh.nodes[3].relay
    assert left_open(tmp_path) == []


async def test_killed_halfway_through_its_steps_it_settles_them_all(tmp_path: Path) -> None:
    async with hands(tmp_path) as before:
        before.mesh.down(2)
        before.mesh.down(4)
        before.executor.offer(action("a", 3, 4))
        while not before.mesh.nodes[3].relay:
            await before.clock.advance(0.004)
        await before.clock.advance(0.1)
    before.mesh.up(4)
    async with hands(tmp_path, before.clock, before.mesh) as after:
        await after.until("a", "rolled-back")
        assert not after.mesh.nodes[3].relay
        assert not after.mesh.nodes[4].relay


async def test_no_action_is_judged_while_the_mesh_is_away(tmp_path: Path) -> None:
    async with hands(tmp_path) as before:
        before.mesh.down(2)
        before.executor.offer(action("a", 3))
        await before.until("a", "applied")
    before.mesh.up(2)
    async with hands(tmp_path, before.clock, before.mesh, attached=False) as after:
        await after.clock.advance(10 * WINDOW_S)
        assert after.states("a") == []
        after.site.mesh_up = True
        await after.until("a", "confirmed")


async def test_a_mesh_that_goes_away_stops_the_clock_of_an_action(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(2)
        here.executor.offer(action("a", 3))
        await here.until("a", "applied")
        here.site.mesh_up = False
        await here.clock.advance(10 * WINDOW_S)
        assert here.states("a") == ["applying", "applied"]
        here.site.mesh_up = True
        here.mesh.up(2)
        await here.until("a", "confirmed")


async def test_what_is_expected_of_the_dead_is_not_waited_for(tmp_path: Path) -> None:
    async with hands(tmp_path) as here:
        here.mesh.down(2)
        here.site.convict(2, 0.0)
        here.executor.offer(action("a", 3, nodes=(2, 5)))
        await here.until("a", "confirmed")
        assert here.detail("a") == "1 of 2 nodes answer"
        assert here.clock.monotonic() < GIVE_UP_S + CONFIRM_PAUSE_S


def _latest(site: SiteView) -> float:
    return max(record.read_at or 0.0 for _, record in site.nodes.items())
