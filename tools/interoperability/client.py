"""The gateway as a process to be killed: switches lamps without end, and tells of each by a line of JSON.

    python -m tools.interoperability.client SITE_FILE STATE_DIR LAMP…

Lines: {"up": true}, then {"lamp", "attempts", "replays"} each. `replays` counts what it refused as replayed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from itertools import count, cycle
from pathlib import Path

from common import logs
from common.errors import RejectReason, TimedOut
from common.mesh import cdb
from common.mesh.addresses import parse
from firmware_bridge.access.generic_onoff import OnOffSet, OnOffStatus
from firmware_bridge.access.message import build
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tools.interoperability.proxied import link_to
from tools.interoperability.site import GATEWAY

_ANSWER_S = 2.0


async def run(settings: StackSettings, lamps: list[int]) -> None:
    """Switch the lamps in turn until killed."""
    link = link_to(settings)
    await link.open()
    _say(up=True)
    for lamp, number in zip(cycle(lamps), count(), strict=False):
        attempts = await _switch(link, lamp, number)
        _say(lamp=lamp, attempts=attempts, replays=link.refused[RejectReason.REPLAYED])


async def _switch(link: StackMeshLink, lamp: int, number: int) -> int:
    """Ask until the lamp answers; the attempts that it took."""
    for attempt in count(1):
        try:
            message = build(OnOffSet(number % 2 == 0, number % 256))
            await link.request(lamp, message, OnOffStatus.OPCODE, _ANSWER_S)
            return attempt
        except TimedOut:
            continue
    raise AssertionError("it counts for ever")


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site_file", type=Path)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("lamps", nargs="+", type=parse, metavar="LAMP")
    options = parser.parse_args()
    logs.configure(level="warning")
    settings = StackSettings(cdb.read(options.site_file), GATEWAY, options.state_dir)
    asyncio.run(run(settings, options.lamps))


if __name__ == "__main__":
    main()
