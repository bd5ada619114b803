"""The configuration of our own node, asked and answered on this machine.

It has the states that a `NodeConfiguration` names, and no relay: behind a proxy nobody would hear it. Config
messages from elsewhere are not answered: what this gateway does is its own configuration file's.
"""

from __future__ import annotations

from typing import Final

from common.mesh.configuration import Transmit
from firmware_bridge.access.config_state import (
    DefaultTtlGet,
    DefaultTtlSet,
    DefaultTtlStatus,
    NetworkTransmitGet,
    NetworkTransmitSet,
    NetworkTransmitStatus,
    RelayGet,
    RelaySet,
    RelayState,
    RelayStatus,
)
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.bearers.bearer import AdvertisingBearer, Bearer
from firmware_bridge.stack.node import StackNode

_ONCE: Final = Transmit(1, 10)
_NO_RELAY: Final = RelayStatus(RelayState.UNSUPPORTED, _ONCE)


class OwnConfig:
    """States of `node`. Network transmit is also the bearer's, where that repeats anything."""

    def __init__(self, node: StackNode, bearer: Bearer) -> None:
        self._node = node
        self._advertises = bearer if isinstance(bearer, AdvertisingBearer) else None
        self._transmit = _ONCE if self._advertises is None else self._advertises.network_transmit

    def answer(self, question: AccessMessage | Opaque) -> AccessMessage | None:
        """The answer to a Config message; None for what our own node does not have."""
        match question:
            case DefaultTtlGet():
                return DefaultTtlStatus(self._node.default_ttl)
            case DefaultTtlSet(ttl=ttl):
                self._node.default_ttl = ttl
                return DefaultTtlStatus(ttl)
            case NetworkTransmitGet():
                return NetworkTransmitStatus(self._transmit)
            case NetworkTransmitSet(transmit=transmit):
                self._transmit = transmit
                if self._advertises is not None:
                    self._advertises.network_transmit = transmit
                return NetworkTransmitStatus(transmit)
            case RelayGet() | RelaySet():
                return _NO_RELAY
        return None
