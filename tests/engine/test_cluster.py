"""A real Dask scheduler and two workers, each a process of its own on this machine's loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import Misconfigured, Rejected, Unavailable
from coordinator.broker.process import free_port
from coordinator.config import EngineSettings
from coordinator.engine import Engine, JobTooLong, WorkerDied, open_engine
from coordinator.engine.cluster import Cluster
from tests.engine import jobs

pytest.importorskip("distributed")

DEADLINE_S = 60.0
ROOT = Path(__file__).parents[2]


class Dask:
    """A scheduler, and workers as many as wanted."""

    def __init__(self, folder: Path, tls: Mapping[str, Path]) -> None:
        self.url = f"{'tls' if tls else 'tcp'}://127.0.0.1:{free_port()}"
        options = {"ca": "--tls-ca-file", "certificate": "--tls-cert", "key": "--tls-key"}
        self._tls = [word for name, path in tls.items() for word in (options[name], str(path))]
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> None:
        port = self.url.rpartition(":")[2]
        protocol = self.url.partition(":")[0]
        words = ("--host", "127.0.0.1", "--port", port, "--protocol", protocol, "--no-dashboard", "--no-show")
        self._start("scheduler", *words)

    def worker(self) -> None:
        words = ("--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
        self._start("worker", self.url, *words, "--no-nanny", "--death-timeout", "30")

    def _start(self, *words: str) -> None:
        log = (self._folder / f"dask-{len(self._processes)}.log").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *words, *self._tls],
                    cwd=self._folder,
                    env={
                        **os.environ,
                        "PYTHONPATH": str(ROOT),
                        "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s",
                    },
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def kill(self, which: int) -> None:
        """End one that was started, counted from 0."""
        self._processes[which].kill()
        self._processes[which].wait()

    def end(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@contextmanager
def dask(folder: Path, workers: int = 2, tls: Mapping[str, Path] | None = None) -> Iterator[Dask]:
    with ExitStack() as stack:
        made = Dask(folder, tls or {})
        stack.callback(made.end)
        made.scheduler()
        for _ in range(workers):
            made.worker()
        yield made


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def answers(engine: Engine) -> bool:
    try:
        return bool(engine.call(jobs.double, 21) == 42)
    except Unavailable:
        return False


def test_a_cluster_does_what_processes_here_do(tmp_path: Path) -> None:
    with dask(tmp_path) as cluster, open_engine(EngineSettings(url=cluster.url)) as engine:
        assert engine.describe().kind == "dask"
        until(lambda: answers(engine) and engine.describe().alive == 2, "two workers")
        going = [engine.submit(jobs.wait_for_file, tmp_path / "go") for _ in range(4)]
        until(lambda: engine.describe().running == 4, "all sent")
        (tmp_path / "go").touch()
        pids = {one.result(DEADLINE_S) for one in going}
        assert len(pids) == 2
        assert os.getpid() not in pids
        with pytest.raises(Rejected, match="nothing to do"):
            engine.call(jobs.refuse)
        with pytest.raises(ZeroDivisionError):
            engine.call(jobs.break_down)
        with pytest.raises(Exception, match="lambda"):
            engine.call(jobs.give_what_cannot_be_sent)
        content = os.urandom(2_000_000)
        assert engine.call(jobs.echo, content) == content
        # A scheduler that dies while it has work: a named error with the fix, and a new one is found.
        lost = engine.submit(jobs.hang, tmp_path / "told", 20.0)
        until((tmp_path / "told").exists, "the work")
        cluster.kill(0)
        with pytest.raises(Unavailable, match=r"cannot be reached|lost it"):
            lost.result(DEADLINE_S)
        until(lambda: not answers(engine), "refusal")
        with pytest.raises(Unavailable, match=r"cannot be reached[\s\S]*fix: start it"):
            engine.call(jobs.double, 1)
        cluster.scheduler()
        cluster.worker()
        until(lambda: answers(engine), "a new scheduler")
        assert engine.describe().problem == ""


def certificates(folder: Path) -> dict[str, Path]:
    """An authority, and one certificate for all: everybody here is 127.0.0.1."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cluster")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = {"ca": folder / "ca.pem", "certificate": folder / "cert.pem", "key": folder / "key.pem"}
    for which in ("ca", "certificate"):
        files[which].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def test_a_cluster_is_reached_by_tls_and_only_by_those_who_have_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "foreign").mkdir()
    own, foreign = certificates(tmp_path / "own"), certificates(tmp_path / "foreign")
    with dask(tmp_path, workers=1, tls=own) as cluster:
        with open_engine(EngineSettings.model_validate({"url": cluster.url, **own})) as engine:
            until(lambda: answers(engine), "a worker")
        stranger = EngineSettings.model_validate({"url": cluster.url, **foreign})
        with open_engine(stranger) as engine, pytest.raises(Unavailable, match="cannot be reached"):
            engine.call(jobs.double, 21)


def test_a_scheduler_without_workers_is_told_from_one_that_works(tmp_path: Path) -> None:
    with dask(tmp_path, workers=0) as cluster, open_engine(EngineSettings(url=cluster.url)) as engine:

        def told() -> str:
            with pytest.raises(Unavailable) as refused:
                engine.call(jobs.double, 1)
            return str(refused.value)

        until(lambda: "has no workers" in told(), "the scheduler")


def test_work_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with dask(tmp_path, workers=1) as cluster:
        settings = EngineSettings(url=cluster.url)
        with Cluster(settings) as engine:
            until(lambda: answers(engine), "a worker")
        with Cluster(settings, limit_s=1.0) as engine, pytest.raises(JobTooLong):
            engine.call(jobs.hang, tmp_path / "told", 20.0)


def test_an_ending_engine_leaves_at_once(tmp_path: Path) -> None:
    engine = open_engine(EngineSettings(url=f"tcp://127.0.0.1:{free_port()}"))
    waiting = engine.submit(jobs.double, 1)
    engine.close()
    assert isinstance(waiting.exception(DEADLINE_S), (WorkerDied, Unavailable))
    with pytest.raises(Unavailable, match="closed"):
        engine.submit(jobs.double, 1)


def test_files_for_tls_that_are_not_there_are_named(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.touch()
    settings = EngineSettings(
        url="tls://example.org:8786", ca=there, certificate=there, key=tmp_path / "k.pem"
    )
    with pytest.raises(Misconfigured, match=r"k\.pem is not there"):
        open_engine(settings)
