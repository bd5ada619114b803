"""The coordinator's configuration file and where its state lies.

Everything the coordinator keeps is below one state folder; `coordinator.toml` in it is the only file that
an operator edits. This module reads; `coordinator.enrolment.initialise` writes the first version.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_serializer, model_validator

from common.config import load
from common.errors import Misconfigured
from coordinator.section import Section

CONFIG_NAME = "coordinator.toml"
DEFAULT_REPOSITORY = "sqlite:///{state}/repository.db"
_HOST_NAME = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-zA-Z0-9-]{1,63}(?<!-))*")
_STATE = "{state}"


def check_host(value: str) -> str:
    """Return a host name or address that is safe in certificates and in the broker's configuration.

    Raises ValueError.
    """
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    if len(value) > 253 or not _HOST_NAME.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is neither a host name nor an IP address")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _check_scheduler(value: str) -> str:
    """A scheduler's address. Raises ValueError."""
    scheme, separator, rest = value.partition("://")
    host, colon, port = rest.rpartition(":")
    if scheme not in ("tcp", "tls") or not separator or not colon or not port.isdecimal():
        raise ValueError(f"{value[:80]!r} is no scheduler: write it like tcp://127.0.0.1:8786")
    check_host(host.strip("[]"))
    if not 1 <= int(port[:6]) <= 65535:
        raise ValueError(f"port {port[:20]} is not within 1 to 65535")
    return value


Host = Annotated[str, AfterValidator(check_host)]


class Identity(Section):
    """Who this coordinator is."""

    name: Annotated[str, AfterValidator(_one_line)] = Field("coordinator", min_length=1, max_length=64)
    """What this coordinator is called."""


class Broker(Section):
    """Where mosquitto listens. Gateways dial the first of `names`, or `host` when there is none."""

    host: Host = "127.0.0.1"
    """Address that mosquitto listens on; `0.0.0.0` for gateways elsewhere."""
    port: int = Field(8883, ge=1, le=65535)
    """Its TLS port."""
    names: tuple[Host, ...] = Field((), max_length=64)
    """Names that gateways dial it by; its certificate answers to them."""
    binary: Annotated[str, AfterValidator(_one_line)] = Field("mosquitto", min_length=1)
    """The mosquitto to run."""


class Gateways(Section):
    """HTTPS for gateways: models and renewed certificates, with the same certificates as the broker's."""

    host: Host | None = None
    """Another address than the broker's to listen on."""
    port: int = Field(8443, ge=0, le=65535)
    """Its port; 0 serves nothing."""


class Lifetimes(Section):
    """How long certificates are good; all renew by themselves at two thirds of their life."""

    gateway_days: float = Field(90.0, ge=0.0001, le=825)
    """Days that a gateway's certificate is good."""
    server_days: float = Field(90.0, ge=0.0001, le=825)
    """Days that the coordinator's own certificates are good, the broker's among them."""


class Repository(Section):
    """Where everything is kept."""

    url: SecretStr = SecretStr(DEFAULT_REPOSITORY)
    """SQLAlchemy URL; `{state}` stands for the state folder. May hold a password."""

    @field_serializer("url", when_used="json")
    def _mask(self, url: SecretStr) -> str:
        return str(url)


class Api(Section):
    """The API of the coordinator's own machine."""

    socket: Path = Path("run/coordinator.sock")
    """The Unix socket that the command line talks to, relative to the state folder."""


class EngineSettings(Section):
    """Where heavy work is done: what-ifs, searches, scoring, tasks. By default in processes of this
    machine."""

    workers: int = Field(0, ge=0, le=256)
    """Processes that may work at once; 0: as many as there are processors."""
    idle_min: float = Field(3.0, ge=0.01, le=1440)
    """Minutes without work after which a process ends, and its memory returns."""
    url: Annotated[str, AfterValidator(_check_scheduler)] | None = None
    """A Dask scheduler that does the work instead: `tls://host:8786`, or `tcp://` where the network is safe.
    Whoever reaches it without TLS can run anything on its workers."""
    ca: Path | None = None
    """With `tls://`: the authority (PEM) that signed the scheduler's and the workers' certificates."""
    certificate: Path | None = None
    """With `tls://`: the coordinator's certificate (PEM)."""
    key: Path | None = None
    """With `tls://`: its key (PEM)."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        named = [path is not None for path in (self.ca, self.certificate, self.key)]
        if (self.url or "").startswith("tls://") != all(named) or any(named) != all(named):
            raise ValueError("ca, certificate and key go together, and with a url that begins with tls://")
        return self


class Tasks(Section):
    """Tasks of gateways that the coordinator runs, on the engine: the cloud tier."""

    enabled: bool = True
    """Whether gateways may send tasks at all."""
    slots: int = Field(0, ge=0, le=1024)
    """Tasks that run at once; 0: as many as the engine has workers."""
    memory_mib: int = Field(1024, ge=16, le=1 << 20)
    """The most that one task may take."""
    cpu_s: float = Field(600.0, gt=0, le=86_400)
    """The most CPU time that one task may take, in seconds."""
    blobs_mib: int = Field(1024, ge=64, le=1 << 20)
    """Room for inputs and outputs on disk."""
    watts: float = Field(10.0, gt=0, le=1000)
    """Active power of a busy processor, from which the energy of tasks is modelled."""


class Plans(Section):
    """How plans are applied at sites."""

    patience: Literal["thorough", "short"] = "thorough"
    """How long round trips are counted before a plan stays. `thorough`: 400 of each node before and up to 600
    after, which puts back what costs a node 0.02 of its delivery; an hour at a site of 50 nodes, and more at
    weak ones. `short`: 30 and up to 60, which finds losses of 0.1."""


class Log(Section):
    """What the coordinator writes to its standard error, and so to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    style: Literal["line", "json"] = "line"
    """`line` for people, `json` for programs."""


class CoordinatorConfig(Section):
    """`coordinator.toml`. After `load_config` the repository URL and the socket path are absolute."""

    coordinator: Identity = Identity()
    broker: Broker = Broker()
    gateways: Gateways = Gateways()
    identity: Lifetimes = Lifetimes()
    repository: Repository = Repository()
    api: Api = Api()
    engine: EngineSettings = EngineSettings()
    tasks: Tasks = Tasks()
    plans: Plans = Plans()
    log: Log = Log()


@dataclass(frozen=True, slots=True)
class StatePaths:
    """Where each thing lies below the state folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / CONFIG_NAME

    @property
    def fleet(self) -> Path:
        """The registry of gateways."""
        return self.root / "fleet.json"

    @property
    def fleet_copy(self) -> Path:
        """The registry once more, with the authority: of the two, one survives damage to a file."""
        return self.pki / "fleet.json"

    @property
    def models(self) -> Path:
        """The bundles, `<digest>.tflite`, and their registry."""
        return self.root / "models"

    @property
    def plans(self) -> Path:
        """The plans that were applied, or are being applied, one file each."""
        return self.root / "plans"

    @property
    def recipes(self) -> Path:
        """An operator's own recipes, `*.yaml`; need not be there."""
        return self.root / "recipes"

    @property
    def tasks(self) -> Path:
        """Inputs and outputs of gateways' tasks, by digest; nothing in it is needed after a restart."""
        return self.root / "tasks"

    @property
    def pki(self) -> Path:
        """`ca`, `broker`, `coordinator` and `gateway-api`, each `.crt` and `.key`, and `crl.pem`."""
        return self.root / "pki"

    @property
    def revocations(self) -> Path:
        return self.pki / "crl.pem"

    @property
    def broker(self) -> Path:
        """The broker's configuration, ACL, log, process id and persistence."""
        return self.root / "broker"

    @property
    def run(self) -> Path:
        """Sockets and locks of running processes."""
        return self.root / "run"

    def identity_of(self, gateway: str) -> Path:
        """The folder that is copied to a gateway."""
        return self.root / "gateways" / gateway


def default_state() -> Path:
    """$MESHTWIN_STATE, or the machine's folder for root, or the user's."""
    if named := os.environ.get("MESHTWIN_STATE"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/meshtwin/coordinator")
    return Path.home() / ".local/state/meshtwin/coordinator"


def load_config(state: Path) -> CoordinatorConfig:
    """Read `coordinator.toml` of a state folder.

    Raises Misconfigured, telling to run `coordinator init` where that has not been done.
    """
    paths = StatePaths(state.absolute())
    if not paths.config.exists():
        raise missing_config(paths)
    config = load(CoordinatorConfig, paths.config)
    if not config.model_fields_set:
        raise Misconfigured(
            f"{paths.config} is empty",
            f"restore it; or remove it and run: coordinator init --state {paths.root}, with the options of "
            "the first time, such as --host and --name-of-broker",
        )
    return _resolve(config, paths)


def missing_config(paths: StatePaths) -> Misconfigured:
    """The error for a folder without `coordinator.toml`: one that is new, or one that has lost it."""
    if not is_initialised(paths):
        return Misconfigured(
            f"{paths.root} holds no coordinator: {CONFIG_NAME} is missing",
            f"run: coordinator init --state {paths.root}",
        )
    return Misconfigured(
        f"{paths.config} is missing, though an authority is there",
        f"restore it, or run: coordinator init --state {paths.root}, with the options of the first "
        "time, such as --host 127.0.0.1",
    )


def is_initialised(paths: StatePaths) -> bool:
    """Whether there is an authority, whatever else is lost."""
    return (paths.pki / "ca.key").exists()


def _resolve(config: CoordinatorConfig, paths: StatePaths) -> CoordinatorConfig:
    url = config.repository.url.get_secret_value().replace(_STATE, str(paths.root))
    return config.model_copy(
        update={
            "repository": Repository(url=SecretStr(url)),
            "api": Api(socket=paths.root / config.api.socket),
            "engine": _below(paths.root, config.engine),
        }
    )


def _below(root: Path, engine: EngineSettings) -> EngineSettings:
    files = {"ca": engine.ca, "certificate": engine.certificate, "key": engine.key}
    return engine.model_copy(update={name: path and root / path for name, path in files.items()})
