"""What gateways are told to run, and that nothing is told twice or forgotten."""

from __future__ import annotations

from common.clock import ManualClock
from common.errors import Corrupt
from common.messages import Desired, decode
from coordinator.identity.fleet import Fleet, Gateway, Issued
from coordinator.release.desired import Announcer
from coordinator.release.registry import Registry
from tests.release.models import NAME, change, digest, registry, released

GW1, GW2 = "mt/1/office/gw-1/desired", "mt/1/depot/gw-2/desired"


class Broker:
    """The line to a broker that keeps what is retained; `room` is how much a connection takes until it
    breaks."""

    def __init__(self) -> None:
        self.session: int | None = 1
        self.retained: dict[str, bytes] = {}
        self.count = 0
        self.room = 1000

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert retain
        if self.room == 0:
            return False
        self.room -= 1
        self.count += 1
        self.retained[topic] = payload
        return True

    def versions(self, topic: str) -> list[int]:
        return [model.version for model in decode(Desired, self.retained[topic]).models]


def fleet(**sites: str) -> Fleet:
    issued = (Issued(serial="1", not_after=2e9),)
    names = {name.replace("_", "-"): site for name, site in sites.items()}
    return Fleet(gateways={name: Gateway(site=site, certificates=issued) for name, site in names.items()})


class Stage:
    """An announcer whose registry and fleet can be replaced."""

    def __init__(self, known: Registry) -> None:
        self.broker = Broker()
        self.registry = known
        self.fleet = fleet(gw_1="office", gw_2="depot")
        self.damaged = False
        self.announcer = Announcer(self.broker, lambda: self.registry, self._fleet, ManualClock())

    def _fleet(self) -> Fleet:
        if self.damaged:
            raise Corrupt("fleet.json is damaged")
        return self.fleet


def test_every_gateway_is_told_once_and_only_changes_are_told_after_that() -> None:
    stage = Stage(released(registry(1, 2), 1))
    assert stage.announcer.announce() == 2
    assert stage.announcer.announce() == 0
    stage.registry = released(stage.registry, 2, "depot")
    assert stage.announcer.announce() == 1
    assert (stage.broker.versions(GW1), stage.broker.versions(GW2)) == ([1], [2])
    stage.registry = stage.registry.without_latest_plan(NAME, change("rollback"))
    assert stage.announcer.announce() == 1
    assert stage.broker.versions(GW2) == [1]


def test_a_release_of_the_same_again_is_told_to_those_that_are_to_run_it() -> None:
    stage = Stage(released(released(registry(1, 2), 1), 2, "depot"))
    stage.announcer.announce()
    stage.registry = released(stage.registry, 1, "office")
    assert stage.announcer.announce() == 1
    before = stage.broker.retained[GW1]
    stage.registry = released(stage.registry, 1, "office")
    assert stage.announcer.announce() == 1
    assert (stage.broker.versions(GW1), stage.broker.retained[GW1] != before) == ([1], True)


def test_a_reference_names_the_file_that_was_released() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    (model,) = decode(Desired, stage.broker.retained[GW1]).models
    assert (model.name, model.version, model.digest, model.size) == (NAME, 1, digest(1), 20_000)


def test_rollback_to_none_leaves_an_empty_list_not_silence() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    stage.registry = stage.registry.without_latest_plan(NAME, change("rollback"))
    stage.announcer.announce()
    assert stage.broker.versions(GW1) == []


def test_an_enrolled_gateway_is_told_and_a_revoked_one_forgotten() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    stage.fleet = fleet(gw_1="office", gw_2="depot", gw_3="office")
    assert stage.announcer.announce() == 1
    assert stage.broker.versions("mt/1/office/gw-3/desired") == [1]
    stage.fleet = stage.fleet.without("gw-1", now=1.0)
    assert stage.announcer.announce() == 1
    assert stage.broker.retained[GW1] == b""


def test_a_gateway_that_moves_to_another_site_leaves_nothing_behind() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    stage.fleet = fleet(gw_1="attic", gw_2="depot")
    stage.announcer.announce()
    assert stage.broker.retained[GW1] == b""
    assert stage.broker.versions("mt/1/attic/gw-1/desired") == [1]


def test_a_new_connection_is_told_everything_again() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    stage.broker.session = None
    stage.registry = released(registry(1), 1, "office")
    assert stage.announcer.announce() == 0
    stage.broker.session = 2
    assert stage.announcer.announce() == 2


def test_what_a_breaking_connection_did_not_take_is_told_again() -> None:
    stage = Stage(released(registry(1), 1))
    stage.broker.room = 1
    assert stage.announcer.announce() == 1
    stage.broker.room = 1000
    assert stage.announcer.announce() == 1
    assert len(stage.broker.retained) == 2


def test_a_registry_that_was_lost_takes_no_model_from_anybody() -> None:
    stage = Stage(registry(1).model_copy(update={"rebuilt": True}))
    assert stage.announcer.announce() == 0
    stage.registry = released(stage.registry, 1)
    assert stage.announcer.announce() == 2


def test_a_damaged_fleet_file_takes_no_model_from_anybody() -> None:
    stage = Stage(released(registry(1), 1))
    stage.announcer.announce()
    stage.damaged = True
    assert stage.announcer.announce() == 0
    assert stage.broker.versions(GW1) == [1]
