"""Instances from outside: every mistake has a name."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Rejected
from common.placement import BadInstance, Flaw, Instance
from tests.placement.graphs import random_graph


def _broken(change: str) -> Any:
    document = copy.deepcopy(random_graph(1, 4))
    exec(change, {"d": document, "math": math})
    return document


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("d['edges'] += [{**d['edges'][0], 'from': a, 'to': b} for a, b in ((5, 1), (1, 5))]",
         Flaw.CYCLE),
        ("d['edges'][0]['from'] = d['edges'][0]['to']", Flaw.CYCLE),
        ("d['edges'].append(d['edges'][0])", Flaw.REPEATED_EDGE),
        ("d['edges'][0]['to'] = 99", Flaw.UNKNOWN_TASK),
        ("d['edges'][0]['bits'] = -1.0", Flaw.INVALID),
        ("d['edges'][0]['transfer_ms'].pop('lan')", Flaw.UNKNOWN_CHANNEL),
        ("d['tasks'][1]['duration_ms'][0] = math.nan", Flaw.INVALID),
        ("d['tasks'][1]['duration_ms'][0] = -5.0", Flaw.INVALID),
        ("d['tasks'][1]['duration_ms'].pop()", Flaw.WRONG_LENGTH),
        ("d['tasks'][1]['duration_ms'] = [None] * 4", Flaw.INVALID),
        ("d['tasks'][1]['pinned'] = 'moon'", Flaw.UNKNOWN_NODE),
        ("d['tasks'][1]['id'] = 't2'", Flaw.DUPLICATE_ID),
        ("d['tasks'][-1]['id'] = 'end'", Flaw.NO_SINK),
        ("d['tasks'] = d['tasks'] * 2000", Flaw.TOO_LARGE),
        ("d['nodes'][0]['slots'] = 0", Flaw.INVALID),
        ("d['channel'][0][1] = None", Flaw.UNKNOWN_CHANNEL),
        ("d['latency_ms'].pop()", Flaw.WRONG_LENGTH),
        ("d['weight'] = 1.5", Flaw.INVALID),
        ("d['all_local']['time_ms'] = 0.0", Flaw.INVALID),
        ("d['haste'] = True", Flaw.UNKNOWN_KEY),
    ],
)  # fmt: skip
def test_a_mistake_is_named(change: str, flaw: Flaw) -> None:
    with pytest.raises(BadInstance) as caught:
        Instance.parse(_broken(change))
    assert caught.value.flaw is flaw, caught.value
    assert isinstance(caught.value, Rejected)


@pytest.mark.parametrize("document", [[], 5, None, 1.5, True, {}, {"nodes": []}])
def test_what_is_no_object_or_an_empty_one_is_refused_and_says_so_once(document: Any) -> None:
    with pytest.raises(BadInstance) as caught:
        Instance.parse(document)
    assert caught.value.flaw is Flaw.INVALID
    assert str(caught.value).count("invalid") == 1


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"NaN"])
def test_what_is_no_instance_is_refused(text: bytes) -> None:
    with pytest.raises(BadInstance):
        Instance.parse(text)


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_anything_at_all_is_refused_by_name(value: Any) -> None:
    with pytest.raises(BadInstance):
        Instance.parse({"weight": value, "tasks": value})


def test_a_graph_out_of_order_is_put_in_order() -> None:
    document = random_graph(2, 6)
    size = len(document["tasks"])
    document["tasks"].reverse()
    for edge in document["edges"]:
        edge["from"], edge["to"] = size - 1 - edge["from"], size - 1 - edge["to"]
    instance = Instance.parse(json.dumps(document))
    place = {task: number for number, task in enumerate(instance.order)}
    assert all(place[edge.source] < place[edge.target] for edge in instance.edges)


def test_a_task_keeps_off_nodes_that_cannot_run_it() -> None:
    document = random_graph(2, 6)
    for task in document["tasks"][1:-1]:
        task["duration_ms"][2:] = [None, None]
    from common.placement import schedule

    plan = schedule(Instance.parse(document))
    assert {row.node for row in plan.assignments} <= {"gateway", "peer"}
