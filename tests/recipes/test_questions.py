"""What recipes answer about sites whose answer is plain to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import Rejected
from coordinator.recipes import picture
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.running import Outcome, run
from coordinator.recipes.shelf import Shelf
from coordinator.twin.site_model import LinkBelief, SiteModel
from tests.recipes.plans import crowd, line


def ask(name: str, model: SiteModel, **given: object) -> Outcome:
    return run(Shelf(), name, given, "site-a", model)


def test_in_a_line_every_relay_is_a_single_point_of_failure() -> None:
    (answer,) = ask("single-points-of-failure", line(5)).answers
    assert [row[0] for row in answer.rows] == ["0x0001", "0x0002", "0x0003", "0x0004"]
    assert answer.figures["cutting"] == 4
    assert "0x0003, 0x0004, 0x0005" in str(answer.rows[1][1])


def test_the_audit_names_a_node_that_is_cut_off_and_a_ttl_that_is_too_tight() -> None:
    model = line(8)
    lonely = replace(model, links={k: b for k, b in model.links.items() if 8 not in k})
    (answer,) = ask("topology-audit", lonely).answers
    found = {(row[0], row[1]) for row in answer.rows}
    assert ("node cut off", "0x0008") in found
    assert ("weak flow", "0x0008 -> 0x0001") in found
    assert ("TTL too tight", "0x0007 -> 0x0001") in found
    assert answer.marks[8] == "cut off"


def test_the_weakest_lifeline_comes_first() -> None:
    model = line(5)
    weak = replace(model, links={**model.links, (5, 4): LinkBelief.certain(0.4)})
    (answer,) = ask("weakest-links", weak, at_most=2).answers
    assert answer.rows[0][:3] == ("0x0005", "0x0004", "40.0 %")
    assert len(answer.rows) == 2


def test_thinning_keeps_what_a_line_needs_and_thins_a_crowd() -> None:
    assert ask("relay-thinning", line(5)).wanted is None
    outcome = ask("relay-thinning", crowd())
    assert outcome.wanted is not None
    assert len(outcome.wanted.relays) <= 3


def test_relays_that_are_to_be_kept_are_kept() -> None:
    outcome = ask("relay-thinning", crowd(), keep="0x0005,0x0006")
    assert outcome.wanted is not None
    assert {5, 6} <= outcome.wanted.relays


def test_batteries_sleep_first() -> None:
    model = replace(crowd(), battery=frozenset({2, 3, 4, 5, 6, 7}))
    outcome = ask("energy-saving", replace(model, links={k: LinkBelief.certain(0.55) for k in model.links}))
    assert outcome.wanted is not None
    assert not outcome.wanted.relays & model.battery or len(outcome.wanted.relays) == 11


def test_redundancy_switches_on_a_second_way() -> None:
    model = crowd(6)
    outcome = ask("redundancy-k", model.with_relays({2}), k=2)
    assert outcome.wanted is not None
    assert len(outcome.wanted.relays) >= 2
    assert outcome.answers[0].figures["nodes_short"] == 0


def test_a_gateway_stands_best_in_the_middle_of_a_line() -> None:
    (answer,) = ask("gateway-placement", line(7, pdr=0.6), replace_own=True).answers
    assert answer.rows[0][0] in ("0x0003", "0x0004", "0x0005")
    assert answer.rows[-1][0] in ("0x0001", "0x0007")


def test_a_site_without_traffic_is_refused_where_there_is_nothing_to_deliver() -> None:
    quiet = replace(line(4), flows=())
    for name in ("latency-budget", "best-configuration", "retransmit-tuning", "lighting"):
        with pytest.raises(Rejected, match="no flow is known"):
            ask(name, quiet)


def test_the_lighting_pipeline_ends_in_a_plan_whose_steps_can_be_undone() -> None:
    model = crowd(16)
    outcome = ask("lighting", model, plays=40)
    assert [answer.recipe for answer in outcome.answers] == [
        "topology-audit", "lighting-search", "relay-thinning", "latency-budget",
    ]  # fmt: skip
    assert outcome.wanted is not None
    made = plan_of(Basis("site-a", model, outcome.wanted, {}, "lighting", outcome.summary, 1000.0))
    assert made.steps
    for step in made.steps:
        assert [setting.address for setting in step.undo] == [s.address for s in step.changes[::-1]]
    assert {flow.effect for flow in made.flows} & {"harmless", "better", "undecided"}
    page = picture.of_plan(model, made)
    assert page.count("<svg") == 2
    assert "relay off" in page
