"""What `coordinator init` makes, and how it is kept fresh: authority, own certificates, broker files.

Safe to repeat: whatever is there and still good stays. The authority is never overwritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import config as toml
from common.errors import Misconfigured
from common.files import claim_folder, locked, make_folder, write_file
from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.files import write_broker_files
from coordinator.broker.instance import reload_broker
from coordinator.config import (
    CONFIG_NAME,
    DEFAULT_REPOSITORY,
    CoordinatorConfig,
    StatePaths,
    is_initialised,
    load_config,
    missing_config,
)
from coordinator.identity.authority import Authority, authority_at
from coordinator.identity.fleet import Fleet
from coordinator.identity.own import BROKER, COORDINATOR, GATEWAY_API, renew_own
from coordinator.rebuilding import rebuild_fleet
from coordinator.registry import current_fleet
from coordinator.service.handover import hand_over


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What the operator says on the first `coordinator init`; None leaves the default."""

    name: str | None = None
    host: str | None = None
    port: int | None = None
    names: tuple[str, ...] | None = None
    binary: str | None = None
    gateways_port: int | None = None


@dataclass(frozen=True, slots=True)
class Initialised:
    """What an `initialise` found or made."""

    state: Path
    created: tuple[str, ...]
    broker: str
    notes: tuple[str, ...] = ()
    """What a rebuilt registry tells the operator."""

    def __str__(self) -> str:
        made = f"made {', '.join(self.created)}" if self.created else "everything was there"
        return f"{self.state}: {made}; the broker is for {self.broker}"


@dataclass(frozen=True, slots=True)
class Installation:
    """An initialised state folder, held under its lock."""

    paths: StatePaths
    config: CoordinatorConfig
    authority: Authority
    fleet: Fleet

    def publish(self, fleet: Fleet, now: float) -> bool:
        """Write the broker's files for `fleet`; True if any changed."""
        return write_broker_files(self.paths, self.config.broker, self.authority, fleet, now)


def initialise(
    state: Path, options: InitOptions = InitOptions(), *, rebuild: bool = False, now: float | None = None
) -> Initialised:
    """Make `state` a coordinator, or complete and renew what is there. `rebuild` also makes a registry again
    that is damaged or missing.

    Raises Misconfigured (options contradict an existing `coordinator.toml`; the folder is not writable, or
    is used for something else) or Corrupt (damaged keys or registry).
    """
    paths = _claimed(state, options)
    before = _inventory(paths)
    text = _config_text(options)
    if not paths.config.exists():
        toml.parse(CoordinatorConfig, text, "the options of init")
        write_file(paths.config, text)
    config = load_config(state)
    _check_agreement(options, config, paths)
    notes = _rebuild(state, now) if rebuild else ()
    refresh(state, now=now)
    created = tuple(name for name in _inventory(paths) if name not in before)
    return Initialised(paths.root, created, f"{config.broker.host}:{config.broker.port}", notes)


def _claimed(state: Path, options: InitOptions) -> StatePaths:
    """The folder, if it may be used. One that has lost its `coordinator.toml` gets another only from options
    that somebody gives: with the defaults its broker would listen where no gateway finds it."""
    paths = StatePaths(state.absolute())
    if not is_initialised(paths) or paths.config.exists():
        return StatePaths(claim_folder(paths.root, CONFIG_NAME))
    if options == InitOptions():
        raise missing_config(paths)
    return StatePaths(claim_folder(paths.root, paths.pki.name))


def _rebuild(state: Path, now: float | None) -> tuple[str, ...]:
    with _held(state, now) as (paths, _, authority):
        return rebuild_fleet(paths, authority, _or_now(now)).notes


def refresh(state: Path, *, now: float | None = None) -> tuple[str, ...]:
    """Renew own certificates that are due, write the broker's files, and let a running broker read them.

    Returns the names of what was renewed. To be called before a broker starts and a few times a day by the
    running coordinator. Raises as `initialise`.
    """
    with installed(state, now=now) as found:
        renewed = renew_own(found.authority, found.paths.pki, found.config, _or_now(now))
        changed = found.publish(found.fleet, _or_now(now))
    if renewed or changed:
        reload_broker(state)
    return renewed


@contextmanager
def installed(state: Path, *, now: float | None = None) -> Iterator[Installation]:
    """The installation in `state`, with no other process changing it meanwhile.

    Raises Misconfigured when the folder is not initialised, Corrupt when keys or registry are damaged.
    """
    with _held(state, now) as (paths, config, authority):
        yield Installation(paths, config, authority, current_fleet(paths, authority))
        hand_over(paths, config)


@contextmanager
def _held(state: Path, now: float | None) -> Iterator[tuple[StatePaths, CoordinatorConfig, Authority]]:
    """The folder under its lock, with what can be had without the registry."""
    paths = StatePaths(state.absolute())
    config = load_config(state)
    for folder in (paths.pki, paths.run, paths.broker, BrokerFiles(paths.broker).data):
        make_folder(folder)
    with locked(paths.run / "installation.lock"):
        yield paths, config, authority_at(paths.pki, _or_now(now))


def _config_text(options: InitOptions) -> str:
    """The first `coordinator.toml`. JSON's strings, numbers and lists are TOML's as well."""

    def toml_value(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    return f"""\
[coordinator]
name = {toml_value(options.name or "coordinator")}

# Where the broker listens. Gateways on other machines need an outer address here ("0.0.0.0" for all), and
# in `names` the host name or address by which they dial it; then run `coordinator init` again.
[broker]
host = {toml_value(options.host or "127.0.0.1")}
port = {options.port if options.port is not None else 8883}
names = {toml_value(list(options.names or ()))}
binary = {toml_value(options.binary or "mosquitto")}

# Where gateways fetch models and renew their certificates over HTTPS: the broker's host, unless `host` says
# another one; port 0 serves nothing.
[gateways]
# host = "0.0.0.0"
port = {options.gateways_port if options.gateways_port is not None else 8443}

# Days that certificates are good; all renew by themselves at two thirds of their life.
[identity]
# gateway_days = 90
# server_days = 90

# Where everything is kept; PostgreSQL: "postgresql+psycopg://user:password@host/name".
[repository]
url = {toml_value(DEFAULT_REPOSITORY)}

[api]
socket = "run/coordinator.sock"

[log]
level = "info"
style = "line"
"""


def _check_agreement(options: InitOptions, config: CoordinatorConfig, paths: StatePaths) -> None:
    present = {
        "coordinator.name": (options.name, config.coordinator.name),
        "broker.host": (options.host, config.broker.host),
        "broker.port": (options.port, config.broker.port),
        "broker.names": (options.names, config.broker.names),
        "broker.binary": (options.binary, config.broker.binary),
        "gateways.port": (options.gateways_port, config.gateways.port),
    }
    for key, (said, is_) in present.items():
        if said is not None and said != is_:
            raise Misconfigured(
                f"{paths.config} already says {key} = {is_!r}, not {said!r}",
                "edit that file and run `coordinator init` again without the option",
            )


def _inventory(paths: StatePaths) -> tuple[str, ...]:
    files = BrokerFiles(paths.broker)
    wanted = {
        "configuration": paths.config,
        "authority": paths.pki / "ca.crt",
        "broker certificate": paths.pki / f"{BROKER}.crt",
        "coordinator certificate": paths.pki / f"{COORDINATOR}.crt",
        "gateway API certificate": paths.pki / f"{GATEWAY_API}.crt",
        "broker configuration": files.configuration,
        "access list": files.acl,
        "revocation list": paths.revocations,
    }
    return tuple(name for name, path in wanted.items() if path.exists())


def _or_now(now: float | None) -> float:
    return time.time() if now is None else now
