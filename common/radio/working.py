"""The tables that a play fills while it runs: sets, queues, caches, packets, the air."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.radio import kernel, packing, tables

_PACKETS_FOR_S: Final = 30
"""Packets are told apart for as many seconds of traffic."""


def tables_of(
    fixed: dict[str, NDArray[Any]], cache: int, queue: int, timers: int, air: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Empty tables: `cache` and `queue` places a node, `timers` and `air` in all."""
    nodes, sets = int(fixed["site"]["nodes"][0]), int(fixed["site"]["sets"][0])
    ears = len(fixed["ears"])
    packets = _packets(fixed["messages"], fixed["flows"])
    status = np.zeros(1, tables.STATUS)
    advertising = np.zeros(nodes * sets, tables.ADVERTISING_SET)
    advertising["node"] = np.repeat(np.arange(nodes), sets)
    status["random"], status["agenda_end"] = seed, len(fixed["agenda"])
    segmented = bool((fixed["flows"]["segments"] > 1).any())
    return {
        "status": status,
        "ears": tables.aligned_copy(fixed["ears"]),
        "fades": np.zeros((1, 1), np.float32),
        "sets": advertising,
        "queues": np.zeros(2 * nodes, tables.QUEUE),
        "waiting": np.empty((2 * nodes, queue), tables.WAITING),
        "packets": np.zeros(packets, tables.PACKET),
        "seen": np.zeros((packets, packing.words_of(ears)), np.uint64),
        "taken": np.zeros((packets, packing.words_of(ears)), np.uint64),
        "cache": np.zeros((ears, min(cache, packets)), np.int64),
        "air": np.zeros(air, tables.ON_AIR),
        # A word's, and twice what turns meanwhile.
        "picked": np.zeros(2 * 64 + 1, tables.PICKED),
        "lanes": np.zeros(64, np.float32),
        "around": np.zeros(2 * tables.NEAR, tables.AROUND),
        "near": np.zeros(2 * tables.NEAR, tables.SIGNAL),
        "earlier": np.zeros(tables.NEAR, tables.SIGNAL),
        "timers": np.zeros(timers, tables.TIMER),
        "deliveries": np.zeros(2 * ears + 8, tables.DELIVERY),
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
    # All that it still has, by number: the low bits are the place.
    end = int(world.status["air_next"][0])
    numbers = np.arange(max(end - len(world.air), 0), end)
    air[numbers % len(air)] = world.air[numbers % len(world.air)]
    return world._replace(air=air)
