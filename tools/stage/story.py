"""The lines that the demo tells, with the time since its start."""

from __future__ import annotations

import sys
import time
from typing import TextIO

RULE = "─" * 78


class Story:
    """Prints numbered chapters and what happened in them."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._begun = time.monotonic()
        self._chapter = 0

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._begun

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapter += 1
        self._print(f"\n{self._chapter}. {title}")

    def tell(self, text: str) -> None:
        """One line of it."""
        self._print(f"   {self.seconds:5.0f} s  {text}")

    def plain(self, text: str) -> None:
        """Something without a time, such as a table."""
        self._print(text)

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)
