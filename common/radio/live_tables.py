"""The tables of a live play: those of a batch without traffic, where messages come and go in slots.

Only messages in segments need rows, as somebody must remember which segments have come. They are given back
when the message can no longer be under way.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.radio import packing, tables, working
from common.radio.parameters import RadioParameters
from common.radio.propagation import Links
from common.scenario import Scenario

SEGMENTED_MS: Final = 60_000.0
"""Longer than any sender of segments goes on trying."""

MAX_SEEN: Final = 1 << 26
"""Words of the table of who knows which packet: half a gigabyte."""

_AIR: Final = 1 << 10


def world(
    scenario: Scenario,
    parameters: RadioParameters,
    links: Links,
    phases: NDArray[np.float64],
    groups: int,
    seed: int,
) -> tables.World:
    """All nodes listen. `groups` is how many there will be room for."""
    size = len(scenario.nodes)
    site = packing.site(scenario, parameters)
    site["live"] = True
    fixed = {
        **packing.network(scenario, links, np.ones(size, np.bool_), phases, parameters),
        "site": site,
        "members": np.zeros((groups, size), tables.MEMBER),
        "flows": np.zeros(16, tables.FLOW),
        "messages": np.zeros(16, tables.MESSAGE),
        "rows": np.zeros(16, tables.ROW),
        "agenda": np.zeros(64, tables.AGENDA),
    }
    fixed["members"]["place"] = np.arange(size)
    cache, queue = scenario.configuration.message_cache, parameters.queue_length
    more = working.tables_of(fixed, cache, queue, 4 * size + 1024, _AIR, seed)
    packets = 1 << max(256, 4 * size).bit_length()
    more |= {
        "packets": np.zeros(packets, tables.PACKET),
        "seen": np.zeros((packets, packing.words_of(size)), np.uint64),
        "taken": np.zeros((packets, packing.words_of(size)), np.uint64),
        "cache": np.zeros((size, min(cache, packets)), np.int64),
        "transfers": np.zeros((16, 2), tables.TRANSFER),
        "fades": np.zeros((size, size), np.float32),
        "deliveries": np.zeros(max(4 * size, 1024), tables.DELIVERY),
    }
    more["status"]["agenda_end"] = 0
    return tables.World(**(fixed | more))


def with_packets(old: tables.World) -> tables.World:
    """Twice as many packets told apart at a time, or the same if that is too many."""
    size, words = old.seen.shape
    old.status["crowded"] = False
    if 2 * size * words > MAX_SEEN:
        return old
    kept = np.flatnonzero(old.packets["serial"])
    place = old.packets["serial"][kept] % (2 * size)
    packets, seen = np.zeros(2 * size, tables.PACKET), np.zeros((2 * size, words), np.uint64)
    taken = np.zeros_like(seen)
    packets[place], seen[place], taken[place] = old.packets[kept], old.seen[kept], old.taken[kept]
    return old._replace(packets=packets, seen=seen, taken=taken)


class Slots:
    """Places in the tables of messages, flows, rows and transfers: taken and given back."""

    def __init__(self) -> None:
        self._messages: list[int] = []
        self._rows: dict[int, list[int]] = {}
        self._next_message = self._next_row = 0
        self._held: list[tuple[float, int, int, int]] = []

    def take(self, old: tables.World, rows: int, until: float) -> tuple[tables.World, int, int]:
        """A slot and the first of so many rows, held until then (ms); tables that grow if they must."""
        slot = self._messages.pop() if self._messages else self._next_message
        self._next_message = max(self._next_message, slot + 1)
        if slot >= len(old.messages):
            old = old._replace(messages=_twice(old.messages), flows=_twice(old.flows))
        free, first = self._rows.setdefault(rows, []), -1
        if rows:
            first = free.pop() if free else self._next_row
            self._next_row = max(self._next_row, first + rows)
            while first + rows > len(old.rows):
                old = old._replace(rows=_twice(old.rows), transfers=_twice(old.transfers))
            old.rows[first : first + rows] = np.zeros(1, tables.ROW)
            old.rows["one_way"][first : first + rows] = np.nan
            old.rows["round_trip"][first : first + rows] = np.nan
            old.transfers[first : first + rows] = np.zeros(1, tables.TRANSFER)
            old.rows["message"][first : first + rows] = slot
        heapq.heappush(self._held, (until, slot, first, rows))
        return old, slot, first

    def release(self, now: float) -> None:
        """Give back what was held until before now."""
        while self._held and self._held[0][0] < now:
            _, slot, first, rows = heapq.heappop(self._held)
            self._messages.append(slot)
            if rows:
                self._rows[rows].append(first)


def _twice(table: NDArray[np.void]) -> NDArray[np.void]:
    bigger = np.zeros((2 * len(table), *table.shape[1:]), table.dtype)
    bigger[: len(table)] = table
    return bigger
