"""A message that is its fields, one after the other: the one way to build and to take apart parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.layout import Kind


def _take(kinds: Iterable[Kind], data: bytes, what: str) -> tuple[list[Any], bytes]:
    """Fields from the start of `data`, and what is left. Raises Rejected."""
    values = []
    for kind in kinds:
        size = len(data) if kind.size is None else kind.size
        if size > len(data):
            raise Rejected(RejectReason.TRUNCATED, f"{what}: the parameters end within a field")
        values.append(kind.from_wire(data[:size]))
        data = data[size:]
    return values, data


class Record:
    """The base of a frozen dataclass whose attributes stand in the order of `FIELDS` and `TAIL`.

    The tail comes as a whole or not at all: it is absent when its first attribute is None. A message whose
    attributes are not the fields that go on air says so in `values` and `from_values`.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]
    OPCODE: ClassVar[int]
    FIELDS: ClassVar[tuple[Kind, ...]] = ()
    TAIL: ClassVar[tuple[Kind, ...]] = ()

    def __post_init__(self) -> None:
        for kind, value in self._wired():
            kind.check(value)
        self.check()

    def check(self) -> None:
        """Refuse fields that do not go together. Raises Rejected."""

    def values(self) -> tuple[Any, ...]:
        """The fields as they go on air."""
        return tuple([getattr(self, name) for name in self.__match_args__])

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        """The message of these fields, without the tail when that did not come. Raises Rejected."""
        return cls(*values)

    def _wired(self) -> Iterable[tuple[Kind, Any]]:
        values = self.values()
        fixed = len(self.FIELDS)
        absent = not self.TAIL or values[fixed] is None
        kinds = self.FIELDS if absent else self.FIELDS + self.TAIL
        return zip(kinds, values, strict=False)

    def parameters(self) -> bytes:
        """What follows the opcode."""
        return b"".join([kind.to_wire(value) for kind, value in self._wired()])

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        """The message with these parameters. Raises Rejected and nothing else, whatever the bytes."""
        values, rest = _take(cls.FIELDS, parameters, cls.__name__)
        if rest and cls.TAIL:
            tail, rest = _take(cls.TAIL, rest, cls.__name__)
            values += tail
        if rest:
            raise Rejected(RejectReason.MALFORMED, f"{cls.__name__}: {len(rest)} bytes too many")
        return cls.from_values(*values)


@dataclass(frozen=True, slots=True)
class Question(Record):
    """A message without parameters."""
