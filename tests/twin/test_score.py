"""The score of a twin, and what a site's own numbers are fitted to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import Unavailable
from common.mesh.configuration import Transmit
from coordinator.twin import calibration
from coordinator.twin.calibration import Calibration, Fitted, Outcomes
from coordinator.twin.mirror_judgement import Fit, Material, judge, still_holds
from coordinator.twin.mirror_state import ObservedFlow
from coordinator.twin.score import FlowScore, NotVouched, Verdict, score, vouch
from coordinator.twin.score_prediction import Foretold, chosen_states, foretell
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel


def chain(pdr: float = 0.8) -> SiteModel:
    """1 (gateway) – 2 – … – 8, each relaying."""
    pairs = [(a, a + 1) for a in range(1, 8)]
    belief = LinkBelief(pdr * 500, (1.0 - pdr) * 500)
    return SiteModel(
        addresses=tuple(range(1, 9)),
        gateways=(1,),
        links={key: belief for a, b in pairs for key in ((a, b), (b, a))},
        configuration=SiteConfiguration(frozenset(range(2, 8)), 10, Transmit(2, 20), Transmit(2, 20)),
    )


def observed(node: int, delivery: float, trials: float = 100.0, **more: float) -> ObservedFlow:
    return ObservedFlow(node, 1, "sensing", False, trials, delivery * trials, **more)  # type: ignore[arg-type]


def deliveries(model: SiteModel) -> dict[int, float]:
    flows = [SiteFlow(node, 1, 60.0) for node in range(2, 9)]
    return dict(zip(range(2, 9), (one.delivery for one in foretell(model, flows)), strict=True))


def test_a_twin_that_is_right_is_trusted_and_vouches() -> None:
    true = deliveries(chain())
    found = score([FlowScore(observed(n, p), Foretold(p, 0.01)) for n, p in true.items()])
    assert (found.verdict, found.value, found.delivery_error) == (Verdict.TRUSTED, 1.0, 0.0)
    assert found.low <= found.value <= found.high
    vouch(found)


def test_a_twin_that_is_wrong_says_so_and_does_not_vouch() -> None:
    true = deliveries(chain())
    found = score([FlowScore(observed(n, max(0.0, p - 0.3)), Foretold(p, 0.01)) for n, p in true.items()])
    assert found.verdict is Verdict.WRONG
    assert found.delivery_error == pytest.approx(0.3, abs=0.03)
    with pytest.raises(NotVouched, match="error of delivery is") as refused:
        vouch(found)
    assert isinstance(refused.value, Unavailable)


def test_a_twin_with_little_to_judge_by_does_not_vouch() -> None:
    found = score([FlowScore(observed(2, 1.0, trials=5.0), Foretold(1.0, 0.0))])
    assert found.verdict is Verdict.UNPROVEN
    with pytest.raises(NotVouched, match="too few"):
        vouch(found)
    assert score([]).verdict is Verdict.UNPROVEN


def test_chance_is_not_held_against_a_twin() -> None:
    arrived = (8, 9, 10, 9, 10, 9, 8, 9, 9, 10, 8, 10)
    lucky = [observed(node, k / 10, trials=10.0) for node, k in enumerate(arrived)]
    found = score([FlowScore(flow, Foretold(0.9, 0.0)) for flow in lucky])
    assert found.value > 0.9, found


def test_late_answers_and_long_ways_count_too() -> None:
    base = observed(2, 1.0)
    slow = replace(base, round_trip_ms=100.0)
    far = replace(base, hops=5.0)
    said = Foretold(1.0, 0.0, hops=2.0, round_trip_ms=50.0)
    assert score([FlowScore(slow, said)] * 4).round_trip_error == pytest.approx(0.5)
    assert score([FlowScore(slow, said)] * 4).verdict is Verdict.WRONG
    assert score([FlowScore(far, said)] * 4).hops_error == pytest.approx(3.0)
    assert score([FlowScore(replace(base, hops=2.4), said)] * 4).verdict is Verdict.TRUSTED


def test_an_offset_of_all_signals_is_found() -> None:
    model = chain()
    true = deliveries(calibration.shifted(model, -1.0))
    flows = [SiteFlow(node, 1, 60.0) for node in true]
    outcomes = [Outcomes(200.0, 200.0 * p) for p in true.values()]
    found = calibration.fit_offset(
        model, outcomes, lambda m: [one.delivery for one in foretell(m, flows, states=1, words=64)]
    )
    assert found is not None
    assert found.value == pytest.approx(-1.0, abs=0.35)
    assert 0.05 < found.error < 0.5


def test_a_small_offset_is_shown_but_not_acted_on() -> None:
    """What the twin does not know of weak links looks the same, and would not move with a change."""
    small = Calibration(reception_offset_db=Fitted(0.6, 0.1, 50))
    large = Calibration(reception_offset_db=Fitted(-2.0, 0.2, 50))
    unsure = Calibration(reception_offset_db=Fitted(-2.0, 1.0, 50))
    model = chain()
    assert small.applied(model) is model
    assert unsure.applied(model) is model
    assert large.applied(model).links[1, 2].pdr < 0.7


def test_without_an_offset_none_is_claimed() -> None:
    model = chain()
    material = Material(0.0, model, tuple(observed(n, p) for n, p in deliveries(model).items()), {})
    judged = judge(material)
    assert judged.calibration.reception_offset_db is not None
    assert judged.calibration.reception_offset_db.value == pytest.approx(0.0, abs=0.3)
    assert judged.score.verdict is Verdict.TRUSTED


def test_interference_and_sensitivity_are_read_off_the_links() -> None:
    def link(signal: float) -> tuple[LinkBelief, float]:
        pdr = 0.85 * calibration._share((signal + 94.0) / calibration.SLOPE_DB)
        return LinkBelief(pdr * 300, (1.0 - pdr) * 300), signal

    signals = {(1, i): link(-70.0 - i) for i in range(2, 32)}
    interference, sensitivity = calibration.fit_radio(signals)
    assert interference is not None
    assert interference.value == pytest.approx(0.15, abs=0.02)
    assert sensitivity is not None
    assert sensitivity.value == pytest.approx(-94.0, abs=0.5)


def test_what_nodes_take_to_answer_is_told_from_the_way() -> None:
    model = chain(0.98)
    flows = [ObservedFlow(1, n, "sensing", True, 50.0, 45.0) for n in range(2, 9)]
    plain = judge(Material(0.0, model, tuple(replace(f, round_trip_ms=1.0) for f in flows), {}))
    said = {f.observed.destination: f.foretold.round_trip_ms or 0.0 for f in plain.score.flows}
    later = tuple(replace(f, round_trip_ms=said[f.destination] + 40.0) for f in flows)
    delay = judge(Material(0.0, model, later, {})).calibration.response_delay_ms
    assert delay is not None
    assert delay.value == pytest.approx(40.0, abs=5.0)


def test_chosen_states_tell_more_than_as_many_random_ones() -> None:
    """Each link takes each of its quantiles once, so that means over the states are exact."""
    model = replace(chain(), links={(1, n): LinkBelief(16.0, 4.0) for n in range(2, 9)})
    states = list(chosen_states(model, 6))
    for key, belief in model.links.items():
        assert sum(state[key] for state in states) / 6 == pytest.approx(belief.pdr, abs=0.005)
        assert len({round(state[key], 6) for state in states}) == 6


def test_a_judgement_of_nothing_is_unproven() -> None:
    empty = replace(chain(), links={}, addresses=(), gateways=())
    assert judge(Material(0.0, empty, (), {})).score.verdict is Verdict.UNPROVEN


def test_a_site_that_is_as_it_was_is_not_fitted_anew() -> None:
    fit = Fit(100.0, 1000.0, (1, 2), SiteConfiguration(frozenset({1})))
    assert still_holds(fit, replace(fit, t=130.0, trials=1100.0))
    assert not still_holds(fit, replace(fit, t=500.0))
    assert not still_holds(fit, replace(fit, t=130.0, trials=1500.0))
    assert not still_holds(fit, replace(fit, t=130.0, addresses=(1, 2, 3)))
    assert not still_holds(fit, replace(fit, t=130.0, configuration=SiteConfiguration(frozenset())))


def test_an_old_fit_that_no_longer_serves_is_made_anew() -> None:
    flows = tuple(observed(node, p) for node, p in deliveries(chain()).items())
    first = judge(Material(0.0, chain(), flows, {}))
    again = judge(Material(30.0, chain(), flows, {}), first)
    assert first.fit is not None
    assert again.fit == first.fit
    spoilt = tuple(replace(flow, successes=0.3 * flow.successes) for flow in flows)
    worse = judge(Material(60.0, chain(), spoilt, {}), again)
    assert worse.fit is not None
    assert worse.fit.t == 60.0
