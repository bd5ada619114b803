"""Counts before and after: what is a loss, what may be chance, and what is asked on about."""

from __future__ import annotations

from random import Random

import pytest

from coordinator.recipes.judgement import Count, Key, Verdict, chance_of_loss, judge, merged, too_few


def drawn(random: Random, share: float, asked: int) -> Count:
    return Count(asked, sum(random.random() < share for _ in range(asked)))


def test_few_counts_leave_doubt_and_many_do_not() -> None:
    assert judge({1: Count(10, 10)}, {1: Count(10, 8)}).verdict is Verdict.UNSURE
    assert judge({1: Count(1000, 990)}, {1: Count(1000, 800)}).verdict is Verdict.WORSE
    assert judge({1: Count(1000, 990)}, {1: Count(1000, 988)}).verdict is Verdict.FINE


def test_the_worst_comes_first_and_keys_counted_once_are_left_out() -> None:
    before: dict[Key, Count] = {1: Count(500, 490), 2: Count(500, 490), 3: Count(5, 5)}
    after: dict[Key, Count] = {1: Count(500, 400), 2: Count(500, 100), 4: Count(5, 0)}
    assert judge(before, after).worse == (2, 1)


def test_a_chance_is_half_where_the_loss_is_just_what_is_put_up_with() -> None:
    assert chance_of_loss(Count(10_000, 9_000), Count(10_000, 8_800)) == pytest.approx(0.5, abs=0.02)


def test_nothing_lost_is_seldom_taken_for_a_loss_and_a_real_one_seldom_missed() -> None:
    random = Random(5)
    wrong = missed = 0
    for _ in range(300):
        before: dict[Key, Count] = {1: drawn(random, 0.95, 400)}
        for truth in (0.95, 0.88):
            after: dict[Key, Count] = {}
            for number in range(1, 7):
                after = merged(after, {1: drawn(random, truth, 100)})
                found = judge(before, after, at_last=0.8 if number == 6 else None)
                if found.verdict is not Verdict.UNSURE:
                    break
            wrong += truth == 0.95 and found.verdict is Verdict.WORSE
            missed += truth == 0.88 and found.verdict is Verdict.FINE
    assert wrong <= 12
    assert missed <= 12


@pytest.mark.parametrize(
    ("asked", "answered", "delivery", "is_refused"),
    [
        (7600, 1847, 0.95, True),
        (400, 340, 0.95, False),
        (400, 100, 0.5, False),
        (400, 20, 0.1, True),
        (400, 100, None, False),
        (400, 3, None, True),
        (0, 0, 0.95, True),
    ],
)
def test_a_site_that_hardly_answers_is_no_site_to_change(
    asked: int, answered: int, delivery: float | None, is_refused: bool
) -> None:
    assert bool(too_few({1: Count(asked, answered)}, delivery)) is is_refused


def test_a_site_of_which_nothing_is_counted_is_not_refused_for_it() -> None:
    assert not too_few({}, 0.9)
