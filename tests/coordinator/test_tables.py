"""What people read of the API's answers, also in a narrow terminal."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.cli import tables
from coordinator.cli.tables import Answer

WIDE_STREAM = {"epoch": "07", "sequence": 123_456_789, "holes": [(5, 2000)], "lost": 987_654}


def gateway(**told: Any) -> Answer:
    return {
        "gateway": "gw-of-the-second-floor",
        "site": "office-north",
        "enrolled": True,
        "revoked": False,
        "live": True,
        "last_seen": None,
        "acting": True,
        "stream": WIDE_STREAM,
        "queued": 123_456,
        "rejects": {},
        **told,
    }


def link(**values: float | None) -> Answer:
    return {"transmitter": 1, "receiver": 2, "pdr": values.get("pdr"), "values": values, "t": 1.0}


def action(cause: str, *states: str) -> Answer:
    return {
        "site": "office",
        "gateway": "gw-1",
        "kind": "relay-set",
        "state": states[-1],
        "cause": cause,
        "steps": [{"t": float(n), "state": state} for n, state in enumerate(states)],
    }


def test_refusals_stay_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rejects = {"foreign-version": 1_234_567, "malformed": 100, "unknown-kind": 1, "out-of-range": 42}
    tables.gateways([gateway(rejects=rejects), gateway()])
    text = capsys.readouterr().out
    for reason, count in rejects.items():
        assert f"{reason} {count}" in text
    assert "acting" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_links_show_rounded_measurements_without_forecasts(capsys: pytest.CaptureFixture[str]) -> None:
    tables.links(
        [link(pdr=0.5, forecast=0.25, pdr_upper=0.75, pdr_lower=0.123456789, rssi=None, samples=120)]
    )
    text = capsys.readouterr().out
    assert "pdr_lower 0.123, samples 120" in " ".join(text.split())
    assert "forecast" not in text
    assert "pdr_upper" not in text


def test_changes_are_the_actions_that_were_begun(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        action("idle", "proposed"),
        action("late", "proposed", "superseded"),
        action("new", "proposed", "applying", "confirmed"),
        action("old", "applying", "failed"),
    ]
    tables.changes(found, limit=1)
    text = capsys.readouterr().out
    assert [cause in text for cause in ("idle", "late", "new", "old")] == [False, False, True, False]
    tables.changes(found[:2], limit=1)
    assert "--all" in capsys.readouterr().out
    tables.actions(found)
    assert "idle" in capsys.readouterr().out
