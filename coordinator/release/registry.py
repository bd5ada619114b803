"""What is known of every trained model, and which of them gateways are to run. Pure values.

Every change returns a new registry; `coordinator.release.store` keeps it on disk. Says nothing about whether
a model is good enough: that is `coordinator.release.gate`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from common.errors import Rejected, RejectReason
from common.models.metadata import MAX_BUNDLE_BYTES
from coordinator.release.verdicts import Verdict, judged
from coordinator.section import Section
from coordinator.training.job import PRECISIONS, Evaluation, Precision

if TYPE_CHECKING:
    from coordinator.release.standing import Live

# Versions kept of each name beside those that are released or may be returned to.
KEPT_VERSIONS: Final = 20
KEPT_PLANS: Final = 20
KEPT_CHANGES: Final = 100

State = Literal["candidate", "released", "retired", "unknown"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Said = Annotated[str, Field(max_length=200)]


class Bundle(Section):
    """One file: `held_out` is its evaluation by the training, on what it had not seen; `observed` the latest
    one on stored observations, wherever it was asked for; `verdicts` the gravest of each site's gateways."""

    precision: Precision
    digest: Digest
    size: int = Field(ge=1, le=MAX_BUNDLE_BYTES)
    held_out: Evaluation | None = None
    observed: Evaluation | None = None
    verdicts: dict[str, Verdict] = {}

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What there is, the training's own first."""
        return tuple(e for e in (self.held_out, self.observed) if e is not None)


class Version(Section):
    """One trained model in its precisions. `rows` counts training rows by where they came from.

    `recovered`: known from its bundles alone, after the registry was lost.
    """

    name: str
    version: int = Field(ge=1)
    created: float
    seconds: float = 0.0
    rows: dict[str, int] = {}
    recovered: bool = False
    bundles: tuple[Bundle, ...]

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(bundle.digest for bundle in self.bundles)

    def bundle(self, precision: Precision) -> Bundle:
        """The file of a precision. Raises Rejected(INVALID)."""
        found = next((b for b in self.bundles if b.precision == precision), None)
        if found is None:
            raise _refusal(f"{self} has no {precision} bundle")
        return found

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Plan(Section):
    """Which bundle (digest) gateways are to run; None is none: the naive forecast serves.

    What is said of a gateway comes before its site's, and that before what is for everywhere.
    """

    everywhere: Digest | None = None
    sites: dict[str, Digest | None] = {}
    gateways: dict[str, Digest | None] = {}

    def digest_for(self, site: str, gateway: str) -> str | None:
        if gateway in self.gateways:
            return self.gateways[gateway]
        return self.sites.get(site, self.everywhere)

    @property
    def digests(self) -> frozenset[str]:
        every = (self.everywhere, *self.sites.values(), *self.gateways.values())
        return frozenset(digest for digest in every if digest is not None)

    def with_bundle(self, digest: str, sites: Iterable[str] = (), gateways: Iterable[str] = ()) -> Plan:
        """The plan with `digest` at some sites or gateways first; with neither, everywhere alike."""
        at_sites, at_gateways = dict.fromkeys(sites, digest), dict.fromkeys(gateways, digest)
        if not at_sites and not at_gateways:
            return Plan(everywhere=digest)
        return Plan(
            everywhere=self.everywhere,
            sites={**self.sites, **at_sites},
            gateways={**self.gateways, **at_gateways},
        )


class Change(Section):
    """Who released or rolled back what, when (Unix seconds), for people to read; or that it was lost."""

    at: float
    by: Said
    what: Literal["release", "rollback", "lost"]
    detail: Said


class Course(Section):
    """What became of one name: the last version number given, the plan, the plans before it (newest last),
    every bundle that was ever in one, and how often each was released."""

    last: int = 0
    plan: Plan = Plan()
    earlier: tuple[Plan, ...] = ()
    tried: frozenset[Digest] = frozenset()
    issued: dict[Digest, int] = {}
    changes: tuple[Change, ...] = ()


class Registry(Section):
    """All models. `revision` counts changes.

    `rebuilt`: the file was lost and this was made from the bundles, so nobody knows what is released.
    Gateways keep what they were told last, until somebody releases or rolls back.
    """

    v: Literal[1] = 1
    revision: int = Field(0, ge=0)
    rebuilt: bool = False
    versions: tuple[Version, ...] = ()
    courses: dict[str, Course] = {}

    def course(self, name: str) -> Course:
        return self.courses.get(name, Course())

    def of(self, name: str) -> list[Version]:
        """The versions of a name, the oldest first."""
        return sorted((v for v in self.versions if v.name == name), key=lambda v: v.version)

    def version(self, name: str, number: int | None = None) -> Version:
        """A version, by default the newest. Raises Rejected(INVALID), naming the known ones."""
        known = self.of(name)
        if not known:
            raise _refusal(f"there is no {name} model yet; train one: coordinator models train")
        if number is None:
            return known[-1]
        found = next((v for v in known if v.version == number), None)
        if found is None:
            numbers = ", ".join(str(v.version) for v in known[-10:])
            raise _refusal(f"{name} {number} is not known; there are: {numbers}")
        return found

    def holding(self, digest: str) -> tuple[Version, Bundle] | None:
        """The version and bundle of a digest."""
        return next(((v, b) for v in self.versions for b in v.bundles if b.digest == digest), None)

    def next_version(self, name: str) -> int:
        return max((self.course(name).last, *(v.version for v in self.of(name)))) + 1

    def state_of(self, version: Version) -> State:
        """Released while the plan names one of its bundles; retired when it once did; unknown for those that
        were there when that was lost."""
        if self.rebuilt and version.recovered:
            return "unknown"
        course = self.course(version.name)
        if version.digests & course.plan.digests:
            return "released"
        return "retired" if version.digests & course.tried else "candidate"

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(digest for version in self.versions for digest in version.digests)

    def with_version(self, added: Version) -> Registry:
        """The registry with one more version; the oldest that nobody can return to go."""
        course = self.course(added.name)
        needed = course.plan.digests.union(*(plan.digests for plan in course.earlier))
        known = [*self.of(added.name), added]
        kept = [v for v in known[:-KEPT_VERSIONS] if v.digests & needed] + known[-KEPT_VERSIONS:]
        others = [v for v in self.versions if v.name != added.name]
        counted = course.model_copy(update={"last": max(course.last, added.version)})
        return self._with(versions=(*others, *kept), courses={**self.courses, added.name: counted})

    def with_observed(self, digest: str, evaluation: Evaluation) -> Registry:
        """The registry with a newer evaluation on stored observations; unchanged for an unknown digest."""
        return self._with_bundle(digest, observed=evaluation)

    def with_said(self, said: Iterable[Live], at: float) -> Registry:
        """The registry with what gateways said of its bundles taken to heart; itself when that is nothing
        new."""
        changed = self
        for one in said:
            if (found := changed.holding(one.digest)) is None:
                continue
            verdicts = judged(found[1].verdicts, one, at)
            if verdicts != found[1].verdicts:
                changed = changed._with_bundle(one.digest, verdicts=verdicts)
        return changed

    def with_plan(self, name: str, plan: Plan, change: Change, issued: str | None = None) -> Registry:
        """The registry with another plan in force; the one before can be returned to. The same plan again
        counts only where the digest `issued` is released anew."""
        course = self.course(name)
        earlier = course.earlier
        if plan != course.plan or self.rebuilt:
            earlier = (*earlier, course.plan)[-KEPT_PLANS:]
        elif issued is None:
            return self
        if issued is not None:
            counted = {**course.issued, issued: course.issued.get(issued, 0) + 1}
            course = course.model_copy(update={"issued": counted})
        return self._with_course(name, course, plan, earlier, change)

    def without_latest_plan(self, name: str, change: Change, skipped: int = 0) -> Registry:
        """The registry with the plan before in force again, or one before that, `skipped` plans further back;
        nothing released when there was none."""
        course = self.course(name)
        earlier = course.earlier[: max(0, len(course.earlier) - skipped)]
        before = earlier[-1] if earlier else Plan()
        return self._with_course(name, course, before, earlier[:-1], change)

    def _with_course(
        self, name: str, course: Course, plan: Plan, earlier: tuple[Plan, ...], change: Change
    ) -> Registry:
        known = self.digests
        moved = Course(
            last=course.last,
            plan=plan,
            earlier=earlier,
            tried=(course.tried | plan.digests) & known,
            issued={digest: count for digest, count in course.issued.items() if digest in known},
            changes=(*course.changes, change)[-KEPT_CHANGES:],
        )
        return self._with(courses={**self.courses, name: moved}, rebuilt=False)

    def _with_bundle(self, digest: str, **changes: object) -> Registry:
        def changed(bundle: Bundle) -> Bundle:
            return bundle.model_copy(update=changes) if bundle.digest == digest else bundle

        return self._with(
            versions=tuple(
                v.model_copy(update={"bundles": tuple(map(changed, v.bundles))}) if digest in v.digests else v
                for v in self.versions
            )
        )

    def _with(self, **changes: object) -> Registry:
        return self.model_copy(update={**changes, "revision": self.revision + 1})


def in_order(bundles: Iterable[Bundle]) -> tuple[Bundle, ...]:
    """Bundles as they are listed everywhere."""
    return tuple(sorted(bundles, key=lambda bundle: PRECISIONS.index(bundle.precision)))


def _refusal(detail: str) -> Rejected:
    return Rejected(RejectReason.INVALID, detail)
