"""The coordinator's database is locked, full, removed, replaced or overwritten while gateways go on sending:
nothing is acknowledged that is not stored, and nothing is stored twice."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from common.errors import MeshtwinError
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.coordinator.conftest import Serving, Site, command
from tests.coordinator.sender import Sender, measurement, wait_for
from tests.faults.disks import fill, needs_root, open_folder, tmpfs

pytestmark = pytest.mark.broker
LOCKED_S = 12.0
"""Longer than the ten seconds that SQLite itself waits."""
_HOLDER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


class Database:
    """A serving coordinator whose database lies in a folder of its own, and a gateway that sends."""

    def __init__(self, site: Site, serving: Serving, sender: Sender, folder: Path) -> None:
        self.site, self.serving, self.sender, self.folder = site, serving, sender, folder
        self.path = folder / "repository.db"
        self.sent = 0

    def send(self, count: int) -> None:
        self.sender.send(*(measurement(n) for n in range(self.sent + 1, self.sent + count + 1)))
        self.sent += count

    def resend(self) -> None:
        """As a gateway does with what is not acknowledged in time."""
        first = self.sender.acknowledged() + 1
        self.sender.send(*(measurement(n) for n in range(first, self.sent + 1)))

    def wait_until_stored(self) -> None:
        wait_for(lambda: self.sender.acknowledged() == self.sent, "the acknowledgement of everything", 60.0)

    def stored(self) -> list[int]:
        """The sequences in the file at the path; none while it is not made or has no tables yet."""
        try:
            with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
                return [n for (n,) in database.execute("SELECT sequence FROM messages ORDER BY sequence")]
        except sqlite3.OperationalError:
            return []

    def said(self) -> str:
        return self.serving.log.read_text()

    def answers(self, path: str = "gateways") -> str:
        """What the API answers: "ok", or the error's text."""
        try:
            self.serving.get(path)
        except MeshtwinError as error:
            return str(error)
        return "ok"


@contextmanager
def database_in(folder: Path, home: Path) -> Iterator[Database]:
    state = home / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    config = state / "coordinator.toml"
    text = config.read_text()
    url = next(line for line in text.splitlines() if line.startswith("url = "))
    config.write_text(text.replace(url, f'url = "sqlite:///{folder}/repository.db"'))
    with BrokerProcess(state) as broker:
        site = Site(state, broker)
        with Serving(state) as serving, site.sender() as sender:
            yield Database(site, serving, sender, folder)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    folder = tmp_path / "db"
    folder.mkdir()
    with database_in(folder, tmp_path) as found:
        yield found


def test_a_database_that_another_process_locks_holds_back_acknowledgements(database: Database) -> None:
    database.send(20)
    database.wait_until_stored()
    holder = [sys.executable, "-c", _HOLDER, str(database.path), str(LOCKED_S)]
    with subprocess.Popen(holder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        database.send(30)
        wait_for(lambda: "database is locked" in database.said(), "the lock to be told", 30.0)
        assert process.poll() is None
        assert database.sender.acknowledged() == 20
        assert database.answers("health") == "ok"
    database.wait_until_stored()
    database.send(5)
    database.wait_until_stored()
    assert database.stored() == list(range(1, 56))
    assert "Traceback" not in database.said()


@needs_root
def test_a_full_disk_below_the_database_holds_back_acknowledgements(tmp_path: Path) -> None:
    with (
        open_folder() as folder,
        tmpfs(folder / "db", "2m") as disk,
        database_in(disk, tmp_path) as database,
    ):
        database.send(5)
        database.wait_until_stored()
        hog = fill(disk)
        for _ in range(6):
            database.send(200)
        wait_for(lambda: "store-failed" in database.said(), "the full disk to be told")
        assert database.sender.acknowledged() < database.sent
        assert database.answers("health") == "ok"
        hog.unlink()
        database.wait_until_stored()
        assert database.stored() == list(range(1, database.sent + 1))
        assert "Traceback" not in database.said()


def test_a_database_that_is_removed_while_in_use_is_begun_anew_before_anything_is_acknowledged(
    database: Database,
) -> None:
    database.send(10)
    database.wait_until_stored()
    for file in database.folder.iterdir():
        file.unlink()
    database.send(10)
    wait_for(lambda: "repository-replaced" in database.said(), "the loss to be told")
    wait_for(lambda: database.stored() == list(range(11, 21)), "what came since")
    # Sequences 1 to 10 were acknowledged and are gone with the file; the gateway tells that it has no more.
    database.send(1)
    assert database.answers() == "ok"
    database.serving.end(signal.SIGKILL)
    assert 20 in database.stored()
    database.serving.start()


def test_a_database_that_is_moved_away_and_back_loses_and_doubles_nothing(database: Database) -> None:
    database.send(10)
    database.wait_until_stored()
    away = database.folder.with_name("elsewhere")
    database.folder.rename(away)
    database.send(10)
    wait_for(lambda: "store-failed" in database.said(), "the loss to be told")
    wait_for(lambda: "cannot be used now" in database.answers(), "the API to say so")
    assert database.sender.acknowledged() == 10
    away.rename(database.folder)
    database.wait_until_stored()
    assert database.stored() == list(range(1, 21))
    assert database.answers() == "ok"


def test_a_copy_restored_over_a_database_in_use_goes_on_from_the_copy(database: Database) -> None:
    database.send(10)
    database.wait_until_stored()
    copy = database.folder / "copy.db"
    with closing(sqlite3.connect(database.path)) as one, closing(sqlite3.connect(copy)) as other:
        one.backup(other)
    database.send(10)
    database.wait_until_stored()
    for tail in ("-wal", "-shm"):
        database.path.with_name(database.path.name + tail).unlink(missing_ok=True)
    copy.rename(database.path)
    database.send(10)
    wait_for(lambda: "repository-replaced" in database.said(), "the change to be told")
    # 11 to 20 are not in the copy: nothing more is acknowledged until the gateway says that it lacks them.
    wait_for(lambda: database.stored() == [*range(1, 11), *range(21, 31)], "the new ones")


@pytest.mark.parametrize("how", ["overwritten", "replaced"])
def test_a_database_that_becomes_garbage_ends_the_coordinator_with_the_fix(
    database: Database, how: str
) -> None:
    database.send(10)
    database.wait_until_stored()
    garbage = b"no database at all. " * 1000
    if how == "overwritten":
        database.path.write_bytes(garbage)
    else:
        (database.folder / "garbage").write_bytes(garbage)
        (database.folder / "garbage").rename(database.path)
    database.send(10)
    wait_for(lambda: "is damaged" in database.said(), "the end")
    process = database.serving._process
    assert process is not None
    assert process.wait(30) == 2
    database.serving._process = None
    assert database.sender.acknowledged() == 10
    assert "fix: stop the coordinator and move" in database.said()
    assert "Traceback" not in database.said()
    # What the fix says; the gateway still has everything since.
    for file in database.folder.iterdir():
        file.unlink()
    database.serving.start()
    database.resend()
    wait_for(lambda: database.stored() == list(range(11, 21)), "what was not acknowledged")


def test_a_database_locked_at_the_start_is_a_named_error_for_the_unit_to_try_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    with closing(sqlite3.connect(state / "repository.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        code, _, errors = command("serve", state=state)
    assert (code, "Traceback" in errors) == (1, False)
    assert "the repository cannot be used now: database is locked" in errors


def test_a_damaged_registry_ends_the_start_with_the_fix_and_an_edit_while_running_does_not(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    whole = (state / "fleet.json").read_text()
    with BrokerProcess(state) as broker, Serving(state) as serving, Site(state, broker).sender() as sender:
        (state / "fleet.json").write_text(whole[:-30])
        sender.deliver([measurement(n) for n in range(1, 21)])
        assert serving.log.read_text().count("fleet-unreadable") == 1
        serving.end(signal.SIGTERM)
        code, _, errors = command("serve", state=state)
        assert (code, "Traceback" in errors) == (2, False)
        assert "fleet.json is damaged" in errors
        assert command("init", "--rebuild-fleet", state=state)[0] == 0
        assert (state / "fleet.json").read_text() != whole[:-30]
        serving.start()
    shutil.rmtree(state)
