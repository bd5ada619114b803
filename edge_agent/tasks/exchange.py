"""The gateway's end of the exchange: letters come from the broker's line and go out by its post; tasks of
others are run, own ones are given away, and jobs are kept for each other.

One object with all of it, for whoever builds the agent.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from common import topics
from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.exchange.exchange import Exchange
from common.exchange.messages import Forget, HandOver, Keep, Kept, Letter, Party, TakenOver
from common.messages import JobStanding, TaskLoad
from common.taskgraph.executor import Load
from common.tasks import together
from common.topics import Channel
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import PeerLetter
from edge_agent.share.peers import PeerTable
from edge_agent.share.post import Post
from edge_agent.tasks.deputy import Deputy
from edge_agent.tasks.remote import Remotes
from edge_agent.tasks.replica_jobs import DeskJobs
from edge_agent.tasks.replica_owner import ReplicaOwner

if TYPE_CHECKING:
    from edge_agent.tasks.service import TaskService

MOST_SPEEDS: Final = 64
MOST_JOBS: Final = 32


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
    """What a gateway's tasks need of other machines, and those of it. Runs beside the service."""

    def __init__(
        self, own: Party, folder: Path, line: Line, peers: Peers, service: TaskService, clock: Clock
    ) -> None:
        """Lets `service` see the other machines; `folder` is for the jobs that are kept for others. Raises
        Misconfigured."""
        self._own = own
        self._line = line
        self._peers = peers
        self._clock = clock
        blobs = service.blobs
        jobs = DeskJobs(own.name, service.store, blobs, lambda: service.runner)
        post = LetterPost(line, own.site, own.name)
        self.exchange = Exchange(service.local, blobs, post, clock, secrets.token_hex(8))
        self.exchange.others = self._about_jobs
        self.exchange.host.on_change = line.publish_soon
        self._remotes = Remotes(own.site, peers, self.exchange.asker, self.exchange.rates, clock)
        self.owner = ReplicaOwner(own, blobs, self.exchange, jobs, self._deputies, clock)
        self.deputy = Deputy(
            own, folder, blobs, self.exchange, jobs, self._live, lambda: line.attached_s, clock
        )
        service.remotes = self._remotes.executors
        service.runner.witness = self.owner
        service.beside.append(self.run)
        self._service = service
        service.told_load, service.told_jobs, service.account = self.load, self.standings, self.account
        service.deputy_of = self.owner.deputy_of

    async def run(self) -> None:
        """Serve until cancelled."""
        self.deputy.recover()
        async with together() as group:
            group.create_task(serve(self._line, self._own.site, self.exchange))
            group.create_task(self.deputy.run())
            group.create_task(self.owner.run())

    def load(self) -> TaskLoad:
        """For the status: what others may count on."""
        return task_load(self._service.local.load(), self.exchange.host.waiting)

    def standings(self) -> list[JobStanding]:
        """The most urgent live jobs, for the status."""
        jobs = sorted(
            self._service.runner.jobs.values(), key=lambda job: (-job.row.priority, job.row.submitted)
        )
        return [
            JobStanding(
                id=job.row.id,
                name=job.row.name,
                done=job.progress.done,
                running=len(job.running),
                tasks=len(job.progress.standings),
                late=job.row.late,
                deputy=self.owner.deputy_of(job.row.id),
            )
            for job in jobs[:MOST_JOBS]
        ]

    def account(self) -> dict[str, Any]:
        """How it stands, for people."""
        host, exchange = self.exchange.host, self.exchange
        return {
            "machines": {
                remote.name: {"tier": remote.tier.value, "slots": load.slots, "busy": load.busy}
                for remote in self._remotes.executors()
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
            "taken_over": self.owner.taken_over,
            "refused": dict(host.refused),
            "late": dict(exchange.asker.late),
            "rejected": {reason.value: count for reason, count in exchange.rejected.items()},
            "letters_dropped": self._line.post.dropped + self._line.letters.dropped,
        }

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
                self.owner.kept(party, letter)
            case HandOver():
                self.owner.hand_over(party, letter)
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
