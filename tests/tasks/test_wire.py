"""What machines tell each other of a task: comes back as it was sent, and anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import pack
from common.errors import Rejected
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest, TaskResult

LIMITS = TaskLimits(memory_bytes=1 << 28, cpu_s=1.0, wall_s=2.0, output_bytes=1 << 20)
REQUEST = TaskRequest(
    job="gw-1-a",
    task="t",
    attempt=3,
    kind="measure",
    parameters={"rounds": 5},
    inputs={"data": "ab" * 32},
    limits=LIMITS,
    deadline_s=-1.5,
)


def test_requests_and_results_come_back_as_they_were_sent() -> None:
    result = TaskResult.failed(REQUEST, "mec", FailureReason.MEMORY, "x" * 9999, cpu_s=1.0)
    assert TaskRequest.unpack(REQUEST.pack()) == REQUEST
    assert TaskResult.unpack(result.pack()) == result
    assert result.failure is not None
    assert result.failure.why is FailureReason.MEMORY
    assert len(result.failure.text) == 500


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"attempt": 0},
        {"attempt": "1"},
        {"job": "../x"},
        {"task": ""},
        {"inputs": {"data": "no digest"}},
        {"inputs": {f"i{n}": "ab" * 32 for n in range(257)}},
        {"deadline_s": float("nan")},
        {"limits": LIMITS.model_dump() | {"memory_bytes": -1}},
        {"limits": LIMITS.model_dump() | {"cpu_s": float("inf")}},
    ],
)
def test_a_request_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        TaskRequest.unpack(pack({**REQUEST.model_dump(), **change}))  # type: ignore[dict-item]


def test_a_reason_of_a_newer_version_is_taken_as_a_bug() -> None:
    told = TaskResult.failed(REQUEST, "mec", FailureReason.LOST).model_dump()
    told["failure"]["reason"] = "melted"
    found = TaskResult.unpack(pack(told))
    assert found.failure is not None
    assert found.failure.why is FailureReason.BUG


@given(st.binary(max_size=200))
def test_bytes_are_a_message_or_refused(data: bytes) -> None:
    for kind in (TaskRequest, TaskResult):
        try:
            kind.unpack(data)
        except Rejected:
            pass
