"""What a broker with an account of its own is given: its files, and word that they have changed.

A service's broker is another user than the coordinator and sees nothing of its folder: neither the
authority's key nor the repository. Installing the services makes a folder for it beside the state folder;
wherever that one is, the few files that mosquitto reads are copied there. Its group is the broker's and
passes on to what is made in it. Signals do not reach another user's process, so the broker's own unit watches
a file, and sends one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from common.errors import Misconfigured
from common.files import write_file
from coordinator.broker.configuration import BrokerFiles, mosquitto_conf
from coordinator.config import CONFIG_NAME, CoordinatorConfig, StatePaths

FOLDER: Final = "broker"
MARK: Final = "handed-over"
"""The file whose change tells the broker's unit to reload; its presence makes the folder one of these."""

_MODE: Final = 0o640
_COPIED: Final = ("ca.crt", "broker.crt", "broker.key", "crl.pem")


def folder_of(state: Path) -> Path | None:
    """The folder of the broker's account that belongs to the state folder, or None when there is none."""
    folder = state.absolute().parent / FOLDER
    try:
        return folder if (folder / MARK).is_file() else None
    except PermissionError:
        # Another coordinator's.
        return None


def hand_over(paths: StatePaths, config: CoordinatorConfig) -> bool:
    """Bring the broker's copies up to date, and let it read them; True if any changed. Nothing without a
    folder for them.

    Raises Misconfigured when the folder cannot be written or the originals are not complete.
    """
    folder = folder_of(paths.root)
    if folder is None:
        return False
    target = StatePaths(folder)
    files = BrokerFiles(target.broker)
    changed = [_copy(paths.pki / name, target.pki / name) for name in _COPIED]
    changed.append(_copy(BrokerFiles(paths.broker).acl, files.acl))
    changed.append(_put(files.configuration, mosquitto_conf(config.broker, target, None).encode()))
    changed.append(_put(target.config, _essence(config).encode()))
    if any(changed):
        write_file(folder / MARK, "Written whenever the broker has to read its files again.\n", _MODE)
    return any(changed)


def _essence(config: CoordinatorConfig) -> str:
    """As much of `coordinator.toml` as starting a broker takes; the whole may hold a password."""
    broker = config.broker
    return (
        f"# Written by `coordinator`; edit its {CONFIG_NAME} instead.\n[broker]\n"
        f"host = {json.dumps(broker.host)}\nport = {broker.port}\nbinary = {json.dumps(broker.binary)}\n"
    )


def _copy(source: Path, target: Path) -> bool:
    try:
        return _put(target, source.read_bytes())
    except FileNotFoundError:
        # Not made yet, or the first start is still at it: the next call has it.
        return False
    except OSError as error:
        raise Misconfigured(f"{source} cannot be read: {error.strerror}", "check its owner") from error


def _put(path: Path, content: bytes) -> bool:
    try:
        if path.exists() and path.read_bytes() == content:
            return False
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "run `coordinator install-service` again"
        ) from error
    write_file(path, content, _MODE)
    return True
