"""A gateway's own files, copied from its enrolment as an operator would, and its configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.errors import Misconfigured
from edge_agent.config import AgentConfig, load_config


def settle(state: Path, home: Path, gateway: str = "gw-1", port: int = 8443) -> AgentConfig:
    """Copy the identity of an enrolled gateway into `home` and write an agent.toml for it."""
    home.mkdir(exist_ok=True)
    copy_identity(state, home, gateway)
    path = home / "agent.toml"
    path.write_text(
        f"""
[gateway]
site = "hall"
id = "{gateway}"
address = "0x0001"
state_dir = "state"
[mesh]
link = "virtual"
[broker]
host = "127.0.0.1"
ca = "ca.crt"
certificate = "gateway.crt"
key = "gateway.key"
[coordinator]
port = {port}
"""
    )
    (home / "state").mkdir(exist_ok=True)
    return load_config(path)


def copy_identity(state: Path, home: Path, gateway: str = "gw-1") -> None:
    """What an operator does after `gateways enrol`."""
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        shutil.copy(state / "gateways" / gateway / name, home / name)


def give_lives(state: Path, *, gateway_s: float | None = None, server_s: float | None = None) -> None:
    """Set the lives of certificates in `coordinator.toml`, in seconds."""
    lives = {"gateway_days": gateway_s, "server_days": server_s}
    lines = [f"{key} = {seconds / 86_400}" for key, seconds in lives.items() if seconds is not None]
    path = state / "coordinator.toml"
    if "[identity]" in (text := path.read_text()):
        raise Misconfigured("lives are given once")
    path.write_text(text + "\n".join(["[identity]", *lines, ""]))
