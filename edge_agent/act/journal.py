"""Open actions on disk, so that an agent killed in mid-action confirms or undoes it when it is back.

When the file fails its check, the actions in it are unknown: that is said in an event, and the network
stays as it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import Corrupt, MeshtwinError, Misconfigured
from common.mesh.configuration import ConfigurationChange, Transmit
from common.policy.actions import Action, ActionKind, Effect, Priority, Step
from edge_agent import state_file


@dataclass(frozen=True, slots=True)
class Entry:
    """An action under way: what was wanted, and the steps that undo it, latest first."""

    id: str
    action: Action
    undo: tuple[Step, ...]


class Journal:
    """The file of open actions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}

    def load(self) -> list[Entry]:
        """The entries left open by an earlier run. Raises Corrupt, after setting the file aside."""
        document = state_file.load(self._path)
        if document is None:
            return []
        try:
            entries = [_entry(plain) for plain in document["entries"]]
        except (ValueError, ArithmeticError, KeyError, TypeError, AttributeError, MeshtwinError) as error:
            state_file.set_aside(self._path)
            raise Corrupt(f"{self._path.name} holds no actions") from error
        self._entries = {entry.id: entry for entry in entries}
        return entries

    def put(self, entry: Entry) -> None:
        """Write an entry down before its first step is taken. Raises Misconfigured when the disk refuses."""
        self._entries[entry.id] = entry
        self._write()

    def close(self, action_id: str) -> None:
        """Forget an action that has ended."""
        if self._entries.pop(action_id, None) is not None:
            self._write()

    def _write(self) -> None:
        entries = [_plain(entry) for entry in self._entries.values()]
        try:
            state_file.save(self._path, {"entries": entries})
        except Misconfigured:
            if entries:
                raise
            # A full disk still removes: a next run must not take up what has ended long ago.
            _remove(self._path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be removed: {error.strerror}", "make its folder writable"
        ) from error


def _plain(entry: Entry) -> dict[str, Any]:
    action = entry.action
    return {
        "id": entry.id,
        "kind": action.kind.value,
        "cause": action.cause,
        "priority": int(action.priority),
        "expected": {
            "nodes": sorted(action.expected.nodes),
            "delivery": action.expected.delivery,
            "window_s": action.expected.window_s,
        },
        "steps": [{"address": s.address, "change": asdict(s.change)} for s in action.steps],
        "undo": [{"address": s.address, "change": asdict(s.change)} for s in entry.undo],
    }


def _entry(plain: dict[str, Any]) -> Entry:
    expected = plain["expected"]
    action = Action(
        kind=ActionKind(plain["kind"]),
        cause=str(plain["cause"]),
        steps=tuple(_step(step) for step in plain["steps"]),
        expected=Effect(
            frozenset(expected["nodes"]), float(expected["delivery"]), float(expected["window_s"])
        ),
        priority=Priority(plain["priority"]),
        # Leases are counted on a clock that did not survive: this one has run out.
        lease_until=0.0,
    )
    return Entry(str(plain["id"]), action, tuple(_step(step) for step in plain["undo"]))


def _step(plain: dict[str, Any]) -> Step:
    change = dict(plain["change"])
    for key in ("network_transmit", "relay_retransmit"):
        if change[key] is not None:
            change[key] = Transmit(**change[key])
    return Step(int(plain["address"]), ConfigurationChange(**change))
