"""A site file for a lab: fresh keys, one node of the mesh for each node of the lab.

Node index i has the unicast address `SitePlan.address_of(i)`; the first nodes are gateways. The file is the
Mesh Configuration Database that commissioning apps write and `common.mesh.cdb` reads; it says what
`commission` makes true.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from common import files
from common.errors import Rejected, RejectReason
from common.mesh.cdb import SiteFile, read
from common.mesh.configuration import Transmit
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.link_monitor import COMPANY
from firmware_bridge.foundation.commissioner import (
    GATEWAY_MODELS,
    NETWORK_TRANSMIT,
    NODE_MODELS,
    RELAY_RETRANSMIT,
)

FIRST_ADDRESS: Final = 0x0100
_SCHEMA: Final = "http://json-schema.org/draft-04/schema#"
_ID: Final = "http://www.bluetooth.com/specifications/specs/mesh-cdb-1-0-1-schema.json#"
# The file says when it was written; a fixed moment keeps files of one seed the same.
_TIMESTAMP: Final = "2024-01-01T00:00:00Z"
_CONFIG_SERVER: Final = ModelId(0x0000)

Randomness = Callable[[int], bytes]


@dataclass(frozen=True)
class SitePlan:
    """What a lab's mesh is to be. `relays` are indices of nodes whose relay feature is on."""

    count: int
    gateways: int = 1
    relays: frozenset[int] = frozenset()
    default_ttl: int = 10
    network_transmit: Transmit = NETWORK_TRANSMIT
    relay_retransmit: Transmit = RELAY_RETRANSMIT
    name: str = "lab"

    def __post_init__(self) -> None:
        if not 1 <= self.gateways <= self.count:
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"{self.gateways} gateways among {self.count} nodes; at least one"
            )
        for index in self.relays:
            self.address_of(index)

    def address_of(self, index: int) -> int:
        """A node's unicast address. Raises Rejected(OUT_OF_RANGE)."""
        if not 0 <= index < self.count:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"node {index}; there are 0 to {self.count - 1}")
        return FIRST_ADDRESS + index

    def index_of(self, address: int) -> int:
        """The node of the lab with this unicast address. Raises Rejected(OUT_OF_RANGE)."""
        self.address_of(address - FIRST_ADDRESS)
        return address - FIRST_ADDRESS

    @property
    def gateway_indices(self) -> range:
        """The nodes that gateways use."""
        return range(self.gateways)

    @property
    def lamp_indices(self) -> range:
        """The other nodes."""
        return range(self.gateways, self.count)


@dataclass(frozen=True)
class _Writer:
    plan: SitePlan
    randomness: Randomness = field(repr=False)

    def document(self) -> dict[str, Any]:
        return {
            "$schema": _SCHEMA,
            "id": _ID,
            "version": "1.0.1",
            "meshUUID": self._uuid(),
            "meshName": self.plan.name,
            "timestamp": _TIMESTAMP,
            "partial": False,
            "netKeys": [self._key(name="primary", phase=0, minSecurity="secure", timestamp=_TIMESTAMP)],
            "appKeys": [self._key(name="meshtwin", boundNetKey=0)],
            "provisioners": [],
            "nodes": [self._node(index) for index in range(self.plan.count)],
            "groups": [],
            "scenes": [],
        }

    def _node(self, index: int) -> dict[str, Any]:
        plan, gateway = self.plan, index in self.plan.gateway_indices
        return {
            "UUID": self._uuid(),
            "unicastAddress": f"{plan.address_of(index):04X}",
            "deviceKey": self._hex(16),
            "security": "secure",
            "name": f"gateway {index}" if gateway else f"lamp {index}",
            "cid": f"{COMPANY:04X}",
            "features": {"relay": int(index in plan.relays), "proxy": 2, "friend": 0, "lowPower": 2},
            "elements": [_element(GATEWAY_MODELS if gateway else NODE_MODELS)],
            "netKeys": [{"index": 0, "updated": False}],
            "appKeys": [{"index": 0, "updated": False}],
            "defaultTTL": plan.default_ttl,
            "networkTransmit": _transmit(plan.network_transmit),
            "relayRetransmit": _transmit(plan.relay_retransmit),
            "configComplete": True,
            "excluded": False,
        }

    def _key(self, **more: Any) -> dict[str, Any]:
        return {"index": 0, "key": self._hex(16), **more}

    def _hex(self, length: int) -> str:
        return self.randomness(length).hex().upper()

    def _uuid(self) -> str:
        # Version 4: bluetooth-meshd refuses sixteen bytes that are no UUID.
        return str(UUID(bytes=self.randomness(16), version=4)).upper()


def write(path: Path, plan: SitePlan, randomness: Randomness = secrets.token_bytes) -> SiteFile:
    """Write a site file with new keys, readable by its owner only, and return it as `cdb` reads it.

    `randomness` gives so many random bytes; a seeded one makes the same site again. Raises Misconfigured.
    """
    files.write_file(path, json.dumps(_Writer(plan, randomness).document(), indent=1) + "\n")
    return read(path)


def _element(models: tuple[ModelId, ...]) -> dict[str, Any]:
    listed = [{"modelId": _model(model), "subscribe": [], "bind": []} for model in (_CONFIG_SERVER, *models)]
    return {"index": 0, "location": "0000", "models": listed}


def _model(model: ModelId) -> str:
    return f"{model.model:04X}" if model.company is None else f"{model.company:04X}{model.model:04X}"


def _transmit(state: Transmit) -> dict[str, int]:
    return {"count": state.count, "interval": state.interval_ms}
