"""Pauses between connections, and when a second agent of the same name is suspected."""

from __future__ import annotations

from edge_agent.share.retries import CONTESTED_S, FIRST_S, LAST_S, SHORT_LIFE_S, SUSPICIOUS_CUTS, Retries


def test_pauses_grow_while_nobody_answers_and_begin_anew_after_a_connection() -> None:
    retries = Retries()
    pauses = [retries.after_failure(connected=False) for _ in range(6)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, LAST_S, LAST_S]
    assert retries.after_failure(connected=True) == FIRST_S


def test_a_take_over_that_the_broker_names_is_believed_at_once() -> None:
    retries = Retries()
    assert retries.after_cut(1.0, taken_over=True) == CONTESTED_S
    assert retries.contested


def test_short_lives_in_a_row_are_suspicious_and_a_long_one_is_not() -> None:
    retries = Retries()
    pauses = [retries.after_cut(1.0, taken_over=False) for _ in range(SUSPICIOUS_CUTS)]
    assert pauses == [FIRST_S] * (SUSPICIOUS_CUTS - 1) + [CONTESTED_S]
    # Between two that both wait, a connection lives for about the pause: still contested.
    assert retries.after_cut(1.3 * CONTESTED_S, taken_over=False) == CONTESTED_S
    assert retries.after_cut(SHORT_LIFE_S, taken_over=False) == FIRST_S
    assert not retries.contested
