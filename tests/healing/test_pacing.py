"""How fast a network is asked for round trips."""

from __future__ import annotations

import asyncio

from common.clock import ManualClock
from edge_agent.act.pacing import LEAST_S, MOST_S, Pace

NODE, FAR = 0x0105, 0x0106


async def test_questions_keep_their_distance_whoever_asks() -> None:
    clock = ManualClock()
    pace, asked = Pace(clock), []

    async def ask() -> None:
        for _ in range(3):
            await pace.turn()
            asked.append(clock.monotonic())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask())
        tasks.create_task(ask())
        await clock.advance(10 * LEAST_S)
    gaps = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
    assert len(asked) == 6
    assert all(abs(gap - LEAST_S) < 1e-9 for gap in gaps)


def test_silence_slows_down_to_a_bound_and_answers_speed_up_again() -> None:
    pace = Pace(ManualClock())
    for _ in range(100):
        pace.answered(NODE, None)
    assert pace.interval_s == MOST_S
    for _ in range(100):
        pace.answered(NODE, 0.05)
    assert pace.interval_s == LEAST_S


def test_answers_later_than_usual_for_their_node_slow_down_before_any_is_lost() -> None:
    pace = Pace(ManualClock())
    pace.answered(NODE, 0.05)
    pace.answered(FAR, 0.4)
    pace.answered(FAR, 0.4)
    assert pace.interval_s == LEAST_S
    pace.answered(NODE, 0.4)
    assert pace.interval_s > LEAST_S


def test_a_network_that_loses_a_tenth_all_the_time_is_asked_at_full_pace() -> None:
    pace = Pace(ManualClock())
    intervals = []
    for number in range(1000):
        pace.answered(NODE, None if number % 10 == 0 else 0.05)
        intervals.append(pace.interval_s)
    assert max(intervals) <= 1.3 * LEAST_S
