"""The orders of the fleet view: apart from it, for the command line loads nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class Order(StrEnum):
    """What comes first in the table."""

    TRUST = "trust"
    DELIVERY = "delivery"
    AGE = "age"
    DEAD = "dead"
    SITE = "site"
