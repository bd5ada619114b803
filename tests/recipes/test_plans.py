"""Plans as files, and whether they still fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import Misconfigured, Rejected
from common.mesh.configuration import NodeConfiguration
from coordinator.recipes import plan as plans
from coordinator.recipes.application import Book
from coordinator.recipes.applications import OLDEST_S, check_current
from coordinator.recipes.offline import ask
from coordinator.recipes.ordering import present_of
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.shelf import Shelf
from tests.recipes.plans import crowd, line, plan, step

MADE = plan(step(3, relay=False), step(4, relay=True), made=1000.0)
NOW = {3: NodeConfiguration(3, relay=True), 4: NodeConfiguration(4, relay=False)}


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plans.as_json(MADE)))
    assert plans.read(path) == MADE


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("v", 2, "v:"),
        ("site", None, "site:"),
        ("colour", "red", "colour:"),
        ("id", "../../etc", "id:"),
        ("steps", [{"title": "x"}], "steps.0.changes"),
        ("steps", [{**json.loads(step(3, relay=True).model_dump_json()), "delivery": 7}], "steps.0.delivery"),
    ],
)
def test_a_wrong_plan_is_refused_by_key(key: str, value: object, said: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        plans.parse(json.dumps({**plans.as_json(MADE), key: value}))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"address": 3},
        {"address": 0xC000, "relay": True},
        {"address": 3, "default_ttl": 1},
        {"address": 3, "relay_retransmit": [9, 20]},
        {"address": 3, "network_transmit": [3, 15]},
    ],
)
def test_a_setting_that_no_node_can_take_is_refused(setting: dict[str, object]) -> None:
    document = plans.as_json(MADE)
    document["steps"][0]["changes"] = [setting]
    with pytest.raises(Misconfigured):
        plans.parse(json.dumps(document))


def test_a_plan_fits_as_long_as_its_nodes_are_as_it_found_them() -> None:
    check_current(MADE, NOW, 1001.0)
    check_current(MADE, {}, 1001.0)
    with pytest.raises(Rejected, match="0x0004 was changed"):
        check_current(MADE, {**NOW, 4: NodeConfiguration(4, relay=True)}, 1001.0)
    with pytest.raises(Rejected, match="make it anew"):
        check_current(MADE, NOW, 1001.0 + OLDEST_S)


def test_a_change_that_nothing_would_put_back_is_refused() -> None:
    plans.check_whole(MADE)
    first = MADE.steps[0]
    both = first.changes[0].model_copy(update={"default_ttl": 5})
    for broken in (first.model_copy(update={"undo": ()}), first.model_copy(update={"changes": (both,)})):
        with pytest.raises(Rejected, match="step 1 has no undo for"):
            plans.check_whole(plan(broken, *MADE.steps[1:]))


def test_a_plan_changed_by_hand_is_told_by_its_id(tmp_path: Path) -> None:
    model = line(6)
    wanted = replace(model.configuration, ttl=5, relays=model.relays - {3})
    basis = Basis("hall", model, wanted, present_of(model, {}), "relay-thinning", "a test", 1000.1)
    made = plan_of(basis)
    plans.check_whole(plans.parse(json.dumps(plans.as_json(made))))
    for part in ({"site": "barn"}, {"made": 1001.0}, {"steps": made.steps[:-1]}):
        with pytest.raises(Rejected, match="not as its recipe made it"):
            plans.check_whole(made.model_copy(update=part))


def test_a_plan_made_of_a_scenario_is_not_vouched_for(tmp_path: Path) -> None:
    scenario = crowd(8).scenario(60.0)
    found = ask(Shelf(tmp_path), "relay-thinning", {}, "hall", scenario, 1, 1000.0, lambda *_: None)
    assert found["plan"]["vouched"] is False
    assert any("never compared with a site" in note for note in found["plan"]["notes"])


def test_a_damaged_application_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    book = Book(tmp_path)
    kept = book.begin(MADE, 1.0)
    lost = book.begin(plan(step(5, relay=True), site="site-b"), 2.0)
    path = tmp_path / f"{lost.id}.json"
    path.write_bytes(path.read_bytes()[:-40])
    assert [held.id for held in Book(tmp_path).all()] == [kept.id]
    assert path.with_name(f"{path.name}.damaged").exists()


def test_a_scenario_is_asked_without_a_coordinator(tmp_path: Path) -> None:
    """What is written is a plan that can be read, and a page with maps."""
    nodes = [{"address": n, "x": 3.0 * n, "y": 0.0, "relay": n > 1} for n in range(1, 9)]
    flows = [{"source": n, "destination": 1, "period_s": 20.0} for n in range(2, 9)]
    matrix = [[0 if a == b else 70 for b in range(8)] for a in range(8)]
    scenario = {"nodes": nodes, "flows": flows, "attenuation_db": matrix}
    (tmp_path / "hall.json").write_text(json.dumps(scenario))
    asked = subprocess.run(
        [
            sys.executable, "-m", "coordinator.cli", "recipes", "run", "relay-thinning",
            "--scenario", "hall.json",
            "--plan", "plan.json", "--picture", "map.html", "--state", "nowhere", "--json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)},
    )  # fmt: skip
    answer = json.loads(asked.stdout)
    made = plans.read(tmp_path / "plan.json")
    assert made.steps
    assert plans.as_json(made) == answer["plan"]
    assert (tmp_path / "map.html").read_text().count("<svg") == 2
