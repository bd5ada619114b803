"""How often something may happen: an average rate, and a number at once."""

from __future__ import annotations


class Budget:
    """A store of `at_once` permissions that fills again with `per_s` a second. Time only needs to go on; a
    clock that jumps back fills nothing."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._since: float | None = None

    def take(self, wanted: int, now: float) -> int:
        """How many of the `wanted` are permitted now; they are used up."""
        if self._since is not None:
            self._left = min(self._at_once, self._left + max(0.0, now - self._since) * self._per_s)
        self._since = now
        given = min(wanted, int(self._left))
        self._left -= given
        return given
