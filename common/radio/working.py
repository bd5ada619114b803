"""The tables that a play fills while it runs: sets, queues, caches, packets, the air."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.radio import kernel, tables

_PACKETS_FOR_S: Final = 30
"""Packets are told apart for as many seconds of traffic."""

_RECEPTIONS: Final = 16
"""For each advertising event on air; for dense sites, eight times the nodes."""


def tables_of(
    fixed: dict[str, NDArray[Any]], cache: int, queue: int, timers: int, air: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Empty tables: `cache` and `queue` places a node, `timers` and `air` in all."""
    nodes, sets = int(fixed["site"]["nodes"][0]), int(fixed["site"]["sets"][0])
    receptions = max(air * _RECEPTIONS, 1 << (8 * nodes).bit_length())
    packets = _packets(fixed["messages"], fixed["flows"])
    ears = fixed["ears"].copy()
    ears["lock"] = receptions
    site = fixed["site"].copy()
    site["far"] = len(fixed["far"]) > 0
    status = np.zeros(1, tables.STATUS)
    status["random"], status["agenda_end"] = seed, len(fixed["agenda"])
    segmented = bool((fixed["flows"]["segments"] > 1).any())
    return {
        "status": status,
        "site": site,
        "ears": ears,
        "far_now": np.zeros(len(ears), np.float32),
        "far_squared": np.zeros(len(ears), np.float32),
        "fades": np.zeros((1, 1), np.float32),
        "sets": np.zeros(nodes * sets, tables.ADVERTISING_SET),
        "queues": np.zeros(2 * nodes, tables.QUEUE),
        "waiting": np.empty((2 * nodes, queue), tables.WAITING),
        "packets": np.zeros(packets, tables.PACKET),
        "seen": np.zeros(packets * len(ears), np.int32),
        "cache": np.zeros((len(ears), min(cache, packets)), np.int32),
        "air": np.zeros(air, tables.ON_AIR),
        # One more than there are: nobody's, which takes what concerns no packet.
        "receptions": np.zeros(receptions + 1, tables.RECEPTION),
        "timers": np.zeros(timers, tables.TIMER),
        "deliveries": np.zeros(2 * len(ears) + 8, tables.DELIVERY),
        "transfers": np.zeros((len(fixed["rows"]) if segmented else 1, 2), tables.TRANSFER),
    }


def _packets(messages: NDArray[np.void], flows: NDArray[np.void]) -> int:
    """A power of two: how many packets are told apart at a time."""
    if len(messages) < 2:
        return 256
    span_s = max((messages["time"][-2] - messages["time"][0]) / 1000, 1.0)
    # Acknowledgements double what is sent at worst.
    packets = 2 * int(flows["segments"].sum(axis=1)[messages["flow"][:-1]].sum())
    wanted = min(packets, int(_PACKETS_FOR_S * packets / span_s))
    return 1 << max(wanted, 256).bit_length()


def wider(world: tables.World, full: int) -> tables.World:
    """The same in the midst of a play, with twice the room in the table that the kernel has named."""
    if full == kernel.TIMERS_FULL:
        timers = np.zeros(2 * len(world.timers), tables.TIMER)
        timers[: len(world.timers)] = world.timers
        return world._replace(timers=timers)
    air = np.zeros(2 * len(world.air), tables.ON_AIR)
    _move(world.air, air, int(world.status["air_first"][0]), int(world.status["air_next"][0]))
    return _with_receptions(world._replace(air=air))


def _with_receptions(world: tables.World) -> tables.World:
    """Twice the receptions. Who is at one knows it by its place, which changes."""
    old, count = world.receptions, int(world.status["receptions"][0])
    size = len(old) - 1
    receptions = np.zeros(2 * size + 1, tables.RECEPTION)
    _move(old[:-1], receptions[:-1], max(count - size, 0), count)
    lock = world.ears["lock"].astype(np.int64)
    # The latest number that has such a place.
    number = count - 1 - (count - 1 - lock) % size
    world.ears["lock"] = np.where(lock == size, 2 * size, number % (2 * size))
    return world._replace(receptions=receptions)


def _move(old: NDArray[np.void], new: NDArray[np.void], first: int, end: int) -> None:
    """Entries by their numbers, of which the low bits are the place."""
    numbers = np.arange(first, end)
    new[numbers % len(new)] = old[numbers % len(old)]
