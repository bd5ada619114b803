"""An agent that asks several copies of a forecaster once a second, as one with many models would.

    python -m tools.stage.forecasters BUNDLE COPIES --config FILE

The daemon itself, in which a further part runs; its own supply of models is left alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from edge_agent import __main__ as daemon
from edge_agent.agent import Agent
from edge_agent.infer.model_forecaster import ModelForecaster, load
from edge_agent.observe.links import LinkBook

PERIOD_S: Final = 1.0
FAILED: Final = 70

Part = Callable[[], Awaitable[None]]


async def ask_copies(links: LinkBook, bundle: bytes, count: int) -> None:
    """Ask until cancelled; as an agent's own, all of them work in one thread. What goes wrong ends the
    process: figures without the forecasters would be wrong."""
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="copies") as worker:
            copies = [ModelForecaster(await load(bundle, worker), worker) for _ in range(count)]
            while all(copy.failure is None for copy in copies):
                for copy in copies:
                    copy.forecast(links)
                await asyncio.sleep(PERIOD_S)
    except Exception as error:
        print(f"forecasters: {error!r}", file=sys.stderr, flush=True)
    os._exit(FAILED)


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    bundle, copies, *rest = arguments
    content, own_parts = Path(bundle).read_bytes(), Agent.parts

    def parts(agent: Agent) -> dict[str, Part]:
        return {**own_parts(agent), "copies": lambda: ask_copies(agent.site.links, content, int(copies))}

    setattr(Agent, "parts", parts)  # noqa: B010 - the one place where a part can be slipped in
    return daemon.main(list(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
