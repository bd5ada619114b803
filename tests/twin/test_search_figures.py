"""The benchmark of the search, on a site small enough for a test."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from common import scenario
from common.errors import Misconfigured
from tests.twin.site_models import GRID, site
from tools.benchmarks import twin_search


async def test_every_rival_is_judged_on_the_site_and_on_the_strained_one(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text(site(GRID, 0.8, transmissions=2).scenario().model_dump_json(by_alias=True))
    assert scenario.read(path).nodes
    options = Namespace(sites=[path], plays=60, longer=2, seed=1, quick=True, all=False)
    figures = await twin_search.run(options)
    for name in ("12", "12_strained"):
        rivals = figures[f"all_{name}"]
        assert {"search", "now", "cover 4", "all relays, times found", "random 1", "longer search"} <= {
            *rivals
        }
        assert figures[f"regret_{name}"] == pytest.approx(max(rivals.values()) - rivals["search"], abs=1e-4)
        assert figures[f"pdr_{name}"] >= rivals["now"] - 0.05
        assert figures[f"cpu_s_{name}"] > 0


def test_without_scenarios_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHTWIN_DATA", raising=False)
    with pytest.raises(Misconfigured, match="--sites"):
        twin_search.inputs(Namespace(sites=None, all=False))
    assert twin_search.inputs(Namespace(sites=None, all=True)) == []
