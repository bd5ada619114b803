"""How a bundle comes: over TLS, in parts, past a server in trouble, and through the errands."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from common import tls
from common.errors import Misconfigured, Rejected, RejectReason, TimedOut, Unavailable
from common.messages import ModelReference
from edge_agent.models import errands
from edge_agent.models.download import download
from edge_agent.models.errands import Errands
from edge_agent.models.fetch import fetch
from edge_agent.models.request import FetchRequest
from edge_agent.models.store import Store
from tests.models import bundles
from tests.models.bundles import Bundle
from tests.models.server import Shelf, serving, source_at

GOOD = bundles.persistence()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.part"


def context_of(state: Path) -> ssl.SSLContext:
    folder = state / "gateways" / "gw-1"
    return tls.client_context(state / "pki" / "ca.crt", folder / "gateway.crt", folder / "gateway.key")


def bring(state: Path, shelf: Shelf, part: Path, reference: ModelReference = GOOD.reference) -> bool:
    return download("127.0.0.1", shelf.port, context_of(state), reference, part)


def put(shelf: Shelf, bundle: Bundle = GOOD, content: bytes | None = None) -> None:
    shelf.files[bundle.reference.digest] = bundle.content if content is None else content


def test_a_bundle_comes_whole_and_for_its_owner_only(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf)
    assert not bring(state, shelf, part)
    assert part.read_bytes() == GOOD.content
    assert part.stat().st_mode & 0o777 == 0o600


def test_what_was_cut_off_is_kept_and_resumed(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf)
    shelf.cut_after = 2000
    with pytest.raises(Unavailable, match="2000 of"):
        bring(state, shelf, part)
    with pytest.raises(Unavailable, match="4000 of"):
        bring(state, shelf, part)
    assert part.read_bytes() == GOOD.content[:4000]
    shelf.cut_after = None
    assert bring(state, shelf, part)
    assert part.read_bytes() == GOOD.content
    assert shelf.ranges == [None, "bytes=2000-", "bytes=4000-"]


def test_a_server_that_knows_no_ranges_sends_it_all_anew(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf)
    shelf.whole = True
    part.write_bytes(b"x" * 3000)
    bring(state, shelf, part)
    assert part.read_bytes() == GOOD.content


def test_a_whole_part_is_not_asked_for_again(state: Path, shelf: Shelf, part: Path) -> None:
    part.write_bytes(GOOD.content)
    assert bring(state, shelf, part)
    assert shelf.ranges == []


@pytest.mark.parametrize("untold", [False, True])
def test_a_longer_file_is_oversized(state: Path, shelf: Shelf, part: Path, untold: bool) -> None:
    put(shelf, content=GOOD.content + bytes(100_000))
    shelf.untold = untold
    with pytest.raises(Rejected) as raised:
        bring(state, shelf, part)
    assert raised.value.reason is RejectReason.OVERSIZED
    assert not part.exists() or part.stat().st_size <= GOOD.reference.size


def test_a_shorter_file_is_truncated(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf, content=GOOD.content[:-1])
    with pytest.raises(Rejected) as raised:
        bring(state, shelf, part)
    assert raised.value.reason is RejectReason.TRUNCATED
    part.write_bytes(GOOD.content[:-1])
    with pytest.raises(Rejected) as raised:
        bring(state, shelf, part)
    assert raised.value.reason is RejectReason.TRUNCATED


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_other_answers_are_asked_again_later(state: Path, shelf: Shelf, part: Path, status: int) -> None:
    shelf.status = status
    with pytest.raises(Unavailable, match=str(status)):
        bring(state, shelf, part)


def test_a_server_that_is_away_or_somebody_elses_is_unavailable(
    state: Path, tmp_path: Path, part: Path
) -> None:
    with serving(state) as gone:
        pass
    with pytest.raises(Unavailable):
        bring(state, gone, part)


def test_a_full_disk_is_told_from_a_broken_line(state: Path, shelf: Shelf) -> None:
    put(shelf)
    with pytest.raises(Misconfigured, match="No space"):
        bring(state, shelf, Path("/dev/full"))


def test_a_slow_server_is_left_at_the_deadline_with_what_came(state: Path, shelf: Shelf, part: Path) -> None:
    big = bundles.released(bytes(200_000))
    put(shelf, big)
    times = iter(range(0, 10_000, 80))
    with pytest.raises(Unavailable, match="cut off"):
        download(
            "127.0.0.1", shelf.port, context_of(state), big.reference, part, now=lambda: float(next(times))
        )
    assert 0 < part.stat().st_size < len(big.content)


def request(state: Path, shelf: Shelf, part: Path) -> dict[str, object]:
    source = source_at(state, shelf.port)
    return FetchRequest(reference=GOOD.reference, part=str(part), source=source).model_dump()


def test_an_altered_file_is_refused_and_not_kept(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf, content=GOOD.content[:-1] + b"x")
    with pytest.raises(Rejected) as raised:
        fetch(request(state, shelf, part))
    assert raised.value.reason is RejectReason.ALTERED
    assert not part.exists()


def test_a_damaged_part_costs_one_more_attempt_and_no_refusal(state: Path, shelf: Shelf, part: Path) -> None:
    put(shelf)
    part.write_bytes(b"x" * 100)
    with pytest.raises(Unavailable, match="begun anew"):
        fetch(request(state, shelf, part))
    assert fetch(request(state, shelf, part)) == {"resumed": False}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "models")
    made.open()
    return made


async def test_the_errands_fetch_and_try_a_bundle(state: Path, shelf: Shelf, store: Store) -> None:
    put(shelf)
    bringing = Errands(store, lambda: source_at(state, shelf.port))
    await bringing.fetch(GOOD.reference)
    await bringing.try_part(GOOD.reference)
    store.accept(GOOD.reference)
    assert store.read(GOOD.reference) == GOOD.content
    await bringing.try_held(GOOD.reference)


async def test_errors_of_the_errands_come_through(state: Path, shelf: Shelf, store: Store) -> None:
    bringing = Errands(store, lambda: source_at(state, shelf.port))
    with pytest.raises(Unavailable, match="404"):
        await bringing.fetch(GOOD.reference)
    put(shelf, content=GOOD.content[:-1] + b"x")
    with pytest.raises(Rejected) as raised:
        await bringing.fetch(GOOD.reference)
    assert raised.value.reason is RejectReason.ALTERED
    lost = source_at(state, shelf.port).model_copy(update={"key": str(store.folder / "no.key")})
    with pytest.raises(Misconfigured):
        await Errands(store, lambda: lost).fetch(GOOD.reference)


@pytest.mark.parametrize("end", ["crash", "hang"])
async def test_a_bundle_that_crashes_or_hangs_its_trial_is_refused(
    state: Path, store: Store, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("TRIAL_ENDS", end)
    monkeypatch.setattr(errands, "TRIAL_PATIENCE_S", 1.0)
    bringing = Errands(store, lambda: source_at(state, 1), trial="tests.models.ended_trial")
    with pytest.raises(Rejected) as raised:
        await bringing.try_part(GOOD.reference)
    assert raised.value.reason is RejectReason.WRONG_OUTPUT
    assert isinstance(raised.value.__cause__, TimedOut if end == "hang" else Unavailable)
