"""Where a gateway would stand best: every node tried as one more gateway, or as the only one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coordinator.recipes.answer import Answer, Case, percent, show
from coordinator.twin.percolation import HOPS, WORDS, WORLDS_PER_WORD, Percolation
from coordinator.twin.site_model import SiteModel

Floats = NDArray[np.float64]


def placement(case: Case) -> Answer:
    """Rank places by what each node gets: the worse way of to and from its best gateway."""
    model = case.model
    worlds = Percolation(model, seed=case.seed)
    served, hops = {}, {}
    for number, place in enumerate(model.addresses):
        case.tell(number / len(model.addresses), f"a gateway beside {show(place)}")
        served[place], hops[place] = _served(model, worlds, place)
    alone = bool(case.given["replace_own"]) or not model.gateways
    kept = [] if alone else list(model.gateways)
    now = _together(model, served, list(model.gateways))
    ranked = sorted(
        ((_together(model, served, [*kept, place]), place) for place in model.addresses if place not in kept),
        key=lambda found: (-found[0].mean(), -found[0].min(), found[1]),
    )[: case.whole("at_most")]
    rows = tuple(
        (show(place), percent(float(got.mean())), percent(float(got.min())), _far(hops, [*kept, place]))
        for got, place in ranked
    )
    best = ranked[0] if ranked else None
    gain = float(best[0].mean() - now.mean()) if best else 0.0
    said = f"beside {show(best[1])}, for {percent(gain)} more delivery" if best else "nowhere"
    return Answer(
        recipe="gateway-placement",
        summary=f"Nodes get {percent(float(now.mean()))} now. "
        f"{'The only gateway' if alone else 'One more gateway'} stands best {said}.",
        columns=("beside node", "delivery, mean", "delivery, worst node", "hops, mean"),
        rows=rows,
        figures={"delivery_now": float(now.mean()), "gain": gain},
        marks={best[1]: "best place"} if best else {},
        notes=("A gateway beside a node is reckoned to hear and be heard as that node is.",),
    )


def _served(model: SiteModel, worlds: Percolation, place: int) -> tuple[Floats, Floats]:
    """[N] delivery of each node with a gateway there, and [N] hops of what arrives."""
    found = [worlds.arrivals(place, model.configuration, inward=inward) for inward in (True, False)]
    delivery = np.minimum(*(arrived.sum(axis=1) for arrived in found)) / (WORDS * WORLDS_PER_WORD)
    arrived = found[0]
    hops = arrived @ np.arange(HOPS + 1) / np.maximum(arrived.sum(axis=1), 1)
    delivery[worlds.index[place]] = 1.0
    return delivery, hops


def _together(model: SiteModel, served: dict[int, Floats], places: list[int]) -> Floats:
    if not places:
        return np.zeros(len(model.addresses))
    best: Floats = np.max([served[place] for place in places], axis=0)
    return best


def _far(hops: dict[int, Floats], places: list[int]) -> float:
    return round(float(np.min([hops[place] for place in places], axis=0).mean()), 2)
