"""Tasks that fail as one, on every Python that is supported."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from common.errors import TimedOut, Unavailable
from common.tasks import together

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "firmware_bridge", "edge_agent", "coordinator", "tools", "tests")


async def fail(error: Exception) -> None:
    raise error


async def test_the_first_of_our_errors_comes_out_bare() -> None:
    with pytest.raises(TimedOut, match="late"):  # noqa: PT012 - the group is the statement
        async with together() as tasks:
            tasks.create_task(fail(TimedOut("late")))
            tasks.create_task(asyncio.sleep(60))


async def test_it_comes_out_of_nested_groups_too() -> None:
    async def inner() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail(Unavailable("gone")))

    with pytest.raises(Unavailable, match="gone"):
        async with together() as tasks:
            tasks.create_task(inner())


async def test_a_foreign_exception_is_not_hidden() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with together() as tasks:
            tasks.create_task(fail(ZeroDivisionError()))
    assert caught.group_contains(ZeroDivisionError)


async def test_a_time_out_after_a_failed_group_is_still_a_time_out() -> None:
    async def late_failure() -> None:
        await asyncio.sleep(0)
        raise TimedOut("late")

    with pytest.raises(TimedOut):  # noqa: PT012 - the group is the statement
        async with together() as tasks:
            tasks.create_task(late_failure())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


def test_nothing_is_raised_inside_an_except_star() -> None:
    """Python 3.11.2, Debian 12's, wraps it in a group again, and callers do not recognise it."""
    guilty = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
        for inner in ast.walk(handler)
        if isinstance(inner, ast.Raise)
    ]
    assert guilty == []
