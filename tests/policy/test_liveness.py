"""From lost reports to a verdict."""

from __future__ import annotations

from dataclasses import replace

from common.policy.liveness import EVIDENCE_S, PINGS, Evidence, Verdict, judge

SUSPECTED = Evidence(heard_at=10.0, lost_by={2: 12.0}, listeners={2: 0.99, 3: 0.98})


def test_a_node_that_nobody_lost_is_alive() -> None:
    assert judge(Evidence(heard_at=10.0, listeners={2: 0.9}), 500.0) is Verdict.ALIVE


def test_one_lost_report_makes_a_suspect_and_no_more() -> None:
    assert judge(SUSPECTED, 12.1) is Verdict.SUSPECT


def test_a_suspect_that_stays_silent_and_is_lost_by_half_its_listeners_is_dead() -> None:
    assert judge(replace(SUSPECTED, unanswered=PINGS), 12.5) is Verdict.DEAD


def test_silence_alone_does_not_convict_while_most_listeners_still_hear_the_node() -> None:
    heard_by_most = replace(SUSPECTED, listeners={2: 0.9, 3: 0.9, 4: 0.9, 5: 0.9}, unanswered=9)
    assert judge(heard_by_most, 12.5) is Verdict.SUSPECT


def test_listeners_that_never_heard_it_well_have_no_vote() -> None:
    weak = replace(SUSPECTED, listeners={2: 0.9, 3: 0.2, 4: 0.3, 5: 0.1}, unanswered=PINGS)
    assert judge(weak, 12.5) is Verdict.DEAD


def test_a_sign_of_life_after_the_report_acquits() -> None:
    assert judge(replace(SUSPECTED, heard_at=12.4, unanswered=PINGS), 12.5) is Verdict.ALIVE


def test_an_old_report_no_longer_counts() -> None:
    assert judge(replace(SUSPECTED, unanswered=PINGS), 12.0 + EVIDENCE_S + 0.1) is Verdict.ALIVE


def test_the_dead_stay_dead_until_heard() -> None:
    assert judge(replace(SUSPECTED, dead=True), 10_000.0) is Verdict.DEAD


def test_one_of_many_listeners_is_not_enough_to_ask() -> None:
    listeners = dict.fromkeys(range(2, 10), 0.98)
    assert judge(Evidence(10.0, {2: 12.0}, listeners), 12.5) is Verdict.ALIVE
    assert judge(Evidence(10.0, {2: 12.0, 3: 12.1}, listeners), 12.5) is Verdict.SUSPECT
