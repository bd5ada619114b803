"""What a gateway concludes from events: signs of life, suspicion, verdicts, and when it knows enough."""

from __future__ import annotations

from common.mesh.configuration import NodeConfiguration
from common.policy.liveness import EVIDENCE_S, Verdict
from edge_agent.observe.site import PATIENCE_S, SEASON_S, SETTLED_S, WARM_UP_S, SiteView
from firmware_bridge.link import (
    Heartbeat,
    LinkDown,
    LinkUp,
    LostNeighbour,
    Message,
    NeighbourCount,
    NeighbourReport,
    NodeStatus,
)

GATEWAY = 1
ALL = (1, 2, 3, 4)


def report(t: float, receiver: int, *counts: tuple[int, int, int]) -> NeighbourReport:
    """A table of (transmitter, heard, expected)."""
    return NeighbourReport(t, receiver, tuple(NeighbourCount(a, h, e) for a, h, e in counts))


def told(view: SiteView, t: float) -> None:
    """Everybody hears everybody, and 3 relays."""
    for receiver in ALL:
        view.apply(report(t, receiver, *((a, 5, 5) for a in ALL if a != receiver)))
    for address in ALL:
        view.apply(NodeStatus(t, NodeConfiguration(address, relay=address == 3, default_ttl=7)))


def attached() -> SiteView:
    view = SiteView(GATEWAY, None, 0.0)
    view.apply(LinkUp(0.0, GATEWAY))
    for t in (5.0, 10.0):
        told(view, t)
    return view


def test_loss_makes_a_suspect_and_silence_a_verdict() -> None:
    view = attached()
    assert view.suspects() == []
    assert view.apply(LostNeighbour(11.0, 2, 4, 2))
    assert view.suspects() == [4]
    assert view.verdict(4, 11.0) is Verdict.SUSPECT
    view.unanswered(4)
    view.unanswered(4)
    assert view.verdict(4, 11.5) is Verdict.SUSPECT  # Two of its three listeners have not lost it.
    view.apply(LostNeighbour(11.6, 3, 4, 2))
    assert view.verdict(4, 11.7) is Verdict.DEAD
    view.convict(4, 11.7)
    assert view.suspects() == []
    assert view.nodes.dead() == {4}


def test_an_answer_clears_a_suspect() -> None:
    view = attached()
    view.apply(LostNeighbour(11.0, 2, 4, 2))
    view.answered(4, 11.2)
    assert view.verdict(4, 11.3) is Verdict.ALIVE


def test_old_evidence_expires() -> None:
    view = attached()
    view.apply(LostNeighbour(11.0, 2, 4, 2))
    assert view.verdict(4, 11.0 + EVIDENCE_S + 0.1) is Verdict.ALIVE


def test_questions_before_the_suspicion_do_not_convict() -> None:
    view = attached()
    view.unanswered(4)
    view.unanswered(4)
    for receiver in (1, 2, 3):
        view.apply(LostNeighbour(11.0, receiver, 4, 2))
    assert view.verdict(4, 11.0) is Verdict.SUSPECT


def test_a_silent_window_of_two_probes_is_a_loss_and_one_of_one_is_not() -> None:
    view = attached()
    assert not view.apply(report(11.0, 2, (4, 0, 1)))
    assert view.suspects() == []
    assert view.apply(report(12.0, 2, (4, 0, 2)))
    assert view.suspects() == [4]


def test_a_window_that_began_before_the_loss_is_no_proof_of_life() -> None:
    view = attached()
    view.apply(LostNeighbour(11.0, 2, 4, 2))
    view.apply(report(11.5, 3, (4, 3, 5)))  # It heard some of them, early in its window.
    assert view.suspects() == [4]
    view.apply(report(12.0, 2, (4, 5, 5)))  # All of them: the one who lost it hears it well.
    assert view.suspects() == []


def test_silence_of_the_doubted_says_nothing_about_their_links() -> None:
    view = attached()
    before = view.links[(4, 2)].share
    view.apply(LostNeighbour(11.0, 2, 4, 2))
    view.apply(report(12.0, 2, (4, 0, 5), (3, 0, 5)))
    assert view.links[(4, 2)].share == before
    assert view.links[(3, 2)].share < before  # Nobody had doubted it: this silence counts.
    view.convict(4, 12.0)
    view.apply(report(13.0, 3, (4, 0, 5)))
    assert view.links[(4, 3)].share == before


def test_a_dead_node_that_is_heard_lives_and_is_read_again() -> None:
    view = attached()
    for event in (Heartbeat(13.0, 4, 2), Message(13.0, 4, 1, b"\x82\x04\x00")):
        view.convict(4, 12.0)
        version = view.changes
        assert view.apply(event)
        assert view.nodes.dead() == frozenset()
        assert view.nodes[4].read_at is None
        assert view.changes > version
    assert view.nodes[4].hops == 2


def test_the_dead_are_no_listeners_and_do_not_relay() -> None:
    view = attached()
    assert view.relays() == {3}
    view.convict(3, 12.0)
    assert view.relays() == frozenset()


def test_nothing_is_concluded_before_the_site_is_known() -> None:
    view = SiteView(GATEWAY, None, 0.0)
    told(view, 1.0)
    assert view.learning(1000.0) == "the mesh to come up"
    assert not view.learned(1000.0)  # Not attached: nothing that was heard is of now.
    view.apply(LinkUp(2.0, GATEWAY))
    told(view, 3.0)
    assert not view.learned(2.0 + WARM_UP_S - 0.1)
    assert view.learned(2.0 + WARM_UP_S)
    assert view.learning(2.0 + WARM_UP_S) == ""
    view.apply(LinkDown(30.0, "the daemon is gone"))
    assert not view.learned(30.0)
    view.apply(LinkUp(31.0, GATEWAY))
    assert view.learned(31.0)  # It is the same site: what was learned holds.


def test_a_site_that_was_just_learnt_is_not_seasoned_yet() -> None:
    view = attached()
    assert view.learned(WARM_UP_S + 2.0)
    assert not view.is_seasoned(WARM_UP_S + SEASON_S + 1.9)
    assert view.is_seasoned(WARM_UP_S + SEASON_S + 2.0)


def test_a_node_that_told_a_part_of_its_configuration_is_not_taken_for_read() -> None:
    view = attached()
    view.observe_configuration(NodeConfiguration(7, relay=True), 11.0)
    assert view.nodes[7].read_at is None
    view.observe_configuration(NodeConfiguration(7, default_ttl=7), 12.0)
    assert view.nodes[7].read_at == 12.0


def test_an_answer_to_anybody_is_known_as_one() -> None:
    view = attached()
    assert not view.has_answered_since(4, 0.0)
    view.answered(4, 12.0)
    assert view.has_answered_since(4, 12.0)
    assert not view.has_answered_since(4, 12.1)


def test_good_links_that_still_turn_up_put_decisions_off() -> None:
    view = attached()
    view.apply(report(WARM_UP_S, 5, (3, 5, 5)))
    view.apply(report(WARM_UP_S, 3, (5, 5, 5)))
    view.apply(NodeStatus(WARM_UP_S, NodeConfiguration(5, relay=False, default_ttl=7)))
    assert not view.learned(WARM_UP_S + SETTLED_S - 0.1)
    assert view.learning(WARM_UP_S + SETTLED_S - 3.0) == "3 s more without a new link"
    assert view.learned(WARM_UP_S + SETTLED_S)


def test_a_node_that_keeps_its_configuration_to_itself_holds_up_decisions_for_a_while_only() -> None:
    view = attached()
    view.apply(report(11.0, 6, (2, 5, 5)))
    assert not view.learned(100.0)
    assert not view.learned(PATIENCE_S)
    assert view.learning(PATIENCE_S) == "1 node to tell relay and TTL"
    assert view.learned(PATIENCE_S + 0.1)


def test_a_node_that_nobody_hears_holds_up_nothing() -> None:
    view = attached()
    view.nodes.ensure(77, 0.0)
    assert view.learned(WARM_UP_S + 5.0)


def test_graphs_are_made_anew_after_reports_only() -> None:
    view = attached()
    first = view.graphs()
    view.apply(Heartbeat(12.0, 2, 1))
    assert view.graphs() is first
    view.apply(report(13.0, 2, (3, 5, 5)))
    assert view.graphs() is not first


def test_a_node_that_never_reported_holds_up_decisions() -> None:
    view = attached()
    view.apply(report(11.0, 3, (6, 5, 5)))
    view.apply(NodeStatus(11.0, NodeConfiguration(6, relay=False, default_ttl=7)))
    assert not view.learned(100.0)
    assert view.learning(100.0) == "the first report of 1 node"
    view.apply(report(101.0, 6, (3, 5, 5)))
    assert view.learned(101.0 + SETTLED_S)


def test_a_node_to_which_no_way_is_known_holds_up_decisions() -> None:
    """6 and 7 hear each other and tell so: how, if nobody else heard them?"""
    view = attached()
    for one, other in ((6, 7), (7, 6)):
        view.apply(report(11.0, one, (other, 5, 5)))
        view.apply(NodeStatus(11.0, NodeConfiguration(one, relay=False, default_ttl=7)))
    assert not view.learned(100.0)
    assert view.learning(100.0) == "the links of 2 nodes"
    assert view.learned(PATIENCE_S + 0.1)


def test_long_reports_put_decisions_off_for_as_long() -> None:
    view = attached()
    view.window_s = 36.0
    assert not view.learned(10.0 + SETTLED_S)
    assert not view.learned(5.0 + 35.9)
    assert view.learned(5.0 + 36.0)
