"""The coordinator as its operator meets it: process, socket, commands."""

from __future__ import annotations

import signal
import stat
import time
from pathlib import Path

import pytest

from common.codec import Table
from common.errors import Rejected
from common.messages import (
    ActionRecord,
    Configuration,
    Envelope,
    Event,
    Kind,
    NodeRecord,
    Status,
    encode,
    encode_measurement,
)
from coordinator.enrolment import enrol
from coordinator.installation import initialise
from tests.coordinator.conftest import Serving, Site, command
from tests.coordinator.sender import Sender, envelope, links_table, wait_for

pytestmark = pytest.mark.broker


def report(sender: Sender) -> None:
    """A gateway's report: status, configuration, links, an action in two steps, an event."""
    now = time.time()
    nodes = [
        NodeRecord(address=1, name="gateway", alive=True, relay=True, default_ttl=5, hops=0),
        NodeRecord(address=2, name="[red]lamp", alive=False, relay=False, network_transmit=[3, 20]),
    ]
    action = ActionRecord(
        id="a-1", state="applying", kind="relay-set", cause="node 2 died", expected="3 reachable", priority=5
    )
    done = action.model_copy(update={"state": "confirmed", "seconds": 1.5})
    table: Table = links_table(now, rows=3)
    bodies = [
        ("configuration", encode(Configuration(version=4, nodes=nodes))),
        ("links", encode_measurement(Kind.LINKS, table)),
        ("action", encode(action)),
        ("action", encode(done)),
        ("event", encode(Event(name="node-died", fields={"node": 2, "share": float("nan")}))),
    ]
    for sequence, (kind, body) in enumerate(bodies, 1):
        sender.send(at(now + sequence / 100, envelope(sequence, kind, body)))
    sender.send_raw(b"nonsense")
    wait_for(lambda: sender.acknowledged() == len(bodies), "the acknowledgement")
    sender.tell(
        Status(site="office", gateway="gw-1", time=now, online=True, epoch=7, period_s=3600, acting=True,
               queued=12, nodes_known=2, nodes_alive=1, homes={"gw-1": [1, 2]})
    )  # fmt: skip


def at(t: float, one: Envelope) -> Envelope:
    return one.model_copy(update={"time": t})


def test_every_command_shows_what_a_gateway_reported(site: Site, serving: Serving) -> None:
    enrol(site.state, "depot", "gw-2")
    with site.sender() as sender:
        report(sender)
        wait_for(lambda: bool(serving.get("gateways")[1]["live"]), "the status")

        _, gateways, _ = command("gateways", "--json", state=site.state)
        silent, told = gateways
        assert (silent["gateway"], silent["live"], silent["last_seen"]) == ("gw-2", False, None)
        assert (told["live"], told["acting"], told["queued"]) == (True, True, 12)
        assert (told["stream"]["sequence"], sum(told["rejects"].values())) == (5, 1)

        _, sites, _ = command("sites", "--json", state=site.state)
        assert [(s["site"], s["gateways_live"], s["acting"], s["links"]) for s in sites] == [
            ("depot", 0, None, 0),
            ("office", 1, "gw-1", 3),
        ]
        _, topology, _ = command("topology", "office", "--json", state=site.state)
        assert [(n["address"], n["alive"], n["relay"], n["home"]) for n in topology["nodes"]] == [
            (1, True, True, "gw-1"),
            (2, False, False, "gw-1"),
        ]
        assert [link["receiver"] for link in topology["links"]] == [2, 3, 4]
        _, links, _ = command("links", "office", "--json", state=site.state)
        assert links[0]["pdr"] == pytest.approx(0.9)
        _, (action,), _ = command("actions", "--json", state=site.state)
        assert (action["state"], [s["state"] for s in action["steps"]]) == (
            "confirmed",
            ["applying", "confirmed"],
        )
        _, (event,), _ = command("events", "office", "--json", state=site.state)
        assert (event["name"], event["fields"]) == ("node-died", {"node": 2, "share": None})

        for words, shown in (
            (["sites"], "office"),
            (["gateways", "list"], "malformed"),
            (["topology", "office"], "[red]lamp"),
            (["links", "office"], "90.0 %"),
            (["actions", "office"], "confirmed +0.0 s"),
            (["events"], "node-died"),
        ):
            code, text, _ = command(*words, state=site.state)
            assert (code, shown in text) == (0, True), text


def test_proposals_are_shown_when_all_is_asked_for(site: Site, serving: Serving) -> None:
    idle = ActionRecord(
        id="a-1", state="proposed", kind="relay-set", cause="node 2 died", expected="3 reachable", priority=5
    )
    with site.sender() as sender:
        sender.send(envelope(1, "action", encode(idle)))
        wait_for(lambda: sender.acknowledged() == 1, "the acknowledgement")
    assert "node 2 died" not in command("actions", state=site.state)[1]
    assert "node 2 died" in command("actions", "--all", state=site.state)[1]
    assert len(command("actions", "--json", state=site.state)[1]) == 1


def test_samples_are_answered_as_columns(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        report(sender)
    now = time.time()
    answer = serving.get("samples", subject="link", metric="pdr", since=now - 60, until=now + 60, key=[1, 3])
    assert answer["keys"]["receiver"] == [3]
    assert (answer["value"], answer["sources"]) == (pytest.approx([0.9]), [["office", "gw-1"]])
    with pytest.raises(Rejected, match="key of a link"):
        serving.get("samples", subject="link", metric="pdr", since=0, until=1, key=[1])


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_process(site: Site) -> None:
    serving = Serving(site.state)
    with serving:
        socket = site.state / "run" / "coordinator.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert serving.end(signal.SIGTERM) == 0
    assert not socket.exists()
    assert "coordinator-stopped" in serving.log.read_text()


def test_a_second_coordinator_of_the_same_folder_refuses_to_start(site: Site, serving: Serving) -> None:
    code, _, errors = command("serve", state=site.state)
    assert code == 1
    assert "runs already: process" in errors
    assert serving.get("health")["broker_connected"]


def test_a_socket_left_by_a_killed_process_does_not_hinder_the_next(site: Site) -> None:
    serving = Serving(site.state)
    with serving:
        serving.end(signal.SIGKILL)
        serving.start()


def test_a_site_nobody_knows_is_a_clear_error(site: Site, serving: Serving) -> None:
    code, _, errors = command("topology", "nowhere", state=site.state)
    assert (code, len(errors.splitlines())) == (1, 1)
    assert "site 'nowhere' is not known" in errors


def test_errors_have_the_fix_on_a_line_of_its_own_and_a_code(tmp_path: Path) -> None:
    code, _, errors = command("sites", state=tmp_path)
    assert (code, len(errors.splitlines())) == (2, 2)
    assert "\n  fix: run: coordinator init --state" in errors
    initialise(tmp_path / "state")
    code, _, errors = command("sites", state=tmp_path / "state")
    assert (code, len(errors.splitlines())) == (1, 2)
    assert "\n  fix: start it with `coordinator serve`" in errors


def test_gateways_are_let_in_and_out_without_a_running_coordinator(tmp_path: Path) -> None:
    assert command("init", state=tmp_path)[0] == 0
    code, made, _ = command(
        "gateways", "enrol", "office", "gw-1", "--address", "0x0001", "--json", state=tmp_path
    )
    assert code == 0
    assert "0x0001" in (Path(made["folder"]) / "agent.toml").read_text()
    assert command("gateways", "enrol", "office", "gw-1", state=tmp_path)[0] == 1
    assert command("gateways", "enrol", "office", "gw-2", "--address", "0xc000", state=tmp_path)[0] == 2
    assert command("gateways", "revoke", "gw-1", "--json", state=tmp_path)[1]["certificates"] == 1


def test_a_damaged_repository_ends_the_start_with_the_fix(site: Site) -> None:
    (site.state / "repository.db").write_bytes(b"nothing of the kind" * 100)
    code, _, errors = command("serve", state=site.state)
    assert code == 2
    assert "is damaged" in errors
    assert "fix: stop the coordinator and move" in errors
