"""Telling the log about refused messages without letting a flood of them fill it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from common.logs import Logger
from coordinator.repository.batch import Refusal

PERIOD_S: Final = 60.0


@dataclass(slots=True)
class _Quiet:
    """What a gateway's next line will tell, and from when on it may."""

    until: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    detail: str = ""


class RejectLog:
    """At most one line a minute and gateway: the first refusal at once, then the sums."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._gateways: dict[str, _Quiet] = {}

    def note(self, refusals: Iterable[Refusal], now: float) -> None:
        """Count refusals at monotonic time `now`, and write the lines that are due."""
        for refusal in refusals:
            quiet = self._gateways.setdefault(refusal.gateway, _Quiet())
            quiet.counts[refusal.reason.value] += 1
            quiet.detail = refusal.detail
        for gateway, quiet in self._gateways.items():
            if quiet.counts and now >= quiet.until:
                self._write(gateway, quiet, now)

    def _write(self, gateway: str, quiet: _Quiet, now: float) -> None:
        reasons = ",".join(f"{reason}:{count}" for reason, count in sorted(quiet.counts.items()))
        self._log.warning(
            "messages-refused", gateway=gateway or "(unknown)", reasons=reasons, last=quiet.detail[:160]
        )
        quiet.counts.clear()
        quiet.until = now + PERIOD_S
