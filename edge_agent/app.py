"""Builds the agent from its configuration: the only module here that names concrete links and transports."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import Any

from common import __version__, tls
from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.logs import get_logger
from common.mesh.addresses import show
from common.mesh.cdb import SiteFile
from common.mesh.site_changes import SiteChanges
from common.messages import Status
from common.notify import Notifier, from_environment
from common.topics import Channel
from edge_agent.agent import Agent
from edge_agent.api import LocalApi
from edge_agent.config import AgentConfig
from edge_agent.identity import pair
from edge_agent.identity.pair import Identity
from edge_agent.identity.renewal import Renewal
from edge_agent.models.errands import Errands
from edge_agent.models.request import Source
from edge_agent.models.store import Store
from edge_agent.models.supply import ModelSupply
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.store import read_site, site_store
from edge_agent.observe.host import Host, HostObserver
from edge_agent.observe.site_file import SiteFileWatch
from edge_agent.observe.uplink import UplinkMeter
from edge_agent.service.heartbeat import Heartbeat
from edge_agent.share.instructions import Instructions
from edge_agent.share.mqtt import BrokerLine
from edge_agent.share.outbox import Outbox
from edge_agent.share.peers import SitePeers
from edge_agent.share.session import Endpoint
from edge_agent.supervisor import Supervisor, single_instance, stopped_by_signals
from firmware_bridge.link import KeyKeeper, MeshLink
from firmware_bridge.provisioning.administration import Administration

log = get_logger(__name__)

RETRY_OPEN_S = 2.0
CLOSE_LINK_S = 3.0


async def run(config: AgentConfig, notifier: Notifier | None = None) -> None:
    """Be the agent until SIGTERM or SIGINT; `notifier` leads to the service manager.

    Raises Misconfigured, PartFailed (an essential part ended).
    """
    clock = SystemClock()
    with single_instance(config.gateway.state_dir):
        async with AsyncExitStack() as stack:
            site_file = read_site(site_store(config))
            outbox = await stack.enter_async_context(_outbox(config, clock))
            running = _Running(config, clock, site_file, outbox, notifier or Notifier())
            stack.push_async_callback(running.close_link)
            stack.callback(running.leave_worker)
            supervisor = running.supervised()
            with stopped_by_signals(supervisor):
                log.info("agent-started", site=config.gateway.site, gateway=config.gateway.id)
                await supervisor.run()
    log.info("agent-stopped", gateway=config.gateway.id)


class _Running:
    """The parts of one agent, and what they tell each other."""

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        site_file: SiteFile | None,
        outbox: Outbox,
        notifier: Notifier,
    ) -> None:
        self._config = config
        self._clock = clock
        self._outbox = outbox
        self._site_file = site_file
        self._link = make_link(config, site_file, clock)
        meter = UplinkMeter()
        identity = pair.current(config)
        self._line = BrokerLine(
            _endpoint(config, identity),
            config.gateway.site,
            outbox,
            self._status,
            config.status.period_s,
            clock,
            meter,
            Random(),
        )
        self._peers = SitePeers(config.gateway.site, config.gateway.id, self._line, clock)
        self._host = HostObserver(
            Host(clock, config.gateway.state_dir, uplink=meter.metrics),
            clock,
            config.monitoring.host_period_s,
            outbox.append,
        )
        self._agent = Agent(config, self._link, site_file, outbox, self._peers, clock)
        self._agent.on_action = self._line.publish_soon
        # One thread, which exists from the first model on.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        store = Store(config.gateway.state_dir / "models")
        self._models = ModelSupply(
            store,
            Errands(store, lambda: _model_source(config)),
            self._agent.forecasting,
            self._worker,
            clock,
            Random(),
            announce=self._agent.announce,
            warn=self._agent.warn,
            changed=self._line.publish_soon,
        )
        self._renewal = Renewal(
            config,
            identity,
            lambda changed: self._line.use(_endpoint(config, changed)),
            clock,
            Random(),
            announce=self._agent.announce,
            warn=self._agent.warn,
        )
        self._line.complaints.hint = self._renewal.hint
        self._instructions = Instructions(
            self._line.instructions,
            {Channel.DESIRED: self._models.want, Channel.COMMAND: self._agent.commands.take},
            self._agent.warn,
            clock,
        )
        self._store = site_store(config)
        self._watch = None if site_file is None else self._site_watch(site_file)
        self._desk = self._node_desk()
        questions = {"ping": self._ping, "relay": self._relay, **self._desk.questions()}
        self._api = LocalApi(config.socket, {"status": self._summary}, questions=questions)
        self._heartbeat = Heartbeat(notifier, clock, self._api.serving.is_set, self._story)
        self._agent.loop.on_turn = self._heartbeat.beat

    def supervised(self) -> Supervisor:
        """A supervisor that owns every part. Essential are those without which nothing is healed."""
        supervisor = Supervisor(self._clock)
        supervisor.on_stop = self._heartbeat.stopping
        self._agent.recover()
        parts = self._agent.parts()
        reader = parts.pop("reader")
        supervisor.essential("mesh", lambda: self._mesh(reader))
        for name in ("decisions", "executor"):
            supervisor.essential(name, parts.pop(name))
        supervisor.essential("outbox", self._outbox.run)
        for name, part in parts.items():
            supervisor.optional(name, part)
        supervisor.optional("broker", self._line.run)
        supervisor.optional("identity", self._renewal.run)
        supervisor.optional("peers", self._peers.run)
        supervisor.optional("host", self._host.run)
        if self._watch is not None:
            supervisor.optional("site-file", self._watch.run)
        supervisor.optional("nodes", self._desk.run)
        supervisor.optional("api", self._api.run)
        supervisor.optional("models", self._models.run)
        supervisor.optional("instructions", self._instructions.run)
        return supervisor

    def _site_watch(self, site_file: SiteFile) -> SiteFileWatch:
        store, own, agent = self._store, self._config.gateway.address, self._agent
        assert store is not None
        return SiteFileWatch(
            store.path,
            site_file,
            own,
            self._clock,
            self._adopt,
            agent.announce,
            agent.warn,
            read=lambda _: store.read().site,
        )

    def _node_desk(self) -> Desk:
        async def nothing() -> None:
            """A virtual site has no file to take over."""

        refresh = nothing if self._watch is None else self._watch.look
        return Desk(
            self._config.gateway.address,
            self._store,
            administration_of(self._link, self._config),
            refresh,
            self._clock,
            self._agent.announce,
        )

    async def _adopt(self, site_file: SiteFile, changes: SiteChanges) -> None:
        self._agent.adopt_site_file(site_file, changes)
        if isinstance(self._link, KeyKeeper):
            await self._link.adopt(site_file, {*changes.added, *changes.rekeyed})

    async def close_link(self) -> None:
        """Detach from the mesh, in bounded time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LINK_S):
                await self._link.close()

    def leave_worker(self) -> None:
        """Give the models' thread nothing more to do; it ends with what it is at."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _mesh(self, reader: Any) -> None:
        """Attach, however long the daemon takes to come, then read events."""
        complained = False
        while True:
            try:
                await self._link.open()
                break
            except Unavailable as error:
                if not complained:
                    self._agent.announce("mesh-unavailable", reason=str(error)[:200])
                complained = True
                await self._clock.sleep(RETRY_OPEN_S)
        await reader()

    def _status(self) -> Status:
        alive, known = self._agent.counts()
        acting = self._agent.acting
        homes: dict[str, list[int]] = {}
        if acting:
            for node, home in sorted(self._agent.decider.homes.items()):
                homes.setdefault(home, []).append(node)
        return Status(
            site=self._config.gateway.site,
            gateway=self._config.gateway.id,
            time=self._clock.wall(),
            online=True,
            period_s=self._config.status.period_s,
            version=__version__,
            address=self._config.gateway.address,
            link=self._config.mesh.link,
            mesh_up=self._agent.site.mesh_up,
            acting=acting,
            epoch=self._outbox.epoch,
            oldest=self._outbox.acked + 1,
            queued=self._outbox.queued,
            dropped=self._outbox.dropped,
            nodes_alive=alive,
            nodes_known=known,
            cpu_percent=self._host.last.get("cpu_percent"),
            memory_percent=self._host.last.get("memory_percent"),
            probe_period_s=self._agent.monitoring.period_s,
            forecaster=self._agent.forecasting.best,
            models=self._models.states(),
            homes=homes,
            relays=sorted(self._agent.site.relays()),
        )

    def _summary(self) -> dict[str, Any]:
        view = self._peers.view()
        return {
            **self._agent.summary(),
            "models": [state.model_dump() for state in self._models.states()],
            "version": __version__,
            "broker": self._broker(),
            "certificate": self._renewal.summary(),
            "peers": {name: name in view.live for name in sorted(view.known)},
            "outbox": {
                "epoch": f"{self._outbox.epoch:016x}",
                "queued": self._outbox.queued,
                "acknowledged": self._outbox.acked,
                "dropped": self._outbox.dropped,
                "trouble": self._outbox.trouble,
            },
            "host": {name: round(value, 3) for name, value in self._host.last.items() if value == value},
        }

    def _story(self) -> str:
        """One line for the service manager."""
        alive, known = self._agent.counts()
        mesh = f"{alive} of {known} nodes alive" if self._agent.site.mesh_up else "mesh down"
        role = self._agent.loop.role.value
        return f"{mesh}, {role}, broker {self._broker()}, {self._outbox.queued} messages waiting"

    def _broker(self) -> str:
        if not self._line.connected:
            return f"away: {self._line.complaints.reason}" if self._line.complaints.reason else "away"
        return "refuses this gateway (revoked? enrol it again)" if self._line.unwelcome else "connected"

    async def _ping(self, request: dict[str, Any]) -> dict[str, float]:
        seconds = await self._agent.operator.ping(request.get("node"), request.get("timeout_s", 1.0))
        return {"round_trip_s": round(seconds, 4)}

    async def _relay(self, request: dict[str, Any]) -> dict[str, Any]:
        configuration = await self._agent.operator.set_relay(request.get("node"), request.get("relay"))
        return {"node": show(configuration.address), "relay": configuration.relay}


def make_link(config: AgentConfig, site_file: SiteFile | None, clock: Clock) -> MeshLink:
    """The link that the configuration asks for; its code is loaded only then."""
    mesh, gateway = config.mesh, config.gateway
    if mesh.link == "virtual":
        from common import scenario
        from firmware_bridge.virtual import VirtualLink, VirtualSite, virtual_site

        if mesh.scenario is not None:
            site = VirtualSite.from_scenario(
                scenario.read(mesh.scenario), loss=mesh.loss, gateways=[gateway.address]
            )
        else:
            site = virtual_site(mesh.nodes, mesh.seed, loss=mesh.loss)
        return VirtualLink(site, gateway.address, clock, control=mesh.control)
    if mesh.link == "stack":
        return _stack_link(config, site_file, clock)
    from firmware_bridge.bluez.attachment import DaemonPlace
    from firmware_bridge.bluez_mesh import BluezMeshLink, BluezSettings

    assert site_file is not None  # `load_config` refuses a bluez link without one
    place = DaemonPlace(mesh.bus_address, mesh.daemon_pid)
    return BluezMeshLink(BluezSettings(site_file, gateway.address, gateway.state_dir, place), clock)


def _stack_link(config: AgentConfig, site_file: SiteFile | None, clock: Clock) -> MeshLink:
    from firmware_bridge.stack_mesh import StackMeshLink, StackSettings

    assert site_file is not None  # `load_config` refuses a stack without one
    mesh, gateway = config.mesh, config.gateway
    settings = StackSettings(site_file, gateway.address, gateway.state_dir)
    if mesh.bearer == "air":
        from firmware_bridge.bearers.air import AirBearer, AirPlace

        assert mesh.air is not None  # likewise
        return StackMeshLink(settings, AirBearer(AirPlace(mesh.air, mesh.air_node), clock=clock), clock)
    from firmware_bridge.bearers.gatt_proxy import GattProxySettings
    from firmware_bridge.stack_link.over_proxy import link_over_proxy

    return link_over_proxy(settings, GattProxySettings(adapter=mesh.adapter), clock)


def administration_of(link: MeshLink, config: AgentConfig) -> Administration | None:
    """What the operator may do with nodes over this link; None for a virtual site."""
    if config.mesh.link == "virtual":
        return None
    from edge_agent.nodes.access import bluez_administration, stack_administration

    return (stack_administration if config.mesh.link == "stack" else bluez_administration)(link, config)


def main(config: AgentConfig) -> None:
    """The daemon's body. Raises as `run` does."""
    asyncio.run(run(config, from_environment()))


def _outbox(config: AgentConfig, clock: Clock) -> Outbox:
    cap = int(config.outbox.cap_mib * (1 << 20))
    return Outbox(config.gateway.state_dir / "outbox.db", clock, cap, config.outbox.event_share)


def _endpoint(config: AgentConfig, identity: Identity) -> Endpoint:
    broker = config.broker
    context = tls.client_context(identity.ca, identity.certificate, identity.key)
    return Endpoint(broker.host, broker.port, config.gateway.id, context)


def _model_source(config: AgentConfig) -> Source:
    """Where models are served, and the identity that this gateway has now."""
    identity = pair.current(config)
    return Source(
        host=config.coordinator_host,
        port=config.coordinator.port,
        ca=str(identity.ca),
        certificate=str(identity.certificate),
        key=str(identity.key),
    )
