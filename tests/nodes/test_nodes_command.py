"""`edge-agent nodes` as an operator meets it: import, list and export offline, the rest through an agent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from common.clock import SystemClock
from common.errors import MeshtwinError, Misconfigured, Rejected
from edge_agent.api import LocalApi
from edge_agent.cli.commands import app
from edge_agent.config import check_files, load_config
from edge_agent.mesh_link import make_link
from edge_agent.nodes import cli as nodes_cli
from edge_agent.nodes.access import administration_of
from edge_agent.nodes.store import read_site, site_store
from firmware_bridge.bluez_mesh import BluezMeshLink
from firmware_bridge.provisioning.pdus import Capabilities
from tests.agent.test_config import TEXT, write
from tests.common.test_cdb import DEVICE_KEY, NET_KEY, document, node
from tests.nodes.site import Site

STATIC = bytes(range(16))
GATEWAY = "6E6F6465-0000-4000-8000-000000000001"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A real link's configuration without a site file."""
    text = TEXT.replace("/elsewhere/", "").replace('link = "virtual"', 'link = "bluez"')
    path = write(tmp_path, text)
    (tmp_path / "phone.json").write_text(
        json.dumps(document(nodes=[node("0001", UUID=GATEWAY)], scenes=[{"x": "y"}]))
    )
    return path


def nodes(config: Path, *words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(app, ["nodes", *map(str, words), "-c", str(config)], input=text)


def test_a_site_is_imported_sealed_listed_and_exported(config: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nodes import"):
        load_config(config)
    done = nodes(config, "import", tmp_path / "phone.json")
    assert done.exit_code == 0, done.output
    assert "still holds the keys" in done.stderr
    loaded = load_config(config)
    site = read_site(site_store(loaded))
    assert site is not None
    assert site.node(1).device_key.reveal() == bytes.fromhex(DEVICE_KEY)
    (row,) = json.loads(nodes(config, "list", "--json").stdout)
    assert (row["node"], row["elements"], row["excluded"]) == ("0x0001", 1, False)
    exported = tmp_path / "out.json"
    assert "in the clear" in nodes(config, "export", exported).stderr
    assert exported.read_text() == (tmp_path / "phone.json").read_text()
    assert exported.stat().st_mode & 0o777 == 0o600
    assert NET_KEY not in done.output


def test_the_agents_link_is_made_from_the_sealed_site(config: Path, tmp_path: Path) -> None:
    nodes(config, "import", tmp_path / "phone.json")
    loaded = load_config(config)
    link = make_link(loaded, read_site(site_store(loaded)), SystemClock())
    assert isinstance(link, BluezMeshLink)
    administration = administration_of(link, loaded)
    assert administration is not None
    assert administration.bearers == ()
    loaded.gateway.state_dir.joinpath("site.sealed").write_bytes(b"cut")
    with pytest.raises(Misconfigured, match="damaged"):
        read_site(site_store(loaded))


def test_what_is_there_is_replaced_only_when_told(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "phone.json"
    nodes(config, "import", file)
    for words in (("import", file), ("export", file)):
        assert isinstance(nodes(config, *words).exception, Misconfigured)
        assert nodes(config, *words, "--replace").exit_code == 0


def test_what_a_replacement_would_lose_is_told_and_the_former_site_kept(config: Path, tmp_path: Path) -> None:
    gateway, lamp = node("0001", UUID=GATEWAY), node("0105", name="Hall 3")
    (tmp_path / "two.json").write_text(json.dumps(document(nodes=[gateway, lamp])))
    nodes(config, "import", tmp_path / "two.json")
    sealed = load_config(config).gateway.state_dir / "site.sealed"
    before = sealed.read_bytes()
    fewer = document(nodes=[gateway], appKeys=[])
    (tmp_path / "one.json").write_text(json.dumps(fewer))
    refused = nodes(config, "import", "--replace", tmp_path / "one.json", text="n\n")
    assert (refused.exit_code, sealed.read_bytes()) == (1, before)
    assert "lost: node 0x0105 (Hall 3)" in refused.stderr
    assert "lost: application key 1" in refused.stderr
    assert "network key" not in refused.stderr
    done = nodes(config, "import", "--replace", "--json", "--yes", tmp_path / "one.json")
    former = Path(json.loads(done.stdout)["former"])
    assert former.read_bytes() == before
    assert former.stat().st_mode & 0o777 == 0o600
    again = nodes(config, "import", "--replace", "--json", tmp_path / "one.json")
    assert "former" not in json.loads(again.stdout)
    assert former.read_bytes() == before
    former.replace(sealed)
    assert len(json.loads(nodes(config, "list", "--json").stdout)) == 2


def test_a_damaged_site_is_kept_too_when_it_is_replaced(config: Path, tmp_path: Path) -> None:
    nodes(config, "import", tmp_path / "phone.json")
    sealed = load_config(config).gateway.state_dir / "site.sealed"
    sealed.write_bytes(b"cut")
    done = nodes(config, "import", "--replace", tmp_path / "phone.json", text="y\n")
    assert "would be lost: whatever is in it" in done.stderr
    assert sealed.with_name("site.sealed.former").read_bytes() == b"cut"
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("remove", "5x", "--yes"), "not an address like 0x0105"),
        (("remove", "0xc000", "--yes"), "not a unicast address"),
        (("add", "0011"), "16 bytes"),
        (("add", "00" * 16, "--auth", "magic"), "none, static, output, input"),
        (("add", "00" * 16, "--auth", "static"), "static value is needed"),
    ],
)
def test_nonsense_is_told_before_any_agent_is_asked(config: Path, words: tuple[str, ...], told: str) -> None:
    found = nodes(config, *words).exception
    assert isinstance(found, Rejected)
    assert told in str(found)


def test_a_node_that_only_fell_silent_is_not_called_removed_alone(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"node": "0x0105", "reset": True, "last_word": False, "advice": "refresh the keys"}
    monkeypatch.setattr(nodes_cli, "ask", lambda *_, **__: told)
    done = nodes(config, "remove", "0x0105", "--yes")
    assert done.stdout == "0x0105: removed; it fell silent without confirming\n"
    assert "warning: refresh the keys" in done.stderr


def test_the_commands_summaries_are_short_enough_to_be_read_whole() -> None:
    assert "..." not in CliRunner().invoke(app, ["nodes", "--help"]).stdout.split("Commands:")[1]


def test_a_site_without_this_gateway_is_not_imported(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(document(nodes=[node("0105")])))
    assert isinstance(nodes(config, "import", file).exception, Misconfigured)


def test_a_named_site_file_is_not_shadowed(config: Path, tmp_path: Path) -> None:
    named = config.read_text().replace('link = "bluez"', 'link = "bluez"\nsite_file = "phone.json"')
    config.write_text(named)
    done = nodes(config, "import", tmp_path / "phone.json")
    assert "mesh.site_file" in str(done.exception)


def test_a_sealed_site_is_no_file_that_others_may_read(config: Path, tmp_path: Path) -> None:
    nodes(config, "import", tmp_path / "phone.json")
    loaded = load_config(config)
    with pytest.raises(Misconfigured, match=r"broker\."):
        check_files(loaded)  # The sealed file itself is not complained about.


async def test_a_node_is_added_and_removed_through_a_running_agent(tmp_path: Path) -> None:
    clock = SystemClock()
    site = Site(tmp_path, Capabilities(1, static_oob=True), STATIC, clock)
    path = write(tmp_path, TEXT.replace("/elsewhere/", ""))
    socket = load_config(path).socket
    socket.parent.mkdir(parents=True, exist_ok=True)
    api = LocalApi(socket, {}, questions=site.desk.questions())
    serving = asyncio.ensure_future(api.run())
    await api.serving.wait()

    async def command(*words: object, text: str | None = None) -> Result:
        return await asyncio.to_thread(nodes, path, *words, text=text)

    try:
        async with site.running():
            uuid = site.device.uuid.hex()
            found = await command("scan", "--seconds", "1", "--json")
            assert json.loads(found.stdout)[0]["uuid"] == uuid
            added = await command("add", uuid, "--static-oob", "-", "--json", text=STATIC.hex() + "\n")
            assert added.exit_code == 0, (added.output, added.exception)
            assert json.loads(added.stdout) == {"step": "done", "node": "0x0100"}
            again = await command("add", uuid, "--static-oob", "-", text=STATIC.hex())
            assert isinstance(again.exception, MeshtwinError)
            removed = await command("remove", "0x0100", "--yes")
            assert removed.stdout == "0x0100: removed\n"
            refused = await command("remove", "0x0105", text="y\n")
            assert "gateway itself" in str(refused.exception)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize("word", ["scan", "add", "remove", "list", "import", "export"])
def test_each_command_explains_itself_with_an_example(word: str) -> None:
    text = CliRunner().invoke(app, ["nodes", word, "--help"]).stdout
    assert "edge-agent nodes" in text
    assert "Example" in text
