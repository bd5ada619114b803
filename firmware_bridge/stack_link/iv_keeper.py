"""Beginning and ending IV updates where nobody else does (Mesh Protocol 1.1, 3.11.5).

A gateway speaks more than any lamp, and its numbers run out first: at two messages a second after 97 days.
"""

from __future__ import annotations

from typing import Final, NoReturn

from common.clock import Clock
from common.errors import MeshtwinError
from common.logs import Logger
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link.outgoing import Outgoing

BEACON_PERIOD_S: Final = 10.0


async def keep_iv_index(node: StackNode, outgoing: Outgoing, clock: Clock, log: Logger) -> NoReturn:
    """Let `node` move the network's IV index on when its numbers run low, and tell by beacons until that is
    done. A network whose index nobody has told us yet is left alone."""
    while True:
        await clock.sleep(BEACON_PERIOD_S)
        if not node.iv.known or not (node.sequence.wants_update or node.iv.updating):
            continue
        try:
            wall = clock.wall()
            changes = node.end_iv_update(wall) if node.iv.updating else node.begin_iv_update(wall)
            for change in changes:
                log.info("iv-index-moved", change=str(change))
            outgoing.put(PduType.BEACON, node.own_beacon())
        except MeshtwinError as error:
            log.warning("iv-update-failed", error=error)
