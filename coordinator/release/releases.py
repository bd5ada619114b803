"""Training, evaluating, releasing and rolling back models: what the API offers, over store, gate and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.clock import Clock
from common.errors import Corrupt, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from coordinator.identity.fleet import Fleet
from coordinator.release import gate
from coordinator.release.jobs import Files, Job, Jobs, Work
from coordinator.release.plans import NAME, UNKNOWN, Move, moved, planned, way_back
from coordinator.release.registry import Change, Plan, Registry
from coordinator.release.standing import Live, of_bundle, standings
from coordinator.release.store import ModelStore
from coordinator.repository.store import Repository
from coordinator.training import job as training

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Data:
    """Where observations come from: the repository's URL, and a folder of measured traces or None."""

    repository: SecretStr
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Who shall get a bundle: some sites and gateways, or, with neither, everybody."""

    sites: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a release or rollback changed. `moved`: (site, gateway, from, to) of every gateway that is to
    change its model, where from and to are like "link-forecast 3 int8", or None for the naive forecast.
    `overruled` are the reasons against it that were not heeded, `grounds` what it was compared on, `remarks`
    what speaks against it and is no reason, and what a rollback passed over.
    """

    detail: str
    moved: tuple[Move, ...]
    overruled: tuple[str, ...] = ()
    grounds: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Releases:
    """The coordinator's models. Starting jobs belongs to the event loop; the rest may run in any thread."""

    def __init__(
        self,
        store: ModelStore,
        jobs: Jobs,
        repository: Repository,
        data: Data,
        fleet: Callable[[], Fleet],
        clock: Clock,
    ) -> None:
        self._store = store
        self.jobs = jobs
        self._repository = repository
        self._data = data
        self._fleet = fleet
        self._clock = clock

    @property
    def registry(self) -> Registry:
        return self._store.registry

    def live(self) -> list[Live]:
        """What gateways say of their models. Raises Unavailable, Corrupt."""
        return standings(self._repository.gateways(), self._fleet())

    def remember(self, said: Iterable[Live] | None = None) -> None:
        """Take to heart what gateways say of their models, by default in their statuses: these forget.

        Raises Unavailable, Corrupt, Misconfigured.
        """
        found = list(self.live() if said is None else said)
        self._store.change(lambda registry: registry.with_said(found, self._clock.wall()))

    def wanted(self) -> dict[str, dict[str, int]]:
        """How many gateways are to run a bundle, by digest and site."""
        plan = self.registry.course(NAME).plan
        counts: dict[str, Counter[str]] = {}
        for gateway, site in self._fleet().active().items():
            if (digest := plan.digest_for(site, gateway)) is not None:
                counts.setdefault(digest, Counter())[site] += 1
        return {digest: dict(sites) for digest, sites in counts.items()}

    def train(self, sites: tuple[str, ...], hours: float, quick: bool, seed: int) -> Job:
        """Start to train the next version on the last `hours`. Raises Rejected while another job runs."""
        self._check_known(Target(sites))
        version = self.registry.next_version(NAME)
        created = self._clock.wall()

        def request(files: Files) -> training.TrainingRequest:
            return training.TrainingRequest(
                observed=self._observed(sites, hours, created),
                version=version,
                created=created,
                seed=seed,
                quick=quick,
                progress_file=files.progress,
                cancel_file=files.cancel,
            )

        def finish(result: training.TrainingResult) -> dict[str, Any]:
            added = self._store.add(result, created)
            log.info("model-trained", name=added.name, version=added.version, seconds=added.seconds)
            return {"name": added.name, "version": added.version}

        return self.jobs.start(Work("train", f"{NAME} {version}", training.train, request, finish))

    def evaluate(self, number: int | None, sites: tuple[str, ...], hours: float) -> Job:
        """Start to score a version's bundles on the last `hours`. Raises Rejected, Corrupt."""
        self._check_known(Target(sites))
        version = self.registry.version(NAME, number)
        contents = {bundle.digest: self._store.read(bundle.digest) for bundle in version.bundles}
        now = self._clock.wall()

        def request(_: Files) -> list[training.EvaluationRequest]:
            observed = self._observed(sites, hours, now)
            return [training.EvaluationRequest(observed, content) for content in contents.values()]

        def finish(found: list[training.Evaluation]) -> dict[str, Any]:
            for digest, evaluation in zip(contents, found, strict=True):
                self._store.change(lambda r, d=digest, e=evaluation: r.with_observed(d, e))  # type: ignore[misc]
            return {"name": version.name, "version": version.version}

        return self.jobs.start(Work("evaluate", str(version), evaluate_all, request, finish))

    def release(
        self,
        number: int | None,
        precision: training.Precision | None,
        target: Target,
        by: str,
        force: bool,
    ) -> Outcome:
        """Let gateways run a version, by default the newest, in the precision that `gate` prefers.

        Raises Rejected(INVALID) with the reasons when something is against it and `force` is not given, and
        for unknown versions, sites and gateways; Corrupt for a damaged file.
        """
        self._check_known(target)
        self.remember()
        version = self.registry.version(NAME, number)
        bundle = version.bundle(precision or gate.default_precision(version))
        self._store.read(bundle.digest)
        fleet = self._fleet()
        concerned = [*target.sites, *(s for g in target.gateways if (s := fleet.site_of(g)) is not None)]
        against = gate.objections(bundle, concerned)
        if against and not force:
            raise Rejected(
                RejectReason.INVALID,
                f"{version} {bundle.precision} is not released: {'; '.join(against)}\n"
                "  fix: train on more or newer observations, or overrule with --force",
            )
        detail = f"{version} {bundle.precision} to {_named(target)}" + " (forced)" * bool(against)

        def step(registry: Registry) -> Registry:
            plan = registry.course(NAME).plan.with_bundle(bundle.digest, target.sites, target.gateways)
            return registry.with_plan(NAME, plan, self._change("release", detail, by), bundle.digest)

        return replace(
            self._apply(step, "model-released", detail),
            overruled=tuple(against),
            grounds=tuple(gate.grounds(bundle, concerned)),
            remarks=tuple(gate.remarks(bundle, concerned, of_bundle(self.live(), bundle.digest))),
        )

    def rollback(self, by: str, force: bool = False) -> Outcome:
        """Undo the last release that still stands.

        Passes over what was found worse than the naive forecast or refused, down to none, unless `force` is
        given. Raises Rejected(INVALID) when nothing is released.
        """
        try:
            self.remember()
        except (Unavailable, Corrupt) as error:
            # The way back must not depend on the database.
            log.warning("statuses-unreadable", reason=error)
        registry, course = self.registry, self.registry.course(NAME)
        if course.plan == Plan() and not course.earlier and not registry.rebuilt:
            raise Rejected(RejectReason.INVALID, "no model is released, so there is nothing to roll back")
        skipped, against = way_back(registry, course.earlier, force)
        before = course.earlier[-1 - skipped] if skipped < len(course.earlier) else Plan()
        was = UNKNOWN if registry.rebuilt else planned(registry, course.plan)
        detail = f"{was} back to {planned(registry, before)}"

        def step(registry: Registry) -> Registry:
            return registry.without_latest_plan(NAME, self._change("rollback", detail, by), skipped)

        done = self._apply(step, "model-rolled-back", detail)
        if force:
            return replace(done, overruled=tuple(against))
        return replace(
            done, remarks=tuple(f"passed over {reason}; return to it with --force" for reason in against)
        )

    def _apply(self, step: Callable[[Registry], Registry], event: str, detail: str) -> Outcome:
        before, after = self.registry, self._store.change(step)
        moves = moved(before, after, self._fleet())
        if after is not before:
            log.info(event, detail=detail, gateways=len(moves))
        return Outcome(detail, moves)

    def _change(self, what: Any, detail: str, by: str) -> Change:
        return Change(at=self._clock.wall(), by=by[:200], what=what, detail=detail[:200])

    def _observed(self, sites: tuple[str, ...], hours: float, now: float) -> training.Observed:
        return training.Observed(
            self._data.repository, now - hours * 3600.0, now, sites or None, self._data.folder
        )

    def _check_known(self, target: Target) -> None:
        fleet = self._fleet().active()
        for site in target.sites:
            if site not in fleet.values():
                raise Rejected(RejectReason.INVALID, f"site {site!r} is not known: coordinator sites")
        for gateway in target.gateways:
            if gateway not in fleet:
                raise Rejected(
                    RejectReason.INVALID, f"gateway {gateway!r} is not known: coordinator gateways"
                )


def evaluate_all(requests: list[training.EvaluationRequest]) -> list[training.Evaluation]:
    """One evaluation after the other, in the job's process."""
    return [training.evaluate(request) for request in requests]


def _named(target: Target) -> str:
    named = [f"site {site}" for site in target.sites] + [f"gateway {name}" for name in target.gateways]
    return ", ".join(named) or "all gateways"
