"""The other gateways of the site, as their statuses tell: who lives, where they are, what the actor says.

`PeerTable` is pure; `SitePeers` feeds it from the broker line. A peer is live for three of its own status
periods after its last sign of life, by this gateway's monotonic clock: clocks of other machines may be
wrong, so their stamps decide one thing only, whether a *retained* status can be taken for a recent one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from common.clock import Clock
from common.messages import Status
from common.policy.lease import LEASE_PERIODS, View
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import PeerStatus

MAX_PEERS: Final = 256
# A peer that says it reports once an hour must not look alive for three hours after its death.
LONGEST_LEASE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's last status; `seen` is when it last showed to be alive, monotonic, None when it never did."""

    status: Status
    seen: float | None

    def is_live(self, now: float) -> bool:
        """Whether its lease holds."""
        lease = min(LEASE_PERIODS * self.status.period_s, LONGEST_LEASE_S)
        return self.status.online and self.seen is not None and now - self.seen <= lease


class PeerTable:
    """Peers of one site. Bounded: of too many, the one heard least recently is forgotten."""

    def __init__(self, site: str, gateway: str) -> None:
        self._site = site
        self._own = gateway
        self._peers: dict[str, Peer] = {}

    def hear(self, status: Status, retained: bool, now: float, wall: float) -> None:
        """Take in a status that came at monotonic `now` and Unix time `wall`.

        This gateway's own and other sites' are ignored. A retained one counts as a sign of life only when
        its stamp is recent; otherwise a fresh one has to follow.
        """
        if status.site != self._site or status.gateway == self._own:
            return
        known = self._peers.pop(status.gateway, None)
        seen = known.seen if known else None
        if not retained:
            seen = now
        elif 0 <= (age := wall - status.time) <= LEASE_PERIODS * status.period_s:
            # As old as its stamp says, unless something fresher was heard.
            seen = max(now - age, seen if seen is not None else now - age)
        self._peers[status.gateway] = Peer(status, seen)
        while len(self._peers) > MAX_PEERS:
            del self._peers[next(iter(self._peers))]

    def peers(self) -> Mapping[str, Peer]:
        """Every peer ever heard of, by id."""
        return self._peers

    def live(self, now: float) -> list[Status]:
        """The last statuses of live peers, by id."""
        return [peer.status for _, peer in sorted(self._peers.items()) if peer.is_live(now)]

    def view(self, now: float, attached_s: float | None) -> View:
        """What the lease rule needs to know: of machines that have a mesh, not of those that only compute."""
        live = frozenset(status.gateway for status in self.live(now) if status.tier == "gateway")
        known = frozenset(name for name, peer in self._peers.items() if peer.status.tier == "gateway")
        return View(self._own, live, known, attached_s)

    def addresses(self, now: float) -> dict[str, int]:
        """Mesh addresses of live peers that told theirs."""
        return {status.gateway: status.address for status in self.live(now) if status.address is not None}

    def homes(self, now: float) -> dict[int, str] | None:
        """The homes that the acting gateway announces; None when there is none, or it is this one."""
        for status in self.live(now):
            if status.acting and status.tier == "gateway" and status.gateway < self._own:
                return {node: home for home, nodes in status.homes.items() for node in nodes}
        return None

    def relays(self, now: float) -> dict[str, frozenset[int]]:
        """The nodes that each live peer believes to relay."""
        return {status.gateway: frozenset(status.relays) for status in self.live(now) if status.mesh_up}


class StatusSource(Protocol):
    """Where statuses come from: the broker line."""

    statuses: Inbox[PeerStatus]

    @property
    def attached_s(self) -> float | None:
        """For how long the broker has answered; None when it does not."""


class SitePeers:
    """The live table. Run `run()` in the supervisor."""

    def __init__(self, site: str, gateway: str, source: StatusSource, clock: Clock) -> None:
        self.table = PeerTable(site, gateway)
        self._source = source
        self._clock = clock

    async def run(self) -> None:
        """Take in statuses until cancelled."""
        while True:
            heard = await self._source.statuses.get()
            self.table.hear(heard.status, heard.retained, heard.t, self._clock.wall())

    def view(self) -> View:
        """Who lives, who is known, and for how long the broker has been there."""
        return self.table.view(self._clock.monotonic(), self._source.attached_s)

    def addresses(self) -> Mapping[str, int]:
        """Mesh address of each live peer that told it."""
        return self.table.addresses(self._clock.monotonic())

    def homes(self) -> Mapping[int, str] | None:
        """The homes that the acting gateway announces; None when there is none, or it is this one."""
        return self.table.homes(self._clock.monotonic())

    def relays(self) -> Mapping[str, frozenset[int]]:
        """The nodes that each live peer believes to relay."""
        return self.table.relays(self._clock.monotonic())
