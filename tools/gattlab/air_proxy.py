"""A virtual GATT proxy on the meshlab's air: bleak on one side, real `bluetooth-meshd` nodes on the other.

    async with Lab(folder, 4, Topology.grid(…)) as mesh, GattLab() as lab:
        proxy = await AirProxy.start(lab, mesh, index=4, key=key, address=0x0B00)
        try: …
        finally: proxy.close()

The topology has one node more than there are daemons: that one is the proxy's.
"""

from __future__ import annotations

from pathlib import Path

from firmware_bridge.stack.keys import NetworkKey
from tools.gattlab.air_port import BEACON, NETWORK_PDU, AirPort
from tools.gattlab.lab import GattLab
from tools.gattlab.proxy_node import ProxyNode
from tools.gattlab.proxy_server import ProxyServer
from tools.meshlab.client import LabClient


class AirProxy:
    """`node` is what a GATT client sees, with its faults; `server` holds the filter and meets the mesh."""

    def __init__(
        self,
        node: ProxyNode,
        sockets: Path,
        index: int,
        key: NetworkKey,
        address: int,
        iv_index: int,
        count: int,
    ) -> None:
        self.node = node
        self.port = AirPort(sockets, index, self._heard, count=count)
        self.server = ProxyServer(key, address, node.send, self._transmit, iv_index=iv_index)
        node.received = self.server.from_client
        node.subscribed = self.server.subscribed

    @classmethod
    async def start(
        cls,
        lab: GattLab,
        mesh: LabClient,
        index: int,
        key: NetworkKey,
        address: int,
        *,
        iv_index: int = 0,
        count: int = 3,
        rssi: int = -60,
    ) -> AirProxy:
        """Node `index` of the mesh as a proxy with the unicast address `address`, which nobody else has.

        It advertises its Network ID, and sends each of its client's PDUs `count` times on the air.
        """
        node = await lab.node(b"\x00" + key.network_id, rssi=rssi)
        sockets = Path(str(mesh.state()["sockets"]))
        return cls(node, sockets, index, key, address, iv_index, count)

    def close(self) -> None:
        """Leave the air. The GATT side ends with its lab."""
        self.port.close()

    def _transmit(self, pdu: bytes) -> None:
        self.port.send(NETWORK_PDU, pdu)

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == NETWORK_PDU:
            self.server.from_air(data)
        elif kind == BEACON:
            self.server.beacon_from_air(data)
