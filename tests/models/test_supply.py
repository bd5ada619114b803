"""Models come, are refused, fall back and go as the coordinator wants; the agent always has a forecast."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.errors import Rejected, RejectReason
from common.messages import Desired, encode
from common.models import link_forecast
from common.models.container import read_metadata
from common.models.metadata import Metadata
from common.topics import Channel
from edge_agent.infer.score import TRIAL_WINDOWS
from edge_agent.models import desired
from edge_agent.models.store import DAMAGED
from edge_agent.models.supply import RETRY_FIRST_S, RETRY_REFUSED_S, WATCH_S
from edge_agent.share.incoming import Incoming
from edge_agent.share.instructions import Instructions
from tests.models import bundles
from tests.models.bundles import Bundle
from tests.models.links import EXPECTED, count, report
from tests.models.server import Shelf
from tests.models.supplied import Supplied, supplied

ONE = bundles.persistence(1)


def altered(version: int) -> tuple[Bundle, bytes]:
    good = bundles.persistence(version)
    return good, good.content[:-1] + b"x"


def truncated(version: int) -> tuple[Bundle, bytes]:
    good = bundles.persistence(version)
    return good, good.content[: len(good.content) // 2]


def oversized(version: int) -> tuple[Bundle, bytes]:
    good = bundles.persistence(version)
    return good, good.content + bytes(1000)


def foreign(version: int) -> tuple[Bundle, bytes]:
    made = bundles.persistence(version, schema_hash="0" * 64)
    return made, made.content


def wrong_output(version: int) -> tuple[Bundle, bytes]:
    metadata = read_metadata(ONE.content)
    outputs = [[value + 0.5 for value in row] for row in metadata.golden.outputs]
    golden = metadata.golden.model_copy(update={"outputs": outputs})
    made = bundles.described(
        ONE.content, Metadata(**(metadata.model_dump() | {"version": version, "golden": golden.model_dump()}))
    )
    return made, made.content


def no_model(version: int) -> tuple[Bundle, bytes]:
    made = bundles.released(bytes(500), version)
    return made, made.content


REFUSED = {
    RejectReason.ALTERED: altered,
    RejectReason.TRUNCATED: truncated,
    RejectReason.OVERSIZED: oversized,
    RejectReason.FOREIGN_SCHEMA: foreign,
    RejectReason.WRONG_OUTPUT: wrong_output,
    RejectReason.MALFORMED: no_model,
}


async def test_a_wanted_model_is_fetched_tried_loaded_and_told(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        assert agent.supply.states() == []
        await agent.release(ONE)
        (told,) = agent.states().values()
        assert (told.name, told.state, told.digest) == (link_forecast.NAME, "trial", ONE.reference.digest)
        assert agent.events() == ["model-loaded"]
        assert agent.changes
        count(agent.book, 1, {2: 7}, 1.0)
        agent.forecasting.refresh()
        await agent.until(lambda: _speaks(agent))


def _speaks(agent: Supplied) -> bool:
    agent.forecasting.refresh()
    return (2, 1) in agent.forecasting._latest[link_forecast.NAME]


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_bad_bundle_is_refused_by_name_and_the_old_one_stays_in_use(
    tmp_path: Path, state: Path, shelf: Shelf, reason: RejectReason
) -> None:
    bad, served = REFUSED[reason](2)
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        shelf.files[bad.reference.digest] = served
        agent.want(bad)
        await agent.until(lambda: "model-refused" in agent.events())
        assert agent.used() == [ONE.reference]
        assert agent.forecasting.standing(link_forecast.NAME) is not None
        refused = agent.states()[2]
        assert refused.state == "refused"
        assert refused.reason.startswith(reason.value)
        (fields,) = [fields for name, fields in agent.told if name == "model-refused"]
        assert (fields["version"], fields["reason"]) == (2, refused.reason)
        await agent.until(lambda: [path.suffix for path in agent.store.folder.iterdir()] == [".tflite"])
        assert agent.store.held() == [ONE.reference]


async def test_what_was_refused_is_tried_again_after_an_hour_and_told_once(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    bad, served = altered(1)
    async with supplied(tmp_path, state, shelf) as agent:
        shelf.files[bad.reference.digest] = served
        agent.want(bad)
        await agent.until(lambda: "model-refused" in agent.events())
        await agent.clock.advance(RETRY_REFUSED_S / 2)
        assert len(shelf.ranges) == 1
        await agent.clock.advance(RETRY_REFUSED_S)
        await agent.until(lambda: len(shelf.ranges) == 2)
        shelf.files[bad.reference.digest] = bad.content
        await agent.clock.advance(RETRY_REFUSED_S + WATCH_S)
        await agent.until(lambda: agent.used() == [bad.reference])
        assert Counter(agent.events()) == {"model-refused": 1, "model-loaded": 1}


async def test_a_release_of_the_same_again_tries_at_once_what_was_refused(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    bad, served = altered(1)
    async with supplied(tmp_path, state, shelf) as agent:
        shelf.files[bad.reference.digest] = served
        agent.want(bad)
        await agent.until(lambda: "model-refused" in agent.events())
        await agent.clock.advance(600.0)
        (told,) = agent.states().values()
        assert told.retry_s == RETRY_REFUSED_S - 600.0
        shelf.files[bad.reference.digest] = bad.content
        agent.want(bad)
        await agent.clock.advance(10.0)
        assert not agent.used()
        agent.want(bad, issue=2)
        await agent.until(lambda: agent.used() == [bad.reference])


async def test_a_better_version_takes_the_old_ones_place(tmp_path: Path, state: Path, shelf: Shelf) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        two = bundles.eight_bit(2)
        await agent.release(two)
        assert list(agent.states()) == [2]
        await agent.until(lambda: agent.store.held() == [two.reference])


async def test_a_model_that_is_wanted_no_more_gives_way_to_the_naive_forecast(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        agent.want()
        await agent.until(lambda: not agent.used())
        assert agent.forecasting.standing(link_forecast.NAME) is None
        assert agent.supply.states() == []
        assert agent.events()[-1] == "model-dropped"
        await agent.until(lambda: not agent.store.held())


async def test_the_last_good_bundle_is_used_without_the_coordinator(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
    shelf.status = 503
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.until(lambda: agent.used() == [ONE.reference])
        agent.want(ONE)
        await agent.clock.advance(2 * RETRY_FIRST_S)
        assert agent.events() == ["model-loaded"]
    assert len(shelf.ranges) == 1


async def test_a_damaged_bundle_is_set_aside_told_and_brought_again(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        path = agent.store.path(ONE.reference)
    path.write_bytes(ONE.content[:-7] + b"damaged")
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.until(lambda: agent.events() == ["state-lost"])
        assert (agent.store.folder / DAMAGED).exists()
        await agent.release(ONE)


async def test_a_held_bundle_that_fails_its_trial_is_refused_at_start(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    bad, _ = foreign(3)
    async with supplied(tmp_path, state, shelf) as agent:
        agent.store.open()
        agent.store.path(bad.reference).write_bytes(bad.content)
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.until(lambda: agent.events() == ["model-refused"])
        assert (agent.store.held(), agent.used()) == ([], [])


async def test_a_coordinator_that_is_away_is_asked_again_ever_more_rarely(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    shelf.status = 503
    async with supplied(tmp_path, state, shelf) as agent:
        agent.serve(ONE)
        agent.want(ONE)
        for number in range(1, 4):
            await agent.until(lambda number=number: len(shelf.ranges) == number)  # type: ignore[misc]
            await agent.until(lambda number=number: _pause(agent) == RETRY_FIRST_S * 2 ** (number - 1))  # type: ignore[misc]
            (told,) = agent.states().values()
            assert (told.state, "503" in told.reason) == ("fetching", True)
            await agent.clock.advance(RETRY_FIRST_S * 2 ** (number - 1) * 1.3 + WATCH_S)
        assert agent.events() == ["model-unavailable"]
        shelf.status = None
        await agent.clock.advance(60.0)
        await agent.until(lambda: agent.used() == [ONE.reference])


def _pause(agent: Supplied) -> float | None:
    return next((trouble.pause_s for trouble in agent.supply._troubles.values()), None)


async def test_the_same_wish_again_changes_nothing(tmp_path: Path, state: Path, shelf: Shelf) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        agent.want(ONE)
        await agent.clock.advance(10.0)
        assert (len(shelf.ranges), agent.events()) == (1, ["model-loaded"])


async def test_a_model_without_a_use_is_refused_unfetched(tmp_path: Path, state: Path, shelf: Shelf) -> None:
    other = bundles.persistence(name="load-forecast")
    async with supplied(tmp_path, state, shelf) as agent:
        agent.serve(other)
        agent.want(other)
        await agent.until(lambda: agent.events() == ["model-refused"])
        assert agent.supply.states()[0].reason.startswith(RejectReason.UNKNOWN_KIND.value)
    assert shelf.ranges == []


async def test_a_store_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        agent.store.folder.write_text("in the way")
        agent.serve(ONE)
        agent.want(ONE)
        await agent.until(lambda: agent.events() == ["model-unavailable"])
        agent.store.folder.unlink()
        await agent.clock.advance(2 * RETRY_FIRST_S + WATCH_S)
        await agent.until(lambda: agent.used() == [ONE.reference])


async def test_a_model_that_fails_while_in_use_is_refused(tmp_path: Path, state: Path, shelf: Shelf) -> None:
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(ONE)
        agent.supply._loaded[link_forecast.NAME].forecaster.failure = Rejected(RejectReason.WRONG_OUTPUT, "x")
        await agent.clock.advance(2 * WATCH_S)
        assert not agent.used()
        assert agent.forecasting.standing(link_forecast.NAME) is None
        assert agent.states()[1].state == "refused"


@pytest.mark.parametrize(
    ("make", "state_name"), [(bundles.wrong, "worse-than-naive"), (bundles.persistence, "in-use")]
)
async def test_a_change_of_standing_is_told_once_and_at_once(
    tmp_path: Path, state: Path, shelf: Shelf, make: type[Bundle], state_name: str
) -> None:
    model = make(1)  # type: ignore[call-arg, arg-type]
    async with supplied(tmp_path, state, shelf) as agent:
        await agent.release(model)
        before = agent.changes
        await _play(agent)
        assert agent.states()[1].state == state_name
        assert agent.changes == before + 1
        told = [fields for name, fields in agent.told if name == f"model-{state_name}"]
        assert len(told) == 1
        better = told[0]["error"] < told[0]["naive_error"]
        assert better == (state_name == "in-use")
        shown = agent.states()[1]
        assert shown.error is not None
        assert shown.windows >= TRIAL_WINDOWS


async def _play(agent: Supplied) -> None:
    """Links that are all or nothing for twenty windows each: persistence beats faded counts."""
    for number in range(TRIAL_WINDOWS):
        heard = {sender: EXPECTED * ((number // 20 + sender) % 2) for sender in (2, 3, 4, 5)}
        agent.forecasting.score(report(1, heard, 10.0 * number))
        count(agent.book, 1, heard, 10.0 * number)
        agent.forecasting.refresh()
        batch = agent.supply._loaded[link_forecast.NAME].forecaster._batch
        await agent.until(lambda batch=batch: batch is None or batch.done())  # type: ignore[misc]
        agent.forecasting.refresh()
    await agent.clock.advance(2 * WATCH_S)


@pytest.mark.parametrize(
    "value",
    [
        {"v": 2},
        {"v": 1, "models": "all"},
        {"v": 1, "models": [{"name": "../x", "version": 1, "digest": "0" * 64, "size": 1}]},
        {"v": 1, "models": [{"name": "x", "version": 1, "digest": "0" * 63, "size": 1}]},
        {"v": 1, "models": [{"name": "x", "version": 1, "digest": "0" * 64, "size": 1 << 40}]},
        {"v": 1, "models": [{"name": "x", "version": 1, "digest": "0" * 64, "size": 1}] * 2},
        {"v": 1, "models": [{}] * 17},
    ],
)
def test_a_hostile_wish_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        desired.read(value)


async def test_hostile_instructions_are_counted_told_once_a_minute_and_survived(
    tmp_path: Path, state: Path, shelf: Shelf
) -> None:
    clock, told = ManualClock(), []
    incoming = Incoming("hall", "gw-1", lambda ack, now: None)
    async with supplied(tmp_path, state, shelf) as agent:
        instructions = Instructions(
            incoming.instructions,
            {Channel.DESIRED: agent.supply.want},
            lambda name, **fields: told.append((name, fields["channel"])),
            clock,
        )
        topic = "mt/1/hall/gw-1/desired"
        incoming.take(topic, encode(Desired()).replace(b"models", b"model\xf1"), True, 0.0)
        incoming.take(topic, encode(Desired(models=[ONE.reference] * 2)), True, 0.0)
        incoming.take("mt/1/hall/gw-1/command", encode(Desired()), False, 0.0)
        incoming.take(topic, encode(Desired(models=[ONE.reference])), True, 0.0)
        agent.serve(ONE)
        async with asyncio.TaskGroup() as owner:
            running = owner.create_task(instructions.run())
            await agent.until(lambda: agent.used() == [ONE.reference])
            running.cancel()
        assert instructions.rejected == {RejectReason.INVALID: 1, RejectReason.UNKNOWN_KIND: 1}
        assert told == [("instruction-rejected", "desired")]
