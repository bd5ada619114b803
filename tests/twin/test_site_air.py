"""What is on the air beyond what anybody hears, of sites whose signals are known."""

from __future__ import annotations

from dataclasses import replace
from math import erf, exp, pi, sqrt

import numpy as np
import pytest

from common.mesh.configuration import Transmit
from common.radio import DEFAULT
from coordinator.twin.reception import attenuation_at, pdr_at
from coordinator.twin.site_air import Air, air_of, survival
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel
from coordinator.twin.site_space import Floats, Seen, hazard, placed

COUNTED = 200
SPOILT = 0.1


def hall(seed: int = 1, size: int = 30) -> Floats:
    """[N, N] margins in a hall of some shadowing, the threshold at a third of its width."""
    random = np.random.default_rng(seed)
    places = random.uniform(0.0, 1.0, (size, 2))
    distance = np.hypot(*(places[:, None] - places).transpose(2, 0, 1)) + 1e-3
    wall = np.triu(random.normal(0.0, 4.0, (size, size)), 1)
    margins: Floats = -30.0 * np.log10(distance / 0.35) + wall + wall.T
    return margins


def observed(margins: Floats, spoilt: float = SPOILT, seed: int = 2) -> SiteModel:
    """What a quiet site's probes would tell of them."""
    random = np.random.default_rng(seed)
    addresses = tuple(range(1, len(margins) + 1))
    links = {}
    for i, a in enumerate(addresses):
        for j, b in enumerate(addresses):
            chance = (1.0 - spoilt) * pdr_at(attenuation_at(0.5) - float(margins[i, j]))
            heard = int(random.binomial(COUNTED, chance)) if i != j else 0
            if heard:
                links[a, b] = LinkBelief.counted(heard, COUNTED - heard)
    times = SiteConfiguration(frozenset(addresses[1:]), 7, Transmit(2, 20), Transmit(2, 20))
    return SiteModel(addresses, (1,), links, times)


def found(model: SiteModel) -> Air:
    air = air_of(model, 0.95)
    assert air is not None
    return air


def test_the_hazard_of_the_normal_distribution_is_that_of_its_definition() -> None:
    for x in (-2.9, -1.0, 0.0, 0.5, 3.0):
        exact = exp(-0.5 * x * x) / sqrt(2.0 * pi) / (0.5 * (1.0 + erf(x / sqrt(2.0))))
        assert hazard(np.array([x]))[0] == pytest.approx(exact, rel=1e-3)
    assert hazard(np.array([-6.0]))[0] == pytest.approx(6.16, abs=0.02)
    assert hazard(np.array([-40.0]))[0] == pytest.approx(40.0, abs=0.1)


def test_the_plane_tells_near_from_far_among_pairs_that_nobody_hears() -> None:
    margins = hall()
    off = ~np.eye(len(margins), dtype=np.bool_)
    measured, full = off & (abs(margins) <= 1.8), off & (margins > 1.8)
    space = placed(Seen(margins, measured, full))
    silent = off & ~measured & ~full
    assert np.corrcoef(space.expected[silent], margins[silent])[0, 1] > 0.45
    assert 3.0 <= space.shadowing_db <= 7.0


def test_what_others_spoil_is_not_taken_for_weak_signals() -> None:
    margins = hall()
    air = found(observed(margins))
    assert air.spoilt == pytest.approx(SPOILT, abs=0.03)
    assert air.parameters(DEFAULT).burst_loss == pytest.approx(air.spoilt)
    off = ~np.eye(len(margins), dtype=np.bool_)
    strong = off & (margins > 6.0)
    assert float(air.mean[strong].mean()) > 3.0


def test_who_is_not_heard_is_on_the_air_all_the_same() -> None:
    margins = hall()
    model = observed(margins)
    air = found(model)
    silent = ~np.eye(len(margins), dtype=np.bool_)
    for a, b in model.links:
        silent[a - 1, b - 1] = False
    error = air.mean[silent] - margins[silent]
    assert abs(float(error.mean())) < 3.0
    assert float(air.margins[:, silent].max()) < 3.0
    heard = replace(model, air=air).scenario().links
    assert heard is not None
    assert len(heard) > len(model.links)


def test_states_differ_where_little_is_known_and_agree_on_their_mean() -> None:
    air = found(observed(hall()))
    spread = air.margins.std(axis=0)
    off = ~np.eye(len(spread), dtype=np.bool_)
    assert float(spread[off].mean()) > 1.0
    assert abs(float((air.margins.mean(axis=0) - air.mean)[off].mean())) < 0.5


def test_equal_sites_have_equal_air() -> None:
    model = observed(hall())
    assert np.array_equal(found(model).margins, found(model).margins)


def test_nodes_that_are_gone_are_off_the_air_and_new_ones_have_their_links() -> None:
    model = observed(hall())
    site = replace(model, air=found(model))
    assert all(5 not in link[:2] for link in site.without(5).scenario().links or [])
    grown = replace(
        site, addresses=(*site.addresses, 99), links={**site.links, (99, 1): LinkBelief.counted(9, 1)}
    )
    assert any(link[:2] == (99, 1) for link in grown.scenario().links or [])


def test_of_a_handful_of_nodes_nothing_is_made() -> None:
    assert air_of(observed(hall(size=3)), 0.95) is None


def test_a_quiet_site_spoils_nothing_and_a_loud_neighbour_spoils_the_weak() -> None:
    margins = np.array([[0.0, 15.0, 40.0], [15.0, 0.0, 15.0], [3.0, 15.0, 0.0]])
    assert survival(margins, np.zeros(3)) == pytest.approx(1.0)
    kept = survival(margins, np.array([0.0, 100.0, 0.0]))
    assert kept[2, 0] < kept[0, 2] < 1.0
    assert kept[0, 1] < 0.9  # Who sends is deaf.


def test_losses_that_the_site_itself_causes_are_not_others_doing() -> None:
    margins = hall()
    quiet = observed(margins)
    talk = np.full(len(margins), 8.0)
    kept = survival(margins, talk)
    links = {
        (a, b): LinkBelief.counted(COUNTED * p, COUNTED * (1.0 - p))
        for (a, b), belief in quiet.links.items()
        if (p := belief.pdr * float(kept[a - 1, b - 1])) > 0.0
    }
    flows = tuple(SiteFlow(a, 1, 2.0 / 8.0) for a in quiet.addresses[1:])
    loud = replace(quiet, links=links, flows=flows).with_relays(())
    assert found(loud).spoilt == pytest.approx(SPOILT, abs=0.05)
