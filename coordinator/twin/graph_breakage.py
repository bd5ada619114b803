"""What breaks if a node dies: who is cut off, which flows end, which get worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from common.errors import Rejected, RejectReason
from coordinator.twin.graph import topology
from coordinator.twin.percolation import percolate
from coordinator.twin.site_model import SiteModel

NOTICED: Final = 0.01
"""A flow is worse when its delivery falls by more than this."""


@dataclass(frozen=True, slots=True)
class FlowLoss:
    """A flow and its delivery before and after; `after` is None where an end of it died."""

    source: int
    destination: int
    before: float
    after: float | None

    @property
    def lost(self) -> float:
        """How much delivery falls."""
        return self.before - (self.after or 0.0)


@dataclass(frozen=True, slots=True)
class Breakage:
    """What a death would do. `cut_off` nodes have no usable way to and from any gateway any more; those
    that had none before are not among them. `flows` that get worse, worst first."""

    dead: tuple[int, ...]
    cut_off: tuple[int, ...]
    flows: tuple[FlowLoss, ...]
    last_gateway: bool

    @property
    def harmless(self) -> bool:
        """Nothing but the dead node itself is missing."""
        return not self.cut_off and not self.last_gateway and all(f.after is None for f in self.flows)


def breakage(model: SiteModel, *dead: int) -> Breakage:
    """What breaks if these nodes die at once. Raises Rejected for a node that the site does not have."""
    for address in dead:
        if address not in model.addresses:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"the site has no node 0x{address:04x}")
    shape = topology(model)
    cut_off = shape.cut_off(dead) - shape.cut_off()
    left = set(model.gateways) - set(dead)
    return Breakage(
        tuple(sorted(dead)),
        tuple(sorted(cut_off)),
        _flows(model, dead),
        bool(model.gateways) and not left,
    )


def _flows(model: SiteModel, dead: tuple[int, ...]) -> tuple[FlowLoss, ...]:
    rest = model.without(*dead)
    before, after = percolate(model).delivery, iter(percolate(rest).delivery)
    kept = set(map(id, rest.flows))
    losses = [
        FlowLoss(flow.source, flow.destination, float(was), float(next(after)) if id(flow) in kept else None)
        for flow, was in zip(model.flows, before, strict=True)
    ]
    noticed = [loss for loss in losses if loss.lost > NOTICED]
    return tuple(sorted(noticed, key=lambda loss: (-loss.lost, loss.source, loss.destination)))
