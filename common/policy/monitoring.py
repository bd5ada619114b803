"""How often to probe and to report: on the knee between what the twin would not know and what asking costs.

Every probe tells of links, and every message of monitoring disturbs the others. Slow monitoring leaves the
twin with an old picture, fast monitoring with losses of its own making; both are shares of delivery and may
be added. The knee is where their sum is least (docs/decisions/0024). Pure: nothing is measured or sent here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Final

STEP_S: Final = 0.1
LONGEST_S: Final = 25.5
LONGEST_REPORT: Final = 30
"""Probes that one report may cover: its counts have five bits."""

ENTRIES: Final = 2
"""Neighbours in one unsegmented report."""

AIR_S: Final = 0.000352
"""Time on one channel of a probe or an unsegmented report (44 bytes)."""

DISTURBS: Final = 2.5
"""A packet is lost when another one begins within its own air time before or after it, and now and then to
one that comes from too far away to be understood."""

RELAY_SHARE: Final = 0.6
"""Of what the slowest relay can pass on, monitoring gets so much: the rest is for what lamps say."""

REPORTS_DISTURB: Final = 0.05
"""Reports whose pace is fixed may take this share of everybody's transmissions, as far as they can be rarer:
each is repeated by every relay, and sixty nodes that tell all they hear in ten seconds take a tenth."""

FIRST_REPORTS_DISTURB: Final = 0.12
"""While a site is being learnt, so much: nothing can be mended on it before its links are known."""

MEMORY_S: Final = 2_800.0
"""However steady a link is, the twin forgets: its longest memory weighs like so many seconds of probes."""

WAITS: Final = 0.9
"""What a report tells is so much of its window old when it arrives: half, and the spread of sending."""

SPREAD: Final = 0.1
"""Variance of PDRs among the links of a site: no error is greater than that of knowing nothing."""

YOUNG: Final = 0.25
"""Of the time that a site was watched, a report may cover so much."""

MEAN_OF_SPREAD: Final = 0.8
"""Mean absolute value of a normal, in standard deviations."""

WORTH_A_CHANGE: Final = 1.1
"""A pace is kept until another one is better by this factor, or this one costs too much."""

_GROWTH: Final = 1.2


@dataclass(frozen=True, slots=True)
class Pace:
    """A probe every `period_s`, a report of every `report_every` probes."""

    period_s: float
    report_every: int

    @property
    def window_s(self) -> float:
        """Seconds that one report covers."""
        return self.period_s * self.report_every


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a message of monitoring meets. `neighbours` is how many a node hears in the mean, `entries` how
    many of them one report tells, `copies` how often a node hears a report that is flooded, and `relay_rate`
    how many messages a second the slowest relay passes on."""

    nodes: int
    neighbours: float
    entries: int = ENTRIES
    copies: float = 1.0
    relay_rate: float = inf


@dataclass(frozen=True, slots=True)
class Variability:
    """How links behave. `share` of them vary at all; the others are always heard, or hardly ever. Of those
    that do, `noise` is the variance of a PDR that one single probe told of, and `drift_per_s` the variance
    that a PDR gathers in a second. They are watched for `watched_s`: a site that was just met has no past."""

    noise: float = 0.1
    drift_per_s: float = 1e-4
    share: float = 0.5
    watched_s: float = inf


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator allows. The period lies between `shortest_s` and `longest_s`, and above only where
    the budget (messages a second, whole site) forces it. Where both are equal, nothing but the budget counts.
    """

    shortest_s: float
    longest_s: float
    report_every: int
    transmissions: int
    budget_per_s: float
    disturb: float = REPORTS_DISTURB
    """The share of transmissions that reports of a fixed pace may take."""

    @property
    def fixed(self) -> bool:
        """Whether the period is not ours to choose."""
        return self.longest_s <= self.shortest_s


def reports_per_s(pace: Pace, site: Surroundings) -> float:
    """Reports that the site's nodes send in a second."""
    return site.nodes * _reports(site) / pace.window_s


def messages_per_s(pace: Pace, site: Surroundings) -> float:
    """Probes and reports that the site's nodes send in a second."""
    return site.nodes / pace.period_s + reports_per_s(pace, site)


def channel_share(pace: Pace, site: Surroundings, transmissions: int) -> float:
    """Share of a channel's time in which a node hears monitoring, 0 and up."""
    probes = site.neighbours * transmissions / pace.period_s
    return (probes + site.copies * reports_per_s(pace, site)) * AIR_S


def twin_error(pace: Pace, links: Variability) -> float:
    """Mean absolute error of a link's PDR that the best memory leaves.

    Averaging over less time is noisy, over more time stale; the best balance leaves sqrt(noise x drift x
    period). What drifts while a report waits comes on top, no memory is endless, and no link is further off
    than it can be.
    """
    tracked = sqrt(links.noise * links.drift_per_s * pace.period_s)
    waiting = links.drift_per_s * WAITS * pace.window_s
    remembered_s = min(MEMORY_S, links.watched_s - WAITS * pace.window_s)
    forgotten = links.noise * pace.period_s / max(pace.period_s, remembered_s)
    variance = tracked + waiting + forgotten
    return links.share * MEAN_OF_SPREAD * sqrt(variance / (1.0 + variance / SPREAD))


def cost(pace: Pace, site: Surroundings, links: Variability, transmissions: int) -> float:
    """What a pace costs: the twin's error, and the delivery that each transmission loses to monitoring."""
    return twin_error(pace, links) + DISTURBS * channel_share(pace, site, transmissions)


def best(site: Surroundings, links: Variability, wish: Wish) -> Pace:
    """The pace on the knee, among those that the budget and the relays allow."""
    possible = [pace for pace in _paces(wish) if _affordable(pace, site, wish)]
    if not possible:
        return _stretched(site, wish)
    if wish.fixed:
        quiet = [pace for pace in possible if _quiet(pace, site, wish)]
        return min(quiet, key=lambda pace: pace.report_every) if quiet else possible[-1]
    # Who has no past yet must hear soon.
    shortest_s = min(pace.window_s for pace in possible)
    patience_s = max(shortest_s, YOUNG * links.watched_s)
    soon = [pace for pace in possible if pace.window_s <= patience_s]
    return min(soon, key=lambda pace: cost(pace, site, links, wish.transmissions))


def settled(now: Pace | None, site: Surroundings, links: Variability, wish: Wish) -> Pace:
    """The pace to have from now on: the present one, unless another is clearly better."""
    wanted = best(site, links, wish)
    if now is None or not _within(now, wish):
        return wanted
    if not _affordable(now, site, wish) or (wish.fixed and not _quiet(now, site, wish)):
        return wanted
    if wish.fixed:
        # Fewer neighbours than a moment ago may be more again in the next.
        return wanted if WORTH_A_CHANGE * wanted.window_s < now.window_s else now
    gain = cost(now, site, links, wish.transmissions) / cost(wanted, site, links, wish.transmissions)
    return wanted if gain > WORTH_A_CHANGE else now


def _reports(site: Surroundings) -> int:
    return ceil(max(1.0, site.neighbours) / site.entries)


def _within(pace: Pace, wish: Wish) -> bool:
    return wish.shortest_s <= pace.period_s and wish.report_every <= pace.report_every


def _affordable(pace: Pace, site: Surroundings, wish: Wish) -> bool:
    within = messages_per_s(pace, site) <= wish.budget_per_s * (1.0 + 1e-9)
    return within and reports_per_s(pace, site) <= RELAY_SHARE * site.relay_rate


def _quiet(pace: Pace, site: Surroundings, wish: Wish) -> bool:
    disturbed = DISTURBS * site.copies * reports_per_s(pace, site) * AIR_S
    return disturbed <= wish.disturb * (1.0 + 1e-9)


def _paces(wish: Wish) -> Iterator[Pace]:
    period = _step(wish.shortest_s)
    longest = max(period, min(LONGEST_S, wish.longest_s))
    while True:
        for report_every in range(min(wish.report_every, LONGEST_REPORT), LONGEST_REPORT + 1):
            yield Pace(period, report_every)
        if period >= longest:
            return
        period = min(longest, _step(max(period * _GROWTH, period + STEP_S)))


def _stretched(site: Surroundings, wish: Wish) -> Pace:
    """The fastest that the budget allows, with as few reports as there can be. Faults are seen by probes,
    which relays do not repeat: a fixed period is not stretched for the relays' sake."""
    reports = site.nodes * _reports(site) / LONGEST_REPORT
    needed_s = (site.nodes + reports) / wish.budget_per_s
    if not wish.fixed:
        needed_s = max(needed_s, reports / (RELAY_SHARE * site.relay_rate))
    return Pace(min(LONGEST_S, _step(max(wish.shortest_s, needed_s))), LONGEST_REPORT)


def _step(seconds: float) -> float:
    """Up to the next tenth of a second, which is what the message can say."""
    return round(ceil(round(seconds / STEP_S, 6)) * STEP_S, 1)
