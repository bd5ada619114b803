"""Deaths on the stage's corridors, where messages collide: mended in seconds, and nothing else is done."""

from __future__ import annotations

from pathlib import Path

from tools.stage.healing_simulated import play


async def test_deaths_in_the_corridors_are_mended_within_seconds(tmp_path: Path) -> None:
    life = await play(tmp_path, seed=21, faults=3, loss=0.1)
    assert life.learned_s < 120.0
    assert life.false_actions == 0
    for mended in life.mended:
        assert (mended.applied_s or 99.0) < 3.0
        assert (mended.healed.seconds or 99.0) < 15.0
