"""The gravest that gateways said of a bundle, by site: kept, because a gateway's status forgets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from common.errors import RejectReason
from coordinator.section import Section

if TYPE_CHECKING:
    from coordinator.release.standing import Live

MORE: Final = 2.0
"""A comparison replaces a shorter one when it is so many times as long: written seldom, right in the end."""

# What came was not what was released: that says something of the way, nothing of the model.
_ON_THE_WAY: Final = (RejectReason.ALTERED, RejectReason.TRUNCATED, RejectReason.OVERSIZED)


class Verdict(Section):
    """That a gateway refused a bundle, or measured it worse than the naive forecast; `at` in Unix seconds of
    the coordinator. Errors are mean absolute errors over the same `windows`."""

    gateway: Annotated[str, Field(max_length=64)]
    at: float
    state: Literal["refused", "worse-than-naive"]
    reason: Annotated[str, Field(max_length=200)] = ""
    error: float | None = None
    naive_error: float | None = None
    windows: int = Field(0, ge=0)


def is_of_the_way(reason: str) -> bool:
    """Whether a refusal is about a file that was damaged before it came."""
    return reason.startswith(tuple(f"{one.value}:" for one in _ON_THE_WAY))


def judged(verdicts: Mapping[str, Verdict], said: Live, at: float) -> dict[str, Verdict]:
    """The verdicts by site after a gateway said this.

    Being worse weighs more than a refusal, which may have had to do with the gateway, and the longer
    comparison more than the shorter. Only the gateway of a verdict takes it back: a refusal by loading the
    bundle, a measurement by one that is at least as long.
    """
    before = verdicts.get(said.site)
    if before is not None and _takes_back(before, said):
        return {site: verdict for site, verdict in verdicts.items() if site != said.site}
    found = _verdict(said, at)
    if found is None or (before is not None and not _is_graver(found, before)):
        return dict(verdicts)
    return {**verdicts, said.site: found}


def _verdict(said: Live, at: float) -> Verdict | None:
    if said.state == "refused" and not is_of_the_way(said.reason):
        return Verdict(gateway=said.gateway, at=at, state="refused", reason=said.reason[:200])
    if said.state == "worse-than-naive":
        return Verdict(
            gateway=said.gateway,
            at=at,
            state="worse-than-naive",
            reason=said.reason[:200],
            error=_finite(said.error),
            naive_error=_finite(said.naive_error),
            windows=said.windows,
        )
    return None


def _is_graver(found: Verdict, before: Verdict) -> bool:
    if found.state != before.state:
        return found.state == "worse-than-naive"
    if found.state == "worse-than-naive":
        return found.windows > MORE * before.windows
    return found.gateway == before.gateway and found.reason != before.reason


def _takes_back(before: Verdict, said: Live) -> bool:
    if said.gateway != before.gateway:
        return False
    if before.state == "refused":
        return said.state in ("trial", "in-use")
    return said.state == "in-use" and said.windows >= before.windows


def _finite(error: float | None) -> float | None:
    return error if error is not None and isfinite(error) else None
