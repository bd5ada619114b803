"""The manual clock wakes sleepers in order, each at its own moment."""

from __future__ import annotations

import asyncio

import pytest

from common.clock import ManualClock, SystemClock


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock = ManualClock(wall=1000.0)
    woken: list[tuple[str, float, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic(), clock.wall()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("also early", 1.0)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(2.0)
        assert [name for name, _, _ in woken] == ["early", "also early"]
        assert clock.monotonic() == 2.0
        await clock.advance(1.0)
    assert woken == [("early", 1.0, 1001.0), ("also early", 1.0, 1001.0), ("late", 3.0, 1003.0)]


async def test_a_sleeper_that_sleeps_again_keeps_its_rhythm_in_one_advance() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def metronome() -> None:
        while len(ticks) < 100:
            await clock.sleep(0.5)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(metronome())
        await clock.advance(50.0)
    assert ticks == [0.5 * (i + 1) for i in range(100)]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.ensure_future(clock.sleep(5.0))
    await clock.advance(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not clock._sleepers
    await clock.advance(10.0)
    assert clock.monotonic() == 11.0


@pytest.mark.parametrize("clock", [ManualClock(), SystemClock()], ids=["manual", "system"])
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_sleeping_for_no_time_only_yields(clock: ManualClock | SystemClock, seconds: float) -> None:
    await asyncio.wait_for(clock.sleep(seconds), timeout=60)


async def test_a_jump_of_the_wall_clock_passes_no_time() -> None:
    clock = ManualClock(wall=1000.0, monotonic=5.0)
    clock.jump_wall(-500.0)
    assert (clock.wall(), clock.monotonic()) == (500.0, 5.0)


def test_the_system_clock_never_goes_back() -> None:
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first
    assert clock.wall() > 1.6e9
