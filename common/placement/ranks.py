"""Ranks of tasks by mean durations and transfers, and the orders that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf

from common.placement.kernel.decoder import Decoder


def mean_durations(placed: Decoder) -> list[float]:
    """Of each task over the nodes that may run it; ms."""
    width, means, duration = placed.nodes, [], list(placed.duration)
    for i in range(placed.tasks):
        able = [ms for ms in duration[i * width : (i + 1) * width] if ms < inf]
        means.append(sum(able) / len(able))
    return means


def mean_transfers(placed: Decoder) -> list[float]:
    """Of each edge over all pairs of different nodes, latency included; ms."""
    width = placed.nodes
    pairs = [a * width + b for a in range(width) for b in range(width) if a != b]
    if not pairs:
        return [0.0] * len(placed.source)
    # As lists: what a compiled decoder hands out is made anew at each access.
    latency, channel, transfer = list(placed.latency), list(placed.channel), list(placed.transfer)
    late, channels = sum(latency[pair] for pair in pairs), placed.channels
    used = [0] * channels
    for pair in pairs:
        used[channel[pair]] += 1
    means = []
    for k in range(len(placed.source)):
        sent = sum(transfer[k * channels + c] * used[c] for c in range(channels) if used[c])
        means.append((sent + late) / len(pairs))
    return means


def upward(placed: Decoder) -> list[float]:
    """HEFT's rank: the longest mean path from a task's start to the end."""
    durations, transfers, rank = mean_durations(placed), mean_transfers(placed), [0.0] * placed.tasks
    outputs, output, target = list(placed.outputs), list(placed.output), list(placed.target)
    for i in reversed(list(placed.order)):
        rest = 0.0
        for k in output[outputs[i] : outputs[i + 1]]:
            rest = max(rest, transfers[k] + rank[target[k]])
        rank[i] = durations[i] + rest
    return rank


def downward(placed: Decoder) -> list[float]:
    """CPOP's other rank: the longest mean path from the beginning to a task's start."""
    durations, transfers, rank = mean_durations(placed), mean_transfers(placed), [0.0] * placed.tasks
    inputs, source = list(placed.inputs), list(placed.source)
    for i in placed.order:
        for k in range(inputs[i], inputs[i + 1]):
            rank[i] = max(rank[i], rank[source[k]] + durations[source[k]] + transfers[k])
    return rank


def by_rank(placed: Decoder, rank: Sequence[float]) -> list[int]:
    """Of the tasks whose inputs are placed always the one of the highest rank, the first of equals."""
    inputs, outputs = list(placed.inputs), list(placed.outputs)
    output, target = list(placed.output), list(placed.target)
    waiting = [inputs[i + 1] - inputs[i] for i in range(placed.tasks)]
    place = {i: number for number, i in enumerate(placed.order)}
    ready: list[tuple[float, int, int]] = []
    for i in placed.order:
        if not waiting[i]:
            heappush(ready, (-rank[i], place[i], i))
    order = []
    while ready:
        i = heappop(ready)[2]
        order.append(i)
        for k in output[outputs[i] : outputs[i + 1]]:
            later = target[k]
            waiting[later] -= 1
            if not waiting[later]:
                heappush(ready, (-rank[later], place[later], later))
    return order
