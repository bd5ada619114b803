"""The short form of `tools/interop`: our stack through bleak and a proxy among twenty real nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.interoperability.campaign import CHECKS, play, stage

pytestmark = [pytest.mark.meshlab, pytest.mark.alone]

REAL_NODES = 20


async def test_our_stack_and_twenty_real_nodes_agree_in_everything_asked(tmp_path: Path) -> None:
    async with stage(tmp_path, REAL_NODES, rounds=2) as on:
        results = await play(on)
    assert not {name: found["failed"] for name, found in results.items() if "failed" in found}
    assert len(results) == len(CHECKS)
    assert results["composition"]["nodes"] == results["relay_and_transmit"]["nodes"] == REAL_NODES
    assert results["onoff_both_ways"]["hops_on_air"] >= 4
    assert results["heartbeats"]["most_hops_on_air"] >= 4
    assert results["client_killed"]["numbers_reused"] == 0
