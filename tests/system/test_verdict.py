"""The judge of deliveries notices every way in which one can go wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.messages import Dropped, Event, Kind, encode
from tools.stage.delivery import SWITCHED, Order, judge, judge_orders
from tools.stage.evidence import Row

EPOCH, OTHER = 7, 8
CUT = {EPOCH: 5}


def row(sequence: int, epoch: int = EPOCH) -> Row:
    return Row(epoch, sequence, 100.0 + sequence, "event", b"body %d" % sequence)


SENT = [row(n) for n in range(1, 6)]


def test_what_was_sent_and_stored_once_is_neither_lost_nor_doubled() -> None:
    verdict = judge(SENT, SENT, CUT, ())
    assert (verdict.sent, verdict.lost, verdict.stored_twice) == (5, frozenset(), ())
    assert (verdict.unexplained, verdict.tombstones, verdict.waiting) == ((), 0, 0)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_envelope_is_lost_though_it_may_still_be_held(number: int) -> None:
    stored = [r for r in SENT if r.sequence != number]
    assert judge(SENT, stored, CUT, {(EPOCH, number)}).lost == {(EPOCH, number)}


@pytest.mark.parametrize("change", [{"body": b"else"}, {"kind": "result"}, {"time": 1.0}, {"epoch": OTHER}])
def test_an_envelope_that_is_stored_with_other_contents_is_lost(change: dict[str, object]) -> None:
    stored = [*SENT[:4], replace(SENT[4], **change)]  # type: ignore[arg-type]  # one field each
    assert judge(SENT, stored, CUT, ()).lost == {(EPOCH, 5)}


def test_a_number_that_was_given_out_twice_loses_what_it_first_stood_for() -> None:
    verdict = judge([*SENT, replace(SENT[2], body=b"later")], SENT, CUT, ())
    assert verdict.lost == {(EPOCH, 3)}


def test_a_hole_that_nobody_ever_filled_is_a_loss() -> None:
    without = [r for r in SENT if r.sequence != 2]
    assert judge(without, without, CUT, ()).lost == {(EPOCH, 2)}


@pytest.mark.parametrize("place", [{}, {"sequence": 6}, {"epoch": OTHER}])
def test_an_envelope_that_is_stored_again_anywhere_is_stored_twice(place: dict[str, int]) -> None:
    again = replace(SENT[1], **place)  # type: ignore[arg-type]  # numbers only
    verdict = judge(SENT, [*SENT, again], CUT, ())
    assert verdict.stored_twice == (again.key,)
    assert not verdict.lost


def test_what_was_sent_after_the_cut_may_wait_in_the_outbox_but_nowhere_else() -> None:
    late = [row(6), row(7)]
    verdict = judge([*SENT, *late], SENT, CUT, {(EPOCH, 7)})
    assert verdict.waiting == 1
    assert verdict.lost == {(EPOCH, 6)}


def test_what_was_sent_in_an_epoch_that_was_given_up_is_lost_unless_stored() -> None:
    old = [row(1, OTHER), row(2, OTHER)]
    assert judge([*old, *SENT], [old[0], *SENT], CUT, ()).lost == {(OTHER, 2)}


def test_a_tombstone_is_counted_and_does_not_stand_for_what_it_covers() -> None:
    grave = Row(EPOCH, 4, 104.0, Kind.DROPPED, encode(Dropped(kind="event", rows=1)))
    verdict = judge(SENT, [*SENT[:3], grave, SENT[4]], CUT, ())
    assert verdict.tombstones == 1
    assert verdict.lost == {(EPOCH, 4)}


def test_a_row_that_nobody_sent_is_unexplained() -> None:
    assert judge(SENT, [*SENT, row(6)], CUT, ()).unexplained == ((EPOCH, 6),)


def test_measurements_are_compared_without_their_envelopes_time() -> None:
    sent = Row(EPOCH, 1, 100.0, Kind.HOST, b"table")
    assert not judge([sent], [replace(sent, time=99.5)], {EPOCH: 1}, ()).lost


ORDERS = [Order(2 + n, begun=10.0 * n, ended=10.0 * n + 5, answered=True) for n in range(3)]


def told(order: Order, sequence: int, after: float = 2.0) -> Row:
    event = Event(name=SWITCHED, fields={"node": f"0x{order.node:04x}", "relay": True})
    return Row(EPOCH, sequence, order.begun + after, Kind.EVENT, encode(event))


EVENTS = [told(order, number) for number, order in enumerate(ORDERS, start=1)]


def test_every_answered_order_has_its_event() -> None:
    other = Row(EPOCH, 9, 12.0, Kind.EVENT, encode(Event(name="node-dead", fields={"node": "0x0002"})))
    assert judge_orders(ORDERS, [*EVENTS, other]) == ([], 0)


def test_an_answered_order_without_its_event_is_missing() -> None:
    assert judge_orders(ORDERS, EVENTS[1:]) == ([ORDERS[0]], 0)


def test_an_order_without_an_answer_may_have_come_through_or_not() -> None:
    orders = [replace(ORDERS[0], answered=False), *ORDERS[1:]]
    assert judge_orders(orders, EVENTS) == ([], 0)
    assert judge_orders(orders, EVENTS[1:]) == ([], 0)


@pytest.mark.parametrize("after", [2.5, 7.0])
def test_an_event_that_was_told_again_is_one_too_many(after: float) -> None:
    assert judge_orders(ORDERS, [*EVENTS, told(ORDERS[1], 9, after)]) == ([], 1)


def test_an_event_about_another_node_is_not_the_orders() -> None:
    other = told(replace(ORDERS[0], node=99), 1)
    assert judge_orders(ORDERS, [other, *EVENTS[1:]]) == ([ORDERS[0]], 1)
