"""What a simulated receiver makes of probes heard and missed."""

from __future__ import annotations

from firmware_bridge.access.link_monitor import EXPECTED_MAX
from firmware_bridge.neighbours import Doubt, Loss
from firmware_bridge.virtual.counting import DETECTION, NeighbourCounts

GRACE_S = 0.16


def after(heard: int, transmitter: int = 5) -> NeighbourCounts:
    counts = NeighbourCounts()
    for _ in range(heard):
        counts.heard(transmitter)
    return counts


def test_heard_and_expected_are_reported_once() -> None:
    counts = after(3)
    counts.missed(5)
    (entry,) = counts.take_report(8, transmissions=2)
    assert (entry.transmitter, entry.heard, entry.expected, entry.transmissions) == (5, 3, 4, 2)
    assert counts.take_report(8, transmissions=2) == []


def test_those_that_wait_longest_are_reported_first() -> None:
    counts = NeighbourCounts()
    for _ in range(2):
        for transmitter in (5, 6, 7):
            counts.heard(transmitter)
        counts.take_report(2, 1)
    assert [entry.transmitter for entry in counts.take_report(8, 1)] == [6]


def test_a_window_never_outgrows_its_field() -> None:
    (entry,) = after(10 * EXPECTED_MAX).take_report(8, 1)
    assert entry.heard == entry.expected <= EXPECTED_MAX


def asked(counts: NeighbourCounts, at: float = 0.0) -> list[tuple[float, Doubt | Loss]]:
    """What comes of a probe that was due at `at` and missed, when nothing is heard any more."""
    found: list[tuple[float, Doubt | Loss]] = []
    now = at + GRACE_S
    next_found: Doubt | Loss | None = counts.suspect(5, now) if counts.missed(5) else None
    while next_found is not None:
        found.append((round(now - at - GRACE_S, 2), next_found))
        now += DETECTION.answer_s
        next_found = counts.unanswered(5, now)
    return found


def test_a_good_neighbour_that_is_missed_is_asked_once_and_then_lost() -> None:
    counts = after(50)
    assert asked(counts) == [(0.0, Doubt(5)), (0.25, Loss(5, missed=2, share_before=1.0))]
    assert counts.loss(5) == Loss(5, missed=2, share_before=1.0)


def test_a_loss_is_told_again_only_after_the_neighbour_was_heard() -> None:
    counts = after(50)
    assert len(asked(counts)) == 2
    assert asked(counts, 1.0) == []
    counts.heard(5)
    assert counts.loss(5) is None
    assert [type(found) for _, found in asked(counts, 3.0)][-1] is Loss


def test_the_less_is_usually_heard_the_more_is_asked() -> None:
    questions = []
    for misses in (0, 2, 4, 8):
        counts = after(32 - misses)
        for _ in range(misses):
            counts.missed(5)
        counts.heard(5)
        found = asked(counts)
        questions.append(sum(isinstance(one, Doubt) for _, one in found))
        assert [t for t, _ in found] == [0.25 * n for n in range(len(found))]
    shares = [(32 - misses) / 32 for misses in (0, 2, 4, 8)]
    assert questions == [DETECTION.questions(share) for share in shares] == [1, 2, 3, 4]


def test_an_answer_ends_the_doubt_and_the_missed_probe_stays_missed() -> None:
    counts = after(9)
    assert counts.missed(5)
    assert counts.suspect(5, 1.0) == Doubt(5)
    assert counts.doubts(5)
    counts.alive(5)
    assert not counts.doubts(5)
    assert counts.unanswered(5, 1.0 + DETECTION.answer_s) is None
    (entry,) = counts.take_report(8, 1)
    assert (entry.heard, entry.expected) == (9, 10)


def test_a_probe_within_the_grace_spares_the_question() -> None:
    counts = after(9)
    assert counts.missed(5)
    counts.heard(5)
    assert counts.suspect(5, 1.0) is None


def test_the_end_of_an_old_question_does_not_end_a_newer_one() -> None:
    counts = after(9)
    counts.missed(5)
    counts.suspect(5, 1.0)
    counts.heard(5)
    counts.missed(5)
    counts.suspect(5, 1.2)
    assert counts.unanswered(5, 1.0 + DETECTION.answer_s) is None
    assert isinstance(counts.unanswered(5, 1.2 + DETECTION.answer_s), Loss | Doubt)


def test_a_poor_or_new_neighbour_is_not_asked() -> None:
    poor = NeighbourCounts()
    for _ in range(60):
        poor.heard(5)
        poor.missed(5)
    assert not any(poor.missed(5) for _ in range(10))
    new = after(DETECTION.least_outcomes - 1)
    assert not any(new.missed(5) for _ in range(10))


def test_the_long_silent_are_forgotten() -> None:
    counts = after(9)
    for _ in range(DETECTION.forget_after):
        counts.missed(5)
    assert len(counts) == 0


def test_the_table_is_bounded() -> None:
    counts = NeighbourCounts()
    for transmitter in range(1, 500):
        counts.heard(transmitter)
    assert len(counts) == DETECTION.limit
