"""What becomes of an outbox file that cannot be trusted or written: set aside, replaced, done without, or
taken up again.

The caller says what was lost; nothing here sends or counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from common.errors import Corrupt, Misconfigured, Unavailable
from common.logs import get_logger
from common.messages import Kind
from edge_agent.share.outbox_file import IN_MEMORY, OutboxFile
from edge_agent.share.outbox_rows import Entry, State, size_of

RESCUE_BYTES: Final = 4 << 20
RESCUE_AT_ONCE: Final = 200

_log = get_logger(__name__)


def open_or_replace(path: Path, fresh: State) -> tuple[OutboxFile, str | None]:
    """The outbox file at `path`, or a new one in its place, or one in memory when the disk takes none; and
    why it is not the old one, if it is not.

    Raises Misconfigured when the folder belongs to somebody else.
    """
    lost = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return OutboxFile(path, fresh), None
        except Corrupt as error:
            lost = str(error)
            _log.error("outbox-lost", reason=lost, kept=set_aside(path).name)
            return OutboxFile(path, fresh), lost
    except PermissionError as error:
        raise Misconfigured(f"{path.parent} cannot be made", "correct gateway.state_dir") from error
    except (Unavailable, Corrupt, OSError) as error:
        _log.error(
            "outbox-in-memory", reason=error, fix="free space on the disk; it is tried again by itself"
        )
        return OutboxFile(IN_MEMORY, fresh), lost


def reopen(path: Path, fresh: State) -> OutboxFile | None:
    """The outbox file at `path`, or a new one in its place; None while the disk still refuses."""
    try:
        try:
            return OutboxFile(path, fresh)
        except Corrupt as error:
            _log.error("outbox-lost", reason=error, kept=set_aside(path).name)
            return OutboxFile(path, fresh)
    except (Unavailable, Corrupt):
        return None


def rescue(file: OutboxFile, after: int) -> list[Entry]:
    """What can still be read after sequence `after`, as far as memory allows; tombstones are left."""
    rescued: list[Entry] = []
    held = 0
    try:
        while held < RESCUE_BYTES and (found := file.read(after, RESCUE_AT_ONCE)):
            rescued += [entry for entry in found if entry.kind != Kind.DROPPED]
            held += sum(map(size_of, found))
            after = found[-1].sequence
    except (Unavailable, Corrupt) as error:
        _log.warning("outbox-rescue-ended", reason=error, rescued=len(rescued))
    return rescued


def set_aside(path: Path, keep: int = 2) -> Path:
    """Move a closed file that cannot be trusted out of the way. Its log and the oldest such files go.

    Raises Unavailable.
    """
    name = f"{path.name}.corrupt-"
    try:
        ends = [p.name.removeprefix(name) for p in path.parent.glob(f"{name}*")]
        taken = sorted(int(end) for end in ends if end.isdecimal())
        aside = path.with_name(f"{name}{(taken[-1] if taken else 0) + 1}")
        for number in taken[: max(0, len(taken) + 1 - keep)]:
            path.with_name(f"{name}{number}").unlink(missing_ok=True)
        path.replace(aside)
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{path} cannot be set aside: {error.strerror}") from error
    return aside
