"""The coordinator among peers: as the gateway `cloud` of every site it takes offers and tells its load.

Letters come in on the network's thread and are handed to the event loop through a bounded queue; what it
drops is asked for again. The load goes out as a status, not retained: when it stops, the cloud is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, Final, Protocol

from common import topics
from common.clock import Clock
from common.errors import Corrupt, Rejected
from common.exchange.exchange import Exchange
from common.exchange.messages import Party
from common.logs import get_logger
from common.messages import Status, TaskLoad, encode
from common.taskgraph.blob_store import BlobStore
from common.topics import CLOUD, Channel
from coordinator.tasks.runner import CloudRunner

PERIOD_S: Final = 3.0
"""Between two statuses: peers take the cloud for gone after three."""
REST_S: Final = 0.25
"""At least so long between two: gateways wait for a slot until a status says that it is free."""

WAITING_BYTES: Final = 16 << 20

log = get_logger(__name__)


class Line(Protocol):
    """The connection to the broker. All of it is safe from any thread."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, sure: bool = False) -> bool:
        """Queue a message; False while there is no connection. `sure`: with quality of service 1."""


class LetterBox:
    """Letters on their way from the network's thread to the loop. Full policy: the newest is dropped, counted
    in `dropped`."""

    def __init__(self) -> None:
        self._letters: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self.dropped = 0

    def attach(self) -> None:
        """Wake the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def put(self, topic: str, payload: bytes) -> None:
        """From any thread."""
        with self._lock:
            if self._loop is None or self._bytes + len(payload) > WAITING_BYTES:
                self.dropped += 1
                return
            self._letters.append((topic, payload))
            self._bytes += len(payload)
            loop = self._loop
        try:
            loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:
            pass  # The loop is closed: nobody is left to read it.

    async def get(self) -> tuple[str, bytes]:
        """The oldest, as soon as there is one."""
        while not self._letters:
            self._filled.clear()
            if not self._letters:
                await self._filled.wait()
        with self._lock:
            topic, payload = self._letters.popleft()
            self._bytes -= len(payload)
        return topic, payload


class Cloud:
    """Run `run()` beside the other parts. `letters` takes what came for the cloud."""

    def __init__(
        self,
        runner: CloudRunner,
        store: BlobStore,
        line: Line,
        sites: Callable[[], Mapping[str, str]],
        clock: Clock,
        run_name: str,
        period_s: float = PERIOD_S,
    ) -> None:
        """`sites` tells the site of every gateway in good standing; it may raise Corrupt."""
        self._runner = runner
        self._line = line
        self._sites = sites
        self._clock = clock
        self._period = period_s
        self._strangers = 0
        self.letters = LetterBox()
        self._changed = asyncio.Event()
        self.exchange = Exchange(runner, store, self._post, clock, run_name)
        self.exchange.host.on_change = self._changed.set

    async def run(self) -> None:
        """Serve until cancelled."""
        self.letters.attach()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.exchange.run())
            group.create_task(self._tell_load())
            while True:
                topic, payload = await self.letters.get()
                self._take(topic, payload)
                await asyncio.sleep(0)

    def account(self) -> dict[str, Any]:
        """How it stands, for people."""
        runner, host = self._runner, self.exchange.host
        return {
            "slots": runner.slots,
            "running": runner.running,
            "errands": [
                {
                    "id": errand,
                    "site": party.site,
                    "gateway": party.name,
                    "job": request.job,
                    "task": request.task,
                    "attempt": request.attempt,
                    "kind": request.kind,
                    "state": state,
                }
                for errand, party, request, state in host.errands()
            ],
            "ended": dict(runner.done),
            "refused": dict(host.refused),
            "rejected": {reason.value: count for reason, count in self.exchange.rejected.items()},
            "strangers": self._strangers,
            "dropped": self.letters.dropped,
        }

    def cancel(self, errand: str) -> bool:
        """End an errand on the operator's word; its job is told so. False when there is none."""
        return self.exchange.host.end(errand)

    def _take(self, topic: str, payload: bytes) -> None:
        try:
            parsed = topics.parse(topic)
        except Rejected:
            self._strangers += 1
            return
        sender = parsed.sender or ""
        # The broker's list of rights says the same; a broker of somebody else's may not.
        if parsed.gateway != CLOUD or self._known_sites().get(sender) != parsed.site:
            self._strangers += 1
            return
        self.exchange.take(Party(parsed.site, sender), parsed.channel, payload)

    def _post(self, party: Party, channel: Channel, payload: bytes) -> bool:
        topic = topics.to_peer(party.site, party.name, channel, CLOUD)
        return self._line.publish(topic, payload, sure=True)

    async def _tell_load(self) -> None:
        while True:
            self._changed.clear()
            for site in sorted(set(self._known_sites().values())):
                self._line.publish(topics.of(site, CLOUD, Channel.STATUS), encode(self._status(site)))
            await self._clock.sleep(min(REST_S, self._period))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._period - REST_S)):
                    await self._changed.wait()

    def _status(self, site: str) -> Status:
        runner = self._runner
        load = TaskLoad(
            slots=runner.slots,
            busy=runner.busy,
            queued=max(0, runner.running - runner.slots) + self.exchange.host.waiting,
            watts=runner.watts,
            memory_bytes=runner.memory_bytes,
        )
        return Status(
            site=site,
            gateway=CLOUD,
            time=self._clock.wall(),
            online=True,
            period_s=self._period,
            tier="cloud",
            tasks=load,
        )

    def _known_sites(self) -> Mapping[str, str]:
        try:
            return self._sites()
        except Corrupt as error:
            # Ingest tells it too, and goes on with the registry as it was; nobody new is let in here.
            log.error("fleet-unreadable", error=error)
            return {}
