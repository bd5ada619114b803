"""What a recipe is asked of, and what it answers: plain values for tables, pictures and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from coordinator.recipes.recipe import Value
from coordinator.twin.site_model import SiteConfiguration, SiteFlow, SiteModel

Cell: TypeAlias = "str | int | float | None"
Progress: TypeAlias = Callable[[float, str], None]
"""(share done, what is being done)."""


def no_progress(share: float, what: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Case:
    """One site that a recipe is asked of. `seed` makes answers repeatable; `tell` hears of progress."""

    site: str
    model: SiteModel
    given: Mapping[str, Value]
    dead: frozenset[int] = frozenset()
    seed: int = 1
    tell: Progress = no_progress

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        value = self.given[name]
        assert isinstance(value, (int, float))
        return float(value)

    def whole(self, name: str) -> int:
        """A parameter that is a whole number."""
        return int(self.number(name))

    def nodes(self, name: str) -> tuple[int, ...]:
        """A parameter that lists addresses; those that the site does not have are left out."""
        value = self.given[name]
        assert isinstance(value, tuple)
        return tuple(address for address in value if address in self.model.addresses)


@dataclass(frozen=True)
class Answer:
    """What came of a recipe.

    `summary` says it in a sentence or two; `columns` and `rows` in detail, the gravest first. `figures` are
    for programs; `marks` say by address what a picture should show of a node. `wanted` is the configuration
    that an optimisation proposes, None where it proposes none.
    """

    recipe: str
    summary: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    marks: Mapping[int, str] = field(default_factory=dict)
    wanted: SiteConfiguration | None = None
    notes: tuple[str, ...] = ()


def show(address: int) -> str:
    """As people read it."""
    return f"0x{address:04x}"


def show_flow(flow: SiteFlow) -> str:
    """As people read it."""
    return f"{show(flow.source)} -> {show(flow.destination)}"


def percent(share: float) -> str:
    """As people read it, one place after the point."""
    return f"{100.0 * share:.1f} %"
