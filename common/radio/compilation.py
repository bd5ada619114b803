"""Compiling the kernel: once for each machine and version, then from numba's disk cache."""

from __future__ import annotations


def warm() -> None:
    pass
