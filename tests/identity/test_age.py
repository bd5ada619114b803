"""How a certificate stands in its life, and how often it is looked at."""

from __future__ import annotations

import pytest

from edge_agent.identity.age import Age, age_of, look_again_s, retry_s
from edge_agent.identity.certificate import Certificate

DAY = 86_400.0
BEGIN = 1_800_000_000.0
NINETY = Certificate("1", BEGIN, BEGIN + 90 * DAY)


@pytest.mark.parametrize(
    ("day", "age"),
    [
        (-1, Age.EARLY),
        (0, Age.GOOD),
        (59.9, Age.GOOD),
        (60.1, Age.DUE),
        (74.9, Age.DUE),
        (75.1, Age.EXPIRING),
        (89.9, Age.EXPIRING),
        (90, Age.EXPIRED),
        (9000, Age.EXPIRED),
    ],
)
def test_a_certificate_is_due_at_two_thirds_of_its_life(day: float, age: Age) -> None:
    assert age_of(NINETY, BEGIN + day * DAY) is age


def test_renewals_of_a_fleet_are_spread() -> None:
    due = [age_of(NINETY, BEGIN + 61 * DAY, spread / 10) for spread in range(11)]
    assert {Age.GOOD, Age.DUE} == set(due)
    assert age_of(NINETY, BEGIN + 62 * DAY, 1.0) is Age.DUE


def test_looks_are_rare_in_a_long_life_and_frequent_enough_in_a_short_one() -> None:
    assert look_again_s(NINETY) == 3600
    assert look_again_s(Certificate("1", 0, 20)) == 0.2


def test_attempts_grow_rarer_but_there_are_many_before_the_end() -> None:
    pauses = [retry_s(NINETY, failures) for failures in range(1, 60)]
    assert pauses[0] == 60
    assert pauses == sorted(pauses)
    assert max(pauses) == 6 * 3600
    assert sum(pauses) < 30 * DAY
    assert retry_s(NINETY, 10**9) == 6 * 3600
    assert retry_s(Certificate("1", 0, 20), 50) == 0.2
