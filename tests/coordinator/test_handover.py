"""The bounded queue between the threads."""

from __future__ import annotations

import io
import logging
import threading

import pytest

from common.errors import RejectReason
from common.logs import LineFormatter, get_logger
from coordinator.ingest.handover import HandOver, Heard
from coordinator.ingest.reject_log import RejectLog
from coordinator.repository.batch import Refusal


def heard(n: int, size: int = 1) -> Heard:
    return Heard(str(n), b"x" * size, False)


def test_gives_in_order_and_at_most_as_many_as_asked() -> None:
    queue = HandOver()
    for n in range(5):
        assert queue.put(heard(n))
    assert [h.topic for h in queue.take(3, 0, 0)] == ["0", "1", "2"]
    assert [h.topic for h in queue.take(3, 0, 0)] == ["3", "4"]
    assert queue.take(3, 0, 0) == []


@pytest.mark.parametrize("queue", [HandOver(messages=2, patience_s=0), HandOver(size=20, patience_s=0)])
def test_when_full_it_drops_and_counts(queue: HandOver) -> None:
    results = [queue.put(heard(n, size=10)) for n in range(4)]
    assert results == [True, True, False, False]
    assert queue.dropped == 2
    queue.take(1, 0, 0)
    assert queue.put(heard(9))


def test_a_full_queue_holds_the_putter_back_until_there_is_room() -> None:
    queue = HandOver(messages=1, patience_s=60)
    queue.put(heard(1))
    putter = threading.Thread(target=queue.put, args=(heard(2),))
    putter.start()
    assert [h.topic for h in queue.take(1, 0, 0)] == ["1"]
    putter.join(30)
    assert [h.topic for h in queue.take(1, 0, 30)] == ["2"]
    assert queue.dropped == 0


def test_a_full_batch_does_not_linger() -> None:
    queue = HandOver()
    taken: list[Heard] = []
    taker = threading.Thread(target=lambda: taken.extend(queue.take(3, 3600, 3600)))
    taker.start()
    for n in range(3):
        queue.put(heard(n))
    taker.join(30)
    assert len(taken) == 3


def test_closing_wakes_both_sides() -> None:
    queue = HandOver(messages=1, patience_s=3600)
    queue.put(heard(1))
    putter = threading.Thread(target=queue.put, args=(heard(2),))
    putter.start()
    queue.close()
    putter.join(30)
    assert not putter.is_alive()
    assert [h.topic for h in queue.take(9, 3600, 3600)] == ["1"]
    assert queue.take(9, 3600, 3600) == []
    assert not queue.put(heard(3))


def test_refusals_are_logged_at_once_and_then_by_the_minute() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("reject-log-test")
    logger.addHandler(handler)
    told = RejectLog(get_logger("reject-log-test"))
    for second in range(90):
        told.note([Refusal("gw-1", RejectReason.FORGED, "x"), Refusal("", RejectReason.INVALID, "y")], second)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "gateway=gw-1 reasons=forged:1 " in lines[0]
    assert "gateway=(unknown) reasons=invalid:60 " in lines[3]
