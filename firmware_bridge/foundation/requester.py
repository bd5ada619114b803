"""Acknowledged messages of our own node, and restarts of others: what every link to real nodes does alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from common.errors import NotSupported, Rejected, RejectReason, TimedOut
from common.mesh.addresses import check_unicast, show
from common.mesh.cdb import SiteFile
from firmware_bridge.access import link_monitor
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.link_monitor import Restart, RestartStatus
from firmware_bridge.access.message import build
from firmware_bridge.access.opcodes import opcode_bytes, split
from firmware_bridge.foundation.answers import Answers

_RESTART_WAITS_S: Final = (0.5, 0.8, 1.2, 1.5)


class Requester:
    """Asks over `send`, which is `MeshLink.send`. `answers` is offered what comes in; `restartable` tells
    whether a node can be restarted."""

    def __init__(
        self,
        send: Callable[[int, bytes], Awaitable[None]],
        restartable: Callable[[int], bool],
        random: Random,
    ) -> None:
        self._send = send
        self._restartable = restartable
        self._random = random
        self.answers = Answers()

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        """See `MeshLink.request`."""
        check_unicast(destination)
        opcode_bytes(response)
        with self.answers.expect(destination, response) as inbox:
            await self._send(destination, payload)
            try:
                async with asyncio.timeout(timeout):
                    return await inbox.get()
            except TimeoutError:
                raise TimedOut(f"{show(destination)} did not answer in {timeout:g} s") from None

    async def restart(self, address: int) -> None:
        """See `MeshLink.restart`."""
        check_unicast(address)
        if not self._restartable(address):
            raise NotSupported(f"{show(address)} has no link monitor that restarts it")
        token = self._random.randrange(1 << 16)
        for wait in _RESTART_WAITS_S:
            try:
                payload = await self.request(address, build(Restart(token)), RestartStatus.OPCODE, wait)
            except TimedOut:
                continue
            status = RestartStatus.parse(split(payload)[1])
            if status.token == token and status.status:
                raise Rejected(RejectReason.REFUSED_BY_NODE, f"{show(address)} cannot restart now")
            if status.token == token:
                return
        raise TimedOut(f"{show(address)} did not answer a restart message")


def has_monitor(site: SiteFile, address: int) -> bool:
    """Whether a node has the link monitor; a site file that lists no models of it leaves that open."""
    nodes = (node for node in site.live_nodes() if node.unicast_address == address)
    elements = (element for node in nodes for element in node.elements)
    models = [ModelId.from_site_file(model.model_id) for element in elements for model in element.models]
    return not models or link_monitor.SERVER in models
