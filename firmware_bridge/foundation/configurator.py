"""Reading and changing nodes' configuration: the Config messages of a change, and what nodes said last."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace

from common.errors import NotSupported
from common.mesh.addresses import check_unicast, show
from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit
from common.tasks import together
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
from firmware_bridge.foundation.config_client import ConfigClient


class Configurator:
    """Applies changes by a Config client and remembers what each node stated; `stated` hears of news."""

    def __init__(self, client: ConfigClient, stated: Callable[[NodeConfiguration], None]) -> None:
        self._client = client
        self._stated = stated
        self._known: dict[int, NodeConfiguration] = {}

    async def apply(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        """See `MeshLink.configure`. What does not depend on each other is asked at the same time."""
        check_unicast(address)
        steps = self._steps(address, change) if change else self._reads(address)
        async with together() as tasks:
            for step in steps:
                tasks.create_task(step)
        return self._known[address]

    def note(self, address: int, status: AccessMessage | Opaque) -> None:
        """Remember what a node told of its configuration, asked or not."""
        before = self._known.get(address, NodeConfiguration(address))
        match status:
            case DefaultTtlStatus(ttl=ttl):
                after = replace(before, default_ttl=ttl)
            case NetworkTransmitStatus(transmit=transmit):
                after = replace(before, network_transmit=transmit)
            case RelayStatus(state=RelayState.UNSUPPORTED, retransmit=retransmit):
                after = replace(before, relay=False, relay_supported=False, relay_retransmit=retransmit)
            case RelayStatus(state=state, retransmit=retransmit):
                on = state == RelayState.ON
                after = replace(before, relay=on, relay_supported=True, relay_retransmit=retransmit)
            case _:
                return
        self._known[address] = after
        self._stated(after)

    def _reads(self, address: int) -> list[Coroutine[None, None, None]]:
        return [
            self._ask(address, DefaultTtlGet(), DefaultTtlStatus),
            self._ask(address, NetworkTransmitGet(), NetworkTransmitStatus),
            self._ask(address, RelayGet(), RelayStatus),
        ]

    def _steps(self, address: int, change: ConfigurationChange) -> list[Coroutine[None, None, None]]:
        steps = []
        if change.default_ttl is not None:
            steps.append(self._set_ttl(address, change.default_ttl))
        if change.network_transmit is not None:
            steps.append(self._set_transmit(address, change.network_transmit))
        if change.relay is not None or change.relay_retransmit is not None:
            steps.append(self._set_relay(address, change.relay, change.relay_retransmit))
        return steps

    async def _ask(self, address: int, question: AccessMessage, answer: type[AccessMessage]) -> None:
        await self._client.ask(address, question, answer)

    async def _set_ttl(self, address: int, ttl: int) -> None:
        await self._client.ask(
            address, DefaultTtlSet(ttl), DefaultTtlStatus, lambda status: status.ttl == ttl
        )

    async def _set_transmit(self, address: int, transmit: Transmit) -> None:
        await self._client.ask(
            address,
            NetworkTransmitSet(transmit),
            NetworkTransmitStatus,
            lambda status: status.transmit == transmit,
        )

    async def _set_relay(self, address: int, relay: bool | None, retransmit: Transmit | None) -> None:
        known = self._known.get(address)
        # Both values travel in one message: what is not to change has to be known.
        if None in (relay, retransmit) and (known is None or known.relay_retransmit is None):
            await self._ask(address, RelayGet(), RelayStatus)
            known = self._known[address]
        if known is not None and not known.relay_supported:
            raise NotSupported(f"{show(address)} cannot relay")
        on = relay if relay is not None else bool(known and known.relay)
        pace = retransmit or (known and known.relay_retransmit) or Transmit(1, 10)
        wanted = RelaySet(RelayState.ON if on else RelayState.OFF, pace)
        status = await self._client.ask(address, wanted, RelayStatus, lambda status: _fits(wanted, status))
        if status.state == RelayState.UNSUPPORTED:
            raise NotSupported(f"{show(address)} cannot relay")


def _fits(wanted: RelaySet, status: RelayStatus) -> bool:
    """Whether this answers our question: as wanted, or never. Another state may be a late answer."""
    if status.state == RelayState.UNSUPPORTED:
        return True
    return (status.state, status.retransmit) == (wanted.state, wanted.retransmit)
