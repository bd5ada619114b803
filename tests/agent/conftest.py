"""What the agent's tests share: a clock that stands still and small measurements."""

from __future__ import annotations

from array import array

import pytest

from common.clock import ManualClock
from common.codec import Table
from common.messages import Kind, encode_measurement


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def host_body(rows: int = 1, t: float = 1_700_000_000.0) -> bytes:
    """A HOST measurement of `rows` rows."""
    table: Table = {
        "t": array("d", [t + row for row in range(rows)]),
        "cpu_percent": array("f", [float(row % 100) for row in range(rows)]),
    }
    return encode_measurement(Kind.HOST, table)
