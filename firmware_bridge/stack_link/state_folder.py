"""Which folder holds the state of which node: one for each network and unicast address.

A network is known by the mesh UUID of its site file, since a key refresh changes its Network ID and leaves
the device keys as they are. So a gateway that is given another address, or moves to another site, begins a
state of its own there and finds the old one when it comes back. Content and damage are for `state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from common.errors import Misconfigured
from common.logs import Logger
from common.mesh.addresses import show
from common.mesh.cdb import SiteFile
from firmware_bridge.stack_link.state import StackState

_FOLDER: Final = "stack"
_TOKENS: Final = "tokens"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The state of the node `address` of `site` below the agent's `state_dir`."""

    state_dir: Path
    site: SiteFile
    address: int

    @property
    def path(self) -> Path:
        """The node's own folder."""
        network = sha256(_plain(self.site.mesh_uuid).encode()).hexdigest()[:16]
        return self.state_dir / _FOLDER / f"{self.address:04x}-{network}"

    def first_number(self, log: Logger) -> int:
        """The sequence number that a node without a state begins with: above all that this address may have
        used in networks known by other names, since the same keys may come under a new one.

        Raises Misconfigured: those numbers are lost.
        """
        others = [path for path in self._states() if path != self.path]
        found = [StackState(path, log).look() for path in others]
        return max((numbers.limit for numbers in found if numbers is not None), default=0)

    def refuse_other_link(self) -> None:
        """Raises Misconfigured when the mesh daemon has sent as this node: its numbers are not known here,
        and no jump ahead is provably far enough."""
        token = self.state_dir / _TOKENS / f"{_plain(self.site.node(self.address).uuid)}.token"
        if token.exists():
            raise Misconfigured(
                f"the mesh daemon has sent as node {show(self.address)}, and our own stack does not know its "
                "sequence numbers",
                "give this gateway a new node in the site file (new UUID, new unicast address), and name it "
                'in gateway.address; or return to link = "bluez"',
            )

    def check(self, log: Logger) -> None:
        """Raises Misconfigured for what would keep the node from sending. Changes nothing."""
        self.refuse_other_link()
        if StackState(self.path, log).look() is None:
            self.first_number(log)

    def _states(self) -> list[Path]:
        return sorted((self.state_dir / _FOLDER).glob(f"{self.address:04x}-*"))


def _plain(uuid: str) -> str:
    """One spelling of a UUID. Whatever else it holds is for a hash or a comparison alone."""
    return uuid.replace("-", "").replace("/", "").lower()
