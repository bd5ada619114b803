"""What the coordinator wants of the gateway's models, checked, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import Rejected, RejectReason
from common.messages import Desired, ModelReference, validate
from common.models import link_forecast

USES = frozenset({link_forecast.NAME})
"""Names of models that this agent has a use for."""


def read(value: Mapping[str, Any]) -> Desired:
    """Parse a `desired` map. Raises Rejected: FOREIGN_VERSION or INVALID."""
    desired = validate(Desired, value)
    names = [reference.name for reference in desired.models]
    if len(set(names)) < len(names):
        raise Rejected(RejectReason.INVALID, "a model is wanted in two versions")
    return desired


def unwanted(desired: Desired, used: Iterable[str]) -> list[str]:
    """Names of models in use that are wanted no more: the naive forecast serves."""
    wanted = {reference.name for reference in desired.models}
    return [name for name in used if name not in wanted]


def missing(desired: Desired, used: Mapping[str, ModelReference]) -> list[ModelReference]:
    """What is wanted and not in use."""
    return [reference for reference in desired.models if used.get(reference.name) != reference]
