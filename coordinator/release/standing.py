"""How gateways fare with models, as their statuses tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.messages import MAX_COUNT
from coordinator.identity.fleet import Fleet
from coordinator.repository.gateways import GatewayRecord


@dataclass(frozen=True, slots=True)
class Live:
    """What one gateway says of one bundle: mean absolute errors of model and naive forecast over the same
    `windows`, why it refused it, and when (Unix seconds) it tries it again."""

    site: str
    gateway: str
    name: str
    version: int
    digest: str
    state: str
    reason: str
    error: float | None
    naive_error: float | None
    windows: int
    again_at: float | None = None


_SAID_BY: Final = {"model-refused": "refused", "model-worse-than-naive": "worse-than-naive"}
"""States by the events that tell of them."""

EVENTS: Final = frozenset(_SAID_BY)


def standings(records: Mapping[str, GatewayRecord], fleet: Fleet) -> list[Live]:
    """What every gateway in good standing said last, by site and gateway."""
    return [
        Live(
            site=site,
            gateway=gateway,
            name=m.name,
            version=m.version,
            digest=m.digest,
            state=m.state,
            reason=m.reason,
            error=m.error,
            naive_error=m.naive_error,
            windows=m.windows,
            again_at=None if m.retry_s is None else record.last_seen + m.retry_s,
        )
        for gateway, site in sorted(fleet.active().items(), key=lambda pair: (pair[1], pair[0]))
        if (record := records.get(gateway)) is not None and record.status is not None
        for m in record.status.models
    ]


def told_by(site: str, gateway: str, event: str, fields: Mapping[str, Any]) -> Live | None:
    """What an event of `EVENTS` says of a bundle; None where it names none, or is no such event."""
    digest, windows = fields.get("digest"), fields.get("windows", 0)
    if event not in _SAID_BY or not isinstance(digest, str) or not _is_count(windows):
        return None
    return Live(
        site=site,
        gateway=gateway,
        name=str(fields.get("model", "")),
        version=0,
        digest=digest,
        state=_SAID_BY[event],
        reason=str(fields.get("reason", ""))[:200],
        error=_number(fields.get("error")),
        naive_error=_number(fields.get("naive_error")),
        windows=windows,
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, float) else None


def of_bundle(found: Iterable[Live], digest: str) -> list[Live]:
    """What is said of one bundle."""
    return [live for live in found if live.digest == digest]


def mean_errors(found: Sequence[Live]) -> tuple[float, float, int] | None:
    """Error, naive error and windows over several gateways, each weighing what it compared; None: nothing."""
    told = [(live.error, live.naive_error, live.windows) for live in found if live.windows]
    scored = [(e, n, w) for e, n, w in told if e is not None and n is not None]
    windows = sum(w for _, _, w in scored)
    if not windows:
        return None
    error = sum(e * w for e, _, w in scored) / windows
    return error, sum(n * w for _, n, w in scored) / windows, windows
