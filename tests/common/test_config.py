"""A configuration file's error tells the operator which key to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, SecretStr, ValidationError

from common.config import MAX_CONFIG_BYTES, load, parse
from common.errors import Misconfigured
from common.topics import check_name
from coordinator.section import Section


class Broker(Section):
    host: str = "localhost"
    port: int = Field(default=8883, ge=1, le=65535)
    password: SecretStr = SecretStr("")


class Monitoring(Section):
    period_s: float = Field(default=1.0, gt=0)


class Agent(Section):
    site: Annotated[str, AfterValidator(check_name)]
    broker: Broker = Broker()
    monitoring: Monitoring | None = None
    peers: list[Broker] = []
    budgets: dict[str, Monitoring] = {}


def problem(text: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse(Agent, text, "agent.toml")
    return str(caught.value)


def test_a_file_becomes_one_immutable_object(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('site = "a"\n[broker]\nport = 1\n')
    agent = load(Agent, path)
    assert (agent.site, agent.broker.port, agent.monitoring) == ("a", 1, None)
    with pytest.raises(ValidationError):
        agent.site = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ('site = "a"\nbrokr = 1', "brokr", "broker"),
        ('site = "a"\n[broker]\nprot = 1', "broker.prot", "port"),
        ('site = "a"\n[monitoring]\nperiod = 1', "monitoring.period", "period_s"),
        ('site = "a"\n[[peers]]\nhosts = "x"', "peers.0.hosts", "host"),
        ('site = "a"\n[budgets.night]\nperiods = 1', "budgets.night.periods", "period_s"),
    ],
)
def test_an_unknown_key_names_the_nearest(text: str, unknown: str, nearest: str) -> None:
    assert f"unknown key '{unknown}', did you mean '{nearest}'?" in problem(text)


def test_an_unknown_key_like_no_other_is_named_alone() -> None:
    assert "unknown key 'zzzz'" in problem('site = "a"\nzzzz = 1')
    assert "did you mean" not in problem('site = "a"\nzzzz = 1')


def test_every_problem_is_named_at_once_with_its_key_and_the_file() -> None:
    text = problem("[broker]\nport = 70000\nhost = 3\n")
    assert "site: field required" in text
    assert "broker.port: input should be less than or equal to 65535" in text
    assert "broker.host: input should be a valid string" in text
    assert "fix: edit agent.toml" in text


def test_a_name_that_is_refused_says_what_names_look_like() -> None:
    assert "a-z 0-9" in problem('site = "A/B"')


def test_values_stay_out_of_errors() -> None:
    assert "hunter2" not in problem('site = "a"\n[broker]\npassword = ["hunter2"]\n')
    assert "hunter2" not in problem('site = "a"\npasword = "hunter2"\n')


def test_secrets_stay_out_of_repr() -> None:
    assert "hunter2" not in repr(parse(Agent, 'site = "a"\n[broker]\npassword = "hunter2"\n'))


def test_broken_toml_names_the_line() -> None:
    assert "line 2" in problem('site = "a"\nbroker =\n')


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "a = {" * 5_000])
def test_hostile_toml_is_a_named_error(text: str) -> None:
    assert "not valid TOML" in problem(text)


@given(st.text(max_size=80))
def test_any_text_ends_in_a_configuration_or_a_named_error(text: str) -> None:
    try:
        parse(Agent, text)
    except Misconfigured as error:
        fix = error.fix
    else:
        fix = "none needed"
    assert fix


def test_a_missing_file_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="does not exist") as caught:
        load(Agent, tmp_path / "none.toml")
    assert "create it" in caught.value.fix


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (MAX_CONFIG_BYTES + 1)])
def test_unreadable_and_oversized_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"agent\.toml"):
        load(Agent, path)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load(Agent, tmp_path)
