"""The lab without a radio, for one test each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tools.gattlab.lab import GattLab


@pytest.fixture
async def lab() -> AsyncIterator[GattLab]:
    async with GattLab() as lab:
        yield lab
