"""What is kept of what gateways say, and how it is taken back."""

from __future__ import annotations

import math

import pytest

from coordinator.release.standing import Live, told_by
from coordinator.release.verdicts import Verdict, judged
from tests.release.models import digest, live, registry


def after(*said: Live) -> Verdict | None:
    verdicts: dict[str, Verdict] = {}
    for number, one in enumerate(said):
        verdicts = judged(verdicts, one, float(number))
    return verdicts.get("office")


def test_nothing_is_kept_of_a_model_that_does_well_or_is_on_its_way() -> None:
    assert after(live("fetching", "no answer"), live("trial"), live("in-use")) is None


@pytest.mark.parametrize("last", [live("fetching"), live("trial"), live("in-use", windows=299)])
def test_being_worse_is_kept_until_a_comparison_as_long_says_otherwise(last: Live) -> None:
    kept = after(live("worse-than-naive"), last)
    assert kept is not None
    assert (kept.state, kept.at, kept.windows) == ("worse-than-naive", 0.0, 300)
    assert after(live("worse-than-naive"), last, live("in-use", windows=300)) is None


def test_another_gateway_takes_nothing_back() -> None:
    assert after(live("worse-than-naive"), live("in-use", windows=5000, gateway="gw-2")) is not None
    assert after(live("refused", "malformed: x"), live("in-use", gateway="gw-2")) is not None


def test_a_refusal_is_taken_back_by_loading_the_bundle() -> None:
    assert after(live("refused", "malformed: x"), live("trial", windows=0)) is None


def test_the_longer_comparison_stays_and_is_written_seldom() -> None:
    kept = after(*(live("worse-than-naive", windows=windows) for windows in (200, 300, 401, 402, 350)))
    assert kept is not None
    assert (kept.windows, kept.at) == (401, 2.0)


def test_being_worse_weighs_more_than_a_refusal() -> None:
    kept = after(live("refused", "malformed: x"), live("worse-than-naive"), live("refused", "malformed: y"))
    assert kept is not None
    assert kept.state == "worse-than-naive"


def test_the_same_again_changes_no_registry() -> None:
    found = registry(1).with_said([live("worse-than-naive")], 1.0)
    assert found.with_said([live("worse-than-naive")], 2.0) is found
    assert found.with_said([live("worse-than-naive", number=7)], 2.0) is found


def test_an_error_that_is_not_a_number_is_not_kept() -> None:
    said = Live("office", "gw-1", "m", 1, digest(1), "worse-than-naive", "", math.nan, math.inf, 1)
    kept = after(said)
    assert kept is not None
    assert (kept.error, kept.naive_error) == (None, None)


def test_an_event_tells_what_a_status_does() -> None:
    fields = {"model": "m", "digest": digest(1), "error": 0.09, "naive_error": 0.04, "windows": 300}
    said = told_by("office", "gw-1", "model-worse-than-naive", fields)
    assert said is not None
    assert (said.state, said.error, said.windows) == ("worse-than-naive", 0.09, 300)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("model-loaded", {"digest": digest(1)}),
        ("model-refused", {}),
        ("model-refused", {"digest": 5}),
        ("model-refused", {"digest": digest(1), "windows": -1}),
        ("model-refused", {"digest": digest(1), "windows": True}),
        ("model-refused", {"digest": digest(1), "windows": 2**80}),
    ],
)
def test_an_event_that_tells_nothing_of_use_is_left_alone(event: str, fields: dict[str, object]) -> None:
    assert told_by("office", "gw-1", event, fields) is None
