"""The keys that a node holds, found by what a message shows of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from common.errors import Misconfigured, Rejected, RejectReason
from firmware_bridge.stack.key_refresh import Phase, Subnet
from firmware_bridge.stack.keys import ApplicationKey, DeviceKey, NetworkKey
from firmware_bridge.stack.upper import virtual_address


@dataclass(slots=True)
class Keyring:
    """Network keys by index, application keys by index, device keys by the primary address of their node, and
    Label UUIDs by virtual address.

    `renewed` are application keys that will replace those in `applications`, in step with the key refresh of
    their subnet (3.11.4): see `renew_application`.
    """

    subnets: dict[int, Subnet]
    applications: dict[int, ApplicationKey] = field(default_factory=dict)
    devices: dict[int, DeviceKey] = field(default_factory=dict)
    labels: dict[int, list[bytes]] = field(default_factory=dict)
    renewed: dict[int, ApplicationKey] = field(default_factory=dict)

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
        """The keys, of every phase, that a network PDU with this NID may be under (3.4.4.2)."""
        for subnet in self.subnets.values():
            for key in subnet.receive:
                if key.credentials.nid == nid:
                    yield key

    def application_keys(self, aid: int, net_index: int) -> Iterator[ApplicationKey]:
        """The keys of a subnet, of every phase, that an AID may stand for (3.6.4.2)."""
        if self.renewed:
            self._retire()
            for key in self.renewed.values():
                if key.aid == aid and key.net_index == net_index:
                    yield key
        for key in self.applications.values():
            if key.aid == aid and key.net_index == net_index:
                yield key

    def renew_application(self, index: int, key: bytes) -> None:
        """Take in the new bytes of an application key while its subnet's keys are being distributed: from now
        on both receive, and the new one sends from phase 2 on (3.11.4, 4.3.2.38).

        Raises Misconfigured (no such key) and Rejected(INVALID) outside of a key refresh.
        """
        net_index = self.application(index).net_index
        subnet = self.subnets.get(net_index)
        if subnet is None or subnet.phase is not Phase.DISTRIBUTION:
            raise Rejected(RejectReason.INVALID, f"no key refresh of network key {net_index} is in phase 1")
        self.renewed[index] = ApplicationKey(key, index, net_index)

    def _retire(self) -> None:
        """Drop application keys whose subnet has ended its refresh: phase 3 revokes them too (3.11.4.3)."""
        for index, key in list(self.renewed.items()):
            subnet = self.subnets.get(key.net_index)
            if subnet is None or subnet.phase is Phase.NORMAL:
                self.applications[index] = self.renewed.pop(index)

    def transmit_key(self, net_index: int) -> NetworkKey:
        """The key of a subnet to send with (3.11.4). Raises Misconfigured."""
        try:
            return self.subnets[net_index].transmit
        except KeyError as error:
            raise Misconfigured(
                f"there is no network key {net_index}", "put it into the site file"
            ) from error

    def application(self, index: int) -> ApplicationKey:
        """The application key of an index to send with (3.11.4). Raises Misconfigured."""
        if self.renewed:
            self._retire()
            new = self.renewed.get(index)
            if new is not None and self.subnets[new.net_index].phase is Phase.SWITCHED:
                return new
        try:
            return self.applications[index]
        except KeyError as error:
            raise Misconfigured(
                f"there is no application key {index}", "put it into the site file"
            ) from error

    def device(self, address: int) -> DeviceKey:
        """A node's device key (3.9.6.1). Raises Misconfigured."""
        try:
            return self.devices[address]
        except KeyError as error:
            raise Misconfigured(
                f"the device key of 0x{address:04x} is not known", "put the node into the site file"
            ) from error
