"""What goes to workers and comes back is the same afterwards."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected, RejectReason, TimedOut, Unavailable
from common.messages import Configuration, NodeRecord
from coordinator.engine import JobTooLong, WorkerDied
from coordinator.twin.score import NotVouched


def there_and_back(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - what was just pickled


@pytest.mark.parametrize(
    "error",
    [
        Rejected(RejectReason.OVERSIZED, "too much"),
        Misconfigured("it is wrong", "mend it"),
        Unavailable("away"),
        TimedOut("late"),
        Corrupt("cut"),
        NotVouched("unproven"),
        WorkerDied("killed"),
        JobTooLong("endless"),
    ],
)
def test_every_error_keeps_what_it_says_and_why(error: MeshtwinError) -> None:
    again = there_and_back(error)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_records_stay_records_that_cannot_be_changed() -> None:
    record = Configuration(version=4, nodes=[NodeRecord(address=2, relay=True, network_transmit=[3, 20])])
    again = there_and_back(record)
    assert (again, again.model_fields_set) == (record, {"version", "nodes"})
    with pytest.raises(AttributeError, match="cannot be changed"):
        again.version = 5
