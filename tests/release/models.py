"""Values that the tests of release share: scores, evaluations, versions."""

from __future__ import annotations

from hashlib import sha256

from coordinator.release.registry import Bundle, Change, Plan, Registry, Version
from coordinator.release.standing import Live
from coordinator.training.job import Evaluation, Precision, Score

NAME = "link-forecast"


def score(error: float, naive: float = 0.04, windows: int = 5000, uncertainty: float | None = None) -> Score:
    return Score(error, naive, windows, "ewma", (error,) * 3, (naive,) * 3, 0.8, uncertainty)


def live(state: str, reason: str = "", number: int = 1, windows: int = 300, gateway: str = "gw-1") -> Live:
    """What a gateway of the office says of a version."""
    return Live("office", gateway, NAME, number, digest(number), state, reason, 0.09, 0.04, windows)


def digest(number: int, precision: Precision = "float32") -> str:
    return sha256(f"{number} {precision}".encode()).hexdigest()


def bundle(number: int, precision: Precision, held_out: Evaluation | None) -> Bundle:
    return Bundle(precision=precision, digest=digest(number, precision), size=20_000, held_out=held_out)


def version(number: int, exact: Evaluation | None = None, small: Evaluation | None = None) -> Version:
    bundles = (bundle(number, "float32", exact), bundle(number, "int8", small))
    return Version(name=NAME, version=number, created=1000.0 + number, bundles=bundles)


def registry(*numbers: int) -> Registry:
    made = Registry()
    for number in numbers:
        made = made.with_version(version(number))
    return made


def change(what: str = "release") -> Change:
    return Change.model_validate({"at": 1.0, "by": "ann", "what": what, "detail": what})


def released(before: Registry, number: int, *sites: str) -> Registry:
    plan = before.course(NAME).plan.with_bundle(digest(number), sites)
    return before.with_plan(NAME, plan, change(), digest(number))


def plan_of(found: Registry) -> Plan:
    return found.course(NAME).plan
