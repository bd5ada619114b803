"""Tasks that belong together and fail as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from common.errors import MeshtwinError


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose failure is the first of our own errors, not a group of errors.

    A group that holds any foreign exception is raised as it is: that is a bug, and not to be hidden. Uses no
    `except*`: what is raised inside one is wrapped in a group again by Python 3.11.2, Debian 12's.
    """
    with uncancelled():
        try:
            async with asyncio.TaskGroup() as tasks:
                yield tasks
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None


@contextmanager
def uncancelled() -> Iterator[None]:
    """Leave the current task as little cancelled as it was, whenever an error other than a cancellation ends
    the block.

    A task group cancels its own task when a child fails, and until Python 3.12 forgets to take that back when
    it was waiting for its children already. `asyncio.timeout` then mistakes its own expiry for a cancellation
    from outside (3.11.2, Debian 12's), and the task ends at the next time-out. A cancellation that comes in
    the same moment is lost: whoever cancels has to ask twice, as `edge_agent.supervisor` does.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    except Exception:
        while task.cancelling() > before:
            task.uncancel()
        raise


def first_error(errors: BaseExceptionGroup[BaseException]) -> MeshtwinError:
    """The first of our errors in a group, however deep. Raises the group when it holds any other."""
    known, unknown = errors.split(MeshtwinError)
    if unknown is not None or known is None:
        raise errors
    first = known.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
