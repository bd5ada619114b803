"""The files of an agent, with what opens each of them at its start."""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

from common import tls
from common.clock import ManualClock
from common.commands import Command, CommandResult
from common.errors import Corrupt, Misconfigured
from common.mesh import cdb
from common.messages import Event, Kind, ModelReference, decode, encode
from coordinator.enrolment import enrol
from coordinator.installation import initialise
from edge_agent import state_file
from edge_agent.act.command_ledger import Ledger
from edge_agent.act.journal import Journal
from edge_agent.agent import Agent
from edge_agent.config import check_files, load_config
from edge_agent.decide.agreement import HOMES_FILE
from edge_agent.identity import pair
from edge_agent.models.store import Store
from edge_agent.share.outbox import Outbox
from edge_agent.supervisor import single_instance
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.virtual import VirtualLink
from tests.agent.conftest import host_body
from tests.agent.test_journal import ENTRY
from tests.agent.test_outbox import BOOT, killed
from tests.bridge.real_site import site_document
from tests.faults.damage import FINE, MENDED, StateFile
from tests.faults.task_state import AGENT_TASKS, make_agent_state
from tests.healing.gateways import KnownPeers, RecordedStream, agent_config
from tests.healing.test_healing import site

UUID = bytes(range(16))
BUNDLE = bytes(range(256)) * 3
_HOMES = {str(node): "gw-1" for node in range(2, 20)}


def make_state(state: Path) -> Path:
    """A state folder with every file that an agent may leave, killed in the midst of an action."""
    (state / "models").mkdir(parents=True)
    Journal(state / "actions.json").put(ENTRY)
    _ledger(state / "commands.json")
    state_file.save(state / HOMES_FILE, _HOMES)
    TokenStore(state / "tokens").write(UUID, 0x1234_5678_9ABC_DEF0)
    store, reference = Store(state / "models"), _reference()
    store.part(reference).write_bytes(BUNDLE)
    store.accept(reference)
    make_agent_state(state / "tasks")
    with single_instance(state):
        pass
    with closing(Outbox(state / "first" / "outbox.db", ManualClock(), boot=BOOT)) as outbox:
        for number in range(40):
            outbox.append(Kind.HOST, host_body(rows=7), float(number))
            outbox.append(Kind.EVENT, encode(Event(name="e", fields={"number": number})), float(number))
        killed(state / "first" / "outbox.db", state / "killed")
    for file in (state / "killed").iterdir():
        file.rename(state / file.name)
    for file in (state / "first").iterdir():
        file.unlink()
    (state / "first").rmdir()
    (state / "killed").rmdir()
    return state


def make_home(home: Path) -> Path:
    """What an agent is given: configuration, identity and site file; and a renewed identity in its state."""
    initialise(home / "coordinator")
    identity = enrol(home / "coordinator", "hall", "gw-1").folder
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (identity / name).rename(home / name)
    shutil.rmtree(home / "coordinator")
    (home / "site.json").write_text(json.dumps(site_document(3)))
    (home / "site.json").chmod(0o600)
    (home / "agent.toml").write_text("""
[gateway]
site = "hall"
id = "gw-1"
address = "0x0001"
state_dir = "state"
[mesh]
link = "virtual"
site_file = "site.json"
[broker]
host = "127.0.0.1"
ca = "ca.crt"
certificate = "gateway.crt"
key = "gateway.key"
""")
    (home / "state").mkdir()
    certificate = (home / "gateway.crt").read_bytes()
    origin = sha256(certificate).hexdigest()
    pair.keep(home / "state" / pair.IDENTITY_FILE, certificate, (home / "gateway.key").read_bytes(), origin)
    return home


def _ledger(path: Path) -> None:
    """A command that has ended, as the gateway remembers it."""
    ledger = Ledger(path)
    command = Command(id="c-1", kind="configure", issued=0.0, expires=60.0, nodes=[2])
    ledger.take(command, 0.0)
    ledger.finish(CommandResult(id="c-1", kind="configure", state="done"))


def _recover(state: Path) -> str:
    """The agent's own start: what it takes up, and the events it puts into its stream."""
    stream, clock = RecordedStream(), ManualClock()
    config = agent_config(state.parent, state.name, 1)
    mesh = site()
    agent = Agent(config, VirtualLink(mesh, 1, clock), None, stream, KnownPeers("gw-1"), clock)
    agent.recover()
    lost = [event for event in stream.events() if event == "state-lost"]
    return MENDED if lost else FINE


def _outbox(state: Path) -> str:
    before = len(list(state.glob("outbox.db.corrupt-*")))
    with closing(Outbox(state / "outbox.db", ManualClock(), boot=BOOT)) as outbox:
        entries = outbox.pending(0, 1000)
        assert [e.sequence for e in entries] == list(range(outbox.acked + 1, outbox.head + 1))
        number = outbox.append(Kind.EVENT, encode(Event(name="after")), 1.0)
        assert outbox.pending(number - 1, 1)[0].sequence == number
        if len(list(state.glob("outbox.db.corrupt-*"))) == before:
            return FINE
        assert decode(Event, entries[0].body).name == "outbox-lost"
        return MENDED


def _token(state: Path) -> str:
    tokens = TokenStore(state / "tokens")
    with suppress(Corrupt):
        if tokens.read(UUID) is not None:
            return FINE
    tokens.write(UUID, 1)  # The attachment says so and imports the node, which gives a new one.
    return MENDED


def _lock(state: Path) -> str:
    with single_instance(state):
        return FINE


def _bundle(state: Path) -> str:
    store = Store(state / "models")
    for reference in store.held():
        try:
            assert store.read(reference) == BUNDLE
        except Corrupt:
            return MENDED  # Set aside and said; the naive forecast serves.
    return FINE


def _reference() -> ModelReference:
    digest = sha256(BUNDLE).hexdigest()
    return ModelReference(name="link-forecast", version=1, digest=digest, size=len(BUNDLE))


def _configuration(home: Path) -> str:
    load_config(home / "agent.toml")
    return FINE


def _identity(home: Path) -> str:
    """What the agent shows the broker."""
    logging.disable()
    try:
        config = load_config(home / "agent.toml")
        check_files(config)
        found = pair.current(config)
        tls.client_context(found.ca, found.certificate, found.key)
    finally:
        logging.disable(logging.NOTSET)
    return MENDED if found.lost else FINE


def _site_file(home: Path) -> str:
    cdb.read(home / "site.json")
    return FINE


AGENT_STATE = (
    StateFile(r"actions\.json", _recover, places=50),
    StateFile(r"commands\.json", _recover, places=50),
    StateFile(r"homes\.json", _recover, places=60),
    StateFile(r"outbox\.db", _outbox, places=40),
    StateFile(r"outbox\.db-wal", _outbox, places=40, why="a log that ends early is what a power cut leaves"),
    StateFile(r"outbox\.db-shm", why="SQLite makes it anew from the log"),
    StateFile(r"tokens/[0-9a-f]{32}\.token", _token),
    StateFile(r"agent\.lock", _lock, why="only locked; the number in it is for people"),
    StateFile(r"agent\.sock", why="a socket; anything else in its place is a named error"),
    StateFile(r"models/link-forecast-\d+-[0-9a-f]{64}\.tflite", _bundle, places=60),
    *AGENT_TASKS,
    StateFile(r"site\.(sealed|key)", why="whole or a named error: tests/nodes/test_vault.py"),
    StateFile(r"identity\.pem", why="see the table of what an agent is given"),
    StateFile(r"models/[0-9a-f]{64}\.part", why="a download: checked as a whole when it is complete"),
    StateFile(r".*\.corrupt(-\d+)?", why="kept for people to look at"),
    StateFile(r"(.*/)?\.[^/]+\.\d+", why="half written when its process was killed; replaced as a whole"),
)
AGENT_HOME = (
    StateFile(r"agent\.toml", _configuration, (Misconfigured,)),
    StateFile(r"site\.json", _site_file, (Misconfigured,), places=80),
    StateFile(r"ca\.crt", _identity, (Misconfigured,), places=50),
    StateFile(r"gateway\.crt", _identity, (Misconfigured,), places=50),
    StateFile(r"gateway\.key", _identity, (Misconfigured,), places=50),
    StateFile(r"state/identity\.pem", _identity, (Misconfigured,), places=50),
)
