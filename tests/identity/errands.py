"""Errands that go wrong in every way an errand can: `python -m tests.identity.errands`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from common.errors import Corrupt, Misconfigured, Rejected, RejectReason, TimedOut, Unavailable
from edge_agent import errand

_ERRORS = {
    "unavailable": Unavailable("nobody there"),
    "timed-out": TimedOut("too slow"),
    "corrupt": Corrupt("cut short"),
    "rejected": Rejected(RejectReason.ALTERED, "another digest"),
    "misconfigured": Misconfigured("no such file", "make it"),
}


def misbehave(request: dict[str, Any]) -> dict[str, Any]:
    """Do what `how` says."""
    how = request["how"]
    if how in _ERRORS:
        raise _ERRORS[how]
    if how == "hang":
        time.sleep(60)
    if how == "die":
        os.kill(os.getpid(), 9)
    if how == "flood":
        sys.stdout.write("x" * (2 * errand.MAX_BYTES))
    if how == "chatter":
        sys.stdout.write("not what was asked for\n")
    if how == "list":
        sys.stdout.write("[1]\n")
    if how == "silence":
        sys.exit(0)
    return {"pid": os.getpid(), "heard": request}


if __name__ == "__main__":
    sys.exit(errand.serve(misbehave))
