"""The repository on SQLite always, on PostgreSQL where one is named."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from common.errors import Corrupt, Misconfigured, Unavailable
from coordinator.repository import schema
from coordinator.repository.batch import Batch
from coordinator.repository.store import Repository
from tests.contracts.repository import START, RepositoryContract, one_link
from tests.coordinator.sender import wait_for

POSTGRES = os.environ.get("MESHTWIN_TEST_POSTGRES")


class TestOnSqlite(RepositoryContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'repository.db'}"


@pytest.mark.skipif(POSTGRES is None, reason="MESHTWIN_TEST_POSTGRES names no PostgreSQL database URL")
class TestOnPostgres(RepositoryContract):
    @pytest.fixture
    def url(self) -> Iterator[str]:
        """An empty schema of its own, so that tests may run side by side."""
        assert POSTGRES is not None
        name = f"test_{os.getpid()}_{os.urandom(4).hex()}"
        engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        try:
            own = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"})
            yield own.render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
            engine.dispose()


def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "repository.db"
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(Corrupt, match=r"repository\.db is damaged[\s\S]*fix: .*move"):
        Repository(f"sqlite:///{path}")


def test_damage_inside_the_file_is_named_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "repository.db"
    with Repository(f"sqlite:///{path}") as repository:
        repository.store(Batch(START, [one_link(n) for n in range(1, 400)]))
    pages = path.read_bytes()
    path.write_bytes(pages[:8192] + b"\xff" * (len(pages) - 8192))
    with pytest.raises(Corrupt, match="is damaged"), Repository(f"sqlite:///{path}") as repository:
        repository.samples("link", "pdr", 0, 1e12)


def test_a_half_made_database_is_completed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'repository.db'}"
    engine = create_engine(url)
    schema.version.create(engine)
    engine.dispose()
    with Repository(url) as repository:
        assert repository.store(Batch(START, [one_link(1)])).stored == 1


def test_a_file_put_in_the_place_of_one_that_is_read_never_meets_its_log(tmp_path: Path) -> None:
    path = tmp_path / "repository.db"
    with Repository(f"sqlite:///{path}") as other:
        other.store(Batch(START, [one_link(n) for n in range(1, 4)]))
    copy = path.rename(tmp_path / "copy.db")
    with Repository(f"sqlite:///{path}") as repository, ThreadPoolExecutor(1) as threads:
        repository.store(Batch(START, [one_link(n) for n in range(10, 20)]))
        with repository._engine.connect() as reader:
            reader.execute(text("SELECT * FROM messages"))
            copy.rename(path)
            storing = threads.submit(repository.store, Batch(START, [one_link(20)]))
            wait_for(lambda: repository._whereabouts._descriptor is None, "the change to be seen")
            with pytest.raises(Unavailable, match="replaced"):
                repository.gateways()
            assert not storing.done()
        assert storing.result(10.0).stored == 1
        assert len(list(repository.messages("link", START, START + 100))) == 4
        assert (tmp_path / "repository.db-wal.replaced").exists()


def test_a_newer_schema_is_refused_with_the_fix(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'repository.db'}"
    Repository(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(schema.version.update().values(version=schema.SCHEMA + 1))
    engine.dispose()
    with pytest.raises(Misconfigured, match="update meshtwin"):
        Repository(url)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "mysql+pymysql://host/name", "no-such-driver://x"]
)
def test_a_url_that_cannot_serve_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Repository(url)
    assert "sqlite:" in refused.value.fix
    assert "postgresql" in refused.value.fix


def test_a_folder_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Repository(f"sqlite:///{tmp_path}/nowhere/repository.db")


def test_a_batch_that_fails_leaves_nothing_and_may_come_again(tmp_path: Path) -> None:
    path = tmp_path / "repository.db"
    with Repository(f"sqlite:///{path}") as repository:
        repository.store(Batch(START, [one_link(1)]))
        blocker = sqlite3.connect(path)
        blocker.execute("ALTER TABLE gateways RENAME TO hidden")
        with pytest.raises(Unavailable):
            repository.store(Batch(START, [one_link(2), one_link(3)]))
        blocker.execute("ALTER TABLE hidden RENAME TO gateways")
        blocker.close()
        outcome = repository.store(Batch(START, [one_link(2), one_link(3)]))
        assert (outcome.stored, outcome.acks) == (2, {("gw-1", 7): 3})
