"""What an operator who adds and removes nodes needs of a link, beside a MeshLink. No policy gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.provisioning.bearer import ProvisioningBearer


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What a new node has to be told of the network. `iv_update`: an update is in progress (3.11.5)."""

    iv_index: int
    iv_update: bool = False


@dataclass(frozen=True, slots=True)
class Administration:
    """`client` asks nodes' Config servers. `network` is None where the link does not know the IV index: then
    nothing can be provisioned. `bearers` lead to unprovisioned devices."""

    client: ConfigClient
    network: Callable[[], NetworkState | None]
    bearers: tuple[ProvisioningBearer, ...] = ()
