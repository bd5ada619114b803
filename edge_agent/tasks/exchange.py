"""The gateway's end of the exchange: letters come from the broker's line and go out by its post; tasks of
others are run, own ones are given away, and jobs are kept for each other.

One object with all of it, for whoever builds the agent: `executors` and `witness` for the runner of jobs,
`parts` for the supervisor, `load` for the status.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from common import topics
from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.exchange.exchange import Exchange
from common.exchange.messages import Forget, HandOver, Keep, Kept, Letter, Party, TakenOver
from common.messages import TaskLoad
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor, Load
from common.taskgraph.wire import TaskRequest, TaskResult
from common.topics import Channel
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import PeerLetter
from edge_agent.share.peers import PeerTable
from edge_agent.share.post import Post
from edge_agent.tasks.deputy import Deputy
from edge_agent.tasks.job_store import JobStore
from edge_agent.tasks.remote import RemoteExecutor, Remotes
from edge_agent.tasks.replica_jobs import DeskJobs
from edge_agent.tasks.replica_owner import ReplicaOwner
from edge_agent.tasks.runner import Runner

MOST_SPEEDS = 64


class Line(Protocol):
    """The connection to the broker."""

    letters: Inbox[PeerLetter]
    post: Post

    @property
    def attached_s(self) -> float | None:
        """For how long it has stood; None when it does not."""

    def publish_soon(self) -> None:
        """Tell the status at once."""


class Peers(Protocol):
    """What is heard of the other machines."""

    table: PeerTable


class Hosted:
    """This machine as a host's runner: `admit` decides whether others' tasks may come, `local` runs them."""

    def __init__(self, local: Executor, admit: Callable[[TaskRequest, int], None]) -> None:
        self.name = local.name
        self._local = local
        self.admit = admit
        """(request, errands that wait for their inputs) to nothing, or Refused."""

    async def run(self, request: TaskRequest) -> TaskResult:
        """As `Executor.run`."""
        return await self._local.run(request)


class LetterPost:
    """Addresses letters. Only machines of the own site can be reached: the broker allows no others."""

    def __init__(self, line: Line, site: str, gateway: str) -> None:
        self._line = line
        self._site = site
        self._gateway = gateway

    def __call__(self, party: Party, channel: Channel, payload: bytes) -> bool:
        """False when the post is full."""
        topic = topics.to_peer(self._site, party.name, channel, self._gateway)
        return self._line.post.put(topic, payload)


class TaskExchange:
    """Everything about tasks that takes more than one machine. Set `runner` before `parts` are run."""

    runner: Runner

    def __init__(
        self,
        own: Party,
        folder: Path,
        line: Line,
        peers: Peers,
        jobs: JobStore,
        blobs: BlobStore,
        local: Executor,
        admit: Callable[[TaskRequest, int], None],
        clock: Clock,
    ) -> None:
        """`folder` is for the jobs that are kept for others. Raises Misconfigured."""
        self._own = own
        self._line = line
        self._peers = peers
        self._local = local
        self._clock = clock
        post = LetterPost(line, own.site, own.name)
        self.exchange = Exchange(Hosted(local, admit), blobs, post, clock, secrets.token_hex(8))
        self.exchange.others = self._about_jobs
        self.exchange.host.on_change = line.publish_soon
        self._remotes = Remotes(own.site, peers, self.exchange.asker, self.exchange.rates, clock)
        desk = DeskJobs(own.name, jobs, blobs, lambda: self.runner)
        self.witness = ReplicaOwner(own, blobs, self.exchange, desk, self._deputies, clock)
        self.deputy = Deputy(
            own, folder, blobs, self.exchange, desk, self._live, lambda: line.attached_s, clock
        )

    def executors(self) -> Sequence[RemoteExecutor]:
        """The other machines that tasks may go to now."""
        return self._remotes.executors()

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The coroutines to run, by name. The runner of jobs has to run beside them."""
        return {
            "tasks-exchange": self._serve,
            "tasks-deputy": self._keep_for_others,
            "tasks-owner": self.witness.run,
        }

    def load(self) -> TaskLoad:
        """For the status: what others may count on."""
        load = self._local.load()
        return task_load(load, self.exchange.host.waiting)

    def account(self) -> dict[str, Any]:
        """How it stands, for people."""
        host, exchange = self.exchange.host, self.exchange
        return {
            "machines": {
                remote.name: {"tier": remote.tier.value, "slots": load.slots, "busy": load.busy}
                for remote in self.executors()
                for load in (remote.load(),)
            },
            "hosted": [
                {"asker": party.name, "job": request.job, "task": request.task, "state": state}
                for _, party, request, state in host.errands()
            ],
            "hosted_done": host.carried_out,
            "kept_for_others": self.deputy.kept(),
            "adopted": self.deputy.adopted,
            "handed_over": self.deputy.handed_over,
            "taken_over": self.witness.taken_over,
            "refused": dict(host.refused),
            "late": dict(exchange.asker.late),
            "rejected": {reason.value: count for reason, count in exchange.rejected.items()},
            "letters_dropped": self._line.post.dropped + self._line.letters.dropped,
        }

    async def _serve(self) -> None:
        await serve(self._line, self._own.site, self.exchange)

    async def _keep_for_others(self) -> None:
        self.deputy.recover()
        await self.deputy.run()

    def _live(self) -> set[str]:
        return {status.gateway for status in self._peers.table.live(self._clock.monotonic())}

    def _deputies(self) -> list[str]:
        """Machines that could finish a job: those of the site that run tasks, but not the cloud."""
        live = self._peers.table.live(self._clock.monotonic())
        return [s.gateway for s in live if s.tasks is not None and s.gateway != topics.CLOUD]

    def _about_jobs(self, party: Party, letter: Letter) -> None:
        match letter:
            case Keep():
                self.deputy.keep(party, letter)
            case Forget():
                self.deputy.forget(party, letter)
            case TakenOver():
                self.deputy.taken_over(party, letter)
            case Kept():
                self.witness.kept(party, letter)
            case HandOver():
                self.witness.hand_over(party, letter)
            case _:
                raise Rejected(RejectReason.UNKNOWN_KIND, f"{type(letter).__name__} is not served here")


def task_load(load: Load, arriving: int) -> TaskLoad:
    """A machine's load as others are told it; `arriving` errands wait for their inputs."""
    speed = {kind[:64]: value for kind, value in list(load.speed.items())[:MOST_SPEEDS]}
    return TaskLoad(
        slots=load.slots,
        busy=load.busy,
        queued=load.queued + arriving,
        speed=speed,
        watts=load.watts,
        memory_bytes=load.memory_bytes,
    )


async def serve(line: Line, site: str, exchange: Exchange) -> None:
    """Carry out errands of others and take in letters, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(exchange.run())
        while True:
            letter = await line.letters.get()
            exchange.take(Party(site, letter.sender), letter.channel, letter.payload)
            # A flood of letters must not keep the loop from what heals.
            await asyncio.sleep(0)
