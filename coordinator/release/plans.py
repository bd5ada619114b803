"""Plans in words: which bundles, who changes from what to what, and the way back past what was found bad.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.models import link_forecast
from coordinator.identity.fleet import Fleet
from coordinator.release import gate
from coordinator.release.registry import Plan, Registry

NAME: Final = link_forecast.NAME
UNKNOWN: Final = "unknown"

Move = tuple[str, str, str | None, str | None]
"""Site, gateway, and its bundle before and after, each like "link-forecast 3 int8"; None: naive."""


def bundle_name(registry: Registry, digest: str | None) -> str | None:
    """Like "link-forecast 3 int8"; None for none."""
    if digest is None:
        return None
    found = registry.holding(digest)
    return f"{found[0]} {found[1].precision}" if found else f"{digest[:12]} (no longer known)"


def way_back(registry: Registry, earlier: Sequence[Plan], force: bool) -> tuple[int, list[str]]:
    """How many of the plans before, the newest being the last, a rollback passes over, and why; with `force`
    none, and what is against that."""
    reasons: list[str] = []
    for skipped, plan in enumerate(reversed(earlier)):
        against = _against(registry, plan)
        if force or not against:
            return skipped, [*reasons, *against]
        reasons += [reason for reason in against if reason not in reasons]
    return len(earlier), reasons


def _against(registry: Registry, plan: Plan) -> list[str]:
    """What was found against the bundles of a plan where it has them run."""
    found = []
    for digest in sorted(plan.digests):
        sites = () if digest == plan.everywhere else tuple(s for s, d in plan.sites.items() if d == digest)
        held = registry.holding(digest)
        reasons = ["it is no longer known"] if held is None else gate.contrary(held[1], sites)
        found += [f"{bundle_name(registry, digest)}: {reason}" for reason in reasons]
    return found


def moved(before: Registry, after: Registry, fleet: Fleet) -> tuple[Move, ...]:
    """Every gateway whose bundle is another one now, as far as it is known what it was."""
    old, new = before.course(NAME).plan, after.course(NAME).plan
    if before.rebuilt:
        return tuple(
            (site, gateway, UNKNOWN, bundle_name(after, new.digest_for(site, gateway)))
            for gateway, site in fleet.active().items()
        )
    pairs = [
        (site, gateway, old.digest_for(site, gateway), new.digest_for(site, gateway))
        for gateway, site in fleet.active().items()
    ]
    return tuple(
        (site, gateway, bundle_name(after, was), bundle_name(after, is_))
        for site, gateway, was, is_ in pairs
        if was != is_
    )


def planned(registry: Registry, plan: Plan) -> str:
    """A plan in words."""
    further = [f"{bundle_name(registry, d) or 'none'} at site {s}" for s, d in plan.sites.items()]
    further += [f"{bundle_name(registry, d) or 'none'} at {g}" for g, d in plan.gateways.items()]
    return ", ".join([bundle_name(registry, plan.everywhere) or "none", *further])
