"""List schedulers: HEFT, PEFT, and HEFT by J with lookahead. Task after task to the node that looks best."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.kernel.greedy import Greedy
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.ranks import by_rank, upward
from common.placement.reading import read_out
from common.placement.timetable import Schedule


def heft(instance: Instance, loads: Loads | None = None) -> Schedule:
    """Heterogeneous earliest finish time (Topcuoglu, Hariri, Wu 2002): mean upward rank, insertion."""
    return listed(instance, "heft", loads=loads)


def heft_j(instance: Instance, loads: Loads | None = None) -> Schedule:
    """HEFT with J in the place of time, energy and prices included, and what must follow in both."""
    return listed(instance, "heft-j", price=1.0, ahead=1.0, loads=loads)


def peft(instance: Instance, loads: Loads | None = None) -> Schedule:
    """Predict earliest finish time (Arabnejad, Barbosa 2014): all by the optimistic cost table."""
    placed = decoder(instance, loads)
    greedy = _looking_ahead(placed, [True] * placed.nodes)
    rank = _mean_ahead(placed, greedy)
    for place, i in enumerate(by_rank(placed, rank)):
        placed.order[place] = i
    greedy.price_weight, greedy.ahead_weight = 0.0, 1.0
    greedy.assign()
    return finished(instance, placed, "peft")


def listed(
    instance: Instance,
    method: str,
    *,
    usable: Sequence[bool] | None = None,
    price: float = 0.0,
    ahead: float = 0.0,
    loads: Loads | None = None,
) -> Schedule:
    """A list schedule by mean upward rank over some of the nodes. Raises Unplaceable.

    `price` and `ahead` weigh what a choice costs beside time, and what must follow it.
    """
    placed = decoder(instance, loads)
    greedy = _looking_ahead(placed, usable or [True] * placed.nodes)
    for place, i in enumerate(by_rank(placed, upward(placed))):
        placed.order[place] = i
    greedy.price_weight, greedy.ahead_weight = price, ahead
    greedy.assign()
    return finished(instance, placed, method)


def finished(instance: Instance, placed: Decoder, method: str) -> Schedule:
    """Decode what was chosen, and read it out."""
    placed.measure_tails()
    placed.clear()
    placed.decode(0, inf)
    return read_out(instance, placed, method, placed.nodes)


def _looking_ahead(placed: Decoder, usable: Sequence[bool]) -> Greedy:
    greedy = Greedy(placed)
    for j, may in enumerate(usable):
        greedy.usable[j] = int(may)
    greedy.finish_weight = 1.0
    greedy.look_ahead()
    return greedy


def _mean_ahead(placed: Decoder, greedy: Greedy) -> list[float]:
    """PEFT's rank: the mean of a task's row of the optimistic cost table."""
    width = placed.nodes
    return [sum(greedy.time_ahead[i * width : (i + 1) * width]) / width for i in range(placed.tasks)]
