"""The files of a coordinator, with what opens each of them at its start."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import tls
from common.errors import Corrupt, Misconfigured
from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.instance import broker_pid, take_lock, write_pid
from coordinator.broker.persistence import set_aside_if_cut
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.config import StatePaths, load_config
from coordinator.enrolment import enrol, revoke
from coordinator.identity.fleet import read_fleet
from coordinator.installation import InitOptions, initialise, installed, refresh
from coordinator.recipes.application import Book
from coordinator.release.store import REGISTRY_NAME, ModelStore
from coordinator.repository.batch import Batch
from coordinator.repository.store import Repository
from tests.contracts.repository import START, one_link
from tests.faults.damage import FINE, MENDED, StateFile
from tests.faults.task_state import COORDINATOR_TASKS, make_blobs
from tests.recipes.plans import plan, step
from tests.release.bundles import trained

OWN = ("broker", "coordinator", "gateway-api")
PKI = ("ca.crt", "ca.key", "crl.pem", *(f"{name}.{end}" for name in OWN for end in ("crt", "key")))


def make_state(state: Path) -> Path:
    """A state folder with every file that a coordinator and its broker may leave."""
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    enrol(state, "office", "gw-2")
    revoke(state, "gw-2")
    with BrokerProcess(state):
        pass
    with Repository(_url(state)) as repository:
        for first in range(1, 200, 20):
            repository.store(Batch(START, [one_link(n) for n in range(first, first + 20)]))
    Book(state / "plans").begin(plan(step(2, relay=True)), 1000.0)
    ModelStore(state / "models").add(trained(1), 1000.0)
    make_blobs(state / "tasks")
    return state


def _url(state: Path) -> str:
    return f"sqlite:///{state}/repository.db"


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _configuration(state: Path) -> str:
    load_config(state)
    return FINE


def _registry(state: Path) -> str:
    """The first thing that init, enrol and serve do."""
    paths = StatePaths(state)
    before = _bytes(paths.fleet), _bytes(paths.fleet_copy)
    with _quiet(), installed(state) as found:
        assert sorted(found.fleet.active()) == ["gw-1"]
    return FINE if before == (_bytes(paths.fleet), _bytes(paths.fleet_copy)) else MENDED


def _rebuild(state: Path, whole: Path) -> None:
    """`coordinator init --rebuild-fleet`: nothing is lost."""
    with _quiet():
        assert initialise(state, rebuild=True).notes
    assert read_fleet(state / "fleet.json").gateways == read_fleet(whole / "fleet.json").gateways


def _without_copy(state: Path, whole: Path) -> None:
    (state / "pki" / "fleet.json").unlink()


def _start_empty(state: Path, whole: Path) -> None:
    """Move the repository away."""
    for file in state.glob("repository.db*"):
        file.unlink()


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _keys(state: Path) -> str:
    """`coordinator serve` renews what it can, and then shows its certificate to the broker."""
    pki = state / "pki"
    before = {name: _bytes(pki / name) for name in PKI}
    with _quiet():
        refresh(state)
        with installed(state) as found:
            assert found.authority.pem
    for name in OWN:
        tls.client_context(pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key")
    return FINE if before == {name: _bytes(pki / name) for name in PKI} else MENDED


def _derived(state: Path) -> str:
    """Made again from configuration and registry whenever the broker is about to start."""
    files = BrokerFiles(state / "broker")
    before = _bytes(files.acl), _bytes(files.configuration)
    refresh(state)
    after = files.acl.read_bytes(), files.configuration.read_bytes()
    assert b"user gw-1\n" in after[0]
    assert b"acl_file" in after[1]
    return FINE if before == after else MENDED


def _broker_pid(state: Path) -> str:
    """With a broker that runs, and after it: the number in the file is asked for in both cases."""
    files = BrokerFiles(state / "broker")
    left = _bytes(files.pid) or b""
    broker_pid(state)
    lock = take_lock(files)
    try:
        os.pwrite(lock, left, 0)
        broker_pid(state)
        write_pid(lock, os.getpid())
    finally:
        os.close(lock)
    return FINE


def _saved_broker(state: Path) -> str:
    with _quiet():
        return MENDED if set_aside_if_cut(state / "broker" / "data") else FINE


def _repository(state: Path) -> str:
    with Repository(_url(state)) as repository:
        repository.current_positions()
        repository.gateways()
        outcome = repository.store(Batch(START, [one_link(1), one_link(10_000)]))
        assert outcome.stored <= 2
    return FINE


def _models(state: Path) -> str:
    registry = state / "models" / REGISTRY_NAME
    before = _bytes(registry)
    with _quiet():
        store = ModelStore(state / "models")
        for digest in store.registry.digests:
            store.read(digest)
    return FINE if registry.read_bytes() == before else MENDED


def _plans(state: Path) -> str:
    """A damaged application is set aside and said; the others go on."""
    before = list((state / "plans").glob("*.json"))
    with _quiet():
        return FINE if len(Book(state / "plans").all()) == len(before) else MENDED


_AUTHORITY = (Corrupt, Misconfigured)
COORDINATOR_STATE = (
    StateFile(r"coordinator\.toml", _configuration, (Misconfigured,), places=150),
    StateFile(r"fleet\.json", _registry, (Corrupt,), places=80, fix=_rebuild),
    StateFile(r"fleet\.json\.damaged", why="kept for people to look at"),
    StateFile(r"pki/fleet\.json", _registry, (Corrupt,), places=40, fix=_without_copy),
    StateFile(r"pki/ca\.(crt|key)", _keys, _AUTHORITY, places=20),
    StateFile(r"pki/(broker|coordinator|gateway-api)\.key", _keys, _AUTHORITY, places=8),
    StateFile(r"pki/(broker|coordinator|gateway-api)\.crt", _keys, places=10),
    StateFile(r"pki/crl\.pem", _keys, places=10),
    StateFile(r"broker/acl", _derived, places=12),
    StateFile(r"broker/mosquitto\.conf", _derived, places=12),
    StateFile(
        r"broker/broker\.pid", _broker_pid, places=10, why="the lock counts; the number is written anew"
    ),
    StateFile(r"broker/broker\.log", why="written only"),
    StateFile(r"broker/data/mosquitto\.db", _saved_broker),
    StateFile(r"broker/data/mosquitto\.db\.damaged", why="kept for people to look at"),
    StateFile(r"repository\.db(-wal)?", _repository, (Corrupt, Misconfigured), places=40, fix=_start_empty),
    StateFile(r"repository\.db-shm", why="SQLite makes it anew from the log"),
    StateFile(r"run/(coordinator|installation)\.lock", why="only locked"),
    StateFile(r"run/coordinator\.sock", why="a socket, replaced at every start"),
    StateFile(r"gateways/[^/]+/(ca\.crt|gateway\.crt|gateway\.key|agent\.toml)", why="copied to a gateway"),
    StateFile(r"models/models\.json", _models, places=40),
    StateFile(r"models/[0-9a-f]{64}\.tflite", _models, (Corrupt,), places=20),
    StateFile(r"plans/[a-z0-9-]+\.json", _plans, places=40),
    StateFile(r"plans/[a-z0-9-]+\.json\.damaged", why="kept for people to look at"),
    *COORDINATOR_TASKS,
    StateFile(r"models/models\.json\.damaged", why="kept for people to look at"),
    StateFile(r"(.*/)?\.[^/]+\.\d+", why="half written when its process was killed; replaced as a whole"),
)
