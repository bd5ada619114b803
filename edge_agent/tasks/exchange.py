"""The gateway's end of the exchange: letters come from the broker's line and go out by its post."""

from __future__ import annotations

import asyncio
from typing import Protocol

from common import topics
from common.exchange.exchange import Exchange
from common.exchange.messages import Party
from common.topics import Channel
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import PeerLetter
from edge_agent.share.post import Post


class Line(Protocol):
    """The connection to the broker."""

    letters: Inbox[PeerLetter]
    post: Post


class LetterPost:
    """Addresses letters. Only machines of the own site can be reached: the broker allows no others."""

    def __init__(self, line: Line, site: str, gateway: str) -> None:
        self._line = line
        self._site = site
        self._gateway = gateway

    def __call__(self, party: Party, channel: Channel, payload: bytes) -> bool:
        """False when the post is full."""
        topic = topics.to_peer(self._site, party.name, channel, self._gateway)
        return self._line.post.put(topic, payload)


async def serve(line: Line, site: str, exchange: Exchange) -> None:
    """Carry out errands of others and take in letters, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(exchange.run())
        while True:
            letter = await line.letters.get()
            exchange.take(Party(site, letter.sender), letter.channel, letter.payload)
            # A flood of letters must not keep the loop from what heals.
            await asyncio.sleep(0)
