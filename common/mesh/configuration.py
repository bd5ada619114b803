"""A node's configuration as far as meshtwin reads and changes it (Mesh Protocol 1.1, section 4.2).

`None` in a configuration means "not known yet", in a change "leave as it is".
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX, check_unicast


@dataclass(frozen=True, slots=True)
class Transmit:
    """Network transmit (4.2.19) or relay retransmit (4.2.20) state.

    `count` is the number of *transmissions*, 1 to 8: the specification's count field plus one.
    `interval_ms` lies between two transmissions, 10 to 320 in steps of 10.
    """

    count: int
    interval_ms: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 8:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{self.count} transmissions; 1 to 8 are possible")
        if not 10 <= self.interval_ms <= 320 or self.interval_ms % 10:
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"interval {self.interval_ms} ms; 10, 20 … 320 are possible"
            )


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """What is known of a node's configuration. `relay` is None also while unknown; see `relay_supported`."""

    address: int
    relay: bool | None = None
    relay_supported: bool = True
    default_ttl: int | None = None
    network_transmit: Transmit | None = None
    relay_retransmit: Transmit | None = None

    def __post_init__(self) -> None:
        check_unicast(self.address)
        _check_ttl(self.default_ttl)

    def over(self, before: NodeConfiguration) -> NodeConfiguration:
        """What is known when this came after `before`: the newer value where there is one."""
        return NodeConfiguration(
            address=self.address,
            relay=before.relay if self.relay is None else self.relay,
            relay_supported=self.relay_supported,
            default_ttl=before.default_ttl if self.default_ttl is None else self.default_ttl,
            network_transmit=self.network_transmit or before.network_transmit,
            relay_retransmit=self.relay_retransmit or before.relay_retransmit,
        )


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What to change on one node. An empty change reads the node's configuration and changes nothing."""

    relay: bool | None = None
    default_ttl: int | None = None
    network_transmit: Transmit | None = None
    relay_retransmit: Transmit | None = None

    def __post_init__(self) -> None:
        _check_ttl(self.default_ttl)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def undo(self, before: NodeConfiguration) -> ConfigurationChange:
        """The change that brings back what `before` knows of the values this one touches."""
        return ConfigurationChange(
            relay=before.relay if self.relay is not None else None,
            default_ttl=before.default_ttl if self.default_ttl is not None else None,
            network_transmit=before.network_transmit if self.network_transmit is not None else None,
            relay_retransmit=before.relay_retransmit if self.relay_retransmit is not None else None,
        )


def _check_ttl(ttl: int | None) -> None:
    # Default TTL may be 0 or 2 to 127 (section 4.2.8): 1 is prohibited, as nobody may relay it.
    if ttl is not None and (ttl == 1 or not 0 <= ttl <= TTL_MAX):
        raise Rejected(RejectReason.OUT_OF_RANGE, f"default TTL {ttl}; 0 and 2 to {TTL_MAX} are possible")
