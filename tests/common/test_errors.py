"""One tree of errors, whose branches callers treat differently."""

from __future__ import annotations

import pytest

from common import errors
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason

BRANCHES = {"Unavailable", "Rejected", "TimedOut", "Corrupt", "Misconfigured", "NotSupported"}


def test_every_error_is_a_branch_of_the_one_root() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert found == BRANCHES | {"MeshtwinError", "RejectReason"}
    assert all(getattr(errors, name).__bases__ == (MeshtwinError,) for name in BRANCHES)


def test_a_misconfiguration_tells_problem_and_fix() -> None:
    error = Misconfigured("no certificate", "coordinator init")
    assert str(error) == "no certificate\n  fix: coordinator init"
    assert str(Misconfigured("no certificate")) == "no certificate"


@pytest.mark.parametrize("reason", RejectReason)
def test_a_rejection_counts_by_reason_and_says_the_detail(reason: RejectReason) -> None:
    error = Rejected(reason, "3 bytes")
    assert (error.reason, error.detail, str(error)) == (reason, "3 bytes", f"{reason.value}: 3 bytes")
