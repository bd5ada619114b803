"""The window: cautious at first, open once answered, patient with an absent coordinator."""

from __future__ import annotations

from edge_agent.share.window import CAUTIOUS, FIRST_TIMEOUT_S, FULL, LAST_TIMEOUT_S, Window


def test_it_opens_with_the_first_acknowledgement() -> None:
    window = Window()
    window.begin(acked=100, now=0.0)
    assert window.room(100) == CAUTIOUS
    window.sent(100 + CAUTIOUS, acked=100, now=0.0)
    assert window.room(100) == 0
    window.progressed(104, now=0.1)
    assert window.room(104) == FULL - (CAUTIOUS - 4)


def test_silence_sends_the_same_again_after_ever_longer_waits() -> None:
    window = Window()
    window.begin(acked=0, now=0.0)
    now, waits = 0.0, []
    for _ in range(6):
        window.sent(CAUTIOUS, acked=0, now=now)
        due = window.overdue_at(0)
        assert due is not None
        assert not window.rewind_if_overdue(0, due - 0.001)
        assert window.rewind_if_overdue(0, due)
        assert window.sent_to == 0
        waits.append(due - now)
        now = due
    assert waits[0] == FIRST_TIMEOUT_S
    assert waits == sorted(waits)
    assert waits[-1] == LAST_TIMEOUT_S


def test_nothing_is_overdue_while_nothing_is_on_its_way() -> None:
    window = Window()
    window.begin(acked=7, now=0.0)
    assert window.overdue_at(7) is None
    assert not window.rewind_if_overdue(7, 1e9)


def test_time_counts_from_the_first_one_sent_after_a_pause() -> None:
    window = Window()
    window.begin(acked=7, now=0.0)
    window.sent(8, acked=7, now=1000.0)
    assert not window.rewind_if_overdue(7, 1000.0 + FIRST_TIMEOUT_S / 2)
