"""Keeping one node attached to its `bluetooth-meshd`, over deaths and returns of the daemon and of the bus.

A node is imported once, with the keys of the site file, and attached by its token ever after.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from dbus_fast import Variant

from common.clock import Clock
from common.errors import Corrupt, MeshtwinError, Misconfigured, Unavailable
from common.logs import Logger
from common.mesh.addresses import show
from common.mesh.cdb import Secret, SiteFile
from common.tasks import together
from firmware_bridge.bluez.application import ROOT, Application
from firmware_bridge.bluez.bus import Bus
from firmware_bridge.bluez.errors import InUse, NotKnown
from firmware_bridge.bluez.node import AttachedNode
from firmware_bridge.bluez.tokens import TokenStore

SERVICE: Final = "org.bluez.mesh"
_PATH: Final = "/org/bluez/mesh"
_NETWORK: Final = "org.bluez.mesh.Network1"
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_JOIN_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class DaemonPlace:
    """Where the daemon is: the owner of `org.bluez.mesh` on the system bus, or on the bus at `bus_address`
    the process `pid`. A daemon that came back under another pid is found by the token it accepts."""

    bus_address: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What makes a node: its UUID, its keys and its primary unicast address."""

    uuid: bytes
    address: int
    device_key: Secret = field(repr=False)
    net_key: Secret = field(repr=False)
    net_key_index: int = 0
    iv_index: int = 0

    @classmethod
    def of(cls, site: SiteFile, address: int) -> NodeIdentity:
        """The identity of a node of a site. Raises Misconfigured."""
        node = site.node(address)
        net_key = site.net_keys[0]
        try:
            uuid = bytes.fromhex(node.uuid.replace("-", ""))
        except ValueError:
            uuid = b""
        if len(uuid) != 16:
            raise Misconfigured(
                f"node {show(address)} of the site file has no UUID of 16 bytes", "export it again"
            )
        return cls(uuid, address, node.device_key, net_key.key, net_key.index)


class Attachment:
    """Owns the way to one daemon. `serve` runs while attached and is cancelled when the daemon is gone;
    an error that it raises ends the attachment and a new one is tried."""

    def __init__(
        self,
        identity: NodeIdentity,
        place: DaemonPlace,
        tokens: TokenStore,
        clock: Clock,
        log: Logger,
    ) -> None:
        self._identity = identity
        self._place = place
        self._tokens = tokens
        self._clock = clock
        self._log = log
        self._pids: dict[str, int] = {}
        self._joined: asyncio.Future[int] | None = None

    def joined(self, token: int) -> None:
        """Store the token of a fresh import; for `Application`. Raises Misconfigured."""
        try:
            self._tokens.write(self._identity.uuid, token)
        except MeshtwinError as error:
            self._settle_import(error)
            raise
        self._settle_import(token)

    def join_failed(self, reason: str) -> None:
        """The daemon refuses the node; for `Application`."""
        problem = f"the daemon refuses the node: {reason}"
        self._settle_import(Misconfigured(problem, "check the keys of the site file"))

    def _settle_import(self, outcome: int | MeshtwinError) -> None:
        if self._joined is None or self._joined.done():
            return
        if isinstance(outcome, MeshtwinError):
            self._joined.set_exception(outcome)
        else:
            self._joined.set_result(outcome)

    async def run(
        self,
        application: Application,
        serve: Callable[[AttachedNode], Awaitable[None]],
        failed: Callable[[MeshtwinError], None],
    ) -> NoReturn:
        """Attach, serve, and begin again, until cancelled. `failed` hears of every end and failed attempt."""
        pause = _FIRST_PAUSE_S
        while True:
            started = self._clock.monotonic()
            try:
                await self._session(application, serve)
            except MeshtwinError as error:
                failed(error)
            if self._clock.monotonic() - started > 5.0:
                pause = _FIRST_PAUSE_S
            await self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.6)

    async def _session(
        self, application: Application, serve: Callable[[AttachedNode], Awaitable[None]]
    ) -> None:
        async with Bus(self._place.bus_address) as bus:
            bus.serve(application.handle)
            daemon, path = await self._find_and_attach(bus, application)
            vanished = await bus.watch(daemon)
            # The daemon may have gone before the watch stood.
            await bus.pid(daemon)
            node = AttachedNode(bus, daemon, path, self._identity.address)
            async with together() as tasks:
                tasks.create_task(_serve_until_gone(serve, node))
                tasks.create_task(_end_after(vanished, "bluetooth-meshd left the bus"))
                tasks.create_task(_end_after(bus.closed, "the message bus closed"))

    async def _find_and_attach(self, bus: Bus, application: Application) -> tuple[str, str]:
        """The daemon and the node's path on it. A node without a token is imported."""
        token = self._stored_token()
        meant = await self._meant(bus)
        if token is not None:
            others = await self._others(bus) if self._place.pid is not None else []
            for daemon in [*meant, *others]:
                application.daemon = daemon
                try:
                    return daemon, await self._attach(bus, daemon, token)
                except NotKnown:
                    continue  # another node's daemon, or one that lost its storage
                except InUse:
                    raise
                except MeshtwinError:
                    if daemon in meant:
                        raise
        if not meant:
            raise Unavailable(f"no bluetooth-meshd is at {self._place}")
        if token is not None:
            self._log.warning("node-unknown-to-daemon", node=show(self._identity.address))
        application.daemon = meant[0]
        return meant[0], await self._attach(bus, meant[0], await self._import(bus, meant[0]))

    async def _meant(self, bus: Bus) -> list[str]:
        """The daemon that the place names, if it is there: the one where a node may be imported."""
        if self._place.pid is None:
            return [await bus.owner(SERVICE)]
        return [name for name in await bus.names() if await self._pid(bus, name) == self._place.pid]

    async def _others(self, bus: Bus) -> list[str]:
        """Who else may be our daemon, back under another pid."""
        strangers = (0, os.getpid(), self._place.pid)
        return [name for name in await bus.names() if await self._pid(bus, name) not in strangers]

    async def _pid(self, bus: Bus, name: str) -> int:
        """The pid of a unique name, 0 if it left meanwhile; unique names are never used again."""
        if name not in self._pids:
            if len(self._pids) > 4096:
                self._pids.clear()
            try:
                self._pids[name] = await bus.pid(name)
            except Unavailable:
                return 0
        return self._pids[name]

    async def _attach(self, bus: Bus, daemon: str, token: int) -> str:
        path, _ = await bus.call(daemon, _PATH, _NETWORK, "Attach", "ot", [ROOT, token])
        return str(path)

    async def _import(self, bus: Bus, daemon: str) -> int:
        """Make the node known to the daemon; its token, which is stored by then."""
        who = self._identity
        flags = {"IvUpdate": Variant("b", False), "KeyRefresh": Variant("b", False)}
        key, net_key = who.device_key.reveal(), who.net_key.reveal()
        body = [ROOT, who.uuid, key, net_key, who.net_key_index, flags, who.iv_index, who.address]
        self._joined = asyncio.get_running_loop().create_future()
        try:
            await bus.call(daemon, _PATH, _NETWORK, "Import", "oayayayqa{sv}uq", body)
            # The daemon then calls JoinComplete with the token, or JoinFailed.
            async with asyncio.timeout(_JOIN_TIMEOUT_S):
                return await self._joined
        except InUse as error:
            raise Misconfigured(
                f"the daemon knows node {show(who.address)}, but its token is lost",
                "remove the node's folder from the daemon's storage, and restart the daemon",
            ) from error
        except TimeoutError as error:
            raise Unavailable("the daemon imports the node but gives no token") from error
        finally:
            joined, self._joined = self._joined, None
            if joined.done() and not joined.cancelled():
                joined.exception()  # seen, even where the call failed first

    def _stored_token(self) -> int | None:
        try:
            return self._tokens.read(self._identity.uuid)
        except Corrupt as error:
            self._log.warning("token-corrupt", node=show(self._identity.address), error=error)
            return None


class _Served(Unavailable):
    """`serve` came to its end by itself."""


async def _serve_until_gone(serve: Callable[[AttachedNode], Awaitable[None]], node: AttachedNode) -> None:
    await serve(node)
    raise _Served("the application detached")


async def _end_after(event: asyncio.Event, reason: str) -> None:
    await event.wait()
    raise Unavailable(reason)
