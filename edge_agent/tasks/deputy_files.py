"""What a deputy keeps on disk of each job: one small file, which names the blob with the job's state."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from common.errors import Corrupt
from common.files import make_folder
from common.logs import get_logger
from edge_agent import state_file

_TAIL: Final = ".job"
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A job of `owner`: the blob `state` has it. Stages: `kept` for a living owner, `adopted` and run here,
    or `handing` over the blob `handing` of `size` bytes. `since` is the Unix time of the last version."""

    job: str
    owner: str
    version: int
    state: str
    size: int
    since: float
    stage: Literal["kept", "adopted", "handing"] = "kept"
    handing: str = ""


class KeptFiles:
    """The files below `folder`. Raises Misconfigured when it cannot be made."""

    def __init__(self, folder: Path) -> None:
        self._folder = make_folder(folder)

    def write(self, kept: Kept) -> None:
        """Replace a job's file. Raises Misconfigured when the disk refuses."""
        state_file.save(self._path(kept.job), asdict(kept))

    def remove(self, job: str) -> None:
        """Forget a job."""
        with suppress(OSError):
            self._path(job).unlink(missing_ok=True)

    def read(self) -> list[Kept]:
        """Every job whose file is whole; damaged ones are set aside and told."""
        found = []
        for path in sorted(self._folder.glob(f"*{_TAIL}")):
            try:
                document = state_file.load(path)
                if document is not None:
                    found.append(_checked(document))
            except Corrupt as error:
                log.warning("state-lost", file=path.name, reason=str(error)[:200])
        return found

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}{_TAIL}"


def _checked(document: dict[str, Any]) -> Kept:
    try:
        kept = Kept(**document)
    except TypeError as error:
        raise Corrupt(f"no kept job: {error}") from error
    numbers = isinstance(kept.version, int) and isinstance(kept.size, int) and isinstance(kept.since, float)
    texts = (kept.job, kept.owner, kept.state, kept.stage, kept.handing)
    if not numbers or not all(isinstance(text, str) for text in texts):
        raise Corrupt("no kept job: a value of another type")
    return kept
