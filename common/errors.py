"""One tree of errors for the whole system.

    MeshtwinError
    ├── Unavailable     the other side cannot be reached now; try again later
    ├── Rejected        an input was understood to be wrong; trying again will not help
    ├── TimedOut        the other side was reached but did not answer in time
    ├── Corrupt         stored state cannot be trusted; the holder starts clean and says so
    ├── Misconfigured   the operator has to change something; the message names the fix
    └── NotSupported    the node or machine lacks the feature

Callers treat the branches differently; finer reasons are enum members in `reason`. Errors of the
libraries below are translated where they are called, with the original as `__cause__`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class MeshtwinError(Exception):
    """Root of every error that meshtwin raises on purpose. It can be pickled, whatever it is made of: work
    that another process does ends with the same error here."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[MeshtwinError], told: tuple[Any, ...]) -> MeshtwinError:
    """Without the constructor, whose arguments are not those that an exception keeps."""
    return kind.__new__(kind, *told)


class Unavailable(MeshtwinError):
    """The other side cannot be reached now."""


class TimedOut(MeshtwinError):
    """No answer within the agreed time."""


class Corrupt(MeshtwinError):
    """Stored state failed its check."""


class NotSupported(MeshtwinError):
    """The node or the machine lacks this feature."""


class Misconfigured(MeshtwinError):
    """The operator must change something. `fix` is the command or edit that helps."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}\n  fix: {fix}" if fix else problem)
        self.problem = problem
        self.fix = fix


class RejectReason(StrEnum):
    """Why an outside input was refused. The values are counted and shown by `coordinator gateways`."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    INVALID = "invalid"
    FOREIGN_VERSION = "foreign-version"
    FORGED = "forged"
    UNKNOWN_KIND = "unknown-kind"
    OUT_OF_RANGE = "out-of-range"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    REFUSED_BY_NODE = "refused-by-node"
    ALTERED = "altered"
    FOREIGN_SCHEMA = "foreign-schema"
    WRONG_OUTPUT = "wrong-output"
    CYCLE = "cycle"
    MISSING_INPUT = "missing-input"
    IMPOSSIBLE_DEADLINE = "impossible-deadline"


class Rejected(MeshtwinError):
    """An input was refused; `reason` says why in a countable form."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
