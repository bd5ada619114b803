"""An operator who switches relays of a gateway's site to and fro, and notes every order: work for the
durable stream, known from outside the agent."""

from __future__ import annotations

import asyncio
import time
from itertools import product
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
        """Switch one relay after the other, on and off, whatever happens to the agent."""
        while not self._stopping:
            for relay, node in product((True, False), self._nodes):
                if not self._stopping:
                    self.orders.append(await self._order(node, relay))
                    await asyncio.sleep(PAUSE_S)

    async def _order(self, node: int, relay: bool) -> Order:
        begun = time.time()
        try:
            await self._fleet.ask_agent(self._gateway, "relay", ANSWER_WITHIN_S, node=node, relay=relay)
        except MeshtwinError:
            return Order(node, relay, begun, time.time(), answered=False)
        return Order(node, relay, begun, time.time(), answered=True)
