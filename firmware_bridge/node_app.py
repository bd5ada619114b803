"""The node side on BlueZ: lamps that monitor their links, many nodes and their daemons in one process.

Each node answers Generic OnOff and the few Health questions, probes and reports like PROTOCOL.md says, and
reboots on a restart message: it forgets what a lamp forgets, keeps its keys, and attaches anew.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from common import logs
from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Misconfigured
from common.logs import Logger, get_logger
from common.mesh import cdb
from common.mesh.addresses import parse as parse_address
from common.mesh.addresses import show
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffSet, OnOffSetUnacknowledged, OnOffStatus
from firmware_bridge.access.health import AttentionGet, AttentionSet, AttentionStatus, FaultGet, FaultStatus
from firmware_bridge.access.link_monitor import COMPANY, Restart, RestartStatus
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez.node import AttachedNode
from firmware_bridge.bluez.own_node import OwnNode, Surroundings
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.foundation.commissioner import NODE_MODELS

# The answer to a restart message is on its way before the node goes.
_RESTART_DELAY_S: Final = 0.3
_RESTARTS_REMEMBERED: Final = 32

# What reboots the machine under a node (the lab restarts the daemon); without it the node attaches anew.
RestartHook = Callable[[int], Awaitable[None]]


class Lamp:
    """A node with a lamp: the `Role` of everything that `run` runs."""

    def __init__(
        self, surroundings: Surroundings, address: int, restart_hook: RestartHook | None = None
    ) -> None:
        self._clock = surroundings.clock
        self._log = surroundings.log.bind(node=show(address))
        self._restart_hook = restart_hook
        self._restart = asyncio.Event()
        self._detach = asyncio.Event()
        # Tokens of restarts that were obeyed, so that a repeated message reboots once.
        self._restarts: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.own = OwnNode(replace(surroundings, log=self._log), address, NODE_MODELS, self)
        self.on = False

    async def run(self) -> None:
        """Be a lamp until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.own.run())
            tasks.create_task(self._reboot_when_told())

    async def serve(self, node: AttachedNode) -> None:
        self._log.info("node-attached")
        self._detach.clear()
        await self._detach.wait()

    async def _reboot_when_told(self) -> None:
        """Not a part of `serve`, which ends when the hook takes the daemon away."""
        while True:
            await self._restart.wait()
            self._restart.clear()
            await self._clock.sleep(_RESTART_DELAY_S)
            self._log.info("node-restarts")
            self.on = False
            if self._restart_hook is None:
                self._detach.set()
                continue
            try:
                await self._restart_hook(self.own.address)
            except MeshtwinError as error:
                self._log.warning("node-restart-failed", error=error)

    def detached(self, error: MeshtwinError) -> None:
        self._log.debug("node-detached", error=error)

    def device_message(self, source: int, parsed: AccessMessage | Opaque) -> None:
        """Config messages are the daemon's."""

    def message(self, source: int, destination: int, payload: bytes, parsed: AccessMessage | Opaque) -> None:
        answer = self._answer(source, parsed)
        if answer is not None:
            self.own.reply(source, answer)

    def _answer(self, source: int, parsed: AccessMessage | Opaque) -> AccessMessage | None:
        match parsed:
            case OnOffGet():
                return OnOffStatus(self.on)
            case OnOffSet(on=on):
                self.on = on
                return OnOffStatus(on)
            case OnOffSetUnacknowledged(on=on):
                self.on = on
            case FaultGet(company=company) if company == COMPANY:
                return FaultStatus(0, company)
            case AttentionGet() | AttentionSet():
                return AttentionStatus(0)
            case Restart(token=token):
                self._obey_restart(source, token)
                return RestartStatus(token)
        return None

    def _obey_restart(self, source: int, token: int) -> None:
        if (source, token) in self._restarts:
            return
        self._restarts[(source, token)] = None
        if len(self._restarts) > _RESTARTS_REMEMBERED:
            self._restarts.popitem(last=False)
        self._restart.set()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where node_app finds things. `daemons` maps a node's unicast address to its daemon."""

    site_file: Path
    state_dir: Path
    daemons: Mapping[int, DaemonPlace]


async def run(
    settings: Settings,
    clock: Clock | None = None,
    seed: int | None = None,
    restart_hook: RestartHook | None = None,
) -> None:
    """Run every node of `settings` until cancelled. Raises Misconfigured.

    A node whose daemon is away keeps trying by itself and does not disturb the others.
    """
    site = cdb.read(settings.site_file)
    tokens = TokenStore(settings.state_dir / "tokens")
    log = get_logger(__name__)
    async with asyncio.TaskGroup() as tasks:
        for address, place in settings.daemons.items():
            # Seeded by address: nodes differ from each other and repeat from run to run.
            random = Random(None if seed is None else f"{seed}/{address}")
            surroundings = Surroundings(site, place, tokens, clock or SystemClock(), random, log)
            tasks.create_task(Lamp(surroundings, address, restart_hook).run())


def main(arguments: list[str] | None = None) -> int:
    """`python -m firmware_bridge.node_app --site-file F --state-dir D [--bus-address A] NODE[=PID] …`."""
    options = _parser().parse_args(arguments)
    logs.configure(options.log_level)
    try:
        settings = Settings(
            options.site_file, options.state_dir, dict(_daemon(options, node) for node in options.nodes)
        )
        asyncio.run(_run_until_told(settings, options.seed, get_logger(__name__)))
    except MeshtwinError as error:
        print(f"node_app: {error}", file=sys.stderr)
        return 2 if isinstance(error, Misconfigured) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="node_app", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--site-file", type=Path, required=True, help="Mesh Configuration Database JSON")
    parser.add_argument("--state-dir", type=Path, required=True, help="where the daemons' tokens are kept")
    parser.add_argument("--bus-address", help="D-Bus address; the system bus by default")
    parser.add_argument("--seed", type=int, help="for repeatable jitter")
    parser.add_argument("--log-level", default="info")
    parser.add_argument(
        "nodes",
        nargs="+",
        metavar="NODE[=PID]",
        help="unicast address of a node, and the pid of its daemon where several share the bus",
    )
    return parser


def _daemon(options: argparse.Namespace, node: str) -> tuple[int, DaemonPlace]:
    address, _, pid = node.partition("=")
    if pid and not pid.isdecimal():
        raise Misconfigured(f"{pid[:20]!r} is not a process id", "write NODE=PID, such as 0x0105=4711")
    return parse_address(address), DaemonPlace(options.bus_address, int(pid) if pid else None)


async def _run_until_told(settings: Settings, seed: int | None, log: Logger) -> None:
    """Run until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await run(settings, seed=seed)
    except asyncio.CancelledError:
        log.info("node-app-stops")
    except BaseExceptionGroup as errors:
        known, unknown = errors.split(MeshtwinError)
        if unknown is not None or known is None:
            raise
        raise known.exceptions[0] from None


if __name__ == "__main__":
    sys.exit(main())
