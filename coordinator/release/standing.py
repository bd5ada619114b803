"""How gateways fare with models, as their statuses tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from coordinator.identity.fleet import Fleet
from coordinator.repository.gateways import GatewayRecord


@dataclass(frozen=True, slots=True)
class Live:
    """What one gateway says of one bundle: mean absolute errors of model and naive forecast over the same
    `windows`, and why it refused it."""

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


def standings(records: Mapping[str, GatewayRecord], fleet: Fleet) -> list[Live]:
    """What every gateway in good standing said last, by site and gateway."""
    return [
        Live(site, gateway, m.name, m.version, m.digest, m.state, m.reason, m.error, m.naive_error, m.windows)
        for gateway, site in sorted(fleet.active().items(), key=lambda pair: (pair[1], pair[0]))
        if (record := records.get(gateway)) is not None and record.status is not None
        for m in record.status.models
    ]


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
