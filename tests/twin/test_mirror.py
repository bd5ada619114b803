"""The mirror follows a real repository, and what it holds is what the repository would give again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from common.clock import ManualClock
from common.errors import Rejected
from common.scenario import Flow, Scenario
from coordinator.repository.store import Repository
from coordinator.twin import mirror_history
from coordinator.twin.mirror import Mirror
from coordinator.twin.mirror_state import SiteState
from coordinator.twin.score import Verdict
from coordinator.twin.site_model import SiteModel
from firmware_bridge.virtual import VirtualSite
from firmware_bridge.virtual.generator import generate
from tests.twin.living_site import LivingSite


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with Repository(f"sqlite:///{tmp_path / 'repository.db'}") as opened:
        yield opened


def living(nodes: int = 20, seed: int = 3, gateways: int = 1, drift: float = 0.0) -> LivingSite:
    """A site with shadowing and 10 % interference, each node sending to the first gateway."""
    scenario: Scenario = generate(nodes, seed, gateways=gateways)
    flows = [Flow(source=n.address, destination=1, period_s=20.0) for n in scenario.nodes[gateways:]]
    scenario = scenario.model_copy(update={"flows": flows})
    names = range(1, gateways + 1)
    return LivingSite(VirtualSite.from_scenario(scenario, loss=0.1, drift=drift, gateways=names))


def model_of(state: SiteState, t: float) -> dict[tuple[int, int], tuple[float, float]]:
    return {key: (b.pdr, b.alpha + b.beta) for key, b in state.model(t).links.items()}


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        await asyncio.sleep(0.02)


def test_links_are_known_after_ten_minutes(repository: Repository) -> None:
    site = living()
    repository.store(site.batch(site.live(600.0)))
    model = mirror_history.as_of(repository, "hall", site.now).model(site.now)
    true = site.pdr()
    # Probes collide with reports: what is counted is less by that, much alike on all links.
    kept = median(belief.pdr / true[key] for key, belief in model.links.items() if true[key] > 0.6)
    assert 0.6 < kept < 1.0
    errors = sorted(abs(belief.pdr - kept * true[key]) for key, belief in model.links.items())
    assert sum(errors) / len(errors) <= 0.03
    assert errors[int(0.95 * len(errors))] <= 0.08
    assert {key for key, pdr in true.items() if pdr > 0.6} <= model.links.keys()


def test_the_configuration_and_the_traffic_are_known(repository: Repository) -> None:
    site = living(gateways=2)
    repository.store(site.batch(site.live(120.0)))
    model = mirror_history.as_of(repository, "hall", site.now).model(site.now)
    assert model.relays == {a for a, node in site.site.nodes.items() if node.relay}
    assert (model.gateways, model.configuration.ttl) == ((1, 2), 7)
    assert model.configuration.network_transmit == site.site.nodes[3].network_transmit
    sending = {flow.source: flow.period_s for flow in model.flows if flow.flow_class == "sensing"}
    assert len(sending) == 18
    assert sum(sending.values()) / len(sending) == pytest.approx(20.0, rel=0.25)


def test_a_mirror_that_follows_holds_what_the_repository_gives_again(repository: Repository) -> None:
    site = living(gateways=2, drift=0.5)
    repository.store(site.batch(site.live(60.0)))
    state, marks = mirror_history.build(repository, "hall", site.now)
    for _ in range(6):
        before = site.now
        repository.store(site.batch(site.live(20.0)))
        assert mirror_history.catch_up(repository, state, marks, before, site.now)
    again = mirror_history.as_of(repository, "hall", site.now)
    followed, given = model_of(state, site.now), model_of(again, site.now)
    assert followed.keys() == given.keys()
    assert all(followed[key] == pytest.approx(given[key]) for key in given)
    assert state.configuration() == again.configuration()


def test_the_past_stays_what_it_was(repository: Repository) -> None:
    site = living()
    repository.store(site.batch(site.live(120.0)))
    then, relays = site.now, mirror_history.as_of(repository, "hall", site.now).model(site.now).relays
    past = model_of(mirror_history.as_of(repository, "hall", then), then)
    site.set_relays([5, 6])
    site.site.down(7)
    repository.store(site.batch(site.live(120.0)))
    state = mirror_history.as_of(repository, "hall", then)
    assert (model_of(state, then), state.model(then).relays, state.dead()) == (past, relays, frozenset())
    now = mirror_history.as_of(repository, "hall", site.now)
    assert now.model(site.now).relays == frozenset({5, 6})
    assert now.dead() == frozenset({7})
    assert 7 not in now.model(site.now).addresses


def test_tables_of_one_moment_count_once_however_they_come(repository: Repository) -> None:
    site = living()
    sent = site.live(10.0)
    repository.store(site.batch(sent[:1]))
    state, marks = mirror_history.build(repository, "hall", site.now)
    repository.store(site.batch(sent))
    for _ in range(3):
        mirror_history.catch_up(repository, state, marks, site.now - 10.0, site.now)
    again = mirror_history.as_of(repository, "hall", site.now)
    assert model_of(state, site.now) == model_of(again, site.now)


async def test_a_running_mirror_keeps_up_and_judges_itself(repository: Repository) -> None:
    site = living()
    repository.store(site.batch(site.live(300.0)))
    clock = _Following(site)
    mirror = Mirror(repository, clock, judge_every_s=0.1)
    with pytest.raises(Rejected, match="there are: none yet"):
        mirror.twin("hall")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mirror.run())
        await until(lambda: mirror.sites() == ["hall"])
        assert mirror.twin("hall").updated_at == site.now
        with pytest.raises(Rejected, match="there are: hall"):
            mirror.twin("hal")
        site.site.down(7)
        repository.store(site.batch(site.live(10.0)))
        await until(lambda: mirror.twin("hall").updated_at == site.now)
        assert mirror.twin("hall").dead == {7}
        await until(lambda: mirror.twin("hall").judgement is not None, seconds=120.0)
        running.cancel()
    judged = mirror.twin("hall").judgement
    assert judged is not None
    assert judged.score.verdict is Verdict.TRUSTED, judged.score.reason
    assert judged.score.delivery_error is not None
    assert judged.calibration.interference is not None
    # A tenth, and what the probes of nodes, one a second, spoil.
    assert judged.calibration.interference.value == pytest.approx(0.15, abs=0.05)


async def test_a_mirror_that_lagged_reads_again(repository: Repository) -> None:
    site = living()
    repository.store(site.batch(site.live(30.0)))
    mirror = Mirror(repository, _Following(site), judge_every_s=3600.0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mirror.run())
        await until(lambda: mirror.sites() == ["hall"])
        for message in site.live(600.0):  # More news than the queue holds, before the mirror has a turn.
            repository.store(site.batch([message]))
        await until(lambda: mirror.twin("hall").updated_at == site.now)
        running.cancel()
    again = mirror_history.as_of(repository, "hall", site.now)
    held: SiteModel = mirror.twin("hall").model
    assert {key: b.pdr for key, b in held.links.items()} == pytest.approx(
        {key: b.pdr for key, b in again.model(site.now).links.items()}
    )


class _Following(ManualClock):
    """Wall time is the site's; sleeping takes a hundredth."""

    def __init__(self, site: LivingSite) -> None:
        super().__init__()
        self._site = site

    def wall(self) -> float:
        return self._site.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100.0)
