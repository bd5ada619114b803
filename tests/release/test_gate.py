"""What is let out to gateways, and what is not."""

from __future__ import annotations

import math

import pytest

from coordinator.release.gate import default_precision, objections, remarks
from coordinator.release.registry import Bundle
from coordinator.release.verdicts import judged
from coordinator.training.job import Evaluation, Score
from tests.release.models import bundle, live, score, version

GOOD = Evaluation(
    sites={"depot": score(0.02), "office": score(0.03)}, overall=score(0.025), synthetic=score(0.03)
)


def told(state: str, reason: str = "") -> Bundle:
    """A good bundle of which a gateway said this."""
    verdicts = judged({}, live(state, reason), 1.0)
    return bundle(1, "float32", GOOD).model_copy(update={"verdicts": verdicts})


def with_office(found: Score) -> Evaluation:
    return Evaluation(sites={**GOOD.sites, "office": found}, overall=GOOD.overall)


def test_a_model_better_than_naive_everywhere_passes() -> None:
    assert objections(told("in-use")) == []
    assert remarks(told("in-use")) == []


def test_a_model_worse_at_one_site_is_named_with_both_errors() -> None:
    (reason,) = objections(bundle(1, "float32", with_office(score(0.05))))
    assert "site office" in reason
    assert "0.0500" in reason
    assert "0.0400" in reason


def test_a_canary_is_asked_about_its_own_sites_only() -> None:
    found = bundle(1, "float32", with_office(score(0.05)))
    assert objections(found, ["depot"]) == []
    assert len(objections(found, ["office"])) == 1


def test_a_model_worse_overall_is_refused_for_any_site() -> None:
    found = bundle(1, "float32", Evaluation(sites=GOOD.sites, overall=score(0.05)))
    assert "overall" in objections(found, ["depot"])[0]


@pytest.mark.parametrize("uncertainty", [None, 0.006])
def test_few_windows_decide_nothing_where_it_may_be_chance_but_are_told(uncertainty: float | None) -> None:
    found = bundle(1, "float32", with_office(score(0.05, windows=147, uncertainty=uncertainty)))
    assert objections(found) == []
    assert remarks(found) == [
        "site office: not enough windows to tell: error 0.0500, naive 0.0400 over 147 windows"
    ]


def test_a_model_that_is_worse_by_more_than_chance_is_refused_on_however_few_windows() -> None:
    found = bundle(1, "float32", with_office(score(0.05, windows=40, uncertainty=0.003)))
    (reason,) = objections(found)
    assert reason.endswith("over 40 windows: few, but more than chance")
    assert remarks(found) == []
    assert objections(found, ["depot"]) == []


def test_of_many_sites_one_may_be_off_by_chance() -> None:
    off = score(0.05, windows=40, uncertainty=0.0045)
    alone = Evaluation(sites={"office": off}, synthetic=score(0.01))
    assert objections(bundle(1, "float32", alone))
    many = Evaluation(
        sites={"office": off, **{f"s{n}": score(0.03, windows=40) for n in range(99)}}, synthetic=score(0.01)
    )
    assert objections(bundle(1, "float32", many)) == []
    assert len(remarks(bundle(1, "float32", many))) == 1


def test_every_contrary_measurement_is_told_with_why_it_does_not_count() -> None:
    worse = score(0.05)
    found = bundle(
        1,
        "float32",
        Evaluation(sites={"office": worse}, overall=score(0.01), traces={"lab": worse}, synthetic=worse),
    )
    (elsewhere, trace, synthetic) = remarks(found, ["depot"])
    assert elsewhere.startswith("site office: worse than naive, but not to get it")
    assert trace.startswith("trace lab: worse than naive, but sites were measured")
    assert synthetic.startswith("synthetic links: worse")


def test_what_gateways_measure_on_trial_is_told() -> None:
    (remark,) = remarks(bundle(1, "float32", GOOD), live=[live("trial")])
    assert remark.startswith(
        "gw-1 of site office: worse than naive so far, not by more than chance: error 0.09"
    )


def test_a_file_damaged_on_the_way_says_nothing_of_the_model() -> None:
    assert objections(told("refused", "altered: digest 12")) == []
    (remark,) = remarks(bundle(1, "float32", GOOD), live=[live("refused", "altered: digest 12")])
    assert "tries it again" in remark


@pytest.mark.parametrize("evaluation", [None, Evaluation(), Evaluation(synthetic=score(0.01, windows=3))])
def test_a_model_that_was_never_compared_is_refused(evaluation: Evaluation | None) -> None:
    assert len(objections(bundle(1, "float32", evaluation))) == 1


def test_an_error_that_is_not_a_number_is_no_proof() -> None:
    assert objections(bundle(1, "float32", Evaluation(overall=score(math.nan))))


def test_traces_count_where_no_site_was_measured_and_synthetic_links_where_nothing_was() -> None:
    worse = score(0.05)
    traces = Evaluation(traces={"lab": worse}, synthetic=score(0.01))
    assert "trace lab" in objections(bundle(1, "float32", traces))[0]
    assert objections(bundle(1, "float32", Evaluation(synthetic=score(0.01)))) == []
    assert "synthetic" in objections(bundle(1, "float32", Evaluation(synthetic=worse)))[0]
    assert objections(bundle(1, "float32", Evaluation(overall=score(0.01), traces={"lab": worse}))) == []


def test_a_later_evaluation_counts_beside_the_trainings_own() -> None:
    found = bundle(1, "float32", GOOD).model_copy(update={"observed": Evaluation(overall=score(0.05))})
    assert "overall" in objections(found)[0]


def test_what_gateways_found_speaks_against_a_wider_release() -> None:
    assert "wrong-output" in objections(told("refused", "wrong-output"))[0]
    assert "0.0900" in objections(told("worse-than-naive"), ["depot"])[0]


@pytest.mark.parametrize(
    ("exact", "small", "chosen"),
    [
        (0.0300, 0.0305, "int8"),
        (0.0300, 0.0310, "float32"),
        (0.0300, math.nan, "float32"),
    ],
)
def test_int8_is_released_while_it_costs_no_accuracy(exact: float, small: float, chosen: str) -> None:
    found = version(1, Evaluation(overall=score(exact)), Evaluation(overall=score(small)))
    assert default_precision(found) == chosen


def test_float32_is_released_where_int8_was_never_scored() -> None:
    assert default_precision(version(1, GOOD, None)) == "float32"
    assert default_precision(version(1, GOOD, Evaluation())) == "float32"
