"""What the gateways of a site agree on: which node is at home where, and which nodes relay.

The acting gateway assigns homes, the others adopt them, and everybody keeps them on disk for the time
without a broker. Where peers believe otherwise of a relay, the node itself is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from common.clock import Clock
from common.errors import Corrupt, Misconfigured
from common.logs import get_logger
from common.policy.lease import View
from edge_agent import state_file
from edge_agent.decide.decider import Decider

log = get_logger(__name__)

PERIOD_S = 1.0
HOMES_FILE = "homes.json"


class Peers(Protocol):
    """What is known of the other gateways of the site."""

    def view(self) -> View:
        """Who lives, who is known, and for how long the broker has been there."""

    def addresses(self) -> Mapping[str, int]:
        """Mesh address of each live peer that told it."""

    def homes(self) -> Mapping[int, str] | None:
        """The homes that the acting gateway announces; None when there is none, or it is this one."""

    def relays(self) -> Mapping[str, frozenset[int]]:
        """The nodes that each live peer believes to relay."""


class Agreement:
    """Keeps a decider's homes, and its knowledge of peers' nodes and relays, as the site agreed."""

    def __init__(
        self, decider: Decider, peers: Peers, clock: Clock, path: Path, acting: Callable[[], bool]
    ) -> None:
        self._decider = decider
        self._peers = peers
        self._clock = clock
        self._path = path
        self._acting = acting
        self._believed: dict[str, frozenset[int]] = {}
        self._is_saved = True

    def recover(self) -> None:
        """Take up the homes of an earlier run. Raises Corrupt, after the file was set aside."""
        document = state_file.load(self._path) or {}
        try:
            self._decider.homes = {int(node): str(home) for node, home in document.items()}
        except ValueError as error:
            state_file.set_aside(self._path)
            raise Corrupt(f"{self._path.name} holds no homes") from error

    async def run(self) -> None:
        """Come to an agreement every second, until cancelled."""
        decider, kept = self._decider, dict(self._decider.homes)
        while True:
            await self._clock.sleep(PERIOD_S)
            self._compare_relays()
            decider.peer_nodes |= set(self._peers.addresses().values())
            announced = self._peers.homes()
            if self._acting():
                decider.assign_homes(self._peers.view(), self._peers.addresses())
            elif announced is not None:
                decider.homes = dict(announced)
            if decider.homes != kept and self._save(decider.homes):
                kept = dict(decider.homes)

    def _compare_relays(self) -> None:
        """Where a peer believes otherwise of a node's relay feature than before, ask the node again.

        Until it answers, the one who acts is believed: without the broker in the next moment, this gateway
        would otherwise mend what the other has mended already.
        """
        own = self._decider.site.relays()
        for peer, believed in self._peers.relays().items():
            if self._believed.get(peer) != believed:
                self._believed[peer] = believed
                for address in believed ^ own:
                    if peer < self._decider.gateway_id:
                        self._decider.site.believe_relay(address, address in believed)
                    self._decider.site.reread(address)

    def _save(self, homes: Mapping[int, str]) -> bool:
        """Whether they are on disk; tried again every second, and complained of once."""
        try:
            state_file.save(self._path, {str(node): home for node, home in homes.items()})
        except Misconfigured as error:
            if self._is_saved:
                log.error("homes-unwritable", reason=error)
            self._is_saved = False
        else:
            self._is_saved = True
        return self._is_saved
