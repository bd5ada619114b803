"""Peers: live by our clock, whatever theirs says; the retained past does not raise the dead."""

from __future__ import annotations

import asyncio

from common.clock import ManualClock
from common.messages import Status
from common.policy.lease import View
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import PeerStatus
from edge_agent.share.peers import MAX_PEERS, PeerTable, SitePeers

WALL = 1_700_000_000.0


def status(gateway: str = "gw-2", **fields: object) -> Status:
    base: dict[str, object] = {
        "site": "hall", "gateway": gateway, "time": WALL, "online": True, "period_s": 2.0
    }  # fmt: skip
    return Status.model_validate({**base, **fields})


def live(table: PeerTable, now: float) -> list[str]:
    return [s.gateway for s in table.live(now)]


def table(*statuses: Status, own: str = "gw-1") -> PeerTable:
    made = PeerTable("hall", own)
    for one in statuses:
        made.hear(one, retained=False, now=100.0, wall=WALL)
    return made


def test_a_peer_lives_for_three_of_its_periods() -> None:
    peers = table(status(period_s=2.0))
    assert live(peers, 106.0) == ["gw-2"]
    assert live(peers, 106.1) == []
    assert peers.view(200.0, None).known == {"gw-2"}


def test_a_last_will_ends_it_at_once_and_a_new_status_begins_it_again() -> None:
    peers = table(status(), status(online=False))
    assert live(peers, 100.0) == []
    peers.hear(status(time=WALL - 50), retained=False, now=101.0, wall=WALL)
    assert live(peers, 101.0) == ["gw-2"]


def test_machines_that_only_compute_have_no_part_in_the_lease() -> None:
    peers = table(
        status("cloud", tier="cloud"), status("a-mec", tier="mec", acting=True, homes={"a-mec": [2]})
    )
    assert live(peers, 100.0) == ["a-mec", "cloud"]
    assert peers.view(100.0, 60.0) == View("gw-1", frozenset(), frozenset(), 60.0)
    assert peers.homes(100.0) is None


def test_own_and_foreign_statuses_are_ignored() -> None:
    assert not table(status("gw-1"), status("gw-9", site="other")).peers()


def test_a_clock_that_is_hours_off_does_not_matter_for_fresh_statuses() -> None:
    assert live(table(status(time=WALL - 7200), status("gw-3", time=WALL + 7200)), 101.0) == ["gw-2", "gw-3"]


def test_an_old_retained_status_waits_for_a_fresh_one() -> None:
    peers = table()
    peers.hear(status(time=WALL - 60), retained=True, now=100.0, wall=WALL)
    assert live(peers, 100.0) == []
    peers.hear(status(time=WALL - 60), retained=False, now=101.0, wall=WALL)
    assert live(peers, 101.0) == ["gw-2"]


def test_a_retained_status_from_the_future_is_not_believed() -> None:
    peers = table()
    peers.hear(status(time=WALL + 60), retained=True, now=100.0, wall=WALL)
    assert live(peers, 100.0) == []


def test_a_recent_retained_status_counts_from_its_stamp() -> None:
    peers = table()
    peers.hear(status(time=WALL - 4), retained=True, now=100.0, wall=WALL)
    assert live(peers, 101.9) == ["gw-2"]
    assert live(peers, 102.1) == []


def test_a_peer_with_an_absurd_period_does_not_outlive_its_lease_bound() -> None:
    peers = table(status(period_s=3600.0))
    assert live(peers, 100.0 + 61) == []


def test_the_table_is_bounded() -> None:
    peers = table(*(status(f"gw-{number:04d}") for number in range(MAX_PEERS + 10)))
    assert len(peers.peers()) == MAX_PEERS
    assert "gw-0000" not in peers.peers()


def test_homes_are_the_acting_lower_peers_only() -> None:
    homes = {"gw-1": [2, 3], "gw-2": [4]}
    acting = status("gw-1", acting=True, homes=homes)
    assert table(acting, own="gw-2").homes(100.0) == {2: "gw-1", 3: "gw-1", 4: "gw-2"}
    assert table(acting, own="gw-2").homes(107.0) is None
    assert table(acting, own="gw-0").homes(100.0) is None
    assert table(status("gw-1", homes=homes), own="gw-2").homes(100.0) is None


def test_addresses_of_the_dead_are_not_given() -> None:
    peers = table(status(address=7), status("gw-3"), status("gw-4", address=9, online=False))
    assert peers.addresses(100.0) == {"gw-2": 7}


class Source:
    """A broker line that says what it is told."""

    def __init__(self) -> None:
        self.statuses: Inbox[PeerStatus] = Inbox(4)
        self.attached_s: float | None = 5.0


async def test_site_peers_follow_the_line(clock: ManualClock) -> None:
    source = Source()
    peers = SitePeers("hall", "gw-1", source, clock)
    async with asyncio.TaskGroup() as owner:
        running = owner.create_task(peers.run())
        source.statuses.put(PeerStatus(status(address=3), retained=False, t=clock.monotonic()))
        await clock.advance(1.0)
        view = peers.view()
        assert view == View("gw-1", frozenset({"gw-2"}), frozenset({"gw-2"}), 5.0)
        assert peers.addresses() == {"gw-2": 3}
        running.cancel()


async def test_a_full_inbox_drops_the_oldest() -> None:
    inbox: Inbox[int] = Inbox(2)
    for number in range(5):
        inbox.put(number)
    assert (inbox.dropped, await inbox.get(), await inbox.get(), len(inbox)) == (3, 3, 4, 0)
