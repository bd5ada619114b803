"""What the configuration classes say of their keys: type, limits, default, and the docstring below."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from common.record import Declared


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section, in words."""

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One section of a configuration file."""

    name: str
    purpose: str
    keys: tuple[Key, ...]


Field: TypeAlias = "FieldInfo | Declared"
"""What the two kinds of configuration classes have to say of a key."""


def tables(config: type[Any]) -> Iterator[Table]:
    """The sections of a configuration class in the order of its fields."""
    for name, field in config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert hasattr(section, "model_fields")
        yield Table(name, _paragraphs(section), tuple(_keys(section)))


def _keys(section: type[Any]) -> Iterator[Key]:
    meanings = _meanings(section)
    for name, field in section.model_fields.items():
        yield Key(name, _kind(field), _default(field), meanings.get(name, ""))


def _paragraphs(section: type[Any]) -> str:
    return inspect.cleandoc(section.__doc__ or "")


def _meanings(section: type[Any]) -> dict[str, str]:
    """The string that stands below each field in the source."""
    (node,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _default(field: Field) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (str, Path)):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _kind(field: Field) -> str:
    """Type and limits, such as "number, above 0, up to 10000"."""
    return ", ".join([_type(field.annotation), *_limits(field)])


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in get_args(annotation) if part is not type(None))
    if origin is tuple:
        return f"list of {_type(get_args(annotation)[0])}s"
    if origin is not None:
        return _type(get_args(annotation)[0])
    names: dict[Any, str] = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
    }
    return names.get(annotation, "text")


def _limits(field: Field) -> Iterator[str]:
    words = {"gt": "above {}", "ge": "from {}", "lt": "below {}", "le": "up to {}"}
    for attribute, text in words.items():
        if (value := _limit(field, attribute)) is not None:
            yield text.format(f"{value:g}" if isinstance(value, float) else value)


def _limit(field: Field, name: str) -> Any:
    if isinstance(field, Declared):
        return (field.limits or {}).get(name)
    return next((value for part in field.metadata if (value := getattr(part, name, None)) is not None), None)
