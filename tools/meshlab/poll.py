"""Waiting for what other processes do, which has no event to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], every: float = 0.003) -> None:
    """Return once `condition` holds, looking each `every` seconds. Bound it with `asyncio.timeout`."""
    while not condition():  # noqa: ASYNC110 - no event, see above
        await asyncio.sleep(every)
