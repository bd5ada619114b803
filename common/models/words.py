"""How people are told when a model is used: the same words everywhere."""

from __future__ import annotations

from typing import Final

BY_MORE_THAN_CHANCE: Final = "worse than the naive forecast by more than chance"
UNLESS_WORSE: Final = f"unless it is {BY_MORE_THAN_CHANCE}"
