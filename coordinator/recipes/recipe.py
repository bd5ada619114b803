"""A recipe: a named question or optimisation put to the twin, or a pipeline of these, as one YAML file each.

The list of keys is closed, and every error names the file, the key and the limit. What a question computes is
code (`questions`); a recipe gives it a name, a help text, defaults and limits.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import yaml
from pydantic import Field, ValidationError, model_validator

from common.errors import Misconfigured, Rejected, RejectReason
from common.mesh import addresses
from coordinator.section import Section

MAX_RECIPE_BYTES: Final = 64 << 10
# PyYAML raises more than its own errors: whatever a value makes it stumble over that its tag cannot hold.
_WRONG: Final = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
NAME: Final = r"^[a-z][a-z0-9-]{0,47}$"

Value: TypeAlias = "float | int | bool | str | tuple[int, ...]"
Name = Annotated[str, Field(pattern=NAME)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class Parameter(Section):
    """One setting of a recipe. `addresses` are written like `0x0105,0x0106`."""

    kind: Literal["number", "whole", "flag", "choice", "addresses"] = "number"
    default: float | int | bool | str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = Field("", max_length=32)
    help: str = Field(max_length=500)

    @model_validator(mode="after")
    def _sound(self) -> Parameter:
        if self.kind in ("number", "whole") and (self.minimum is None or self.maximum is None):
            raise ValueError("minimum and maximum are needed")
        if self.kind == "choice" and not self.choices:
            raise ValueError("choices are needed")
        try:
            self.value(self.default)
        except Rejected as error:
            raise ValueError(f"default: {error.detail}") from error
        return self

    def value(self, said: object) -> Value:
        """A value as it was said, checked. Raises Rejected, telling the limit."""
        match self.kind:
            case "number" | "whole":
                return self._number(said)
            case "flag":
                return _flag(said)
            case "choice":
                if said not in self.choices:
                    raise _refusal(f"{str(said)[:40]!r}; one of {', '.join(self.choices)}")
                return str(said)
            case "addresses":
                return _addresses(said)

    def _number(self, said: object) -> float | int:
        try:
            if isinstance(said, bool) or not isinstance(said, (int, float, str)):
                raise ValueError
            number = float(said)
        except ValueError as error:
            raise _refusal(f"{str(said)[:40]!r} is no number") from error
        assert self.minimum is not None
        assert self.maximum is not None
        if not (math.isfinite(number) and self.minimum <= number <= self.maximum):
            raise _refusal(f"{number:g}; {self.minimum:g} to {self.maximum:g} {self.unit}".rstrip())
        if self.kind == "whole":
            if number != int(number):
                raise _refusal(f"{number:g} is not a whole number")
            return int(number)
        return number


class Stage(Section):
    """One recipe of a pipeline. A value `$name` is the pipeline's own parameter of that name."""

    recipe: Name
    given: dict[Word, float | int | bool | str] = Field(default_factory=dict, alias="with", max_length=16)


class Recipe(Section):
    """One YAML file. Exactly one of `question` and `recipes` is given; only a pipeline has `recipes`."""

    name: Name
    kind: Literal["question", "optimisation", "pipeline"]
    title: str = Field(min_length=3, max_length=100)
    help: str = Field(min_length=10, max_length=4000)
    question: Name | None = None
    recipes: tuple[Stage, ...] = Field((), max_length=16)
    parameters: dict[Word, Parameter] = Field(default_factory=dict, max_length=32)
    examples: tuple[str, ...] = Field((), max_length=8)

    @model_validator(mode="after")
    def _sound(self) -> Recipe:
        if (self.kind == "pipeline") is not bool(self.recipes) or (self.kind == "pipeline") is bool(
            self.question
        ):
            raise ValueError("a pipeline has recipes and no question, anything else a question alone")
        for stage in self.recipes:
            for value in stage.given.values():
                if isinstance(value, str) and value.startswith("$") and value[1:] not in self.parameters:
                    raise ValueError(f"recipes: {value} is none of its parameters")
        return self

    def given(self, said: Mapping[str, object]) -> dict[str, Value]:
        """Every parameter with its value: as said, or the default. Raises Rejected naming the parameter."""
        for name in said:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise _refusal(f"{self.name} has no parameter {name[:40]!r}; it has: {known}")
        found = {}
        for name, parameter in self.parameters.items():
            try:
                found[name] = parameter.value(said.get(name, parameter.default))
            except Rejected as error:
                raise _refusal(f"{self.name}: {name}: {error.detail}") from error
        return found


def parse(data: bytes | str, name: str) -> Recipe:
    """A recipe from its YAML. Raises Misconfigured naming file, key and limit."""
    if len(data) > MAX_RECIPE_BYTES:
        raise Misconfigured(f"{name} is larger than {MAX_RECIPE_BYTES >> 10} KiB", "shorten it")
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a SafeLoader, and stricter
        return Recipe.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)[:3]
        problems = "; ".join(f"{'.'.join(map(str, d['loc'])) or 'it'}: {d['msg']}" for d in details)
        raise Misconfigured(f"{name}: {problems}", f"edit {name}") from error
    except _WRONG as error:
        first = " ".join(str(error).split())[:300]
        raise Misconfigured(f"{name} is no YAML of ours: {first}", f"edit {name}") from error


def read(path: Path) -> Recipe:
    """The recipe in a file. Raises Misconfigured."""
    try:
        # A pipe would be waited for without end, and a device read.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Misconfigured(f"{path} is no regular file", "put a file there, or take it away")
        with path.open("rb") as file:
            data = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", "make it readable") from error
    recipe = parse(data, str(path))
    if recipe.name != path.stem:
        raise Misconfigured(f"{path}: name: {recipe.name!r} is not the file's", "rename one of them")
    return recipe


class _Loader(yaml.SafeLoader):
    """Plain data alone: no aliases, which can make a small file endless, and no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.YAMLError(f"a key is given twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def _flag(said: object) -> bool:
    if isinstance(said, bool):
        return said
    if said in ("yes", "true", "on"):
        return True
    if said in ("no", "false", "off"):
        return False
    raise _refusal(f"{str(said)[:40]!r}; yes or no")


def _addresses(said: object) -> tuple[int, ...]:
    if isinstance(said, bool) or not isinstance(said, (str, int)):
        raise _refusal("addresses are written like 0x0105,0x0106")
    words = [word.strip() for word in str(said).split(",") if word.strip()]
    if len(words) > 4096:
        raise _refusal("more than 4096 addresses")
    return tuple(addresses.check_unicast(addresses.parse(word)) for word in words)


def _refusal(detail: str) -> Rejected:
    return Rejected(RejectReason.INVALID, detail)
