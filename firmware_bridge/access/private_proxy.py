"""On-Demand Private Proxy messages: a proxy that shows itself when asked (Mesh Protocol 1.1, 4.3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import octet
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x000C)
CLIENT: Final = ModelId(0x000D)


@dataclass(frozen=True, slots=True)
class _OnDemandProxy(Record):
    """Seconds that a solicited node advertises as a proxy; 0 switches it off."""

    seconds: int
    FIELDS: ClassVar = (octet("on-demand private proxy"),)


class OnDemandProxyGet(Question):
    OPCODE = 0x8069


class OnDemandProxySet(_OnDemandProxy):
    OPCODE = 0x806A


class OnDemandProxyStatus(_OnDemandProxy):
    OPCODE = 0x806B


MESSAGES: tuple[type[Record], ...] = (OnDemandProxyGet, OnDemandProxySet, OnDemandProxyStatus)
