"""The engine of a Dask cluster: the scheduler at a URL shares work out to workers that have meshtwin, too.

Work is refused while the scheduler is away, and never done here instead: whoever names a cluster wants this
machine for other things, and shall hear that it is gone. It is dialled again with the next work.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from common import __version__
from common.errors import Misconfigured, Unavailable
from common.logs import get_logger
from coordinator.engine.engine import Engine, EngineStatus, JobTooLong, P, R, WorkerDied
from coordinator.engine.job import Job
from coordinator.engine.lane import read
from coordinator.engine.processes import LIMIT_S, MOST_WAITING
from coordinator.engine.worker import answer

if TYPE_CHECKING:
    from coordinator.config import EngineSettings

DIAL_S: Final = 5.0
PAUSE_S: Final = 5.0
"""After a call that nobody answered, the next is not made sooner; work is refused meanwhile."""

LOOK_S: Final = 1.0

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _ClusterJob(Job):
    """A job with its end at the latest, and the cluster's own future of it once it is sent."""

    deadline: float = inf
    sent: Future[bytes] | None = None


class Cluster(Engine):
    """Work on a cluster. One thread dials, sends and looks after what takes too long; answers come in threads
    of Dask's."""

    def __init__(
        self, settings: EngineSettings, *, limit_s: float = LIMIT_S, most_waiting: int = MOST_WAITING
    ) -> None:
        """Raises Misconfigured without the package, or the files for TLS."""
        assert settings.url is not None
        if importlib.util.find_spec("distributed") is None:
            raise Misconfigured(
                "engine.url needs Dask, which is not installed", "pip install 'meshtwin[dask]'"
            )
        for path in (settings.ca, settings.certificate, settings.key):
            if path is not None and not path.is_file():
                raise Misconfigured(f"{path} is not there", "see [engine] in coordinator.toml")
        self._settings, self._url = settings, settings.url
        self._limit_s, self._most_waiting = limit_s, most_waiting
        self._lock, self._closing = Lock(), Event()
        self._inbox: SimpleQueue[_ClusterJob | None] = SimpleQueue()
        self._jobs: set[_ClusterJob] = set()
        self._thread: Thread | None = None
        self._client: Any = None
        self._dialled_at = float("-inf")
        self._looked_at = float("-inf")
        self._alive = 0
        self._done = self._failed = self._refused = self._died = 0
        self._problem = ""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        job = _ClusterJob.of(fn, args, kwargs)
        job.deadline = time.monotonic() + self._limit_s
        with self._lock:
            if self._closing.is_set():
                raise Unavailable("the engine was closed")
            if len(self._jobs) >= self._most_waiting:
                self._refused += 1
                raise Unavailable(f"{self._most_waiting} jobs wait already: try again later")
            self._jobs.add(job)
            if self._thread is None:
                self._thread = Thread(target=self._serve, name="engine-cluster", daemon=True)
                self._thread.start()
        self._inbox.put(job)
        return job.future

    def describe(self) -> EngineStatus:
        with self._lock:
            running = sum(1 for job in self._jobs if job.sent is not None)
            return EngineStatus(
                kind="dask",
                where=self._url,
                workers=0,
                alive=self._alive,
                running=running,
                waiting=len(self._jobs) - running,
                most_waiting=self._most_waiting,
                done=self._done,
                failed=self._failed,
                refused=self._refused,
                died=self._died,
                problem=self._problem,
            )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor."""
        with self._lock:
            left = list(self._jobs)
        for job in left:
            if cancel_futures:
                job.future.cancel()
            elif wait:
                job.future.exception()
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._inbox.put(None)
        with self._lock:
            left, self._jobs = self._jobs, set()
        for job in left:
            _settle(job, error=WorkerDied("the engine was closed"))
        if self._thread is not None:
            self._thread.join(2 * LOOK_S)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                job = self._inbox.get(timeout=LOOK_S)
            except Empty:
                job = None
            if job is not None and not self._closing.is_set():
                self._send(job)
            self._end_what_takes_too_long()
        self._hang_up()

    def _send(self, job: _ClusterJob) -> None:
        if not job.future.set_running_or_notify_cancel():
            with self._lock:
                self._jobs.discard(job)
            return
        try:
            client = self._connected()
            sent = client.get_executor(pure=False).submit(answer, job.message, __version__)
        except Unavailable as error:
            self._finish(job, error=error)
        except Exception as error:
            self._hang_up()
            self._finish(job, error=self._away(error))
        else:
            job.sent = sent
            sent.add_done_callback(partial(self._answered, job))

    def _connected(self) -> Any:
        """The client of a scheduler that is there, with workers. Raises Unavailable."""
        if self._client is not None and self._client.status != "running":
            self._hang_up()
        if self._client is None:
            if time.monotonic() - self._dialled_at < PAUSE_S and self._problem:
                raise Unavailable(self._problem)
            self._dial()
        if time.monotonic() - self._looked_at > LOOK_S or not self._alive:
            self._alive = len(self._client.nthreads())
            self._looked_at = time.monotonic()
        if not self._alive:
            raise Unavailable(
                f"the scheduler {self._url} has no workers\n  fix: start some: dask worker {self._url}"
            )
        return self._client

    def _dial(self) -> None:
        import distributed

        # It brings handlers with a style of their own, and tells every lost connection with a trace.
        theirs = logging.getLogger("distributed")
        theirs.handlers.clear()
        theirs.setLevel(logging.CRITICAL)
        theirs.propagate = True
        self._dialled_at = time.monotonic()
        try:
            make: Any = distributed.Client
            self._client = make(
                self._url,
                timeout=DIAL_S,
                set_as_default=False,
                name="meshtwin",
                security=self._security(distributed.Security),
                direct_to_workers=False,
            )
        except Exception as error:
            raise self._away(error) from error
        self._problem = ""
        log.info("cluster-reached", url=self._url)

    def _security(self, make: Any) -> Any:
        chosen = self._settings
        if chosen.ca is None:
            return None
        return make(
            tls_ca_file=str(chosen.ca),
            tls_client_cert=str(chosen.certificate),
            tls_client_key=str(chosen.key),
            require_encryption=True,
        )

    def _away(self, error: BaseException) -> Unavailable:
        """The error for a scheduler that cannot be reached, logged once for each time that it goes."""
        told = (
            f"the scheduler {self._url} cannot be reached: {str(error)[:200] or type(error).__name__}\n"
            "  fix: start it, or remove url from [engine] in coordinator.toml to work on this machine"
        )
        if not self._problem:
            log.warning("cluster-away", url=self._url, reason=type(error).__name__)
        self._problem = told
        return Unavailable(told)

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        self._alive = 0
        if client is not None:
            try:
                client.close(timeout=LOOK_S)
            except Exception as error:
                log.debug("cluster-hang-up", reason=error)

    def _answered(self, job: _ClusterJob, sent: Future[bytes]) -> None:
        """In a thread of Dask's."""
        try:
            went_well, value = read(sent.result())
        except CancelledError as error:
            self._finish(job, error=self._away(error))
        except ImportError as error:
            self._finish(job, error=Unavailable(
                f"the workers of {self._url} lack meshtwin: {error}\n  fix: install the same version there"
            ))  # fmt: skip
        except Exception as error:
            # KilledWorker, after some tries, or a connection that broke.
            with self._lock:
                self._died += 1
            self._finish(job, error=WorkerDied(f"the cluster lost it: {type(error).__name__}"))
        else:
            self._finish(job, value) if went_well else self._finish(job, error=value)

    def _finish(self, job: _ClusterJob, value: Any = None, *, error: BaseException | None = None) -> None:
        with self._lock:
            if job not in self._jobs:
                return  # Ended otherwise: it took too long, or the engine is closed.
            self._jobs.discard(job)
            self._done += error is None
            self._failed += error is not None
        _settle(job, value, error=error)

    def _end_what_takes_too_long(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [job for job in self._jobs if job.deadline < now and job.sent is not None]
        for job in late:
            self._finish(job, error=JobTooLong(f"it took longer than {self._limit_s:.0f} s and was given up"))
            if job.sent is not None:
                job.sent.cancel()


def _settle(job: _ClusterJob, value: Any = None, *, error: BaseException | None = None) -> None:
    if job.future.cancelled() or (not job.future.running() and not job.future.set_running_or_notify_cancel()):
        return
    if error is not None:
        job.future.set_exception(error)
    else:
        job.future.set_result(value)
