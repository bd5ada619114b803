"""From a configuration that is wanted to steps that can be taken one after the other.

What adds goes first and outwards from the gateways, so that every node is reached over what is on already.
What takes away comes last and from the far end inwards, so that nobody is reached over what is off already.
Pure; whether a step may be taken is for the prediction that comes with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit
from coordinator.twin.site_model import SiteConfiguration, SiteModel

ON_TOGETHER: Final = 8
OFF_TOGETHER: Final = 4
"""Relays switched in one step: few enough that a bad one is found, and cheap to put back."""
TIMES_TOGETHER: Final = 24
AUDIBLE: Final = 0.3
"""Links below this PDR do not count as a way when nodes are put in order."""

Change = tuple[int, ConfigurationChange]


@dataclass(frozen=True, slots=True)
class Stage:
    """Changes that are made together, and what to call them."""

    title: str
    changes: tuple[Change, ...]


def stages(
    model: SiteModel, wanted: SiteConfiguration, present: Mapping[int, NodeConfiguration] | None = None
) -> list[Stage]:
    """The stages that lead from how the nodes are (`present`; where that is not known, what the model says
    of all) to `wanted`. Nodes that are so already are left alone."""
    now = present_of(model, present or {})
    near = distances(model, model.relays | wanted.relays)
    nodes = frozenset(model.addresses) - untouchable(model)
    outwards = sorted(nodes, key=lambda a: (near.get(a, len(near)), a))
    inwards = outwards[::-1]
    more, less = _times(now, outwards, wanted), _times(now, inwards, wanted, less=True)
    on = [(a, ConfigurationChange(relay=True)) for a in outwards if a in wanted.relays and not now[a].relay]
    off = [(a, ConfigurationChange(relay=False)) for a in inwards if a not in wanted.relays and now[a].relay]
    return [
        *_pack("raise TTL and repetitions", more, TIMES_TOGETHER),
        *_pack("relays on", on, ON_TOGETHER),
        *_pack("relays off", off, OFF_TOGETHER),
        *_pack("lower TTL and repetitions", less, TIMES_TOGETHER),
    ]


def untouchable(model: SiteModel) -> frozenset[int]:
    """Gateways at a site of several: each configures itself, and none can configure another."""
    return frozenset(model.gateways) if len(model.gateways) > 1 else frozenset()


def present_of(model: SiteModel, present: Mapping[int, NodeConfiguration]) -> dict[int, NodeConfiguration]:
    """Every node's configuration: what is known of it over what the model says of all."""
    usual = model.configuration
    found = {}
    for address in model.addresses:
        assumed = NodeConfiguration(
            address,
            address in usual.relays,
            address in model.capable or address in usual.relays,
            usual.ttl,
            usual.network_transmit,
            usual.relay_retransmit,
        )
        known = present.get(address)
        found[address] = assumed if known is None else known.over(assumed)
    return found


def distances(model: SiteModel, relays: Iterable[int]) -> dict[int, int]:
    """Hops from the nearest gateway over links that are good enough both ways and these relays."""
    carrying = frozenset(relays) | frozenset(model.gateways)
    heard: dict[int, list[int]] = {}
    for (a, b), belief in model.links.items():
        back = model.links.get((b, a))
        if belief.pdr >= AUDIBLE and back is not None and back.pdr >= AUDIBLE:
            heard.setdefault(a, []).append(b)
    found = dict.fromkeys(model.gateways, 0)
    waiting = deque(found)
    while waiting:
        here = waiting.popleft()
        if here in carrying:
            for other in heard.get(here, ()):
                if other not in found:
                    found[other] = found[here] + 1
                    waiting.append(other)
    return found


def undo_of(changes: Sequence[Change], now: Mapping[int, NodeConfiguration]) -> tuple[Change, ...]:
    """What puts `changes` back, the last first."""
    return tuple((address, change.undo(now[address])) for address, change in reversed(changes))


def _times(
    now: Mapping[int, NodeConfiguration],
    order: Sequence[int],
    wanted: SiteConfiguration,
    *,
    less: bool = False,
) -> list[Change]:
    """Changes of TTL and transmissions that add (or, with `less`, take away), in this order."""
    found = []
    for address in order:
        node = now[address]
        ttl = node.default_ttl
        # What a node does not relay, it does not repeat either.
        repeats = address in wanted.relays or node.relay
        change = ConfigurationChange(
            default_ttl=wanted.ttl if ttl is not None and _is_due(ttl, wanted.ttl, less) else None,
            network_transmit=_transmit(node.network_transmit, wanted.network_transmit, less),
            relay_retransmit=_transmit(node.relay_retransmit, wanted.relay_retransmit, less)
            if repeats
            else None,
        )
        if change:
            found.append((address, change))
    return found


def _transmit(now: Transmit | None, wanted: Transmit, less: bool) -> Transmit | None:
    if now is None or now == wanted:
        return None
    # Another interval alone counts as less: it adds nothing.
    return wanted if (wanted.count <= now.count) is less else None


def _is_due(now: int, wanted: int, less: bool) -> bool:
    return wanted < now if less else wanted > now


def _pack(title: str, changes: Sequence[Change], together: int) -> list[Stage]:
    """In stages of at most so many changes."""
    return [
        Stage(title, tuple(changes[first : first + together])) for first in range(0, len(changes), together)
    ]
