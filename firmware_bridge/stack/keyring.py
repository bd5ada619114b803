"""The keys that a node holds, found by what a message shows of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from common.errors import Misconfigured
from firmware_bridge.stack.key_refresh import Subnet
from firmware_bridge.stack.keys import ApplicationKey, DeviceKey, NetworkKey
from firmware_bridge.stack.upper import virtual_address


@dataclass(slots=True)
class Keyring:
    """Network keys by index, application keys by index, device keys by the primary address of their node, and
    Label UUIDs by virtual address."""

    subnets: dict[int, Subnet]
    applications: dict[int, ApplicationKey] = field(default_factory=dict)
    devices: dict[int, DeviceKey] = field(default_factory=dict)
    labels: dict[int, list[bytes]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        network_keys: Mapping[int, bytes],
        application_keys: Mapping[int, tuple[bytes, int]],
        device_keys: Mapping[int, bytes],
        labels: Iterable[bytes] = (),
    ) -> Keyring:
        """From key bytes; an application key comes with the index of its network key."""
        ring = cls(
            {index: Subnet(NetworkKey(key, index)) for index, key in network_keys.items()},
            {i: ApplicationKey(key, i, net) for i, (key, net) in application_keys.items()},
            {address: DeviceKey(key) for address, key in device_keys.items()},
        )
        for label in labels:
            ring.labels.setdefault(virtual_address(label), []).append(label)
        return ring

    def network_keys(self, nid: int) -> Iterator[NetworkKey]:
        """The keys, of every phase, that a network PDU with this NID may be under."""
        for subnet in self.subnets.values():
            for key in subnet.receive:
                if key.credentials.nid == nid:
                    yield key

    def application_keys(self, aid: int, net_index: int) -> Iterator[ApplicationKey]:
        """The keys of a subnet that an AID may stand for."""
        for key in self.applications.values():
            if key.aid == aid and key.net_index == net_index:
                yield key

    def transmit_key(self, net_index: int) -> NetworkKey:
        """The key of a subnet to send with. Raises Misconfigured."""
        try:
            return self.subnets[net_index].transmit
        except KeyError as error:
            raise Misconfigured(
                f"there is no network key {net_index}", "put it into the site file"
            ) from error

    def application(self, index: int) -> ApplicationKey:
        """An application key by its index. Raises Misconfigured."""
        try:
            return self.applications[index]
        except KeyError as error:
            raise Misconfigured(
                f"there is no application key {index}", "put it into the site file"
            ) from error

    def device(self, address: int) -> DeviceKey:
        """A node's device key. Raises Misconfigured."""
        try:
            return self.devices[address]
        except KeyError as error:
            raise Misconfigured(
                f"the device key of 0x{address:04x} is not known", "put the node into the site file"
            ) from error
