"""How often to probe: as often as wanted, as long as the site's budget of messages allows it."""

from __future__ import annotations

from math import ceil

REPORTED_AT_ONCE = 2
"""Neighbours in one unsegmented report."""

STEP_S = 0.1
LONGEST_S = 25.5


def probe_period(
    nodes: int, neighbours: float, wanted_s: float, report_every: int, budget_per_s: float
) -> float:
    """The probe period in seconds, in steps of 0.1 s up to 25.5 s, at least `wanted_s`.

    `neighbours` is the mean number of nodes that one hears. In a period every node sends a probe, and in
    `report_every` periods the reports of its neighbours; `budget_per_s` bounds their sum over the site.
    """
    reports = ceil(max(1.0, neighbours) / REPORTED_AT_ONCE) / report_every
    needed_s = nodes * (1.0 + reports) / budget_per_s
    return min(LONGEST_S, ceil(round(max(wanted_s, needed_s) / STEP_S, 6)) * STEP_S)
