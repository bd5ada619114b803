"""Which meshtwin this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def meshtwin_version() -> str:
    """The installed version, or "unknown" in a bare source tree."""
    try:
        return version("meshtwin")
    except PackageNotFoundError:
        return "unknown"
