"""What is checked on the booted machine, in order. A check returns its figures, or raises what was wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from common.errors import Unavailable
from tools.services.container import Container
from tools.services.image import PYTHON

AGENT: Final = "meshtwin-agent"
BROKER: Final = "meshtwin-broker"
COORDINATOR: Final = "meshtwin-coordinator"
UNITS: Final = (BROKER, COORDINATOR, AGENT)
STATE: Final = "/var/lib/meshtwin/coordinator"
EXPOSURE_BAR: Final = 2.0
HUNG_BROKER_S: Final = 75.0
"""More than twice the agent's watchdog period and its keep-alive."""

_ASK_APPLICATION: Final = f"""
rm -f /run/name; set -e
setpriv --reuid={AGENT} --regid={AGENT} --clear-groups python /opt/application.py > /run/name &
for _ in $(seq 100); do [ -s /run/name ] && break; sleep 0.1; done
busctl call "$(cat /run/name)" / org.freedesktop.DBus.ObjectManager GetManagedObjects
busctl call "$(cat /run/name)" /meshtwin org.freedesktop.DBus.Properties GetAll s org.bluez.mesh.Application1
kill $!
"""

# As docs/services.md says: a virtual site plays the simulator in the agent's process.
_VIRTUAL: Final = """\
[Service]
CacheDirectory=meshtwin/agent
Environment=NUMBA_CACHE_DIR=/var/cache/meshtwin/agent
MemoryDenyWriteExecute=no
MemoryHigh=infinity
MemoryMax=1G
TimeoutStartSec=180
"""

Figures = dict[str, Any]
Check = Callable[[Container], Figures]

_SCRIPTS: Final = Path(__file__).parent / "inside"


def started(inside: Container) -> Figures:
    """Set up as the README says; `systemctl start` returns when ready, and then the command lines answer."""
    inside.call("coordinator", "init")
    _enrol(inside, "gw-1", "0x0001")
    inside.call("sh", "-c", f"cp {STATE}/gateways/gw-1/* /etc/meshtwin/")
    mesh = '\n[mesh]\nlink = "virtual"\nnodes = 20\n'
    inside.call("sh", "-c", "cat >> /etc/meshtwin/agent.toml", stdin=mesh)
    inside.call("edge-agent", "install-service")
    folder = f"/etc/systemd/system/{AGENT}.service.d"
    inside.call("sh", "-c", f"mkdir -p {folder}; cat > {folder}/virtual.conf", stdin=_VIRTUAL)
    inside.call("systemctl", "daemon-reload")
    inside.call("edge-agent", "check-config")
    inside.call("systemctl", "enable", *UNITS)
    seconds: Figures = {}
    for unit in UNITS:
        begun = time.monotonic()
        inside.call("systemctl", "start", unit)
        seconds[f"{unit}_s"] = round(time.monotonic() - begun, 2)
        _expect(inside.property(unit, "ActiveState") == "active", f"{unit} is not active")
    _agent_status(inside)
    inside.call("coordinator", "sites")
    return seconds


def story(inside: Container) -> Figures:
    """The parts find each other, and `systemctl status` tells it in a line."""
    took = inside.wait(lambda: _gateway(inside)["live"], "live gateway", 60.0)
    inside.wait(lambda: "broker connected" in inside.property(AGENT, "StatusText"), "story", 30.0)
    return {"live_after_s": round(took, 1), "agent_says": inside.property(AGENT, "StatusText")}


def sandbox(inside: Container) -> Figures:
    """Inside the hardened units: the machine's readings, LiteRT, and JAX, which compiles as it runs."""
    host = _agent_status(inside)["host"]
    _expect("cpu_percent" in host and "memory_percent" in host, f"no readings of the machine: {host}")
    for unit, code in (
        (AGENT, "import ai_edge_litert.interpreter"),
        (COORDINATOR, "import jax; assert float(jax.jit(lambda x: x * 2)(21.0)) == 42.0"),
    ):
        _drop_in(inside, unit, f"[Service]\nExecStartPre={PYTHON} -c '{code}'\n")
        inside.call("systemctl", "restart", unit)
        _drop_in(inside, unit, None)
    return {"readings": len(host)}


def accounts(inside: Container) -> Figures:
    """Each its own account, none root; the broker's may read its key and not the authority's."""
    users = {unit: inside.property(unit, "User") for unit in UNITS}
    for unit in UNITS:
        _expect(_user_of(inside, unit) == users[unit] == unit, f"{unit} runs as another user")
    as_broker = ("setpriv", f"--reuid={BROKER}", f"--regid={BROKER}", "--clear-groups", "cat")
    inside.call(*as_broker, "/var/lib/meshtwin/broker/pki/broker.key")
    for secret in (f"{STATE}/pki/ca.key", f"{STATE}/fleet.json", "/etc/meshtwin/gateway.key"):
        _expect(inside.fails(*as_broker, secret), f"the broker's account can read {secret}")
    return users


def mesh_daemon(inside: Container) -> Figures:
    """bluetooth-meshd, as root, may ask an agent that is not root for its objects on the system bus."""
    inside.call(
        "sh", "-c", "cat > /opt/application.py", stdin=(_SCRIPTS / "application.py").read_text()
    )  # fmt: skip
    answer = inside.call("sh", "-c", _ASK_APPLICATION)
    _expect("org.bluez.mesh.Application1" in answer, f"the objects did not come: {answer}")
    return {"bus": "Debian's policy and the agent's"}


def exposure(inside: Container) -> Figures:
    """`systemd-analyze security --offline=true` of every service."""
    found = {}
    for unit in (*UNITS, f"{BROKER}-reload"):
        said = inside.call("sh", "-c", f"systemd-analyze security --offline=true --no-pager {unit}.service")
        match = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        _expect(match is not None, f"no exposure level of {unit}")
        assert match is not None
        found[unit] = float(match[1])
    _expect(max(found.values()) <= EXPOSURE_BAR, f"more than {EXPOSURE_BAR}: {found}")
    return {"bar": EXPOSURE_BAR, **found}


def enrolment(inside: Container) -> Figures:
    """A gateway enrolled and revoked by root takes effect at the broker, another user's process, at once."""
    broker = inside.property(BROKER, "MainPID")
    _enrol(inside, "gw-2", "0x0002")
    knock = ("python", "-c", (_SCRIPTS / "knock.py").read_text(), f"{STATE}/gateways/gw-2", "office", "gw-2")
    let_in = inside.wait(lambda: inside.call(*knock).strip() == "0", "admission of gw-2", 20.0)
    inside.call("coordinator", "gateways", "revoke", "gw-2")
    put_out = inside.wait(lambda: inside.call(*knock).strip() != "0", "refusal of gw-2", 20.0)
    _expect(inside.property(BROKER, "MainPID") == broker, "the broker was restarted")
    _expect(_owners(inside) == {COORDINATOR}, f"files of others in the state folder: {_owners(inside)}")
    return {"let_in_after_s": round(let_in, 1), "put_out_after_s": round(put_out, 1)}


def hung_broker(inside: Container) -> Figures:
    """A broker that hangs, connected and silent, restarts neither agent nor coordinator."""
    before = {unit: inside.property(unit, "MainPID") for unit in UNITS}
    _send(inside, "STOP", before[BROKER])
    try:
        inside.wait(
            lambda: "broker away" in inside.property(AGENT, "StatusText"), "word of it", HUNG_BROKER_S
        )
        noticed = inside.property(AGENT, "StatusText")
        time.sleep(HUNG_BROKER_S)
        _expect(len(_agent_status(inside)["nodes"]) > 0, "the agent does not answer")
    finally:
        _send(inside, "CONT", before[BROKER])
    after = {unit: inside.property(unit, "MainPID") for unit in UNITS}
    _expect(before == after, f"restarted: {before} became {after}")
    back = inside.wait(lambda: _agent_status(inside)["broker"] == "connected", "return of the broker", 90.0)
    return {"hung_s": HUNG_BROKER_S, "meanwhile": noticed, "connected_again_after_s": round(back, 1)}


def hung_agent(inside: Container) -> Figures:
    """An agent whose event loop hangs while its other threads go on is restarted; with the shipped period."""
    return _hang(inside, AGENT, "USR1", None) | {"watchdog_s": 30}


def stopped_agent(inside: Container) -> Figures:
    """An agent that is stopped as a whole is restarted as well."""
    return _hang(inside, AGENT, "STOP", 8)


def hung_coordinator(inside: Container) -> Figures:
    """A coordinator whose event loop hangs is restarted; with a shorter period than the shipped 120 s."""
    return _hang(inside, COORDINATOR, "USR1", 8)


def killed(inside: Container) -> Figures:
    """Whatever is killed comes back by itself."""
    took = {}
    for unit in UNITS:
        before = inside.property(unit, "MainPID")
        _send(inside, "KILL", before)
        took[unit] = round(inside.wait(lambda: _another(inside, unit, before), f"new {unit}", 60.0), 1)  # noqa: B023
    inside.wait(lambda: _agent_status(inside)["broker"] == "connected", "connection", 60.0)
    return took


def rebooted(inside: Container) -> Figures:
    """After a reboot everything is up by itself, with the same stream and all that was stored."""
    epoch, stored = _stream(inside)
    inside.reboot()
    took = inside.wait(lambda: all(_active(inside, unit) for unit in UNITS), "services", 90.0)
    inside.wait(lambda: bool(_gateway(inside)["live"]), "live gateway", 60.0)
    after_epoch, after_stored = _stream(inside)
    _expect(epoch == after_epoch, "the agent's stream began anew")
    _expect(after_stored >= stored, f"{stored} messages were stored, now {after_stored}")
    inside.wait(lambda: _stream(inside)[1] > stored, "further messages", 60.0)
    return {"services_after_s": round(took, 1), "stored_before": stored, "stored_after": after_stored}


def uninstalled(inside: Container) -> Figures:
    """Uninstalling stops and removes the services, and leaves state and configuration."""
    inside.call("edge-agent", "install-service", "--uninstall")
    inside.call("coordinator", "install-service", "--uninstall")
    for unit in UNITS:
        _expect(inside.property(unit, "LoadState") == "not-found", f"{unit} is still there")
    inside.call("test", "-e", f"{STATE}/pki/ca.key", "-a", "-e", "/etc/meshtwin/gateway.key")
    inside.call("edge-agent", "install-service", "--uninstall")
    return {}


CHECKS: Final[tuple[Check, ...]] = (
    started, story, sandbox, accounts, mesh_daemon, exposure, enrolment, killed, hung_agent, stopped_agent,
    hung_coordinator, hung_broker, rebooted, uninstalled,
)  # fmt: skip


def _hang(inside: Container, unit: str, signal: str, watchdog_s: int | None) -> Figures:
    """Hang a service by a signal, and time its return. A hook makes SIGUSR1 put the main thread to sleep."""
    inside.call("sh", "-c", "mkdir -p /opt/hang; cat > /opt/hang/sitecustomize.py",
                stdin=(_SCRIPTS / "hang.py").read_text())  # fmt: skip
    period = f"WatchdogSec={watchdog_s}\n" if watchdog_s else ""
    _drop_in(inside, unit, f"[Service]\nEnvironment=PYTHONPATH=/opt/hang\n{period}")
    inside.call("systemctl", "restart", unit)
    before, count = inside.property(unit, "MainPID"), int(inside.property(unit, "NRestarts"))
    _send(inside, signal, before)
    took = inside.wait(lambda: _another(inside, unit, before), f"new {unit}", 120.0)
    said = inside.call("journalctl", "-u", unit, "--no-pager", "-o", "cat", "-n", "200")
    _expect("Watchdog timeout" in said, "it was not the watchdog that restarted it")
    _expect(int(inside.property(unit, "NRestarts")) == count + 1, "not exactly one restart")
    if signal == "USR1":
        _expect("hang.py" in said or "sitecustomize.py" in said, "the journal does not tell where it hung")
    _drop_in(inside, unit, None)
    inside.call("systemctl", "restart", unit)
    return {"ready_again_after_s": round(took, 1)}


def _send(inside: Container, signal: str, pid: str) -> None:
    # The shell's own: a minimal system has no kill.
    inside.call("sh", "-c", f"kill -{signal} {pid}")


def _drop_in(inside: Container, unit: str, text: str | None) -> None:
    folder = f"/etc/systemd/system/{unit}.service.d"
    if text is None:
        inside.call("rm", f"{folder}/campaign.conf")
    else:
        inside.call("sh", "-c", f"mkdir -p {folder}; cat > {folder}/campaign.conf", stdin=text)
    inside.call("systemctl", "daemon-reload")


def _enrol(inside: Container, gateway: str, address: str) -> None:
    inside.call("coordinator", "gateways", "enrol", "office", gateway, "--address", address)


def _agent_status(inside: Container) -> Figures:
    answer: Figures = json.loads(inside.call("edge-agent", "status", "--json"))
    return answer


def _gateway(inside: Container) -> Figures:
    found: list[Figures] = json.loads(inside.call("coordinator", "gateways", "--json"))
    return next(row for row in found if row["gateway"] == "gw-1")


def _stream(inside: Container) -> tuple[str, int]:
    stream = _gateway(inside)["stream"]
    if stream is None:
        raise Unavailable("nothing is stored yet")
    return str(stream["epoch"]), int(stream["sequence"])


def _active(inside: Container, unit: str) -> bool:
    return inside.property(unit, "ActiveState") == "active"


def _another(inside: Container, unit: str, before: str) -> bool:
    return _active(inside, unit) and inside.property(unit, "MainPID") not in ("0", before)


def _user_of(inside: Container, unit: str) -> str:
    return inside.call("stat", "-c", "%U", f"/proc/{inside.property(unit, 'MainPID')}").strip()


def _owners(inside: Container) -> set[str]:
    return set(inside.call("find", STATE, "-printf", "%u\n").split())


def _expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise Unavailable(complaint)
