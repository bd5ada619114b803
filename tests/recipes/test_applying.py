"""Plans applied to a site that is not what the twin believes: good ones stay, bad ones are put back, and a
coordinator that is killed anywhere ends where one ends that was not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.errors import Rejected
from coordinator.recipes.application import Application, Book
from coordinator.recipes.applications import Applications
from coordinator.recipes.applying import ATTEMPTS, UNDO_ATTEMPTS, Applier, Patience
from coordinator.recipes.plan import Plan
from tests.recipes.plans import crowd, line, plan, step
from tests.recipes.reality import Killed, Reality

PATIENCE = Patience(times=20, baseline_rounds=2, rounds=4, at_last=0.5)


def applier(reality: Reality, book: Book, clock: ManualClock) -> Applier:
    return Applier(reality, reality.keys, clock, book.keep, PATIENCE)


async def applied(reality: Reality, wanted: Plan, folder: Path) -> Application:
    """To the end, however long the pauses."""
    clock, book = ManualClock(), Book(folder)
    running = asyncio.ensure_future(applier(reality, book, clock).carry_on(book.begin(wanted, clock.wall())))
    while not running.done():
        await clock.advance(1.0)
    return running.result()


async def test_a_plan_that_harms_nobody_is_applied(tmp_path: Path) -> None:
    reality = Reality(crowd(8))
    ended = await applied(reality, plan(step(3, relay=False), step(4, relay=False)), tmp_path)
    assert (ended.state, ended.taken) == ("applied", 2)
    assert not reality.truth.relays & {3, 4}


async def test_a_plan_that_harms_a_flow_is_put_back_latest_step_first(tmp_path: Path) -> None:
    reality = Reality(line(5))
    wanted = plan(step(5, relay=True), step(3, relay=False), step(4, relay=False))
    ended = await applied(reality, wanted, tmp_path)
    assert ended.state == "undone"
    assert "0x0004 -> 0x0001" in ended.reason
    assert reality.truth.relays == {2, 3, 4}
    assert [name.split(".")[1] for name in reality.carried_out] == ["s0", "s1", "u2", "u1"]


async def test_orders_that_are_lost_are_given_again(tmp_path: Path) -> None:
    reality = Reality(crowd(6), lost=ATTEMPTS - 1)
    ended = await applied(reality, plan(step(3, relay=False)), tmp_path)
    assert ended.state == "applied"


async def test_what_cannot_be_ordered_at_all_is_put_back_with_patience(tmp_path: Path) -> None:
    reality = Reality(crowd(6), lost=ATTEMPTS + 1 + UNDO_ATTEMPTS // 2)
    ended = await applied(reality, plan(step(3, relay=False)), tmp_path)
    assert ended.state == "undone"
    assert 3 in reality.truth.relays


async def test_a_gateway_that_stays_away_leaves_it_stuck_and_says_so(tmp_path: Path) -> None:
    reality = Reality(crowd(6), away=True)
    ended = await applied(reality, plan(step(3, relay=False)), tmp_path)
    assert ended.state == "stuck"
    assert "keeps its changes" in ended.story[-1].text


@pytest.mark.parametrize("harmful", [False, True])
async def test_a_coordinator_killed_anywhere_ends_as_one_that_was_not(tmp_path: Path, harmful: bool) -> None:
    def fresh() -> Reality:
        return Reality(line(5) if harmful else crowd(6))

    first = step(5, relay=True) if harmful else step(4, relay=False)
    wanted = plan(first, step(3, relay=False))
    calm = fresh()
    expected = await applied(calm, wanted, tmp_path / "calm")
    for moment in range(2, 2 * calm.questions + 1):
        reality, clock = fresh(), ManualClock()
        reality.dies_at = moment / 2
        folder = tmp_path / f"{moment}"
        book = Book(folder)
        begun = book.begin(wanted, clock.wall())
        with pytest.raises(Killed):
            await applier(reality, book, clock).carry_on(begun)
        book = Book(folder)
        (left,) = book.all()
        ended = await applier(reality, book, clock).carry_on(left)
        assert (ended.state, reality.truth.relays) == (expected.state, calm.truth.relays), moment
        assert len(reality.carried_out) == len(set(reality.carried_out)) == len(calm.carried_out), moment


async def test_one_plan_a_site_is_under_way_at_a_time(tmp_path: Path) -> None:
    book = Book(tmp_path)
    begun = book.begin(plan(step(3, relay=False)), 1.0)
    with pytest.raises(Rejected, match="is under way"):
        book.begin(plan(step(4, relay=False)), 2.0)
    book.keep(begun.then(3.0, "enough", state="undone"))
    assert book.begin(plan(step(4, relay=False)), 4.0).id == "test-1-2"


async def test_the_operators_word_puts_a_plan_back(tmp_path: Path) -> None:
    reality, clock, book = Reality(crowd(8)), ManualClock(), Book(tmp_path)
    working = applier(reality, book, clock)
    steps = [step(address, relay=False) for address in (3, 4, 5)]
    original = reality.change

    async def stop_after_two(*given: object) -> object:
        working.stopped = len(reality.carried_out) >= 1
        return await original(*given)  # type: ignore[arg-type]

    reality.change = stop_after_two  # type: ignore[assignment,method-assign]
    ended = await working.carry_on(book.begin(plan(*steps), 1.0))
    assert ended.state == "undone"
    assert reality.truth.relays == crowd(8).relays


async def test_a_plan_that_is_unwanted_while_counting_begins_nothing_and_tells_each_round(
    tmp_path: Path,
) -> None:
    reality, clock, book = Reality(crowd(6)), ManualClock(), Book(tmp_path)
    working = applier(reality, book, clock)
    original = reality.count

    async def stop_after_one(*given: object) -> object:
        working.stopped = True
        return await original(*given)  # type: ignore[arg-type]

    reality.count = stop_after_one  # type: ignore[assignment,method-assign]
    ended = await working.carry_on(book.begin(plan(step(3, relay=False)), 1.0))
    assert (ended.state, reality.played, reality.carried_out) == ("undone", 1, [])
    assert ended.story[0].text.startswith("before, round 1 of 2: ")
    assert "the operator wants it put back" in ended.story[-1].text


async def test_a_site_that_hardly_answers_is_left_as_it_is(tmp_path: Path) -> None:
    reality = Reality(line(5, pdr=0.3))
    wanted = plan(step(3, relay=False)).model_copy(update={"figures": {"delivery_before": 0.95}})
    ended = await applied(reality, wanted, tmp_path)
    assert (ended.state, reality.carried_out) == ("undone", [])
    assert ended.story[-1].text.startswith("nothing was done: ")


async def test_the_operators_word_outlives_the_coordinator_and_who_did_not_hear_it(tmp_path: Path) -> None:
    reality, clock, book = Reality(crowd(6)), ManualClock(), Book(tmp_path)
    begun = book.begin(plan(step(3, relay=False)), 1.0)
    working = Applications(book, lambda site, began: reality, lambda site: reality.keys, clock, PATIENCE)
    assert working.stop(begun.id).unwanted
    book.keep(begun.then(2.0, "a line of one who did not hear it"))
    (left,) = Book(tmp_path).all()
    assert left.unwanted
    ended = await applier(reality, book, clock).carry_on(left)
    assert (ended.state, reality.played) == ("undone", 0)


def test_what_stays_for_good_is_looked_at_longer_than_steps_on_the_way() -> None:
    patience = Patience(rounds=3, at_last=0.95, final_rounds=15, final_at_last=0.5)
    assert patience.end(is_final=False) == (3, 0.95)
    assert patience.end(is_final=True) == (15, 0.5)
    assert Patience(rounds=3, at_last=0.9).end(is_final=True) == (3, 0.9)
