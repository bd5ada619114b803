"""Records: classes that check what they are made of, declared in pydantic's notation and checked by its core.

    class Ack(Record, strict=True):
        epoch: int = Field(ge=0)
        sequence: Annotated[int, Field(ge=0)] = 0

    Ack.model_validate({"epoch": 7})

The whole of pydantic takes ten of the forty megabytes that an agent may have, most of it for translating
declarations into what `pydantic_core` wants. What a gateway needs of that is done here, on first use:
numbers, text, bytes, paths, `Literal`, `None | …`, lists, tuples, maps, records in records, and any class
whose objects a validator makes. Errors are pydantic's. Models that need more stay with pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

__all__ = ["AfterValidator", "BeforeValidator", "Declared", "Field", "Record", "ValidationError"]

_MISSING: Final = object()
_WRAPPERS: Final = frozenset({"nullable", "function-before", "function-after"})


class Part:
    """What may stand in `Annotated` beside the type, in records and in pydantic's models."""

    __slots__ = ()

    def applied_to(self, schema: CoreSchema) -> CoreSchema:
        """The schema with this part's conditions."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return self.applied_to(handler(source))


@dataclass(frozen=True, slots=True)
class BeforeValidator(Part):
    """In `Annotated`: turns what was given into what is then checked. May raise ValueError."""

    function: Callable[[Any], Any]

    def applied_to(self, schema: CoreSchema) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.function, schema)


@dataclass(frozen=True, slots=True)
class AfterValidator(Part):
    """In `Annotated`: checks or changes a value that has its type. May raise ValueError."""

    function: Callable[[Any], Any]

    def applied_to(self, schema: CoreSchema) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.function, schema)


@dataclass(frozen=True, slots=True, eq=False)
class Declared(Part):
    """What a declaration says of a field. `annotation` is its type without what `Annotated` adds, `limits`
    are pydantic_core's: ge, gt, le, lt, min_length, max_length, pattern, allow_inf_nan."""

    annotation: Any = None
    default: Any = _MISSING
    default_factory: Callable[[], Any] | None = None
    alias: str | None = None
    limits: Mapping[str, Any] | None = None

    def is_required(self) -> bool:
        """Whether the field has to be given."""
        return self.default is _MISSING and self.default_factory is None

    def applied_to(self, schema: CoreSchema) -> CoreSchema:
        """Limits are about the value itself, not about a `None` or a validator around it."""
        inner: Any = schema
        while inner["type"] in _WRAPPERS:
            inner = inner["schema"]
        inner.update(self.limits or {})
        return schema


def Field(  # noqa: N802 - pydantic's name
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    **limits: Any,
) -> Any:
    """A field's default, its name in what is validated when that is another one, and its limits."""
    return Declared(None, default, default_factory, alias, limits)


class _Fields:
    """`Class.model_fields`: every field by name, in the order of declaration."""

    def __get__(self, record: object, cls: type[Record]) -> dict[str, Declared]:
        if "_declared" not in cls.__dict__:
            cls._declared = {name: declared for name, declared, _ in cls._declarations()}
        return cls._declared


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class Record:
    """Base of records: made from keywords or by `model_validate`, checked in both cases, then unchangeable.

    `strict` takes values of the declared types only, `extra` says what to do with unknown names.
    """

    # What pydantic_core sets, beside the fields themselves in __dict__.
    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")

    _strict: ClassVar[bool] = False
    _extra: ClassVar[Literal["ignore", "forbid"]] = "ignore"
    _validator: ClassVar[SchemaValidator]
    _declared: ClassVar[dict[str, Declared]]

    def __init_subclass__(
        cls, strict: bool | None = None, extra: Literal["ignore", "forbid"] | None = None
    ) -> None:
        cls._strict = cls._strict if strict is None else strict
        cls._extra = cls._extra if extra is None else extra

    def __init__(self, **values: Any) -> None:
        """Raises ValidationError, as `model_validate` does."""
        self._checker().validate_python(values, self_instance=self)

    @classmethod
    def model_validate(cls, value: Any) -> Self:
        """The record that a map describes. Raises ValidationError."""
        record: Self = cls._checker().validate_python(value)
        return record

    model_fields = _Fields()

    @property
    def model_fields_set(self) -> set[str]:
        """The fields that were given rather than defaults; of a copy, those of the original."""
        given: set[str] = self.__pydantic_fields_set__  # type: ignore[attr-defined]
        return given

    def model_dump(
        self, *, include: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> dict[str, Any]:
        """The fields as plain values, records in them as maps."""
        return {
            name: _plain(value)
            for name, value in self.__dict__.items()
            if name not in exclude and (include is None or name in include)
        }

    def model_copy(self, update: Mapping[str, Any]) -> Self:
        """A copy with some fields replaced, unchecked: for values of our own."""
        copy = object.__new__(type(self))
        object.__setattr__(copy, "__dict__", {**self.__dict__, **update})
        object.__setattr__(copy, "__pydantic_fields_set__", self.model_fields_set)
        return copy

    @classmethod
    def core_schema(cls) -> CoreSchema:
        """The declaration in pydantic_core's terms."""
        fields = {
            name: core_schema.model_field(_with_default(declared, schema), validation_alias=declared.alias)
            for name, declared, schema in cls._declarations()
        }
        config = core_schema.CoreConfig(
            title=cls.__name__,
            strict=cls._strict,
            extra_fields_behavior=cls._extra,
            hide_input_in_errors=True,
        )
        inner = core_schema.model_fields_schema(fields, model_name=cls.__name__)
        return core_schema.model_schema(cls, inner, config=config)

    @classmethod
    def _checker(cls) -> SchemaValidator:
        """Built on first use, and for each class anew: a base's would make records of the base."""
        if "_validator" not in cls.__dict__:
            cls._validator = SchemaValidator(cls.core_schema())
        return cls._validator

    @classmethod
    def _declarations(cls) -> Iterator[tuple[str, Declared, CoreSchema]]:
        for name, hint in get_type_hints(cls, include_extras=True).items():
            if get_origin(hint) is ClassVar:
                continue
            value = getattr(cls, name, _MISSING)
            given = value if isinstance(value, Declared) else Declared(default=value)
            annotation, parts = _taken_apart(hint)
            limits: dict[str, Any] = {}
            for part in (*parts, given):
                limits |= (part.limits or {}) if isinstance(part, Declared) else {}
            declared = replace(given, annotation=annotation, limits=limits)
            yield name, declared, given.applied_to(_schema(hint))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), dict(self.__dict__), self.model_fields_set)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({shown})"


def _again(kind: type[Record], fields: dict[str, Any], given: set[str]) -> Record:
    """A record of our own that comes back from another process; what is foreign is validated instead."""
    record = object.__new__(kind)
    object.__setattr__(record, "__dict__", fields)
    object.__setattr__(record, "__pydantic_fields_set__", given)
    return record


_PLAIN: Final[dict[Any, Callable[[], CoreSchema]]] = {
    Any: core_schema.any_schema,
    bool: core_schema.bool_schema,
    bytes: core_schema.bytes_schema,
    float: core_schema.float_schema,
    int: core_schema.int_schema,
    str: core_schema.str_schema,
}


def _schema(hint: Any) -> CoreSchema:
    """pydantic_core's schema for a type. Raises TypeError for one that records do not know."""
    annotation, parts = _taken_apart(hint)
    if parts:
        return reduce(lambda schema, part: part.applied_to(schema), parts, _schema(annotation))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]()
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is Literal:
        return core_schema.literal_schema(list(arguments))
    if origin is list:
        return core_schema.list_schema(_schema(arguments[0]))
    if origin is tuple and arguments[1:] == (...,):
        return core_schema.tuple_schema([_schema(arguments[0])], variadic_item_index=0)
    if origin is dict:
        return core_schema.dict_schema(*map(_schema, arguments))
    if not isinstance(annotation, type) or origin is not None:
        raise TypeError(f"records do not know the type {annotation}")
    if issubclass(annotation, Record):
        return annotation.core_schema()
    instance = core_schema.is_instance_schema(annotation)
    return _path(instance) if annotation is Path else instance


def _taken_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type, and what `Annotated` says about it."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _union(arguments: tuple[Any, ...]) -> CoreSchema:
    choices = [_schema(argument) for argument in arguments if argument is not NoneType]
    schema = choices[0] if len(choices) == 1 else core_schema.union_schema([*choices])
    return core_schema.nullable_schema(schema) if NoneType in arguments else schema


def _path(instance: CoreSchema) -> CoreSchema:
    return core_schema.no_info_before_validator_function(
        lambda value: Path(value) if isinstance(value, str) else value, instance
    )


def _with_default(declared: Declared, schema: CoreSchema) -> CoreSchema:
    if declared.default_factory is not None:
        return core_schema.with_default_schema(schema, default_factory=declared.default_factory)
    if declared.default is _MISSING:
        return schema
    return core_schema.with_default_schema(schema, default=declared.default)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value
