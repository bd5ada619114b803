"""One broker per state folder, and a life apart from whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import Misconfigured, Unavailable
from coordinator.broker.instance import broker_pid, reload_broker
from coordinator.broker.process import BrokerProcess, execute, running_broker
from coordinator.config import load_config
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.broker.conftest import eventually

RUN = "import sys; from pathlib import Path; from coordinator.broker.run import run_broker; "
RUN += "run_broker(Path(sys.argv[1]))"


def _answers(port: int) -> bool:
    """Whether what is no handshake is turned away: listening alone is the kernel's work."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(bytes(64))
            connection.recv(1)
    except ConnectionResetError:
        return True
    except OSError:
        return False
    return True


def test_a_second_broker_of_the_same_state_is_refused(state: Path) -> None:
    with BrokerProcess(state) as broker:
        with pytest.raises(Unavailable, match=f"process {broker.pid}"):
            BrokerProcess(state).start()
        with pytest.raises(Unavailable, match=f"process {broker.pid}"):
            execute(state)
        assert broker_pid(state) == broker.pid


def test_asking_for_the_broker_again_and_again_never_blocks_its_start(state: Path) -> None:
    for _ in range(5):
        assert broker_pid(state) is None
        with BrokerProcess(state) as broker:
            assert broker_pid(state) == broker.pid


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_a_broker_that_ended_is_not_taken_for_a_running_one(state: Path, crash: bool) -> None:
    broker = BrokerProcess(state)
    broker.start()
    (broker.kill if crash else broker.stop)()
    assert broker_pid(state) is None
    assert not reload_broker(state)
    with BrokerProcess(state) as again:
        assert broker_pid(state) == again.pid


def test_the_process_that_ran_the_command_becomes_the_broker(state: Path) -> None:
    with _command(state) as process:
        eventually(lambda: broker_pid(state) == process.pid, "the broker")
        # Waits until the broker has come up far enough to survive the signal.
        assert reload_broker(state)
        assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "mosquitto"
        process.terminate()
        assert process.wait(10) == 0


def test_a_broker_survives_reloads_from_its_first_moment_on(state: Path) -> None:
    """Before mosquitto has its signal handler, the reload signal would end it."""
    port = load_config(state).broker.port
    for _ in range(10):
        with _command(state) as process:
            eventually(lambda: broker_pid(state) is not None, "the broker")
            assert reload_broker(state)
            # A request to end is forgotten by mosquitto as long as it has not begun its loop.
            eventually(lambda: _answers(port), "its loop")
            process.terminate()
            assert process.wait(10) == 0


def test_the_command_refuses_to_run_beside_a_broker(state: Path) -> None:
    with BrokerProcess(state) as broker, _command(state) as process:
        _, error = process.communicate(timeout=30)
        assert process.returncode != 0
        assert f"a broker runs already: process {broker.pid}".encode() in error
        assert broker_pid(state) == broker.pid


async def test_a_broker_is_up_inside_its_block_only(state: Path) -> None:
    async with running_broker(state) as broker:
        assert broker_pid(state) == broker.pid
    assert broker_pid(state) is None


async def test_a_broker_is_stopped_when_its_block_fails(state: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with running_broker(state):
            raise RuntimeError("on purpose")
    assert broker_pid(state) is None


def test_enrolment_works_while_no_broker_runs(state: Path) -> None:
    assert not enrol(state, "site-a", "gw-a3").reloaded


def test_a_port_that_is_taken_is_told(state: Path) -> None:
    broker = load_config(state).broker
    with BrokerProcess(state):
        other = state.parent / "other"
        initialise(other, InitOptions(port=broker.port))
        with pytest.raises(Misconfigured, match="Address already in use"):
            BrokerProcess(other).start()


def test_a_missing_broker_program_is_told_with_the_fix(state: Path) -> None:
    path = state / "coordinator.toml"
    path.write_text(path.read_text().replace('"mosquitto"', '"no-such-broker"'))
    with pytest.raises(Misconfigured, match="apt-get install mosquitto"):
        BrokerProcess(state).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_unprivileged_user_runs_a_whole_coordinator() -> None:
    """No step needs root, and the broker stays the user that may read its keys."""
    nobody = 65534
    if not _can_run(nobody):
        pytest.skip(f"{sys.executable} lies where other users cannot reach it")
    with _folder_of(nobody) as folder:
        script = (
            "import sys; from pathlib import Path; from coordinator.installation import *; "
            "from coordinator.enrolment import enrol; from coordinator.broker.process import *; "
            "s = Path(sys.argv[1]) / 'state'; initialise(s, InitOptions(port=free_port())); "
            "b = BrokerProcess(s); b.start(); enrol(s, 'site-a', 'gw-a1'); b.stop()"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)],
            user=nobody,
            group=nobody,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()


def _can_run(user: int) -> bool:
    try:
        command = [sys.executable, "-c", "import coordinator"]
        return subprocess.run(command, user=user, capture_output=True, timeout=60).returncode == 0
    except PermissionError:
        return False


@contextmanager
def _folder_of(user: int) -> Iterator[Path]:
    """A folder that `user` can reach; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, user, user)
        yield Path(name)


@contextmanager
def _command(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", RUN, str(state)], stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
