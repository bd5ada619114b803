"""Kinds that misbehave: descriptions."""

from __future__ import annotations

from collections.abc import Mapping

from common.kinds.kind import Cost, Parameters, TaskKind
from common.record import Field


class HogParameters(Parameters):
    """Of `hog`."""

    how: str = Field(min_length=1)


def _cost(given: HogParameters, sizes: Mapping[str, int]) -> Cost:
    return Cost(0.1)


HOG = TaskKind("hog", "Misbehaves.", "tests.tasks.hogs.code:hog", _cost, HogParameters, outputs=("said",))
