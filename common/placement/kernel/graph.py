"""A graph under one load as flat arrays, and room for what is computed from them.

What the numbers mean is told in `common/placement/problem.py`. Nothing is computed here.
"""

from __future__ import annotations

from array import array


class Graph:
    """The arrays that decoders read and never write: several may read one graph at once."""

    def __init__(
        self, ints: dict[str, array[int]], reals: dict[str, array[float]], scalars: dict[str, float]
    ) -> None:
        self.tasks = int(scalars["tasks"])
        self.nodes = int(scalars["nodes"])
        self.channels = int(scalars["channels"])
        self.sink = int(scalars["sink"])
        self.rate = scalars["rate"]
        self.release = scalars["release"]
        self.deadline = scalars["deadline"]
        self.late_rate = scalars["late_rate"]
        self.late_fixed = scalars["late_fixed"]
        self.duration = reals["duration"]
        self.price = reals["price"]
        self.transfer = reals["transfer"]
        self.bits = reals["bits"]
        self.latency = reals["latency"]
        self.bit_price = reals["bit_price"]
        self.channel_price = reals["channel_price"]
        self.last0 = reals["busy_until"]
        self.energy = reals["energy"]
        self.bit_energy = reals["bit_energy"]
        self.source = ints["source"]
        self.target = ints["target"]
        self.inputs = ints["inputs"]
        self.outputs = ints["outputs"]
        self.output = ints["output"]
        self.channel = ints["channel"]
        self.channel_resource = ints["channel_resource"]
        self.slot_first = ints["slot_first"]
        self.slot_count = ints["slot_count"]
        self.offset = ints["offset"]
        self.count0 = ints["count"]
        self.resources = len(self.count0)
        self.congested = any(price > 0.0 for price in reals["channel_price"])
        self.home_order = ints["home_order"]
        self.home_node = ints["home_node"]


class Room:
    """One block of zeros, handed out in pieces: to make arrays one by one takes longer than to fill them.

    Compiled, pieces are views of the block; interpreted, arrays of their own.
    """

    def __init__(self, ints: int, reals: int) -> None:
        self.ints = array("i", bytes(4 * max(ints, 1)))
        self.reals = array("d", bytes(8 * max(reals, 1)))
        self.ints_given = 0
        self.reals_given = 0

    def whole(self, count: int) -> array[int]:
        """Room for so many whole numbers."""
        low = self.ints_given
        self.ints_given = low + count
        if self.ints_given > len(self.ints):
            raise IndexError("room for whole numbers")
        return self.ints[low : low + count]

    def real(self, count: int) -> array[float]:
        """Room for so many real numbers."""
        low = self.reals_given
        self.reals_given = low + count
        if self.reals_given > len(self.reals):
            raise IndexError("room for real numbers")
        return self.reals[low : low + count]
