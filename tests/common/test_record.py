"""Records accept and refuse what pydantic's models of the same declaration do, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.record import AfterValidator, BeforeValidator, Field, Record, ValidationError


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("an even number")
    return value


def _hexadecimal(value: Any) -> Any:
    return int(value, 16) if isinstance(value, str) and value.isalnum() else value


Even = Annotated[int, AfterValidator(_even)]
Address = Annotated[int, BeforeValidator(_hexadecimal), Field(ge=1, le=0x7FFF)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Inner(Record):
    number: int = Field(default=1, ge=0, le=9)


class Everything(Record, strict=True, extra="forbid"):
    whole: int = Field(ge=-5, lt=5)
    share: Share
    text: str = Field(max_length=4, pattern="^[a-z]*$")
    data: bytes = b""
    flag: bool = False
    maybe: int | None = Field(default=None, ge=3)
    choice: Literal["a", "b", 3] = "a"
    items: list[Share] = Field(default_factory=list, max_length=2)
    pairs: dict[str, str | int | float | None] = Field(default_factory=dict, max_length=2)
    inner: Inner = Inner()
    inners: list[Inner] = Field(default_factory=list, alias="innerOnes")
    even: Even = 0


class PlainInner(pydantic.BaseModel):
    number: int = pydantic.Field(default=1, ge=0, le=9)


class PlainEverything(pydantic.BaseModel):
    """The same, declared with pydantic; the parts of `common.record` stand in its annotations as they are."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    whole: int = pydantic.Field(ge=-5, lt=5)
    share: Share
    text: str = pydantic.Field(max_length=4, pattern="^[a-z]*$")
    data: bytes = b""
    flag: bool = False
    maybe: int | None = pydantic.Field(default=None, ge=3)
    choice: Literal["a", "b", 3] = "a"
    items: list[Share] = pydantic.Field(default_factory=list, max_length=2)
    pairs: dict[str, str | int | float | None] = pydantic.Field(default_factory=dict, max_length=2)
    inner: PlainInner = PlainInner()
    inners: list[PlainInner] = pydantic.Field(default_factory=list, validation_alias="innerOnes")
    even: Even = 0


GOOD: dict[str, Any] = {"whole": 1, "share": 0.5, "text": "abc"}

scalars = st.one_of(
    st.integers(-10, 10), st.floats(), st.booleans(), st.none(), st.text(max_size=5), st.binary(max_size=2)
)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=3)
numbers = st.fixed_dictionaries({}, optional={"number": scalars, "more": scalars})
keys = [*Everything.model_fields, "innerOnes", "other"]


def verdict(model: Any, value: Any) -> Any:
    """What came of it: the values as text (not a number equals nothing), or each error's place and words."""
    try:
        return repr(model.model_validate(value).model_dump())
    except ValidationError as error:
        return [(one["loc"], one["type"], one["msg"]) for one in error.errors(include_url=False)]


@given(st.dictionaries(st.sampled_from(keys), values | numbers | st.lists(numbers, max_size=2), max_size=4))
def test_a_record_says_of_any_map_what_pydantic_says(changes: dict[str, Any]) -> None:
    value = {**GOOD, **changes}
    said = str(verdict(PlainEverything, value)).replace("PlainInner", "Inner")
    assert str(verdict(Everything, value)) == said


@given(values)
def test_a_record_says_of_any_value_what_pydantic_says(value: Any) -> None:
    said = str(verdict(PlainEverything, value)).replace("PlainEverything", "Everything")
    assert str(verdict(Everything, value)) == said


def test_an_address_is_changed_before_its_limits_are_checked() -> None:
    class Node(Record):
        address: Address

    assert Node.model_validate({"address": "0105"}).address == 0x0105
    with pytest.raises(ValidationError, match="32767"):
        Node.model_validate({"address": "8000"})


def test_text_becomes_a_path_and_nothing_else_does() -> None:
    class Files(Record):
        key: Path
        more: Path | None = None

    assert Files.model_validate({"key": "/a/b", "more": Path("c")}) == Files(key=Path("/a/b"), more=Path("c"))
    with pytest.raises(ValidationError, match="key"):
        Files.model_validate({"key": 3})


def test_a_record_cannot_be_changed_and_its_default_lists_are_its_own() -> None:
    first, second = Everything(**GOOD), Everything(**GOOD)
    assert first.items is not second.items
    with pytest.raises(AttributeError, match="cannot be changed"):
        first.whole = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot be changed"):
        del first.whole


def test_a_copy_differs_in_what_is_replaced() -> None:
    record = Everything(**GOOD)
    copy = record.model_copy(update={"whole": 3})
    assert (copy.whole, copy.share, record.whole) == (3, 0.5, 1)
    assert copy != record
    assert copy == Everything(**{**GOOD, "whole": 3})


def test_records_inside_are_maps_in_the_plain_form() -> None:
    record = Everything.model_validate({**GOOD, "innerOnes": [{"number": 2}]})
    assert record.model_dump()["inners"] == [{"number": 2}]
    assert record.model_dump(include={"whole", "share"}, exclude={"share"}) == {"whole": 1}


def test_a_subclass_makes_objects_of_its_own() -> None:
    class Longer(Inner):
        text: str = ""

    assert Inner.model_validate({}) == Inner()
    made = Longer.model_validate({"text": "x"})
    assert (type(made), made.number, made.text) == (Longer, 1, "x")
    assert list(Longer.model_fields) == ["number", "text"]


def test_an_unknown_type_is_the_programmers_mistake() -> None:
    class Odd(Record):
        things: set[int]

    with pytest.raises(TypeError, match="set"):
        Odd.model_validate({"things": {1}})
