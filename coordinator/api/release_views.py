"""From registry, statuses and jobs to what the API shows of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from coordinator.release.gate import ENOUGH_WINDOWS, default_precision
from coordinator.release.jobs import Job
from coordinator.release.registry import Bundle, Registry, State, Version
from coordinator.release.releases import Outcome
from coordinator.release.standing import Live, mean_errors, of_bundle
from coordinator.training.job import Evaluation, Precision, Score


class ErrorsView(BaseModel):
    """Mean absolute errors of the share of probes heard in the next window, model and naive forecast.

    `enough`: so many windows were compared that it counts for a release.
    """

    error: float
    naive_error: float
    windows: int
    enough: bool


class GatewayView(BaseModel):
    """What a gateway says of a bundle. `state`: fetching, trial, in-use, worse-than-naive or refused;
    `again_at` (Unix seconds): when it tries it again."""

    gateway: str
    state: str
    reason: str
    error: float | None
    naive_error: float | None
    windows: int
    again_at: float | None


class VerdictView(BaseModel):
    """The gravest that a site's gateways ever said of a bundle: refused or worse-than-naive, and since when
    (Unix seconds)."""

    gateway: str
    at: float
    state: str
    reason: str
    error: float | None
    naive_error: float | None
    windows: int


class SiteView(BaseModel):
    """A bundle at a site. `wanted`: how many of its gateways are to run it; `states` counts what they say."""

    site: str
    held_out: ErrorsView | None
    observed: ErrorsView | None
    live: ErrorsView | None
    wanted: int
    states: dict[str, int]
    gateways: list[GatewayView]
    verdict: VerdictView | None


class BundleView(BaseModel):
    """One file; `evaluations` hold everything that was scored, by `held_out` and `observed`."""

    precision: Precision
    digest: str
    size: int
    released: bool
    default: bool
    overall: ErrorsView | None
    synthetic: ErrorsView | None
    sites: list[SiteView]
    evaluations: dict[str, dict[str, Any]]


class ModelView(BaseModel):
    """One version. `created` in Unix seconds; `rows` counts training rows by their source; `recovered`: known
    from its bundles alone, after the registry was lost."""

    name: str
    version: int
    state: State
    created: float
    seconds: float
    rows: dict[str, int]
    recovered: bool
    bundles: list[BundleView]


class MoveView(BaseModel):
    """A gateway that is to change its model; None is the naive forecast."""

    site: str
    gateway: str
    before: str | None
    after: str | None


class OutcomeView(BaseModel):
    """What a release or rollback did. `announced`: the broker was told at once, and not only with its next
    connection; `overruled`: reasons against it that were not heeded; `grounds`: what it was compared on;
    `remarks`: what speaks against it and is no reason."""

    detail: str
    moved: list[MoveView]
    overruled: list[str]
    grounds: list[str]
    remarks: list[str]
    announced: bool


class ChangeView(BaseModel):
    """One entry of the history."""

    name: str
    at: float
    by: str
    what: str
    detail: str


class JobView(BaseModel):
    """A job; `state` is running, done, failed or cancelled."""

    id: str
    kind: str
    about: str
    state: str
    started: float
    ended: float | None
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: str


def models(registry: Registry, live: Sequence[Live], wanted: dict[str, dict[str, int]]) -> list[ModelView]:
    """Every version, the newest first. `wanted` counts gateways by digest and site."""
    ordered = sorted(registry.versions, key=lambda v: (v.name, -v.version))
    return [_model(registry, version, live, wanted) for version in ordered]


def outcome(done: Outcome, announced: bool) -> OutcomeView:
    moves = [MoveView(site=s, gateway=g, before=b, after=a) for s, g, b, a in done.moved]
    return OutcomeView(
        detail=done.detail,
        moved=moves,
        overruled=list(done.overruled),
        grounds=list(done.grounds),
        remarks=list(done.remarks),
        announced=announced,
    )


def changes(registry: Registry, limit: int) -> list[ChangeView]:
    """The history of all names, newest first."""
    found = [
        ChangeView(name=name, at=c.at, by=c.by, what=c.what, detail=c.detail)
        for name, course in registry.courses.items()
        for c in course.changes
    ]
    return sorted(found, key=lambda change: change.at, reverse=True)[:limit]


def job(found: Job) -> JobView:
    return JobView(**asdict(found))


def _model(
    registry: Registry, version: Version, live: Sequence[Live], wanted: dict[str, dict[str, int]]
) -> ModelView:
    released = registry.course(version.name).plan.digests
    default = default_precision(version)
    return ModelView(
        name=version.name,
        version=version.version,
        state=registry.state_of(version),
        created=version.created,
        seconds=version.seconds,
        rows=version.rows,
        recovered=version.recovered,
        bundles=[
            _bundle(b, b.digest in released, b.precision == default, live, wanted.get(b.digest, {}))
            for b in version.bundles
        ],
    )


def _bundle(
    bundle: Bundle, released: bool, default: bool, live: Sequence[Live], wanted: dict[str, int]
) -> BundleView:
    told = of_bundle(live, bundle.digest)
    evaluations = {"held_out": bundle.held_out, "observed": bundle.observed}
    named = {e: found for e, found in evaluations.items() if found is not None}
    scored = {site for evaluation in named.values() for site in evaluation.sites}
    sites = {*wanted, *(one.site for one in told), *scored, *bundle.verdicts}
    newest = bundle.observed or bundle.held_out or Evaluation()
    return BundleView(
        precision=bundle.precision,
        digest=bundle.digest,
        size=bundle.size,
        released=released,
        default=default,
        overall=_errors(newest.overall),
        synthetic=_errors(bundle.held_out.synthetic if bundle.held_out else None),
        sites=[_site(site, bundle, told, wanted.get(site, 0)) for site in sorted(sites)],
        evaluations={name: asdict(found) for name, found in named.items()},
    )


def _site(site: str, bundle: Bundle, told: Iterable[Live], wanted: int) -> SiteView:
    here = [one for one in told if one.site == site]
    means = mean_errors(here)
    return SiteView(
        site=site,
        held_out=_errors(bundle.held_out.sites.get(site) if bundle.held_out else None),
        observed=_errors(bundle.observed.sites.get(site) if bundle.observed else None),
        live=_shown(*means) if means else None,
        wanted=wanted,
        states=dict(Counter(one.state for one in here)),
        gateways=[
            GatewayView(
                gateway=one.gateway,
                state=one.state,
                reason=one.reason,
                error=one.error,
                naive_error=one.naive_error,
                windows=one.windows,
                again_at=one.again_at,
            )
            for one in here
        ],
        verdict=VerdictView(**verdict.model_dump()) if (verdict := bundle.verdicts.get(site)) else None,
    )


def _errors(score: Score | None) -> ErrorsView | None:
    if score is None:
        return None
    return _shown(score.error, score.naive_error, score.windows)


def _shown(error: float, naive_error: float, windows: int) -> ErrorsView:
    enough = windows >= ENOUGH_WINDOWS
    return ErrorsView(error=error, naive_error=naive_error, windows=windows, enough=enough)
