"""Configuration files: TOML parsed once into one validated, immutable object per component.

An error names the key and the fix, never the value, which may be a secret. An unknown key is refused with
the nearest known one named.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic_core import ErrorDetails, ValidationError

from common.errors import Misconfigured, Rejected
from common.record import Record

MAX_CONFIG_BYTES = 1 << 20


class Table(Protocol):
    """A table of a configuration file: our records and pydantic's models alike.

    Its `model_fields` map names to what has an `alias` and an `annotation`.
    """

    @classmethod
    def model_validate(cls, obj: Any, /) -> Self:
        """The table that a map describes. Raises ValidationError."""


S = TypeVar("S", bound=Table)


class Section(Record, extra="forbid"):
    """Base of the tables of a gateway's configuration file. `coordinator.section` has the server's."""


def load(model: type[S], path: Path) -> S:
    """Read the TOML file at `path` into `model`.

    Raises Misconfigured with every problem of the file, each naming its key and a fix.
    """
    return parse(model, _read(path), str(path))


def parse(model: type[S], text: str, name: str = "configuration") -> S:
    """Like `load`, from the text itself; `name` stands for the file in errors."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{name} is not valid TOML: {error}", "mend the line that is named") from error
    try:
        return model.model_validate(document)
    except Rejected as error:
        # A validator of `common` that knows no key, such as a name's.
        raise Misconfigured(f"{name}: {error.detail}", f"edit {name}") from error
    except ValidationError as error:
        problems = [_describe(model, detail) for detail in error.errors()]
        raise Misconfigured(f"{name}: " + "; ".join(problems), f"edit {name}") from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise Misconfigured(f"{path} is larger than {MAX_CONFIG_BYTES} bytes", "name the right file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Misconfigured(
            f"{path} does not exist", f"create it, or name another file than {path}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"{path} cannot be read: {error}", "check its permissions and encoding"
        ) from error


def _describe(model: type[Any], detail: ErrorDetails) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location) or "the file"
    if detail["type"] == "extra_forbidden":
        from difflib import get_close_matches  # A daemon whose configuration is good never needs it.

        near = get_close_matches(location[-1], _known_keys(model, detail["loc"][:-1]), n=1, cutoff=0.5)
        hint = f", did you mean {near[0]!r}?" if near else ""
        return f"unknown key {key!r}{hint}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}"


def _known_keys(model: type[Any], location: tuple[int | str, ...]) -> list[str]:
    current: type[Any] = model
    for part in location:
        field = next((f for name, f in current.model_fields.items() if part in (name, f.alias)), None)
        # Not a field: an index of a list, a key of a dictionary of tables, or the name of a union's branch.
        current = (field and _table_of(field.annotation)) or current
    return [field.alias or name for name, field in current.model_fields.items()]


def _table_of(annotation: Any) -> type[Any] | None:
    """The model inside an annotation such as `Table`, `Table | None` or `list[Table]`."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _table_of(inner)
        if found is not None:
            return found
    return None
