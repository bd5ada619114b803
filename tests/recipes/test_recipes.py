"""Recipes as files: what is on the shelf, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import Misconfigured, Rejected
from coordinator.recipes import recipe as recipes
from coordinator.recipes.questions import QUESTIONS
from coordinator.recipes.shelf import Shelf

WANTED = {
    "topology-audit", "weakest-links", "single-points-of-failure", "latency-budget", "relay-thinning",
    "redundancy-k", "retransmit-tuning", "gateway-placement", "energy-saving", "lighting",
}  # fmt: skip

GOOD = """
name: mine
kind: question
title: My weakest links
question: weakest-links
help: Lists a few of them.
parameters:
  at_most: {kind: whole, default: 3, minimum: 1, maximum: 5, help: How many.}
"""


def test_the_shelf_holds_every_recipe_that_is_promised_and_each_explains_itself() -> None:
    shelf = Shelf()
    assert {found.name for found in shelf.all()} >= WANTED
    assert shelf.problems == []
    for found in shelf.all():
        assert len(found.help) > 80
        assert found.examples
        assert all(parameter.help for parameter in found.parameters.values())
        found.given({})
    asked = {found.question for found in shelf.all()}
    assert asked - {None} == set(QUESTIONS)


def test_an_operators_own_recipe_joins_and_a_wrong_one_is_said_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text(GOOD.replace("mine", "wrong").replace("weakest-links", "magic"))
    shelf = Shelf(tmp_path)
    assert shelf.get("mine").given({}) == {"at_most": 3}
    (problem,) = shelf.problems
    assert "magic" in problem
    with pytest.raises(Rejected, match="'wrong' is not known"):
        shelf.get("wrong")


@pytest.mark.parametrize(
    "value",
    ["!!bool maybe", '!!int ""', "!!timestamp foo", "!!map [ab]", "!!float x", "!!set 3", "? [1]\n: 2"],
)
def test_a_value_that_its_tag_cannot_hold_is_the_named_error(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"a\.yaml"):
        recipes.parse(f"name: {value}\n", "a.yaml")


def test_what_is_no_file_is_left_out_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "mine.yaml").write_text(GOOD)
    shelf = Shelf(tmp_path)
    assert shelf.get("mine")
    assert len(shelf.problems) == 3


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("kind: question", "kind: spell", "kind"),
        ("name: mine", "name: '../mine'", "name"),
        ("title: My weakest links", "title: My weakest links\ncolour: red", "colour"),
        ("default: 3", "default: 9", "9; 1 to 5"),
        ("default: 3", "default: .nan", "nan"),
        ("maximum: 5, ", "", "maximum"),
        ("question: weakest-links", "recipes: []", "a pipeline has recipes"),
        ("help: Lists a few of them.", "help: &a [*a]", "aliases are not allowed"),
        ("kind: question", "kind: question\nkind: pipeline", "twice"),
        ("name: mine", "name: !!python/object:os.system mine", "no YAML of ours"),
        ("name: mine", "name: [" * 2000, "no YAML of ours"),
    ],
)
def test_a_wrong_recipe_is_refused_by_key(before: str, after: str, said: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        recipes.parse(GOOD.replace(before, after), "mine.yaml")
    assert said in str(refused.value)
    assert "mine.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit_ms": "fast"}, "limit_ms: 'fast' is no number"),
        ({"limit_ms": "1e9"}, "1 to 10000"),
        ({"limit_ms": "nan"}, "nan"),
        ({"plays": "30.5"}, "not a whole number"),
        ({"colour": "red"}, "no parameter 'colour'; it has: limit_ms, share, plays"),
    ],
)
def test_a_wrong_value_is_refused_with_its_limits(given: dict[str, str], said: str) -> None:
    with pytest.raises(Rejected) as refused:
        Shelf().get("lighting").given(given)
    assert said in str(refused.value)
