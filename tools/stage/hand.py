"""An operator who orders one node after the other to relay, and notes every order: work for the durable
stream, known from outside the agent. Never the other way: nodes that are cut off answer slowly."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle
from typing import Final

from common.errors import MeshtwinError
from tools.stage.delivery import Order
from tools.stage.fleet import Fleet

PAUSE_S: Final = 0.05
# Longer than an agent tries to reach a node: it is never left alone with an order that may still succeed.
ANSWER_WITHIN_S: Final = 30.0


class Hand:
    """Run `run()`; it ends after `stop()`, never in the middle of an order. `orders` are in order of time."""

    def __init__(self, fleet: Fleet, gateway: str, nodes: range) -> None:
        self._fleet = fleet
        self._gateway = gateway
        self._nodes = nodes
        self._stopping = False
        self.orders: list[Order] = []

    def stop(self) -> None:
        """Let the order that is under way be the last."""
        self._stopping = True

    async def run(self) -> None:
        """Give orders, whatever happens to the agent."""
        for node in cycle(self._nodes):
            if self._stopping:
                return
            self.orders.append(await self._order(node))
            await asyncio.sleep(PAUSE_S)

    async def _order(self, node: int) -> Order:
        begun = time.time()
        try:
            await self._fleet.ask_agent(self._gateway, "relay", ANSWER_WITHIN_S, node=node, relay=True)
        except MeshtwinError:
            return Order(node, begun, time.time(), answered=False)
        return Order(node, begun, time.time(), answered=True)
