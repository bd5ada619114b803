"""Reports on links, as the agent's link book takes them."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.observe.links import LinkBook
from firmware_bridge.link import NeighbourCount, NeighbourReport

EXPECTED = 10


def report(receiver: int, heard: Mapping[int, int], t: float) -> NeighbourReport:
    """A table of `receiver`: how many of EXPECTED probes it heard of each transmitter."""
    rows = tuple(NeighbourCount(sender, count, EXPECTED, 1) for sender, count in heard.items())
    return NeighbourReport(t, receiver, rows)


def count(book: LinkBook, receiver: int, heard: Mapping[int, int], t: float) -> None:
    book.report(report(receiver, heard, t), 0.5)
