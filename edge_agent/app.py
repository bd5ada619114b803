"""Builds the agent from its configuration, and runs it. Only here and in `mesh_link` concrete links and
transports are named."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import TYPE_CHECKING, Any

from common import tls
from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.logs import get_logger
from common.mesh.addresses import show
from common.mesh.cdb import SiteFile
from common.mesh.site_changes import SiteChanges
from common.messages import TaskLoad
from common.notify import Notifier, from_environment
from common.topics import Channel
from edge_agent.account import Account
from edge_agent.agent import Agent
from edge_agent.api import LocalApi
from edge_agent.config import AgentConfig
from edge_agent.identity import pair
from edge_agent.identity.pair import Identity
from edge_agent.identity.renewal import Renewal
from edge_agent.mesh_link import make_link
from edge_agent.models.errands import Errands
from edge_agent.models.request import Source
from edge_agent.models.store import Store
from edge_agent.models.supply import ModelSupply
from edge_agent.nodes.reception import Reception
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
from edge_agent.tasks.reception import KEPT_FOLDER, TaskReception, left_over
from firmware_bridge.link import KeyKeeper, Troubled

if TYPE_CHECKING:
    from edge_agent.nodes.desk import Desk
    from edge_agent.tasks.service import TaskService

log = get_logger(__name__)

RETRY_OPEN_S = 2.0
CLOSE_LINK_S = 3.0


async def run(config: AgentConfig, notifier: Notifier | None = None) -> None:
    """Be the agent until SIGTERM or SIGINT; `notifier` leads to the service manager.

    Raises Misconfigured, Unavailable (another agent runs), PartFailed (an essential part ended).
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
        self._store = site_store(config)
        self._link = make_link(config, site_file, clock)
        identity, meter = pair.current(config), UplinkMeter()
        self._line = self._broker_line(identity, meter)
        self._peers = SitePeers(config.gateway.site, config.gateway.id, self._line, clock)
        self._host = self._host_observer(meter)
        self._agent = Agent(config, self._link, site_file, outbox, self._peers, clock)
        # One thread, which exists from the first model on.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._models = self._model_supply()
        self._renewal = self._certificate_renewal(identity)
        self._instructions = self._instructions_taken()
        self._watch = None if site_file is None else self._site_watch(site_file)
        self._nodes = Reception(self._open_desk)
        self._tasks = self._task_reception()
        self._account = self._own_account()
        self._api = self._local_api()
        self._heartbeat = Heartbeat(notifier, clock, self._api.serving.is_set, self._account.story)
        self._connect()

    def _connect(self) -> None:
        """What a part tells one that is built after it."""
        self._agent.on_action = self._line.publish_soon
        self._agent.loop.on_turn = self._heartbeat.beat
        self._line.complaints.hint = self._renewal.hint

    def _broker_line(self, identity: Identity, meter: UplinkMeter) -> BrokerLine:
        return BrokerLine(
            _endpoint(self._config, identity),
            self._config.gateway.site,
            self._outbox,
            # The account is the last to be built; nothing is sent before.
            lambda: self._account.status(),
            self._config.status.period_s,
            self._clock,
            meter,
            Random(),
            self._config.tier,
        )

    def _host_observer(self, meter: UplinkMeter) -> HostObserver:
        return HostObserver(
            Host(self._clock, self._config.gateway.state_dir, uplink=meter.metrics),
            self._clock,
            self._config.monitoring.host_period_s,
            self._outbox.append,
        )

    def _model_supply(self) -> ModelSupply:
        store = Store(self._config.gateway.state_dir / "models")
        return ModelSupply(
            store,
            Errands(store, lambda: _model_source(self._config)),
            self._agent.forecasting,
            self._worker,
            self._clock,
            Random(),
            announce=self._agent.announce,
            warn=self._agent.warn,
            changed=self._line.publish_soon,
        )

    def _certificate_renewal(self, identity: Identity) -> Renewal:
        return Renewal(
            self._config,
            identity,
            lambda changed: self._line.use(_endpoint(self._config, changed)),
            self._clock,
            Random(),
            announce=self._agent.announce,
            warn=self._agent.warn,
        )

    def _instructions_taken(self) -> Instructions:
        takers = {Channel.DESIRED: self._models.want, Channel.COMMAND: self._agent.commands.take}
        return Instructions(self._line.instructions, takers, self._agent.warn, self._clock)

    def _own_account(self) -> Account:
        return Account(
            self._config,
            self._clock,
            self._agent,
            self._outbox,
            self._line,
            self._peers,
            self._host,
            self._models,
            self._renewal,
            self._tasks,
        )

    def _local_api(self) -> LocalApi:
        questions = {"ping": self._ping, "relay": self._relay, **self._nodes.questions()}
        questions |= self._tasks.questions()
        return LocalApi(self._config.socket, {"status": self._summary}, questions=questions)

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
        supervisor.optional("nodes", self._nodes.run)
        supervisor.optional("tasks", self._tasks.run)
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

    def _open_desk(self) -> Desk:
        # Late: see `Reception`.
        from edge_agent.nodes.access import administration_of
        from edge_agent.nodes.desk import Desk

        return Desk(
            self._config.gateway.address,
            self._store,
            administration_of(self._link, self._config),
            self._take_over_site,
            self._clock,
            self._agent.announce,
        )

    def _task_reception(self) -> TaskReception:
        section, folder = self._config.tasks, self._config.gateway.state_dir / "tasks"
        if not section.enabled:
            return TaskReception(None, lambda: False, self._line.letters.wait, None)
        closed = TaskLoad(slots=section.slots, watts=section.watts, memory_bytes=section.memory_mib << 20)
        return TaskReception(self._open_tasks, lambda: left_over(folder), self._line.letters.wait, closed)

    def _open_tasks(self) -> TaskService:
        # Late: see `TaskReception`.
        from common.exchange.messages import Party
        from edge_agent.tasks.exchange import TaskExchange
        from edge_agent.tasks.service import TaskService

        gateway, announce, warn = self._config.gateway, self._agent.announce, self._agent.warn
        folder, host = gateway.state_dir / "tasks", lambda: self._host.last
        service = TaskService(self._config.tasks, gateway.id, folder, self._clock, announce, warn, host)
        own = Party(gateway.site, gateway.id)
        TaskExchange(own, folder / KEPT_FOLDER, self._line, self._peers, service, self._clock)
        return service

    async def _take_over_site(self) -> None:
        # A virtual site has no file to take over.
        if self._watch is not None:
            await self._watch.look()

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
                self._agent.site.down_reason = _line(str(error))
                if not complained:
                    self._agent.warn("mesh-unavailable", reason=str(error)[:200])
                complained = True
                await self._clock.sleep(RETRY_OPEN_S)
        await reader()

    def _summary(self) -> dict[str, Any]:
        if not self._agent.site.mesh_up and isinstance(self._link, Troubled) and self._link.problem:
            # Opening may take long, and what keeps it from its end is known before.
            self._agent.site.down_reason = _line(self._link.problem)
        return self._account.summary()

    async def _ping(self, request: dict[str, Any]) -> dict[str, float]:
        seconds = await self._agent.operator.ping(request.get("node"), request.get("timeout_s", 1.0))
        return {"round_trip_s": round(seconds, 4)}

    async def _relay(self, request: dict[str, Any]) -> dict[str, Any]:
        configuration = await self._agent.operator.set_relay(request.get("node"), request.get("relay"))
        return {"node": show(configuration.address), "relay": configuration.relay}


def main(config: AgentConfig) -> None:
    """The daemon's body. Raises as `run` does."""
    asyncio.run(run(config, from_environment()))


def _line(told: str) -> str:
    """An error and its fix as one line."""
    return told.replace("\n  fix: ", "; fix: ")


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
