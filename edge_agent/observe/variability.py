"""How a site's links behave, from their last windows, and what monitoring costs there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.averages import mean
from common.models.link_forecast import LinkWindow
from common.policy.monitoring import ENTRIES, Surroundings, Variability
from edge_agent.observe.links import LinkBook
from edge_agent.observe.site import SiteView

TOLD_LINKS: Final = 300
"""So many links, the newest, tell for all."""

LEAST_LINKS: Final = 12
LEAST_WINDOWS: Final = 4
TELLING: Final = (0.05, 0.98)
"""Shares of probes heard between which a link tells how it varies; beyond, hardly anything can vary."""

LEAST_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Halves:
    """One link's last windows, the older and the newer half, as variances of its PDR."""

    noise: float
    excess: float
    apart_s: float


def variability(links: LinkBook) -> Variability | None:
    """Of a site's links; None while too few of them were told of often enough."""
    histories = [links.history(key) for key in links.updated_since(0)[:TOLD_LINKS]]
    told = [windows for windows in histories if len(windows) >= LEAST_WINDOWS and _is_there(windows)]
    found = [halves for windows in told if (halves := _halves(windows)) is not None]
    if len(found) < LEAST_LINKS:
        return None
    # Means over a time L of what wanders by v a second differ by 2/3 v L.
    drift = 1.5 * mean([h.excess for h in found]) / mean([h.apart_s for h in found])
    return Variability(mean([h.noise for h in found]), max(0.0, drift), len(found) / len(told))


def _is_there(windows: Sequence[LinkWindow]) -> bool:
    heard, expected = sum(w.heard for w in windows), sum(w.expected for w in windows)
    return heard >= LEAST_SHARE * expected


def _halves(windows: Sequence[LinkWindow]) -> _Halves | None:
    half = len(windows) // 2
    if windows[-1].transmissions != windows[0].transmissions:
        return None
    (old, heard_then, then), (new, heard_now, now) = _sums(windows[:half]), _sums(windows[half:])
    share = (heard_then + heard_now) / (then + now)
    if not TELLING[0] <= share <= TELLING[1] or new <= old:
        return None
    n = windows[-1].transmissions
    # From the variance of the share to that of the PDR of one transmission.
    slope = ((1.0 - share) ** (1.0 / n - 1.0) / n) ** 2
    chance = share * (1.0 - share)
    apart = (heard_then / then - heard_now / now) ** 2 - chance * (1.0 / then + 1.0 / now)
    return _Halves(chance * slope, apart * slope, new - old)


def _sums(windows: Sequence[LinkWindow]) -> tuple[float, int, int]:
    """(mean time, heard, expected)."""
    times = [window.t for window in windows]
    heard, expected = sum(w.heard for w in windows), sum(w.expected for w in windows)
    return mean(times), heard, max(1, expected)


def surroundings(site: SiteView) -> Surroundings:
    """What a message of monitoring meets on this site, from what is known of it."""
    links, relays = site.links, site.relays()
    nodes = max(1, len(site.nodes))
    count = copies = 0.0
    for (transmitter, _), link in links.items():
        count += link.share >= LEAST_SHARE
        copies += link.pdr * (transmitter in relays)
    transmits = [record.configuration.relay_retransmit for a, record in site.nodes.items() if a in relays]
    known = [transmit for transmit in transmits if transmit is not None]
    repeats = mean([transmit.count for transmit in known]) if known else 1.0
    slowest_ms = max((transmit.count * transmit.interval_ms for transmit in known), default=0)
    return Surroundings(
        nodes,
        count / nodes,
        ENTRIES,
        1.0 + repeats * copies / nodes,
        1000.0 / slowest_ms if slowest_ms else float("inf"),
    )
