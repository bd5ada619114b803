"""Where the addresses of a map's nodes are written, so that none covers a node or another address. Pure.

What matters most chooses first. An address that finds no place beside its node stands farther off, with a
line that leads there; one that finds none at all is left out, and counted by whoever draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import cos, hypot, pi, sin
from typing import Final

from common.mesh.addresses import show
from coordinator.twin.site_model import Position

NAMED_ALL: Final = 60
"""Up to so many nodes all are named, beyond only those that matter."""

HEIGHT: Final = 10.0
WIDTH: Final = 36.0
"""Of an address as text, in pixels; the drawing makes every font keep to it."""

GAP: Final = 2.0
LEADS: Final = (12.0, 20.0, 30.0, 42.0, 56.0, 72.0, 90.0, 110.0)
"""How far from its node an address may stand that has no place beside it."""

ANGLES: Final = tuple(i * pi / 8.0 for i in (0, 8, 12, 4, 14, 10, 2, 6, 13, 11, 3, 5, 15, 9, 1, 7))
"""Beside, above, below, and then askew."""

CELL: Final = 2.0
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Label:
    """An address with its middle, and where its leader ends at it; None where it stands beside its node."""

    address: int
    x: float
    y: float
    lead: Position | None = None

    @property
    def text(self) -> str:
        """As people write it."""
        return show(self.address)


def labels(
    places: Mapping[int, Position], radii: Mapping[int, float], wanted: Iterable[int], size: Position
) -> list[Label]:
    """A label for each of `wanted`, the most important first, that finds room within `size` (width, height).
    `radii` are those of the nodes that are drawn at `places`, all in pixels."""
    filled = {cell for address in places for cell in _disc(places[address], radii[address])}
    found = []
    for address in wanted:
        own = set(_disc(places[address], radii[address]))
        for label in _candidates(address, places[address], radii[address]):
            line = (cell for cell in _line(places[address], label.lead) if cell not in own)
            if _within(label, size) and filled.isdisjoint(_box(label)) and filled.isdisjoint(line):
                filled.update(_box(label), _line(places[address], label.lead))
                found.append(label)
                break
    return found


def _candidates(address: int, place: Position, radius: float) -> Iterator[Label]:
    x, y = place
    for far in (0.0, *LEADS):
        for angle in ANGLES:
            right, down = cos(angle), sin(angle)
            beside = radius + GAP + far
            # The box touches a circle around the node: its middle lies half the box farther.
            middle = (
                x + right * (beside + WIDTH / 2.0),
                y + down * (beside + HEIGHT / 2.0),
            )
            lead = (x + right * beside, y + down * beside) if far else None
            yield Label(address, *middle, lead)


def _within(label: Label, size: Position) -> bool:
    across, down = WIDTH / 2.0 + 2.0, HEIGHT / 2.0 + 2.0
    return across <= label.x <= size[0] - across and down <= label.y <= size[1] - down


def _box(label: Label) -> Iterator[Cell]:
    return _cells((label.x, label.y), WIDTH / 2.0 + 1.0, HEIGHT / 2.0)


def _disc(middle: Position, radius: float) -> Iterator[Cell]:
    """A node's cells. Its box will do: nodes are small."""
    return _cells(middle, radius, radius)


def _cells(middle: Position, across: float, down: float) -> Iterator[Cell]:
    """The cells of a box, given by its middle and half its sides. One by one: most places are taken, which
    the first cells tell."""
    x, y = middle
    columns = range(int((x - across) // CELL), int((x + across) // CELL) + 1)
    rows = range(int((y - down) // CELL), int((y + down) // CELL) + 1)
    return product(columns, rows)


def _line(start: Position, end: Position | None) -> Iterator[Cell]:
    """From its end on: what lies in its way is more likely there."""
    if end is None:
        return
    (x, y), (wide, high) = start, (end[0] - start[0], end[1] - start[1])
    steps = max(1, round(1.5 * hypot(wide, high) / CELL))
    for i in range(steps, -1, -1):
        yield int((x + wide * i / steps) // CELL), int((y + high * i / steps) // CELL)
