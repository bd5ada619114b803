"""The mirror: the twin of every site, kept up with the repository within a second, and judged all the time.

It follows the repository's bus and reads what is new; it owns no data that the repository could not give
again, so a mirror that lagged, or was just started, is simply built anew. Reading runs in a worker thread and
scoring in an executor, one site at a time; questions are answered from what was last built.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from common.messages import Kind
from common.tasks import together
from coordinator.repository.bus import Lagged, News
from coordinator.repository.store import Repository
from coordinator.twin import mirror_history
from coordinator.twin.fleet import Held
from coordinator.twin.mirror_history import Marks
from coordinator.twin.mirror_judgement import Judgement, Material, judge
from coordinator.twin.mirror_state import SiteState
from coordinator.twin.score import Verdict
from coordinator.twin.site_model import SiteModel

GATHER_S: Final = 0.2
"""News are gathered for so long before they are read: a site's tables come one after the other."""

JUDGE_S: Final = 30.0
"""How often a site that has news is scored."""

REBUILD_S: Final = 1_800.0
"""How often a site is built anew, so that nothing that came late or out of order stays forgotten."""

FUTURE_S: Final = 60.0
"""What a gateway's clock is ahead of ours by more is not read."""

SITES_SHOWN: Final = 20
"""Names of sites that an error lists."""

_FOLLOWED: Final = frozenset({Kind.LINKS, Kind.NODES, Kind.FLOWS, Kind.CONFIGURATION})

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Twin:
    """A site's twin at Unix time `t`; `updated_at` is the newest measurement in it. `judgement` may be
    somewhat older than the model; it is None until the site was scored first."""

    site: str
    t: float
    updated_at: float
    model: SiteModel
    dead: frozenset[int]
    judgement: Judgement | None


@dataclass(slots=True)
class _Site:
    state: SiteState
    marks: Marks
    built_at: float
    judged_at: float = 0.0
    judged_for: float = 0.0
    judged: Judgement | None = None
    verdict: Verdict | None = None
    lock: Lock = field(default_factory=Lock)


@dataclass(slots=True)
class _Work:
    """What is to be read: a range of times per site, or everything."""

    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    everything: bool = False

    def add(self, news: News) -> None:
        if isinstance(news, Lagged):
            self.everything = True
        elif news.kind in _FOLLOWED:
            t0, t1 = self.ranges.get(news.site, (news.t0, news.t1))
            self.ranges[news.site] = (min(t0, news.t0), max(t1, news.t1))


class Mirror:
    """Twins of all sites of a repository.

    `engine` runs the scoring, which loads the simulator: a process of its own keeps that out of this one's
    memory. Without one it runs in the calling thread.
    """

    def __init__(
        self,
        repository: Repository,
        clock: Clock,
        engine: Executor | None = None,
        *,
        judge_every_s: float = JUDGE_S,
        judged_at_once: int = 1,
    ) -> None:
        self._repository = repository
        self._engine = engine
        self._clock = clock
        self._judge_every_s = judge_every_s
        self._judged_at_once = judged_at_once
        self._sites: dict[str, _Site] = {}
        self._work = _Work(everything=True)
        self._wake = asyncio.Event()
        self.tables = 0
        """Tables fed since the start."""

    async def run(self) -> None:
        """Follow the repository until cancelled. A database that fails for a while is tried again."""
        with self._repository.bus.subscribe() as subscription:
            async with together() as tasks:
                tasks.create_task(self._update(), name="mirror-update")
                tasks.create_task(self._keep_judging(), name="mirror-judge")
                async for news in subscription:
                    self._work.add(news)
                    self._wake.set()

    def sites(self) -> list[str]:
        """The sites that have a twin."""
        return sorted(self._sites)

    def held(self) -> list[Held]:
        """Every site in few words, without its model. Safe from any thread."""
        found = []
        for site in self.sites():
            held = self._sites[site]
            with held.lock:
                state = held.state
                nodes, dead, gateways = state.nodes, len(state.dead()), len(state.gateways)
            found.append(Held(site, state.updated_at, nodes, dead, gateways, held.judged))
        return found

    def twin(self, site: str) -> Twin:
        """A site's twin as of now. Safe from any thread. Raises Rejected for a site without one."""
        held = self._sites.get(site)
        if held is None:
            raise self._stranger(site)
        with held.lock:
            return _twin(held.state, max(self._clock.wall(), held.state.updated_at), held.judged)

    def as_of(self, site: str, t: float, *, judged: bool = True) -> Twin:
        """A site's twin as it was at Unix time `t`, from the repository; slower than `twin`, and scored as
        it would have been then. Safe from any thread. Raises Rejected when nothing was stored before."""
        state = mirror_history.as_of(self._repository, site, t)
        if not state.updated_at:
            raise Rejected(RejectReason.INVALID, f"nothing was stored of site {site!r} in the hour before")
        return _twin(state, t, self._judged(state, t) if judged else None)

    def judge_now(self, site: str) -> Judgement:
        """Score a site at once, with hops and round trips. Safe from any thread. Raises Rejected."""
        held = self._sites.get(site)
        if held is None:
            raise self._stranger(site)
        found = judge(self._gather(held)) if self._engine is None else _result(self._hand_over(held))
        self._keep(held, found)
        return found

    def _stranger(self, site: str) -> Rejected:
        known = self.sites()
        said = ", ".join(known[:SITES_SHOWN]) + ", …" * (len(known) > SITES_SHOWN) or "none yet"
        return Rejected(
            RejectReason.INVALID,
            f"site {site[:64]!r} has no twin: nothing measured there is stored; there are: {said}",
        )

    async def _update(self) -> None:
        while True:
            work, self._work = self._work, _Work()
            try:
                await asyncio.to_thread(self._take_in, work)
            except MeshtwinError as error:
                log.warning("mirror-behind", reason=error)
                self._work.everything = True
                await self._clock.sleep(1.0)
            await self._clock.sleep(GATHER_S)
            await self._wait()

    async def _keep_judging(self) -> None:
        """Score every site that has news, beside the reading: it may take seconds."""
        while True:
            await self._clock.sleep(min(1.0, self._judge_every_s))
            now = self._clock.wall()
            due = [held for held in self._sites.values() if self._is_due(held, now)]
            due.sort(key=lambda held: held.judged_at)
            # Each in a worker of its own, and never so many that a question has to wait for all of them.
            for first in range(0, len(due), self._judged_at_once):
                async with asyncio.TaskGroup() as tasks:
                    for held in due[first : first + self._judged_at_once]:
                        tasks.create_task(self._try_to_judge(held))

    def _is_due(self, held: _Site, now: float) -> bool:
        waited = now - held.judged_at
        return held.state.updated_at > held.judged_for and not 0 <= waited < self._judge_every_s

    async def _try_to_judge(self, held: _Site) -> None:
        try:
            if self._engine is None:
                found = await asyncio.to_thread(lambda: judge(self._gather(held), held.judged))
            else:
                # Not waited for in a thread, which could not be left when the process ends.
                found = await asyncio.wrap_future(await asyncio.to_thread(self._hand_over, held, held.judged))
            self._keep(held, found)
        except BrokenExecutor as error:
            log.warning("twin-not-judged", site=held.state.site, reason=f"its worker died: {error}")
        except MeshtwinError as error:
            log.warning("twin-not-judged", site=held.state.site, reason=error)

    def _hand_over(self, held: _Site, last: Judgement | None = None) -> Future[Judgement]:
        """Have a worker judge a copy of the state, which costs this process a fifth of what material does."""
        assert self._engine is not None
        with held.lock:
            return self._engine.submit(judge_state, held.state, self._mark(held), last)

    async def _wait(self) -> None:
        """Until there is news. What came meanwhile is waiting already."""
        if not self._work.ranges and not self._work.everything:
            self._wake.clear()
            await self._wake.wait()

    def _take_in(self, work: _Work) -> None:
        now = self._clock.wall()
        if work.everything:
            known = {record.site for record in self._repository.gateways().values() if record.site}
            for site in sorted(known | set(work.ranges)):
                self._build(site, now)
            return
        for site, (t0, t1) in work.ranges.items():
            held = self._sites.get(site)
            if held is None or now - held.built_at > REBUILD_S:
                self._build(site, now)
            else:
                self._catch_up(held, t0, min(t1, now + FUTURE_S))

    def _build(self, site: str, now: float) -> None:
        state, marks = mirror_history.build(self._repository, site, now + FUTURE_S)
        if state.updated_at:
            held = self._sites.get(site)
            fresh = _Site(state, marks, now)
            if held is not None:
                fresh.judged, fresh.verdict, fresh.judged_at = held.judged, held.verdict, held.judged_at
            self._sites[site] = fresh

    def _catch_up(self, held: _Site, t0: float, t1: float) -> None:
        gateways = mirror_history.addresses_of_gateways(self._repository, held.state.site)
        with held.lock:
            held.state.gateways.update(gateways)
            self.tables += mirror_history.catch_up(self._repository, held.state, held.marks, t0, t1)

    def _gather(self, held: _Site) -> Material:
        with held.lock:
            return _material(held.state, self._mark(held))

    def _mark(self, held: _Site) -> float:
        """The time that a site is judged for, noted."""
        now = self._clock.wall()
        held.judged_at, held.judged_for = now, held.state.updated_at
        return max(now, held.state.updated_at)

    def _keep(self, held: _Site, found: Judgement) -> None:
        """Keep a judgement, also when the site was built anew meanwhile."""
        held = self._sites.get(held.state.site, held)
        held.judged = found
        if held.verdict is not found.score.verdict:
            held.verdict = found.score.verdict
            log.info("twin-judged", site=held.state.site, verdict=found.score.verdict.value,
                     score=round(found.score.value, 3), reason=found.score.reason)  # fmt: skip

    def _judged(self, state: SiteState, t: float) -> Judgement:
        if self._engine is None:
            return judge_state(state, t)
        return _result(self._engine.submit(judge_state, state, t))


def _result(future: Future[Judgement]) -> Judgement:
    try:
        return future.result()
    except BrokenExecutor as error:
        raise Unavailable(f"a worker died while it judged a twin: {error}") from error


def judge_state(state: SiteState, t: float, last: Judgement | None = None) -> Judgement:
    """Judge the site of a state at Unix time `t`, in any process; `last` is how it was judged before."""
    return judge(_material(state, t), last)


def _material(state: SiteState, t: float) -> Material:
    return Material(t, state.model(t), tuple(state.observed(t)), state.signals(t))


def _twin(state: SiteState, t: float, judged: Judgement | None) -> Twin:
    return Twin(state.site, t, state.updated_at, state.model(t), state.dead(), judged)
