"""Tasks that belong together and fail as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.errors import MeshtwinError


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose failure is the first of our own errors, not a group of errors.

    A group that holds any foreign exception is raised as it is: that is a bug, and not to be hidden. Uses no
    `except*`: what is raised inside one is wrapped in a group again by Python 3.11.2, Debian 12's.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


def first_error(errors: BaseExceptionGroup[BaseException]) -> MeshtwinError:
    """The first of our errors in a group, however deep. Raises the group when it holds any other."""
    known, unknown = errors.split(MeshtwinError)
    if unknown is not None or known is None:
        raise errors
    first = known.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
