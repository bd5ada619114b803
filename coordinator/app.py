"""`coordinator serve`: ingest → repository → acknowledgement, and the API, in one supervised process.

The only module that names concrete classes. Crash-only: a part that fails ends the process, and the unit
starts it again; whatever was not stored was not acknowledged and comes again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from common import logs
from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Unavailable
from common.files import make_folder
from common.logs import get_logger
from common.notify import Notifier, from_environment
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import TaskLimits
from coordinator.api import fleet as fleet_api
from coordinator.api import release as release_api
from coordinator.api import tasks as tasks_api
from coordinator.api import twin as twin_api
from coordinator.api.routes import Sources, make_app
from coordinator.api.server import serve as serve_api
from coordinator.api.views import gateways as gateway_views
from coordinator.client import Client
from coordinator.config import CoordinatorConfig, StatePaths, load_config
from coordinator.engine import Engine, open_engine
from coordinator.engine.processes import processors
from coordinator.gateway_api import routes as gateway_routes
from coordinator.gateway_api.listener import Tally
from coordinator.gateway_api.server import ServerFiles
from coordinator.gateway_api.server import serve as serve_gateways
from coordinator.identity.fleet import FleetView, RegistryLost
from coordinator.identity.own import GATEWAY_API
from coordinator.ingest.ingest import Ingest
from coordinator.ingest.subscriber import Endpoint
from coordinator.installation import refresh
from coordinator.losses import tell_losses
from coordinator.recipes.application import Book
from coordinator.recipes.applications import Applications
from coordinator.recipes.applying import PATIENCE
from coordinator.recipes.commanding import CommandDesk
from coordinator.recipes.desk import TwinDesk
from coordinator.recipes.shelf import Shelf
from coordinator.recipes.site_hands import SiteHands
from coordinator.release.desired import Announcer
from coordinator.release.jobs import Jobs
from coordinator.release.notices import ModelNotices
from coordinator.release.releases import Data, Releases
from coordinator.release.store import ModelStore
from coordinator.repository.store import Repository
from coordinator.service.heartbeat import Heartbeat
from coordinator.tasks.cloud import Cloud
from coordinator.tasks.runner import CloudRunner
from coordinator.twin.mirror import Mirror
from coordinator.version import meshtwin_version

REFRESH_S: Final = 6 * 3600.0
API_S: Final = 5.0
JUDGED_ON_CLUSTER: Final = 9
TASK_WALL_S: Final = 840.0
"""The engine's own limit comes after it."""

log = get_logger(__name__)


def serve(state: Path) -> None:
    """Run the coordinator of the folder `state` until SIGTERM or SIGINT. Configures the logs.

    Raises Misconfigured, Unavailable (another instance runs) or Corrupt; an ExceptionGroup never.
    """
    paths, config = StatePaths(state.absolute()), load_config(state)
    logs.configure(config.log.level, config.log.style)
    url = config.repository.url.get_secret_value()
    with _only_instance(paths) as ran_before, Repository(url) as repository:
        tell_losses(url, repository, FleetView(paths.fleet).current(), ran_before)
        try:
            asyncio.run(run(paths, config, repository, SystemClock(), from_environment()))
        except BaseExceptionGroup as group:
            raise _first(group) from group
    log.info("coordinator-stopped")


async def run(
    paths: StatePaths, config: CoordinatorConfig, repository: Repository, clock: Clock, notifier: Notifier
) -> None:
    """Ingest and answer until a signal; the first part that fails ends the others, too. `notifier` leads to
    the service manager."""
    stopping = asyncio.Event()
    await _refresh(paths.root, at_start=True)
    ingest = Ingest(_endpoint(paths, config), repository, FleetView(paths.fleet), clock)
    connections = Tally()
    app = make_app(
        Sources(
            name=config.coordinator.name,
            version=meshtwin_version(),
            started=clock.monotonic(),
            repository=repository,
            ingest=ingest,
            fleet=FleetView(paths.fleet).current,
            clock=clock,
            connections=connections,
        )
    )
    heartbeat = Heartbeat(
        notifier, clock, lambda: ingest.turns, partial(_ask_api, config.api.socket), partial(_story, ingest)
    )
    engine = open_engine(config.engine, config.log.style)
    models = _models(paths, config, repository, ingest, clock)
    app.include_router(release_api.make_router(models.releases, models.announcer), prefix="/v1")
    twins = _twins(paths, config, repository, ingest, clock, engine)
    app.include_router(twin_api.make_router(twins.desk, twins.applications), prefix="/v1")
    registry = FleetView(paths.fleet)
    fleet_router = fleet_api.make_router(
        twins.mirror,
        twins.applications,
        engine,
        clock,
        lambda: gateway_views(repository.gateways(), registry.current(), clock.wall()),
    )
    app.include_router(fleet_router, prefix="/v1")
    cloud = _cloud(paths, config, ingest, engine, clock)
    app.include_router(tasks_api.make_router(cloud, repository, clock), prefix="/v1")
    with _signals(stopping), engine:
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(ingest.run(), name="ingest"),
                group.create_task(serve_api(app, config.api.socket), name="api"),
                group.create_task(models.jobs.run(), name="jobs"),
                group.create_task(models.announcer.run(), name="desired"),
                group.create_task(models.notices.run(), name="model-notices"),
                group.create_task(twins.mirror.run(), name="mirror"),
                group.create_task(twins.applications.run(), name="applications"),
                group.create_task(_keep_fresh(paths.root, config, clock), name="certificates"),
                group.create_task(_serve_gateways(paths, config, clock, connections), name="gateway-api"),
                group.create_task(heartbeat.run(), name="heartbeat"),
                *([group.create_task(cloud.run(), name="cloud")] if cloud is not None else []),
            ]
            log.info("coordinator-started", state=paths.root, socket=config.api.socket, pid=os.getpid())
            await stopping.wait()
            heartbeat.stopping()
            for part in parts:
                part.cancel()
            # Threads that wait for its work must not hold up the end.
            engine.close()


async def _ask_api(path: Path) -> None:
    """Ask as a command would, over the socket. Raises Unavailable or TimedOut."""

    def ask() -> None:
        with Client(path, API_S) as client:
            client.get("health")

    await asyncio.to_thread(ask)


def _story(ingest: Ingest) -> str:
    """One line for the service manager."""
    broker = "connected" if ingest.connected else "away"
    return f"broker {broker}, {ingest.counters.stored} messages stored, {ingest.queued} waiting"


@dataclass(frozen=True, slots=True)
class _Models:
    """What trains and releases models."""

    jobs: Jobs
    releases: Releases
    announcer: Announcer
    notices: ModelNotices


def _models(
    paths: StatePaths, config: CoordinatorConfig, repository: Repository, ingest: Ingest, clock: Clock
) -> _Models:
    store, fleet = ModelStore(paths.models, clock), FleetView(paths.fleet)
    jobs = Jobs(paths.run / "jobs", clock)
    # Measured link traces to train on, for those who have some: `radio/*.k7.gz` below it.
    traces = os.environ.get("MESHTWIN_DATA")
    data = Data(config.repository.url, Path(traces) if traces else None)
    releases = Releases(store, jobs, repository, data, fleet.current, clock)
    return _Models(
        jobs=jobs,
        releases=releases,
        announcer=Announcer(ingest, lambda: store.registry, fleet.current, clock),
        notices=ModelNotices(repository, clock, releases.remember),
    )


@dataclass(frozen=True, slots=True)
class _Twins:
    """What mirrors sites, answers questions about them, and applies plans."""

    mirror: Mirror
    desk: TwinDesk
    applications: Applications


def _twins(
    paths: StatePaths,
    config: CoordinatorConfig,
    repository: Repository,
    ingest: Ingest,
    clock: Clock,
    engine: Engine,
) -> _Twins:
    fleet = FleetView(paths.fleet)
    # One worker is left for questions; a cluster, which counts none, has plenty.
    workers = engine.describe().workers or JUDGED_ON_CLUSTER
    at_once = max(1, workers - 1)
    mirror = Mirror(repository, clock, engine, judged_at_once=at_once)
    desk = TwinDesk(mirror, Shelf(paths.recipes), repository, clock, engine.call)
    commands = CommandDesk(ingest, repository, lambda gateway: fleet.current().site_of(gateway), clock)
    applications = Applications(
        Book(paths.plans),
        lambda site, since: SiteHands(commands, site, since, clock),
        desk.watched,
        clock,
        PATIENCE[config.plans.patience],
    )
    return _Twins(mirror, desk, applications)


def _cloud(
    paths: StatePaths, config: CoordinatorConfig, ingest: Ingest, engine: Engine, clock: Clock
) -> Cloud | None:
    """What runs tasks of gateways, unless the configuration says no."""
    wanted, fleet = config.tasks, FleetView(paths.fleet)
    if not wanted.enabled:
        return None
    store = BlobStore(paths.tasks, wanted.blobs_mib << 20)
    most = TaskLimits(
        memory_bytes=wanted.memory_mib << 20, cpu_s=wanted.cpu_s, wall_s=TASK_WALL_S, output_bytes=256 << 20
    )
    slots = wanted.slots or config.engine.workers or processors()
    runner = CloudRunner(engine, store, slots, most, wanted.watts)
    cloud = Cloud(runner, store, ingest, lambda: fleet.current().active(), clock, secrets.token_hex(8))
    ingest.letters = cloud.letters.put
    return cloud


async def _serve_gateways(
    paths: StatePaths, config: CoordinatorConfig, clock: Clock, connections: Tally
) -> None:
    """Models and certificates over HTTPS, unless the configuration says port 0."""
    if not (port := config.gateways.port):
        await asyncio.Event().wait()
    files = ServerFiles(
        paths.pki / "ca.crt", paths.pki / f"{GATEWAY_API}.crt", paths.pki / f"{GATEWAY_API}.key"
    )
    app = gateway_routes.make_app(gateway_routes.Sources(paths, FleetView(paths.fleet).current, clock))
    host = config.gateways.host or config.broker.host
    await serve_gateways(app, host, port, files, clock, tally=connections)


async def _keep_fresh(state: Path, config: CoordinatorConfig, clock: Clock) -> None:
    """Renew own certificates long before they end."""
    life = config.identity.server_days * 86_400.0
    while True:
        await clock.sleep(min(REFRESH_S, life / 12))
        await _refresh(state)


async def _refresh(state: Path, *, at_start: bool = False) -> None:
    """Renew what is due. A disk that refuses now is no reason to stop: there are weeks left. A registry that
    is lost is one to refuse the start: every gateway would be turned away. Raises RegistryLost."""
    try:
        if renewed := await asyncio.to_thread(refresh, state):
            log.info("certificates-renewed", names=",".join(renewed))
    except MeshtwinError as error:
        if at_start and isinstance(error, RegistryLost):
            raise
        log.error("certificates-not-renewed", reason=error)


def _endpoint(paths: StatePaths, config: CoordinatorConfig) -> Endpoint:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.broker.host, config.broker.host)
    pki = paths.pki
    return Endpoint(
        host, config.broker.port, pki / "ca.crt", pki / "coordinator.crt", pki / "coordinator.key"
    )


@contextmanager
def _only_instance(paths: StatePaths) -> Iterator[bool]:
    """Hold the lock that a second coordinator of this folder would need; true when one held it before.

    Raises Unavailable.
    """
    path = make_folder(paths.run) / "coordinator.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock(descriptor, paths.root)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise Unavailable(f"a coordinator of {state} runs already: process {holder}") from error
    ran_before = os.fstat(descriptor).st_size > 0
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return ran_before


@contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGTERM, signal.SIGINT)
    for number in wanted:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain error in a group: there is one cause, the rest follow from it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
