"""What gateways stored comes back as windows: per site, per gateway's view, within bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from common.errors import Misconfigured
from coordinator.training import observations, physics
from coordinator.training.job import Observed
from tests.training.stored import START, observed, store

LINKS = physics.generate(links=6, windows=12, seed=4)


def test_stored_windows_come_back_as_they_were(tmp_path: Path) -> None:
    store(tmp_path, LINKS)
    found = observations.load(observed(tmp_path))
    assert list(found) == ["office"]
    office = found["office"]
    for name in ("heard", "expected", "transmissions", "rssi_dbm"):
        assert np.array_equal(getattr(office, name), getattr(LINKS, name), equal_nan=True)
    assert np.allclose(office.t, START + 10.0 * (LINKS.t + 1.0))
    assert abs(office.window_s - 10.0) < 1.0


def test_sites_are_kept_apart_and_each_gateway_sees_its_own_links(tmp_path: Path) -> None:
    store(tmp_path, LINKS)
    store(tmp_path, LINKS, gateway="gw-2")
    store(tmp_path, LINKS, site="hall", gateway="gw-3")
    found = observations.load(observed(tmp_path))
    assert {site: len(np.unique(windows.link)) for site, windows in found.items()} == {
        "hall": 6,
        "office": 12,
    }
    assert list(observations.load(observed(tmp_path, sites=("hall", "nowhere")))) == ["hall"]


def test_the_newest_are_read_first_and_not_more_than_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, LINKS, step_s=1800.0)
    everything = observations.load(observed(tmp_path, hours=7.0))["office"]
    assert len(everything) == len(LINKS)
    monkeypatch.setattr(observations, "MOST", 10)
    some = observations.load(observed(tmp_path, hours=7.0))["office"]
    assert 10 <= len(some) < len(LINKS)
    assert some.t.min() > np.median(everything.t)


def test_only_the_time_asked_for_is_read(tmp_path: Path) -> None:
    store(tmp_path, LINKS)
    part = replace(observed(tmp_path), t0=START + 30.0, t1=START + 60.0)
    t = observations.load(part)["office"].t
    assert START + 30.0 <= t.min() <= t.max() < START + 60.0


def test_without_observations_there_are_no_sites(tmp_path: Path) -> None:
    assert observations.load(observed(tmp_path)) == {}
    assert observations.load(Observed(None, 0.0, 1.0)) == {}


def test_a_bad_url_is_the_operators_to_change_and_is_never_shown() -> None:
    bad = Observed(SecretStr("oracle://user:secret@host/x"), 0.0, 1.0)
    assert "secret" not in repr(bad)
    with pytest.raises(Misconfigured) as caught:
        observations.load(bad)
    assert "secret" not in str(caught.value)
