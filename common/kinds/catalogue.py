"""Finds kinds of tasks: the built-in ones, and those that installed packages name in the entry point group
`meshtwin.tasks`.

    [project.entry-points."meshtwin.tasks"]
    count-people = "our_package.kinds:COUNT_PEOPLE"      # a TaskKind
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from common.errors import Rejected, RejectReason
from common.kinds.kind import TaskKind
from common.logs import get_logger

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "meshtwin.tasks"
_log = get_logger(__name__)
_BROKEN: Final[dict[str, str]] = {}


def find(name: str) -> TaskKind:
    """The kind of that name. Raises Rejected(UNKNOWN_KIND), naming a near one."""
    kind = _built_in().get(name) or _installed().get(name)
    if kind is not None:
        return kind
    from difflib import get_close_matches  # Only for those who mistype.

    if name in _BROKEN:
        raise Rejected(RejectReason.UNKNOWN_KIND, f"kind {name} cannot be loaded here: {_BROKEN[name]}")
    near = get_close_matches(name[:64], list(every()), n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else "; see: edge-agent tasks kinds"
    raise Rejected(RejectReason.UNKNOWN_KIND, f"there is no kind {name[:64]!r} here{hint}")


def every() -> dict[str, TaskKind]:
    """All kinds by name."""
    return {**_installed(), **_built_in()}


def broken() -> dict[str, str]:
    """Why kinds of installed packages are left out, by the name of their entry point."""
    _installed()
    return dict(_BROKEN)


def _built_in() -> dict[str, TaskKind]:
    # Late: a daemon that is never asked loads none of them.
    from common.kinds.built_in import KINDS

    return KINDS


@lru_cache(maxsize=1)
def _installed() -> dict[str, TaskKind]:
    """Kinds of other packages. One that cannot be loaded is told once and left out: it must not keep the
    others from running. Importing what reads entry points costs most of a mebibyte."""
    from importlib.metadata import entry_points

    found: dict[str, TaskKind] = {}
    _BROKEN.clear()
    for point in entry_points(group=GROUP):
        if point.name in _built_in():
            continue
        try:
            kind = point.load()
        except Exception as error:
            _leave_out(point, f"{type(error).__name__}: {error}"[:200])
            continue
        if isinstance(kind, TaskKind) and kind.name == point.name:
            found[kind.name] = kind
        else:
            _leave_out(point, "the entry point is no kind of that name")
    return found


def _leave_out(point: EntryPoint, reason: str) -> None:
    package = f"package {point.dist.name}, " if point.dist is not None else ""
    _BROKEN[point.name] = f"{package}{point.value}: {reason}"
    _log.warning("kind-not-loaded", kind=point.name, reason=reason)
