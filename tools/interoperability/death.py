"""Killing the gateway and starting it again: no number twice, and no replays on either side."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from common.mesh.addresses import show
from tools.interoperability.checks import Stage, require
from tools.interoperability.site import lamp_address

_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE_S: Final = 30.0


async def client_killed(stage: Stage) -> dict[str, Any]:
    """The gateway dies by SIGKILL in the middle of its work, again and again, and goes on where it was."""
    await stage.site.link.close()
    overheard, random = stage.site.overheard, Random(7)
    attempts = answers = replays = 0
    before = len(overheard.numbers)
    for _ in range(stage.rounds):
        async with _client(stage) as lines:
            # Killed at any moment of a message, not after one.
            wanted = random.randint(8, 20)
            for _ in range(wanted):
                line = await _next(lines)
                attempts, answers = attempts + line["attempts"], answers + 1
                replays += line["replays"]
            await asyncio.sleep(random.uniform(0.0, 0.05))
    require(not overheard.reused, f"numbers were used twice: {overheard.reused[:5]}")
    require(not replays, f"the gateway refused {replays} messages as replays")
    # Links lose nothing here: what has to be asked again was refused, or met a daemon that was busy.
    require(attempts <= answers * 1.2, f"{attempts} attempts for {answers} answers")
    return {
        "deaths": stage.rounds,
        "answers": answers,
        "attempts": attempts,
        "numbers_used": len(overheard.numbers) - before,
        "numbers_reused": len(overheard.reused),
    }


@asynccontextmanager
async def _client(stage: Stage) -> AsyncIterator[asyncio.StreamReader]:
    """The gateway's process, attached; killed at the end."""
    site, lamps = stage.site, [show(lamp_address(i)) for i in (0, stage.far)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.interoperability.client"),
        *(str(site.site_file), str(site.state), *lamps),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        cwd=_ROOT,
    )
    assert process.stdout is not None
    try:
        require((await _next(process.stdout)).get("up"), "the gateway did not come up")
        yield process.stdout
    finally:
        process.kill()
        await process.wait()
        # Its transport ends when the pipe does.
        await process.stdout.read()


async def _next(lines: asyncio.StreamReader) -> dict[str, Any]:
    async with asyncio.timeout(_PATIENCE_S):
        line = await lines.readline()
    require(line, "the gateway ended by itself")
    said: dict[str, Any] = json.loads(line)
    return said
