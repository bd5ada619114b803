"""Task graphs as they come in: good ones, and every bad one by its name."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected, RejectReason
from common.kinds import catalogue
from common.taskgraph.checks import check, check_deadline, critical_path
from common.taskgraph.graph import MAX_GRAPH_BYTES, MAX_TASKS, parse


def measured(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": "measure", "after": list(after), **more}


def graph(*tasks: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"name": "test", "tasks": list(tasks), **more}).encode()


def refused(document: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        check(parse(document), catalogue.find)
    return caught.value


def test_a_graph_comes_back_as_it_was_packed() -> None:
    found = parse(graph(measured("a"), measured("b", "a", size={"cpu_s": 2}), service="urgent", deadline_s=9))
    assert parse(found.packed()) == found


def test_every_task_comes_after_what_it_waits_for() -> None:
    dice = random.Random(3)
    names = [f"t{n}" for n in range(200)]
    tasks = [measured(name, *dice.sample(names[:at], min(at, 3))) for at, name in enumerate(names)]
    dice.shuffle(tasks)
    order = [task.id for task in check(parse(graph(*tasks)), catalogue.find)]
    at = {name: number for number, name in enumerate(order)}
    assert sorted(order) == sorted(names)
    assert all(at[needed] < at[task["id"]] for task in tasks for needed in task["after"])


def test_a_cycle_is_told_with_its_tasks() -> None:
    error = refused(graph(measured("a", "c"), measured("b", "a"), measured("c", "b"), measured("d")))
    assert error.reason is RejectReason.CYCLE
    assert all(name in error.detail for name in "abc")
    assert " d" not in error.detail


def test_a_task_that_waits_for_itself_is_a_cycle() -> None:
    assert refused(graph(measured("a", "a"))).reason is RejectReason.CYCLE


@pytest.mark.parametrize(
    ("document", "reason", "word"),
    [
        (b"{", RejectReason.MALFORMED, "JSON"),
        (b"[" * 100_000, RejectReason.MALFORMED, "JSON: this is nested too deeply"),
        (b"[]", RejectReason.INVALID, "the graph: it has to be a JSON object"),
        (graph(), RejectReason.OUT_OF_RANGE, "tasks"),
        (graph(measured("a"), surprise=1), RejectReason.INVALID, "surprise"),
        (graph(measured("a"), version=2), RejectReason.INVALID, "version"),
        (graph(measured("a"), deadline_s=-1), RejectReason.OUT_OF_RANGE, "deadline_s"),
        (b'{"name": "x", "deadline_s": NaN, "tasks": []}', RejectReason.MALFORMED, "NaN"),
        (graph(measured("a", size={"cpu_s": -1})), RejectReason.OUT_OF_RANGE, "task a.size.cpu_s"),
        (graph(measured("a", size={"output_bytes": -5})), RejectReason.OUT_OF_RANGE, "output_bytes"),
        (graph(measured("a", limits={"memory_mib": -1})), RejectReason.OUT_OF_RANGE, "memory_mib"),
        (graph(measured("a"), measured("a")), RejectReason.INVALID, "two tasks are called a"),
        (graph(measured("../../etc/passwd")), RejectReason.INVALID, "id"),
        (graph({"id": "a", "kind": "mesure"}), RejectReason.UNKNOWN_KIND, "did you mean 'measure'"),
        (graph(measured("a", "b")), RejectReason.MISSING_INPUT, "waits for b"),
        (graph({"id": "a", "kind": "spectrum"}), RejectReason.MISSING_INPUT, "lacks the input 'block'"),
        (graph(measured("a", inputs={"x": {"file": "f"}})), RejectReason.INVALID, "has no input 'x'"),
        (graph(measured("a", parameters={"rounds": 0})), RejectReason.OUT_OF_RANGE, "rounds"),
        (graph(measured("a", parameters={"rounds": "10"})), RejectReason.INVALID, "rounds"),
        (graph(measured("a", parameters={"rounds": True})), RejectReason.INVALID, "rounds"),
        (graph(measured("a"), priority="4"), RejectReason.INVALID, "priority"),
        (graph(measured("a"), deadline_s=True), RejectReason.INVALID, "deadline_s"),
        (graph(measured("a", size={"cpu_s": "1"})), RejectReason.INVALID, "task a.size.cpu_s"),
        (b'{"name": "x", "tasks": [], "name": "y"}', RejectReason.MALFORMED, "'name' is there twice"),
        (b'{"name": "x", "tasks": [{"id": "a", "id": "b"}]}', RejectReason.MALFORMED, "'id' is there twice"),
        (b'{"name": "x", "tasks": [5]}', RejectReason.INVALID, "it has to be a JSON object"),
        (b"[" + b"9" * 5000 + b"]", RejectReason.MALFORMED, "too many digits"),
        (b'"\xff"', RejectReason.MALFORMED, "no UTF-8"),
        (graph(measured("a", parameters={"round": 1})), RejectReason.INVALID, "no such parameter"),
        (
            graph(
                measured("a"),
                {"id": "b", "kind": "compress", "inputs": {"data": {"task": "a", "output": "x"}}},
            ),
            RejectReason.MISSING_INPUT,
            "has no output 'x'",
        ),
        (
            graph({"id": "b", "kind": "compress", "inputs": {"data": {"task": "b", "file": "x"}}}),
            RejectReason.INVALID,
            "a task, a blob, or a file",
        ),
        (
            graph({"id": "b", "kind": "compress", "inputs": {"data": {"blob": "no digest"}}}),
            RejectReason.INVALID,
            "blob",
        ),
        (b" " * (MAX_GRAPH_BYTES + 1), RejectReason.OVERSIZED, "bytes"),
        (graph(*(measured(f"t{n}") for n in range(MAX_TASKS + 1))), RejectReason.OUT_OF_RANGE, "tasks"),
    ],
)
def test_each_bad_graph_has_its_name(document: bytes, reason: RejectReason, word: str) -> None:
    error = refused(document)
    assert error.reason is reason
    assert word in error.detail


def test_ten_thousand_tasks_are_taken() -> None:
    tasks = [measured(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(MAX_TASKS)]
    found = parse(graph(*tasks))
    assert len(check(found, catalogue.find)) == MAX_TASKS


def test_a_deadline_before_the_longest_chain_can_be_done_is_impossible() -> None:
    found = parse(graph(measured("a"), measured("b", "a"), measured("c"), deadline_s=2))
    order = check(found, catalogue.find)
    assert critical_path(order, {"a": 1.0, "b": 2.0, "c": 2.5}) == 3.0
    check_deadline(found, order, {"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(Rejected) as caught:
        check_deadline(found, order, {"a": 1.0, "b": 1.5, "c": 1.0})
    assert caught.value.reason is RejectReason.IMPOSSIBLE_DEADLINE


def test_files_are_replaced_by_what_they_hold() -> None:
    found = parse(graph({"id": "a", "kind": "compress", "inputs": {"data": {"file": "log.txt"}}}))
    assert found.files() == ["log.txt"]
    resolved = found.with_blobs({"log.txt": "ab" * 32})
    assert (resolved.files(), resolved.blobs()) == ([], {"ab" * 32})


@given(st.binary(max_size=300))
def test_bytes_are_a_graph_or_refused(document: bytes) -> None:
    try:
        parse(document)
    except Rejected:
        pass


@pytest.mark.parametrize("name", ["bearing", "camera", "night", "fan-out"])
def test_the_examples_are_good(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "examples" / "tasks" / f"{name}.json").read_bytes()
    found = parse(text)
    assert len(check(found, catalogue.find)) == len(found.tasks)
