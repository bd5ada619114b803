"""The sharing side of one gateway for tests: an outbox and its line, in this process or in one that can be
killed: `python -m tests.agent.gateway STATE PORT FOLDER LIFE`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common import tls
from common.clock import SystemClock
from common.messages import Event, Kind, Status, encode
from edge_agent.observe.uplink import UplinkMeter
from edge_agent.share.mqtt import BrokerLine
from edge_agent.share.outbox import Outbox
from edge_agent.share.session import Endpoint

SITE = "hall"
LAST = "last"


def endpoint(state: Path, port: int, gateway: str = "gw-1", identity: str | None = None) -> Endpoint:
    folder = state / "gateways" / (identity or gateway)
    context = tls.client_context(state / "pki" / "ca.crt", folder / "gateway.crt", folder / "gateway.key")
    return Endpoint("127.0.0.1", port, gateway, context)


class Gateway:
    """An outbox and its line, running."""

    def __init__(self, end: Endpoint, outbox: Outbox) -> None:
        self.name = end.client_id
        self.outbox = outbox
        self.meter = UplinkMeter()
        self.line = BrokerLine(
            end, SITE, outbox, self.status, 0.2, SystemClock(), self.meter, random.Random(1)
        )

    def status(self) -> Status:
        return Status(
            site=SITE,
            gateway=self.name,
            time=time.time(),
            online=True,
            period_s=0.2,
            epoch=self.outbox.epoch,
            queued=self.outbox.queued,
        )


@asynccontextmanager
async def running(end: Endpoint, folder: Path) -> AsyncIterator[Gateway]:
    async with Outbox(folder / f"{end.client_id}.db", SystemClock()) as outbox:
        gateway = Gateway(end, outbox)
        async with asyncio.TaskGroup() as owner:
            tasks = [owner.create_task(gateway.line.run()), owner.create_task(outbox.run())]
            try:
                yield gateway
            finally:
                for task in tasks:
                    task.cancel()


async def tell_until_killed(state: Path, port: int, folder: Path, life: str) -> None:
    """Put numbered events into the outbox and print each number once it is taken; the last life only sends
    what is left."""
    async with running(endpoint(state, port), folder) as gateway:
        number = 0
        while life != LAST or gateway.outbox.queued:
            if life != LAST:
                event = Event(name="told", fields={"life": life, "number": number})
                gateway.outbox.append(Kind.EVENT, encode(event), time.time())
                print(life, number, flush=True)
                number += 1
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(tell_until_killed(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
