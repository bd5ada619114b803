"""The bundles on the gateway's disk: the last good one of each name, and what is on its way.

A bundle's name, version and digest are its file's name, and its size the file's: there is no index that could
disagree with the folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from common import topics
from common.errors import Corrupt, Misconfigured, Rejected
from common.files import make_folder
from common.messages import ModelReference, validate
from common.models.container import check_content
from common.models.metadata import MAX_BUNDLE_BYTES

SUFFIX: Final = ".tflite"
PART: Final = ".part"
DAMAGED: Final = "damaged.tflite.corrupt"
"""Where a file that failed its check is kept for people to look at; one such file is kept."""

_NAMED: Final = re.compile(r"([a-z0-9._-]{1,64})-(\d{1,10})-([0-9a-f]{64})\.tflite")


class Store:
    """Bundles in `folder`. One process at a time decides what stays: the agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        """Make the folder, if need be. Raises Misconfigured."""
        if not self.folder.is_dir():
            make_folder(self.folder)

    def held(self) -> list[ModelReference]:
        """What is there, the newest first, not yet looked into."""
        paths = sorted(self.folder.glob(f"*{SUFFIX}"), key=_changed, reverse=True)
        return [reference for path in paths if (reference := _reference(path)) is not None]

    def read(self, reference: ModelReference) -> bytes:
        """The bundle's content. Raises Corrupt when it is not what it was, with the file set aside."""
        path = self.path(reference)
        try:
            content = read_bundle(path)
            check_content(content, reference)
        except Rejected as error:
            self.set_aside(reference)
            raise Corrupt(f"{path.name} failed its check and was moved aside") from error
        return content

    def accept(self, reference: ModelReference) -> None:
        """Put a whole and tried part in its place. Raises Misconfigured."""
        try:
            self.part(reference).replace(self.path(reference))
        except OSError as error:
            raise Misconfigured(
                f"{self.path(reference)} cannot be written: {error.strerror}",
                "check owner and mode of its folder",
            ) from error

    def set_aside(self, reference: ModelReference) -> None:
        """Keep a bundle for people to look at, and use it no more."""
        try:
            self.path(reference).replace(self.folder / DAMAGED)
        except OSError:
            # A disk that lets nothing be moved: the file fails the same check at the next start.
            pass

    def keep(self, references: Collection[ModelReference]) -> None:
        """Remove every bundle and part of one that is none of `references`. Raises Misconfigured."""
        names = {
            path.name for reference in references for path in (self.path(reference), self.part(reference))
        }
        try:
            for path in [*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob(f"*{PART}")]:
                if path.name not in names:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"{self.folder} cannot be tidied: {error.strerror}", "check owner and mode of the folder"
            ) from error

    def path(self, reference: ModelReference) -> Path:
        """Where the whole bundle is."""
        return self.folder / f"{reference.name}-{reference.version}-{reference.digest}{SUFFIX}"

    def part(self, reference: ModelReference) -> Path:
        """Where it grows."""
        return self.folder / f"{reference.digest}{PART}"


def read_bundle(path: Path) -> bytes:
    """A file's content, and of one that is too large not much more than is allowed. Raises Corrupt."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from error


def _reference(path: Path) -> ModelReference | None:
    """What a file's name says it is; None for a file that is none of ours."""
    named = _NAMED.fullmatch(path.name)
    if named is None:
        return None
    try:
        return validate(
            ModelReference,
            {
                "name": topics.check_name(named[1]),
                "version": int(named[2]),
                "digest": named[3],
                "size": path.stat().st_size,
            },
        )
    except (Rejected, OSError):
        return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
