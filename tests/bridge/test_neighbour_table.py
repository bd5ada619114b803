"""The neighbour table: what is counted, and when silence becomes a loss. Time is a number here."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.link import NeighbourCount
from firmware_bridge.neighbours import Detection, Doubt, Loss, NeighbourTable, ProbeSchedule

A, B = 0x0105, 0x0107
LATEST_GRACE = 0.15 * 1.2


def table_of(limit: int = 64) -> NeighbourTable:
    return NeighbourTable(Random(1), Detection(limit=limit))


def hear(table: NeighbourTable, beats: range, transmitter: int = A, period: float = 1.0) -> None:
    """Probes on the beat; the sequence is the beat's number."""
    for beat in beats:
        table.tick(beat * period)
        table.heard(transmitter, beat, period, 1, beat * period)


def ticks(
    table: NeighbourTable, start: float, end: float, step: float = 0.01
) -> list[tuple[float, Doubt | Loss]]:
    """Everything told from `start` to `end`, with its moment. Nobody answers a question."""
    moments = [start + i * step for i in range(int((end - start) / step) + 1)]
    return [(now, found) for now in moments for found in table.tick(now)]


def losses(told: list[tuple[float, Doubt | Loss]]) -> list[tuple[float, Loss]]:
    return [(moment, found) for moment, found in told if isinstance(found, Loss)]


def count_of(table: NeighbourTable, transmitter: int = A) -> NeighbourCount:
    (count,) = [count for count in table.take_counts() if count.transmitter == transmitter]
    return count


def test_every_probe_heard_counts_as_heard_and_expected() -> None:
    table = table_of()
    hear(table, range(5))
    assert count_of(table) == NeighbourCount(A, 5, 5, 1, None)


def test_counts_start_anew_when_taken() -> None:
    table = table_of()
    hear(table, range(5))
    table.take_counts()
    assert table.take_counts() == ()
    hear(table, range(5, 7))
    assert count_of(table) == NeighbourCount(A, 2, 2, 1, None)


def test_a_gap_in_the_sequence_counts_as_missed() -> None:
    table = table_of()
    hear(table, range(3))
    table.heard(A, 4, 1.0, 1, 4.0)
    assert count_of(table) == NeighbourCount(A, 4, 5, 1, None)


def test_a_repeated_transmission_counts_once() -> None:
    table = table_of()
    for now in (0.0, 0.05, 0.1):
        table.heard(A, 7, 1.0, 3, now)
    assert count_of(table) == NeighbourCount(A, 1, 1, 3, None)


def test_an_old_sequence_is_ignored() -> None:
    table = table_of()
    hear(table, range(10, 15))
    table.heard(A, 12, 1.0, 1, 14.2)
    assert count_of(table) == NeighbourCount(A, 5, 5, 1, None)


def test_the_sequence_wraps() -> None:
    table = table_of()
    for beat, sequence in enumerate((0xFFFE, 0xFFFF, 0, 1)):
        table.heard(A, sequence, 1.0, 1, float(beat))
    assert count_of(table) == NeighbourCount(A, 4, 4, 1, None)


def test_a_transmitter_that_started_anew_is_not_charged_for_the_jump() -> None:
    table = table_of()
    hear(table, range(5))
    table.heard(A, 40_000, 1.0, 1, 5.0)
    assert count_of(table) == NeighbourCount(A, 6, 6, 1, None)


def test_signal_strength_is_averaged_over_a_window() -> None:
    table = table_of()
    table.heard(A, 1, 1.0, 1, 0.0, rssi_dbm=-60)
    table.heard(A, 2, 1.0, 1, 1.0, rssi_dbm=-70)
    assert count_of(table).rssi_dbm == -65


def test_a_missed_probe_of_a_good_transmitter_raises_a_question_at_once() -> None:
    table = table_of()
    hear(table, range(10))
    ((moment, found), *_) = ticks(table, 9.01, 12.0)
    # Last heard at 9: due at 10, and then the grace.
    assert found == Doubt(A)
    assert 10.15 <= moment <= 10.0 + LATEST_GRACE + 0.01


def test_a_question_without_an_answer_is_a_loss() -> None:
    table = table_of()
    hear(table, range(10))
    told = ticks(table, 9.01, 10.6)
    assert [type(found) for _, found in told] == [Doubt, Loss]
    assert told[1][1] == Loss(A, 2, 1.0)
    assert 0.24 <= told[1][0] - told[0][0] <= 0.26


def test_a_sign_of_life_ends_the_doubt_but_the_probe_stays_missed() -> None:
    table = table_of()
    hear(table, range(10))
    ((moment, found), *_) = ticks(table, 9.01, 10.2)
    assert found == Doubt(A)
    table.alive(A)
    assert ticks(table, moment + 0.01, 11.1) == []
    table.heard(A, 11, 1.0, 1, 11.1)
    assert count_of(table) == NeighbourCount(A, 11, 12, 1, None)


def test_each_missed_probe_is_asked_about_anew() -> None:
    table = table_of()
    hear(table, range(10))
    assert ticks(table, 9.01, 10.2)
    table.alive(A)
    told = ticks(table, 10.21, 12.0)
    assert isinstance(told[0][1], Doubt)
    assert 11.15 <= told[0][0] <= 11.0 + LATEST_GRACE + 0.01
    assert losses(told)


def test_who_is_heard_less_well_is_asked_more_often() -> None:
    rule = Detection()
    assert [rule.questions(share) for share in (1.0, 0.97, 0.9, 0.7)] == [1, 1, 3, 4]
    table = table_of()
    hear(table, range(0, 10))
    hear(table, range(11, 20))
    told = ticks(table, 19.01, 22.0)
    assert [type(found) for _, found in told[:3]] == [Doubt, Doubt, Loss]


def test_who_doubts_several_neighbours_asks_each_more_often() -> None:
    rule = Detection()
    assert [rule.questions(0.99, others) for others in (0, 1, 2, 3, 9)] == [1, 2, 3, 4, 4]


def test_a_loss_is_told_twice_at_most() -> None:
    table = table_of()
    hear(table, range(10))
    told = losses(ticks(table, 9.01, 30.0))
    assert [loss.transmitter for _, loss in told] == [A, A]
    assert 0.2 <= told[1][0] - told[0][0] <= 0.42


def test_a_loss_that_ended_before_its_repeat_is_told_once() -> None:
    for sign in ("probe", "answer"):
        table = table_of()
        hear(table, range(10))
        ((moment, _),) = losses(ticks(table, 9.01, 10.45))
        if sign == "probe":
            table.heard(A, 10, 1.0, 1, moment + 0.05)
        else:
            table.alive(A)
        assert losses(ticks(table, moment + 0.06, 11.2)) == []


def test_a_transmitter_heard_again_can_be_lost_again() -> None:
    table = table_of()
    hear(table, range(10))
    assert losses(ticks(table, 9.01, 14.0))
    hear(table, range(14, 60))
    assert len(losses(ticks(table, 59.01, 64.0))) == 2


def test_a_poor_transmitter_is_never_told_lost() -> None:
    table = table_of()
    hear(table, range(0, 60, 2))
    assert ticks(table, 58.01, 80.0) == []


def test_a_transmitter_that_was_hardly_known_is_not_told_lost() -> None:
    table = table_of()
    hear(table, range(3))
    assert ticks(table, 2.01, 20.0) == []


def test_a_late_probe_takes_its_miss_back() -> None:
    table = table_of()
    hear(table, range(10))
    table.tick(10.3)
    table.heard(A, 10, 1.0, 1, 10.31)
    assert count_of(table) == NeighbourCount(A, 11, 11, 1, None)
    assert ticks(table, 10.32, 11.3) == []


def test_a_farewell_forgets_without_a_loss() -> None:
    table = table_of()
    hear(table, range(10))
    table.heard(A, 10, 0.0, 1, 9.5)
    assert len(table) == 0
    assert ticks(table, 9.6, 20.0) == []


def test_who_is_silent_for_long_is_forgotten() -> None:
    table = table_of()
    hear(table, range(10))
    ticks(table, 9.01, 45.0, 0.1)
    assert len(table) == 0
    assert table.next_deadline() is None


def test_a_full_table_drops_who_is_heard_least() -> None:
    table = table_of(limit=2)
    hear(table, range(10))
    hear(table, range(0, 10, 2), transmitter=B)
    table.heard(0x0109, 1, 1.0, 1, 9.0)
    assert {count.transmitter for count in table.take_counts()} == {A, 0x0109}
    assert table.dropped == 1


def test_the_owner_is_told_when_to_look_again() -> None:
    table = table_of()
    hear(table, range(10))
    deadline = table.next_deadline()
    assert deadline is not None
    assert 10.15 <= deadline <= 10.0 + LATEST_GRACE
    assert table.tick(deadline - 0.001) == []
    table.tick(deadline)
    assert table.next_deadline() == deadline + 0.25


def test_a_short_period_still_grants_the_time_of_repeated_transmissions() -> None:
    table = table_of()
    hear(table, range(10), period=0.2)
    assert ticks(table, 1.81, 2.09) == []


def test_a_changed_period_moves_the_deadline() -> None:
    table = table_of()
    hear(table, range(10))
    table.heard(A, 10, 5.0, 1, 10.0)
    assert ticks(table, 10.01, 15.7) == []
    assert len(losses(ticks(table, 15.71, 16.3))) == 1


probes = st.tuples(
    st.integers(1, 5),
    st.integers(0, 0xFFFF),
    st.sampled_from([0.0, 0.1, 1.0, 25.5]),
    st.floats(0.0, 40.0),
    st.booleans(),
)


@given(st.lists(probes, max_size=60))
def test_whatever_is_heard_counts_stay_within_their_bounds(
    heard: list[tuple[int, int, float, float, bool]],
) -> None:
    table, now = table_of(limit=3), 0.0
    for transmitter, sequence, period, passed, take in heard:
        now += passed
        table.tick(now)
        table.heard(transmitter, sequence, period, 1, now)
        assert len(table) <= 3
        for count in table.take_counts() if take else ():
            assert 0 <= count.heard <= count.expected <= 31
        deadline = table.next_deadline()
        assert deadline is None or deadline > now - 1e-6


@given(st.integers(0, 2**32), st.floats(0.0, 0.04))
def test_jitter_and_a_late_arrival_never_make_a_loss(seed: int, delay: float) -> None:
    random = Random(seed)
    schedule, table = ProbeSchedule(1.0, 0.0, random), NeighbourTable(random)
    told: list[Doubt | Loss] = []
    for sequence in range(30):
        arrival = schedule.due + random.uniform(0.0, delay)
        told += table.tick(arrival)
        table.heard(A, sequence, 1.0, 1, arrival)
        schedule.advance(schedule.due)
    assert told == []
    assert all(count.heard == count.expected for count in table.take_counts())


def test_the_schedule_keeps_its_rhythm_and_jitters_little() -> None:
    schedule = ProbeSchedule(2.0, 100.0, Random(4))
    dues = []
    for _ in range(50):
        dues.append(schedule.due)
        schedule.advance(schedule.due + 0.3)
    beats = [due - dues[0] for due in dues]
    assert 100.0 <= dues[0] <= 102.0
    assert all(-1e-9 <= beat - 2.0 * index <= 0.08 + 1e-9 for index, beat in enumerate(beats))


def test_the_schedule_skips_beats_that_a_stalled_process_slept_through() -> None:
    schedule = ProbeSchedule(1.0, 0.0, Random(4))
    first = schedule.due
    schedule.advance(first + 7.5)
    assert first + 8.0 <= schedule.due <= first + 8.05


@given(st.integers(0, 2**32), st.sampled_from([0.5, 1.0, 2.0, 5.0, 20.0]), st.floats(0.0, 1.0))
def test_nobody_misses_a_probe_when_the_period_changes(seed: int, period: float, moment: float) -> None:
    random = Random(seed)
    schedule, table = ProbeSchedule(1.0, 0.0, random), NeighbourTable(random)
    told: list[Doubt | Loss] = []
    for sequence in range(30):
        if sequence == 10:
            schedule.change(period, schedule.due - moment)
        arrival = schedule.due
        told += table.tick(arrival)
        schedule.advance(arrival)
        table.heard(A, sequence, schedule.promised, 1, arrival)
    assert told == []
    assert all(count.heard == count.expected for count in table.take_counts())
    assert schedule.promised == period


def test_nodes_that_change_their_period_together_spread_over_the_new_one() -> None:
    schedules = [ProbeSchedule(0.5, 0.0, Random(seed)) for seed in range(200)]
    for schedule in schedules:
        schedule.change(10.0, 0.2)
        schedule.advance(schedule.due)
    dues = [schedule.due for schedule in schedules]
    assert max(dues) - min(dues) > 4.0
