"""The agent's configuration file: what can be set, its limits and defaults.

Paths in the file are relative to the file's own folder. Nothing here opens a database or a connection;
`check_files` looks at files only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from common import config as toml
from common import topics
from common.config import Section
from common.errors import Misconfigured, Rejected
from common.mesh import addresses, cdb
from common.record import AfterValidator, BeforeValidator, Field
from edge_agent.state_folder import MACHINE, default_state

MAX_PATH: Final = 1024
NO_ADDRESS: Final = 0
SEALED_SITE: Final = "site.sealed"
"""In the state directory: the site file that was imported, encrypted."""


def _name(value: str) -> str:
    try:
        return topics.check_name(value)
    except Rejected as error:
        raise ValueError(error.detail) from error


def _unicast(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError('an address such as "0x0001" or 1')
    try:
        return addresses.check_unicast(addresses.parse(str(value)))
    except Rejected as error:
        raise ValueError(error.detail) from error


def _path(value: Any) -> Any:
    """A path, and not the text of the file: that may be a key, so it is not repeated."""
    if isinstance(value, str) and (
        "BEGIN" in value or len(value) > MAX_PATH or not (value and value.isprintable())
    ):
        raise ValueError("the path of a file is wanted here, not the file's text")
    return value


Name = Annotated[str, AfterValidator(_name)]
Unicast = Annotated[int, BeforeValidator(_unicast)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535)]


class GatewaySection(Section):
    """Who this gateway is."""

    site: Name
    """The site it serves: letters, digits, `.`, `_` and `-`."""
    id: Name
    """Its id, unique over the fleet; its certificate carries the same name."""
    address: Unicast = NO_ADDRESS
    """Its own unicast address in the mesh, such as `"0x0001"`. Required, but for a machine without a mesh."""
    state_dir: FilePath = MACHINE
    """Outbox, open actions, models and the Unix socket of `edge-agent status`. That default is for root
    and the service's account; other users' is `~/.local/state/meshtwin/agent/<id>`. `$MESHTWIN_AGENT_STATE`
    names another default for all."""


class MeshSection(Section):
    """Which mesh the gateway serves."""

    link: Literal["bluez", "stack", "virtual", "none"] = "bluez"
    """`bluez`: the machine's bluetooth-meshd; `stack`: our own mesh stack, through a GATT proxy in reach;
    `virtual`: a simulated site, to try things without a radio; `none`: a machine that only runs tasks of the
    site's gateways (a MEC server) and has no part in keeping the mesh."""
    site_file: FilePath | None = None
    """The network's Mesh Configuration Database JSON. Without it, `bluez` and `stack` use what
    `edge-agent nodes import` stored encrypted in `gateway.state_dir`."""
    bearer: Literal["proxy", "air"] = "proxy"
    """Stack: `proxy`, like a phone; `air`: the lab's software air, for tests."""
    adapter: str | None = Field(default=None, pattern=r"^hci[0-9]{1,3}$")
    """Stack: which Bluetooth adapter, such as `"hci0"`, instead of the first that is on."""
    air: FilePath | None = None
    """Stack on an air: the folder of its sockets."""
    air_node: int = Field(default=0, ge=0, le=10_000)
    """Stack on an air: which node of it the gateway is."""
    bus_address: str | None = None
    """Another D-Bus than the system's."""
    daemon_pid: int | None = Field(default=None, ge=1)
    """One daemon of several on that bus."""
    scenario: FilePath | None = None
    """Virtual: the site as a scenario file, instead of one made of `nodes` and `seed`."""
    recording: FilePath | None = None
    """Virtual: a recorded stretch of a site, which the agent then lives again, instead of a simulated one."""
    control: FilePath | None = None
    """Virtual: a Unix socket through which the site can be injured."""
    nodes: int = Field(default=60, ge=2, le=1000)
    """Virtual: how many nodes."""
    seed: int = Field(default=1, ge=0)
    """Virtual: which site of that size."""
    loss: float = Field(default=0.0, ge=0, lt=1)
    """Virtual: share of transmissions lost on every link besides what the radio loses."""
    truths: FilePath | None = None
    """Virtual: a JSON file of what is true of the site and told to nobody: `shadowing_db`, `offset_db`,
    `drift_db`, `drift_s`, `bursts_per_hour`, `burst_s`, `burst_db`, `burst_share`. By default links drift a
    little, and that is all."""


class BrokerSection(Section):
    """The MQTT broker and this gateway's identity there."""

    host: str = Field(min_length=1, max_length=253)
    """Name or address of the MQTT broker, as its certificate has it."""
    port: Port = 8883
    """Its TLS port."""
    ca: FilePath
    """Certificate of the coordinator's authority."""
    certificate: FilePath
    """This gateway's certificate; the agent renews it."""
    key: FilePath
    """Its private key, readable by the agent alone."""


class CoordinatorSection(Section):
    """Where the coordinator serves gateways over HTTPS: models and certificates. Without a `host`, the
    broker's. The identity is the broker section's."""

    host: str | None = Field(default=None, min_length=1, max_length=253)
    """Another host than the broker's."""
    port: Port = 8443
    """Its HTTPS port for gateways."""


class MonitoringSection(Section):
    """Probes of the link monitor, from which links and dead nodes are known."""

    probe_period_s: float = Field(default=1.0, ge=0.1, le=25.5)
    """A node probes once in this time, unless the budget stretches it. A dead node is missed after it."""
    longest_probe_period_s: float | None = Field(default=None, ge=0.1, le=25.5)
    """Up to here the period may be stretched to where monitoring pays best. Without it only the budget
    stretches it, so that faults are always seen as fast as that allows."""
    report_every: int = Field(default=10, ge=1, le=30)
    """Probes that one report of a node covers. Where the budget or the relays would not bear it, up to 30."""
    transmissions: int = Field(default=2, ge=1, le=7)
    """How often a probe goes on air, as the nodes were commissioned."""
    budget_messages_per_s: float = Field(default=100.0, gt=0, le=10_000)
    """Mesh messages per second that monitoring may cost the whole site."""
    host_period_s: float = Field(default=5.0, ge=1, le=3600)
    """How often the gateway's own CPU, memory, disk and uplink are measured."""

    @property
    def window_s(self) -> float:
        """The time that a report covers, unless the budget stretches it."""
        return self.probe_period_s * self.report_every


class PolicySection(Section):
    """What the site needs and how boldly the agent acts. `dry_run` proposes and never applies.

    `confirm_s` is how long the expected effect of an action may take before it is rolled back;
    `cooldown_s` how long a place that was changed is left alone. `forecast` says which forecasts of links
    are reckoned with: the best one's, the `naive` one's only, or none (`off`).
    """

    delivery_need: float = Field(default=0.9, gt=0, lt=1)
    """Share of messages that every node must get, both ways."""
    dry_run: bool = False
    """Propose only; nothing in the mesh is changed."""
    confirm_s: float = Field(default=15.0, ge=1, le=3600)
    """How long the expected effect of an action may take before it is rolled back."""
    cooldown_s: float = Field(default=30.0, ge=0, le=86_400)
    """How long nodes are left alone after an action on them failed."""
    forecast: Literal["auto", "naive", "off"] = "auto"
    """`auto`: the trained model while it is better than the naive forecast; `naive`: the naive one; `off`:
    act on what is, never on what is expected."""


class StatusSection(Section):
    """What peers and the coordinator hear of this gateway."""

    period_s: float = Field(default=2.0, ge=0.2, le=3600)
    """How often the status is published; peers call a gateway gone after three periods."""


class OutboxSection(Section):
    """What the gateway keeps for the coordinator until it is stored there."""

    cap_mib: float = Field(default=64.0, ge=1, le=65_536)
    """Size at which the oldest raw telemetry is given up for tombstones."""
    event_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of it that only events and results may use."""


class TasksSection(Section):
    """Running task graphs, see `edge-agent tasks`. Each task runs in a worker process of its own limits."""

    enabled: bool = True
    """Whether this machine runs tasks, its own and its peers'."""
    slots: int = Field(default=1, ge=1, le=64)
    """Tasks that run at once."""
    memory_mib: int = Field(default=160, ge=64, le=65_536)
    """The most that one task may take of memory, with all its processes."""
    cpu_s: float = Field(default=600.0, gt=0, le=86_400)
    """The most that one task may take of CPU time."""
    wall_s: float = Field(default=3600.0, gt=0, le=86_400)
    """The longest that one task may take."""
    output_mib: int = Field(default=16, ge=1, le=64)
    """The most that one task may give."""
    store_mib: int = Field(default=256, ge=16, le=65_536)
    """Size of the store of inputs and outputs; those that no live job needs go when it is full."""
    refuse_cpu_percent: float = Field(default=95.0, gt=0, le=100)
    """Tasks of other gateways are refused while the machine is busier than this with anything but tasks; 100:
    never, for a machine whose processors others use too."""
    search: bool = True
    """Whether the best of many plans is looked for. Otherwise each task in turn goes to where it ends first
    and costs least, which is quicker decided and mostly worse."""
    watts: float = Field(default=1.5, gt=0, le=1000)
    """What a busy core of this machine takes more than an idle one. Energy is modelled from it and from the
    measured CPU seconds."""


class LogSection(Section):
    """What the agent writes to its standard error, and so to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    style: Literal["line", "json"] = "line"
    """`line` for people, `json` for programs."""


class AgentConfig(Section):
    """One agent's whole configuration."""

    gateway: GatewaySection
    mesh: MeshSection = MeshSection()
    broker: BrokerSection
    coordinator: CoordinatorSection = CoordinatorSection()
    monitoring: MonitoringSection = MonitoringSection()
    policy: PolicySection = PolicySection()
    status: StatusSection = StatusSection()
    outbox: OutboxSection = OutboxSection()
    tasks: TasksSection = TasksSection()
    log: LogSection = LogSection()

    @property
    def socket(self) -> Path:
        """The Unix socket that a running agent answers on."""
        return self.gateway.state_dir / "agent.sock"

    @property
    def tier(self) -> Literal["gateway", "mec"]:
        """What the machine is to its peers: one that keeps the mesh, or one that only computes."""
        return "mec" if self.mesh.link == "none" else "gateway"

    @property
    def coordinator_host(self) -> str:
        """The host that serves models and certificates."""
        return self.coordinator.host or self.broker.host


def load_config(path: Path) -> AgentConfig:
    """Read and check an agent's configuration file.

    Raises Misconfigured, naming every wrong key. The files it names may still be missing: `check_files`.
    """
    config = read_config(path)
    mesh, sealed = config.mesh, config.gateway.state_dir / SEALED_SITE
    if config.tier == "gateway" and config.gateway.address == NO_ADDRESS:
        raise Misconfigured(
            f"{path}: gateway.address: field required",
            'name its address in the mesh; or set mesh.link = "none" for a machine that only computes',
        )
    if mesh.link not in ("virtual", "none") and mesh.site_file is None and not os.path.lexists(sealed):
        raise Misconfigured(
            f"{path}: mesh.site_file is missing",
            "edge-agent nodes import FILE, with the network's Mesh Configuration Database JSON; or name that"
            ' file; or set mesh.link = "virtual"',
        )
    if config.mesh.link == "stack" and config.mesh.bearer == "air" and config.mesh.air is None:
        raise Misconfigured(
            f"{path}: mesh.air is missing", 'name the air\'s folder, or take the bearer "proxy"'
        )
    return config


def read_config(path: Path) -> AgentConfig:
    """Like `load_config`, for an agent whose site file is still to come. Raises Misconfigured."""
    config = toml.load(AgentConfig, path)
    gateway = config.gateway
    if "state_dir" not in gateway.model_fields_set:
        gateway = gateway.model_copy({"state_dir": default_state(gateway.id)})
    return _anchored(config.model_copy({"gateway": gateway}), path.resolve().parent)


def check_files(config: AgentConfig) -> list[str]:
    """Check that the files which the configuration names are there, and return warnings.

    Raises Misconfigured for a file that is missing or a key that others can read.
    """
    for key, file in _named_files(config):
        if not os.access(file, os.R_OK):
            why = "cannot be read" if os.path.lexists(file) else "does not exist"
            raise Misconfigured(f"{key}: {file} {why}", f"put the file there, or correct {key}")
    if config.broker.key.stat().st_mode & 0o077:
        raise Misconfigured(
            f"broker.key: {config.broker.key} is readable by others", f"chmod 600 {config.broker.key}"
        )
    site_file = config.mesh.site_file
    warning = None if site_file is None else cdb.permissions_warning(site_file)
    return [warning] if warning else []


def _named_files(config: AgentConfig) -> list[tuple[str, Path]]:
    broker, mesh = config.broker, config.mesh
    files = [("broker.ca", broker.ca), ("broker.certificate", broker.certificate), ("broker.key", broker.key)]
    if mesh.site_file is not None:
        # A virtual site reads it too, when it is named.
        files.append(("mesh.site_file", mesh.site_file))
    if mesh.link == "virtual" and mesh.scenario is not None:
        files.append(("mesh.scenario", mesh.scenario))
    if mesh.link == "virtual" and mesh.recording is not None:
        files.append(("mesh.recording", mesh.recording))
    return files


S = TypeVar("S", bound=Section)


def _anchored(section: S, folder: Path) -> S:
    """The same section with every relative path put below `folder`."""
    values = {name: getattr(section, name) for name in type(section).model_fields}
    return section.model_copy(
        update={
            name: _anchored(value, folder) if isinstance(value, Section) else folder / value
            for name, value in values.items()
            if isinstance(value, (Section, Path))
        }
    )
