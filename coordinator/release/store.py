"""The folder of models: `<digest>.tflite` for each bundle, and `models.json`, the registry.

A bundle is written before the registry names it, so that a crash leaves at most a file that nobody knows; the
next start removes it. A registry that is lost or damaged is made again from what the bundles say of
themselves. One process owns the folder: the running coordinator.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from common.clock import Clock, SystemClock
from common.errors import Corrupt, Misconfigured, Rejected
from common.files import make_folder, write_file
from common.logs import get_logger
from common.models import link_forecast
from common.models.container import check_schema, read_metadata
from common.models.metadata import MAX_BUNDLE_BYTES
from coordinator.release.registry import Bundle, Change, Course, Registry, Version, in_order
from coordinator.training.job import TrainingResult

REGISTRY_NAME: Final = "models.json"
FIX: Final = "coordinator models evaluate, then coordinator models release, or rollback for none"
"""What to do once nobody knows what is released."""

_SUFFIX: Final = ".tflite"
_CONTENT: Final = re.compile(rb'\{"sha256": "([0-9a-f]{64})",\n"registry": (.*)\}\n', re.DOTALL)

log = get_logger(__name__)


class ModelStore:
    """The models of a coordinator. Any thread may call; changes are made one after the other."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        """Open `folder`, mending what a crash or a damaged disk left. Raises Misconfigured."""
        self._folder = make_folder(folder)
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._registry = self._open()
        if self._registry.rebuilt:
            log.warning("model-releases-unknown", file=REGISTRY_NAME, fix=FIX)
        self._remove_unknown()

    @property
    def registry(self) -> Registry:
        """The registry as of now; immutable."""
        return self._registry

    def change(self, step: Callable[[Registry], Registry]) -> Registry:
        """Replace the registry by what `step` makes of it, on disk first. Raises what `step` does, and
        Misconfigured or Corrupt when it cannot be written; then nothing has changed."""
        with self._lock:
            changed = step(self._registry)
            if changed is not self._registry:
                self._write(changed)
                self._registry = changed
                self._remove_unknown()
            return changed

    def add(self, result: TrainingResult, created: float) -> Version:
        """Keep what a training made, as a candidate.

        Raises Misconfigured (disk), Rejected (no bundle of ours) or Corrupt (unusable evaluation).
        """
        files = {sha256(content).hexdigest(): content for content in result.bundles.values()}
        bundles = [
            Bundle(
                precision=precision,
                digest=sha256(content).hexdigest(),
                size=len(content),
                held_out=result.evaluations.get(precision),
            )
            for precision, content in result.bundles.items()
        ]
        for content in files.values():
            check_schema(read_metadata(content))
        version = Version(
            name=result.name,
            version=result.version,
            created=created,
            seconds=result.seconds,
            rows=result.rows,
            bundles=in_order(bundles),
        )
        with self._lock:
            for digest, content in files.items():
                write_file(self.path_of(digest), content)
            changed = self._registry.with_version(version)
            self._write(changed)
            self._registry = changed
            self._remove_unknown()
        return version

    def path_of(self, digest: str) -> Path:
        """Where the bundle of a digest lies."""
        return self._folder / f"{digest}{_SUFFIX}"

    def read(self, digest: str) -> bytes:
        """A bundle, checked against its digest. Raises Corrupt."""
        path = self.path_of(digest)
        try:
            content = _read(path)
        except OSError as error:
            raise Corrupt(f"{path} is gone; train a new model: {error.strerror}") from error
        if sha256(content).hexdigest() != digest:
            raise Corrupt(f"{path} is damaged; train a new model, or restore it from a backup")
        return content

    def _write(self, registry: Registry) -> None:
        """Raises Corrupt for what could not be read back, such as an error that is not a number."""
        content = _pack(registry)
        try:
            _unpack(content)
        except ValueError as error:
            raise Corrupt("an evaluation holds what is not a number") from error
        write_file(self._folder / REGISTRY_NAME, content)

    def _open(self) -> Registry:
        path = self._folder / REGISTRY_NAME
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            reason = "missing"
        except ValueError:
            reason = "damaged"
        except OSError as error:
            raise _unusable(path, error) from error
        registry = self._rebuild(reason)
        if registry.rebuilt:
            self._write_anew(path, registry)
        return registry

    def _write_anew(self, path: Path, registry: Registry) -> None:
        """Keep what was damaged for people to look at; one such file is kept."""
        try:
            if path.exists():
                path.replace(path.with_name(f"{REGISTRY_NAME}.damaged"))
        except OSError as error:
            raise _unusable(path, error) from error
        self._write(registry)

    def _rebuild(self, reason: str) -> Registry:
        """The registry as the bundles tell it: no evaluations, no verdicts, and nothing known of releases."""
        versions: dict[tuple[str, int], Version] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if (told := self._told_by(path)) is not None:
                _join(versions, told)
        registry = Registry()
        for version in sorted(versions.values(), key=lambda v: (v.name, v.version)):
            registry = registry.with_version(version)
        if not versions and reason == "missing":
            return registry
        log.warning(
            "model-registry-rebuilt",
            reason=reason,
            versions=len(versions),
            lost="releases, evaluations, verdicts and history",
        )
        return registry.model_copy(update={"rebuilt": True, "courses": self._lost(registry, reason)})

    def _lost(self, registry: Registry, reason: str) -> dict[str, Course]:
        """The courses with a history that begins with the loss."""
        detail = f"{REGISTRY_NAME} was {reason}: releases and evaluations before this are forgotten"
        change = Change(at=self._clock.wall(), by="coordinator", what="lost", detail=detail)
        names = {link_forecast.NAME, *registry.courses}
        return {name: registry.course(name).model_copy(update={"changes": (change,)}) for name in names}

    def _told_by(self, path: Path) -> Version | None:
        """The version that a bundle says it is; None for a file that is none of ours."""
        try:
            content = self.read(path.stem)
            metadata = read_metadata(content)
        except (Corrupt, Rejected) as error:
            log.warning("model-unusable", file=path.name, reason=error)
            return None
        bundle = Bundle(precision=metadata.precision, digest=path.stem, size=len(content))
        return Version(
            name=metadata.name,
            version=metadata.version,
            created=metadata.created,
            recovered=True,
            bundles=(bundle,),
        )

    def _remove_unknown(self) -> None:
        """Remove the bundles of versions that are no longer kept."""
        known = self._registry.digests
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path.stem not in known:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("model-not-removed", file=path.name, reason=error)


def _unusable(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"{path} cannot be used: {error.strerror}", "mend its owner and mode")


def _pack(registry: Registry) -> bytes:
    """The file's content: JSON that begins with a checksum, so that a flipped digit is noticed."""
    body = registry.model_dump_json().encode()
    return b'{"sha256": "%s",\n"registry": %s}\n' % (sha256(body).hexdigest().encode(), body)


def _unpack(content: bytes) -> Registry:
    """Raises ValueError for anything that `_pack` did not write; a ValidationError is one, too."""
    found = _CONTENT.fullmatch(content)
    if found is None or sha256(found[2]).hexdigest().encode() != found[1]:
        raise ValueError("the checksum is wrong")
    return Registry.model_validate_json(found[2])


def _join(versions: dict[tuple[str, int], Version], told: Version) -> None:
    key = (told.name, told.version)
    found = versions.get(key)
    bundles = {b.precision: b for b in (*(found.bundles if found else ()), *told.bundles)}
    versions[key] = told.model_copy(update={"bundles": in_order(bundles.values())})


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BUNDLE_BYTES + 1)
