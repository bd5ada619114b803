"""Other machines as executors: the peers of the site, its MEC servers, and the cloud.

What a machine can take follows from its status, which every gateway hears anyway and which is a few seconds
old at most; asking each of them anew for every task would cost more letters than tasks. The offer that goes
before the task's blobs asks again, by then for one task at one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from common.clock import Clock
from common.exchange.asking import Asker
from common.exchange.messages import Party
from common.exchange.rates import Rates
from common.messages import Status, TaskLoad
from common.taskgraph.executor import Load, Tier
from common.taskgraph.wire import TaskRequest, TaskResult
from edge_agent.share.peers import PeerTable

TIERS: Final = {"gateway": Tier.PEER, "mec": Tier.MEC, "cloud": Tier.CLOUD}
# Modelled, of both network interfaces and what is between: Wi-Fi about 50 nJ a bit, the far way twice that.
JOULES_PER_BIT: Final = {Tier.PEER: 5e-8, Tier.MEC: 5e-8, Tier.CLOUD: 1e-7}


class Peers(Protocol):
    """What is heard of the other machines."""

    @property
    def table(self) -> PeerTable:
        """Their statuses."""


class RemoteExecutor:
    """One other machine. Implements `Executor`."""

    def __init__(
        self, party: Party, tier: Tier, asker: Asker, rates: Rates, status: Callable[[], Status | None]
    ) -> None:
        """`status` is its last one while it lives."""
        self.name = party.name
        self.tier = tier
        self._party = party
        self._asker = asker
        self._rates = rates
        self._status = status

    async def run(self, request: TaskRequest) -> TaskResult:
        """Raises Refused or MachineLost."""
        return await self._asker.run(self._party, request, lambda: self._status() is not None)

    def load(self) -> Load:
        """From its last status, and from what this gateway has sent since."""
        status = self._status()
        told = status.tasks if status is not None else None
        own, party = self._asker.under_way(self._party), self._party
        if told is None:
            return Load(slots=0)
        return Load(
            slots=told.slots,
            busy=min(told.slots, max(told.busy, own)),
            queued=max(told.queued, own - told.slots),
            speed=_usable(told),
            up_bps=self._rates.up_bps(party),
            down_bps=self._rates.down_bps(party),
            latency_s=self._rates.latency_s(party),
            watts=told.watts,
            joules_per_bit=JOULES_PER_BIT[self.tier],
            memory_bytes=told.memory_bytes,
        )


class Remotes:
    """The executors that there are now, one for every live machine that runs tasks of others."""

    def __init__(self, site: str, peers: Peers, asker: Asker, rates: Rates, clock: Clock) -> None:
        self._site = site
        self._peers = peers
        self._asker = asker
        self._rates = rates
        self._clock = clock
        self._known: dict[str, RemoteExecutor] = {}

    def executors(self) -> Sequence[RemoteExecutor]:
        """By name. The same machine is the same object for as long as it lives."""
        live = {status.gateway: status for status in self._peers.table.live(self._clock.monotonic())}
        serving = {name: status for name, status in live.items() if status.tasks is not None}
        self._known = {
            name: self._known.get(name) or self._made(name, TIERS[status.tier])
            for name, status in sorted(serving.items())
        }
        return list(self._known.values())

    def _made(self, name: str, tier: Tier) -> RemoteExecutor:
        return RemoteExecutor(
            Party(self._site, name), tier, self._asker, self._rates, lambda: self._status_of(name)
        )

    def _status_of(self, name: str) -> Status | None:
        peer = self._peers.table.peers().get(name)
        return peer.status if peer is not None and peer.is_live(self._clock.monotonic()) else None


def _usable(told: TaskLoad) -> dict[str, float]:
    return {kind: speed for kind, speed in told.speed.items() if math.isfinite(speed) and speed > 0}
