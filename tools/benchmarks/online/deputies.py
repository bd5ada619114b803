"""Another gateway that has a graph's inputs, and goes on with it when the one that was asked dies.

As agents do: a submission is copied to a peer, spread by its name. Here the copies cost what any data costs
on the LAN, but wait for everything else. What tasks had made on the dead gateway is done again.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tools.benchmarks.online.fleet import GATEWAYS, channel_between
from tools.benchmarks.online.job import Job, Transfer

if TYPE_CHECKING:
    from tools.benchmarks.online.play import Play


def name(job: Job, play: Play) -> None:
    """Give a gateway that seems to live a copy of all inputs."""
    own = job.graph.gateway
    others = [machine for machine in range(GATEWAYS) if machine != own and play.seen_up[machine]]
    if others:
        job.deputy = others[job.graph.number % len(others)]
        for edge in job.outputs(0):
            copy = Transfer(job, edge, own, job.deputy, channel_between(own, job.deputy))
            job.copies.append(copy)
            play.line_up(copy, (inf, 0.0))


def take_over(job: Job, dead: int, play: Play) -> bool:
    """Whether a job goes on at its deputy: its gateway is dead, and all copies have come through."""
    deputy = job.deputy
    if job.graph.gateway != dead or deputy is None or not play.seen_up[deputy]:
        return False
    if any(copy.live for copy in job.copies):
        return False
    job.graph = job.graph.asked_at(deputy)
    job.node[0] = job.node[job.graph.sink] = deputy
    for edge in job.outputs(0):
        job.at[edge].add(deputy)
    job.deputy = None
    return True


def forget(job: Job, play: Play) -> None:
    """It has no deputy any more."""
    for copy in job.copies:
        if copy.live:
            play.cut(copy)
    job.copies, job.deputy = [], None
