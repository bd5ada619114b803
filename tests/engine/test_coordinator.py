"""A serving coordinator and its workers: who loads the simulator, and how it all ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from common.errors import MeshtwinError
from common.messages import Configuration, Kind, NodeRecord, Status, encode, encode_measurement
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.client import Client
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.coordinator.conftest import Serving, Site, command
from tests.coordinator.sender import envelope, links_table, wait_for

pytestmark = pytest.mark.broker
HEAVY = ("llvmlite", "numba", "rustworkx", "jaxlib")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Site]:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=0))
    enrol(state, "office", "gw-1")
    with BrokerProcess(state) as broker:
        yield Site(state, broker)


def report(office: Site, serving: Serving) -> None:
    """Six nodes in a row that hear each other; enough for a twin."""
    now = time.time()
    nodes = [NodeRecord(address=a, alive=True, relay=True, default_ttl=5) for a in range(1, 7)]
    with office.sender() as sender:
        sender.tell(
            Status(site="office", gateway="gw-1", time=now, online=True, epoch=7, address=1, mesh_up=True)
        )
        wait_for(lambda: bool(serving.get("gateways")[0]["address"]), "the status")
        sender.send(
            envelope(1, "configuration", encode(Configuration(version=4, nodes=nodes))),
            envelope(2, "links", encode_measurement(Kind.LINKS, links_table(now, rows=5))),
        )
        wait_for(lambda: sender.acknowledged() == 2, "the acknowledgement")
        wait_for(lambda: len(serving.get("twin/fleet")) == 1, "the twin")


def pid_of(serving: Serving) -> int:
    return int((serving.state / "run" / "coordinator.lock").read_text())


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
        int(word)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if task.name != str(pid)
        for word in (task / "children").read_text().split()
    ]


def loaded(pid: int) -> set[str]:
    """Which heavy libraries a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in HEAVY if f"/{name}/" in maps}


def test_a_coordinator_leaves_the_simulator_to_its_workers(office: Site) -> None:
    with Serving(office.state) as serving:
        report(office, serving)
        assert ask(serving)["method"] == "simulation"
        pid = pid_of(serving)
        workers = children(pid)
        assert loaded(pid) == set()
        assert any("numba" in loaded(worker) for worker in workers)
        wait_for(lambda: serving.get("twin/fleet")[0]["score"] is not None, "a score", 120.0)
        assert loaded(pid) == set()
        code, (row,), _ = command("twin", "fleet", "--json", state=office.state)
        assert (code, row["site"], row["nodes"], row["verdict"]) == (0, "office", 6, "unproven")
        assert row["doubt"].startswith("the twin does not vouch")
        code, engine, _ = command("engine", "--json", state=office.state)
        assert (code, engine["kind"], engine["died"]) == (0, "processes", 0)
        assert engine["done"] >= 2
        code, rows, _ = command("twin", "sweep", "office", "--ttl", "3-5", "--json", state=office.state)
        assert (code, {row["setting"]["ttl"] for row in rows}) == (0, {3, 4, 5})
        for words, shown in ((["twin", "fleet"], "unproven"), (["engine"], "processes here")):
            code, text, _ = command(*words, state=office.state)
            assert (code, shown in text or "too few" in text) == (0, True), text
    # The last is multiprocessing's own, which sees to it that nothing is left of the others.
    wait_for(lambda: not any(map(lives, workers)), "the end of all its processes")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_coordinator_ends_at_once_while_its_workers_compile(
    office: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cold"))
    serving = Serving(office.state)
    serving.start()
    report(office, serving)
    pid = pid_of(serving)
    asking = Thread(target=ask_in_vain, args=(serving,))
    asking.start()
    wait_for(lambda: any("llvmlite" in loaded(worker) for worker in children(pid)), "a worker that compiles")
    workers = children(pid)
    begun = time.monotonic()
    assert serving.end(how) == 0
    took = time.monotonic() - begun
    asking.join()
    # A cold compile takes a core 16 s, and more where others are at work.
    assert took < 10.0, took
    wait_for(lambda: not any(map(lives, workers)), "the end of all its processes")
    assert "Traceback" not in serving.log.read_text()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(serving: Serving) -> Any:
    """A question that only the simulator can answer."""
    with Client(serving.state / "run" / "coordinator.sock", 240.0) as client:
        return client.post("sites/office/whatif", relays_off=[3], times=True)


def ask_in_vain(serving: Serving) -> None:
    with pytest.raises(MeshtwinError):
        ask(serving)
