"""The journal of open actions: round trips, and what damage makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import Corrupt
from common.mesh.configuration import ConfigurationChange, Transmit
from common.policy.actions import Action, ActionKind, Effect, Priority, Step
from edge_agent import state_file
from edge_agent.act.journal import Entry, Journal

transmits = st.builds(Transmit, st.integers(1, 8), st.integers(1, 32).map(lambda n: 10 * n))
changes = st.builds(
    ConfigurationChange,
    relay=st.none() | st.booleans(),
    default_ttl=st.none() | st.just(0) | st.integers(2, 127),
    network_transmit=st.none() | transmits,
    relay_retransmit=st.none() | transmits,
)
steps = st.lists(st.builds(Step, st.integers(1, 0x7FFF), changes), max_size=5).map(tuple)
effects = st.builds(
    Effect,
    nodes=st.frozensets(st.integers(1, 0x7FFF), max_size=5),
    delivery=st.floats(0, 1),
    window_s=st.floats(0, 3600),
)
actions = st.builds(
    Action,
    kind=st.sampled_from(ActionKind),
    cause=st.text(max_size=50),
    steps=steps,
    expected=effects,
    priority=st.sampled_from(Priority),
    lease_until=st.just(0.0),
)
entries = st.builds(Entry, id=st.text(min_size=1, max_size=20), action=actions, undo=steps)

ENTRY = Entry(
    "gw-1-18c-1",
    Action(
        ActionKind.REROUTE,
        "relay 0x0002 dead, 2 nodes cut off",
        (Step(1, ConfigurationChange(default_ttl=9)), Step(5, ConfigurationChange(relay=True))),
        Effect(frozenset({3, 4}), 0.95, 15.0),
        Priority.CUT_OFF,
        0.0,
    ),
    (Step(5, ConfigurationChange(relay=False, relay_retransmit=Transmit(2, 20))),),
)


def written(folder: Path, *some: Entry) -> Path:
    path = folder / "actions.json"
    journal = Journal(path)
    for entry in some:
        journal.put(entry)
    return path


@given(some=st.lists(entries, max_size=3, unique_by=lambda entry: entry.id))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_entries_come_back_as_they_were(tmp_path: Path, some: list[Entry]) -> None:
    (tmp_path / "actions.json").unlink(missing_ok=True)
    assert Journal(written(tmp_path, *some)).load() == some


def test_an_ended_action_is_forgotten_and_the_others_stay(tmp_path: Path) -> None:
    other = Entry("gw-1-18c-2", ENTRY.action, ())
    path = written(tmp_path, ENTRY, other)
    journal = Journal(path)
    journal.load()
    journal.close(ENTRY.id)
    journal.close("never heard of")
    assert Journal(path).load() == [other]


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    assert written(tmp_path, ENTRY).stat().st_mode & 0o777 == 0o600


def test_no_cut_and_no_flipped_bit_is_taken_for_an_action(tmp_path: Path) -> None:
    path = written(tmp_path, ENTRY)
    whole = path.read_bytes()
    flips = [
        whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :]
        for i in range(len(whole))
        for bit in range(8)
    ]
    for damaged in [*(whole[:cut] for cut in range(len(whole))), *flips, whole + b" "]:
        path.write_bytes(damaged)
        aside = path.with_name("actions.json.corrupt")
        aside.unlink(missing_ok=True)
        try:
            assert Journal(path).load() == [ENTRY]  # The checksum's digits have two spellings.
        except Corrupt:
            assert aside.read_bytes() == damaged
            assert not path.exists()


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"entries": [{}]},
        {"entries": ["x"]},
        {"entries": None},
        {"entries": [{"id": "a", "kind": "expel"}]},
    ],
)
def test_a_whole_file_that_holds_no_actions_is_set_aside(tmp_path: Path, document: object) -> None:
    path = tmp_path / "actions.json"
    body = json.dumps(document).encode()
    path.write_bytes(f"{crc32(body):08x}\n".encode() + body)
    with pytest.raises(Corrupt):
        Journal(path).load()
    assert not path.exists()
    assert Journal(path).load() == []


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "expel-node"},
        {"priority": 3},
        {"expected": {"nodes": [[]], "delivery": 1, "window_s": 1}},
        {"steps": [{"address": 0, "change": {"default_ttl": 1}}]},
        {"steps": [{"address": 5, "change": {"relay": True, "reset": True}}]},
        {"undo": [{"address": 5, "change": None}]},
    ],
)
def test_an_action_that_cannot_be_is_no_action(tmp_path: Path, change: dict[str, object]) -> None:
    path = written(tmp_path, ENTRY)
    document = state_file.load(path)
    assert document is not None
    document["entries"][0].update(change)
    state_file.save(path, document)
    with pytest.raises(Corrupt):
        Journal(path).load()


def test_state_that_cannot_be_read_is_corrupt_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "actions.json").mkdir()
    with pytest.raises(Corrupt):
        Journal(tmp_path / "actions.json").load()
