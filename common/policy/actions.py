"""What a policy sees and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.mesh.graph import LinkKey, SiteGraph


class ActionKind(StrEnum):
    """What an action does to the network."""

    REROUTE = "reroute"
    CONFIGURE = "configure"
    """What the operator, or a plan in the operator's name, wants."""


class Priority(IntEnum):
    """Higher wins a conflict; among equals the older action does."""

    TUNE = 1
    DEGRADED = 4
    CUT_OFF = 7
    OPERATOR = 9


@dataclass(frozen=True, slots=True)
class Step:
    """One node's change. Steps of an action are in the order of application, outwards from the gateway."""

    address: int
    change: ConfigurationChange


@dataclass(frozen=True, slots=True)
class Effect:
    """What must be seen within `window_s` seconds after the last step: these nodes answer again, and
    their delivery is expected to be at least `delivery`."""

    nodes: frozenset[int]
    delivery: float
    window_s: float

    def __str__(self) -> str:
        return f"{len(self.nodes)} nodes answer at >= {self.delivery:.2f} within {self.window_s:g} s"


@dataclass(frozen=True, slots=True)
class Action:
    """A requested change. It may be applied until `lease_until` (monotonic seconds), not later."""

    kind: ActionKind
    cause: str
    steps: tuple[Step, ...]
    expected: Effect
    priority: Priority
    lease_until: float

    @property
    def touches(self) -> frozenset[int]:
        """The nodes it changes."""
        return frozenset(step.address for step in self.steps)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A link's PDR some windows ahead: what is expected, the highest that is still plausible, and what it may
    well be if the link is indeed falling (None: what is expected)."""

    pdr: float
    upper: float
    lower: float | None = None

    @property
    def if_falling(self) -> float:
        """What to reckon with once a fall is seen."""
        return self.pdr if self.lower is None else self.lower


@dataclass(frozen=True, slots=True)
class SiteState:
    """A site as one gateway knows it.

    `graph` holds the expected PDR of each link, `best_case` the highest plausible one: plans are made with
    the first, but only what fails in the second is clear enough to act on.

    `gateways` are the addresses of the live gateways, the own one among them. `changeable` are the nodes
    that this gateway may configure now, `responsible` those whose service it answers for (one actor a site;
    alone, only its home nodes). `refused` holds nodes not to be asked again before the given time.
    `pending` are actions applied but not yet confirmed.
    """

    gateway: int
    gateways: frozenset[int]
    graph: SiteGraph
    best_case: SiteGraph
    nodes: Mapping[int, NodeConfiguration]
    changeable: frozenset[int]
    responsible: frozenset[int]
    delivery_need: float = 0.9
    lease_s: float = 6.0
    confirm_s: float = 10.0
    pending: tuple[Action, ...] = ()
    refused: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What changed: nodes held dead, and the links whose next period is expected to differ from now."""

    dead: frozenset[int] = frozenset()
    forecast: Mapping[LinkKey, Forecast] = field(default_factory=dict)
