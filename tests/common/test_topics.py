"""Topics are built and parsed alike, and nothing outside the scheme passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import topics
from common.errors import Rejected
from common.topics import BETWEEN_PEERS, SHARDS, Channel, Topic

names = st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?", fullmatch=True)


@given(names, names)
def test_the_durable_stream_is_parsed_as_built(site: str, gateway: str) -> None:
    topic = topics.parse(topics.up(site, gateway))
    assert (topic.site, topic.gateway, topic.channel) == (site, gateway, Channel.UP)
    assert topic.shard == topics.shard_of(gateway)
    assert 0 <= topics.shard_of(gateway) < SHARDS


@given(names, names, names, st.sampled_from(sorted(BETWEEN_PEERS)))
def test_a_peers_topic_names_addressee_and_sender(
    site: str, gateway: str, sender: str, channel: Channel
) -> None:
    assert topics.parse(topics.to_peer(site, gateway, channel, sender)) == Topic(
        site, gateway, channel, sender=sender
    )


@pytest.mark.parametrize("channel", [Channel.STATUS, Channel.COMMAND, Channel.ACK, Channel.DESIRED])
def test_a_topic_without_a_last_level_is_parsed_as_built(channel: Channel) -> None:
    text = topics.of("site-a", "gw-1", channel)
    assert text == f"mt/1/site-a/gw-1/{channel}"
    assert topics.parse(text) == Topic("site-a", "gw-1", channel)


def test_the_scheme_is_as_documented() -> None:
    assert topics.up("site-a", "gw-1") == f"mt/1/site-a/gw-1/up/{topics.shard_of('gw-1')}"
    assert topics.to_peer("site-a", "gw-2", Channel.TASK, "gw-1") == "mt/1/site-a/gw-2/task/gw-1"


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["mt", "1", "a", "", "+", "up", "task"])).map("/".join)
)
def test_any_text_ends_in_a_topic_of_the_scheme_or_a_named_error(text: str) -> None:
    try:
        parsed = topics.parse(text)
    except Rejected:
        return
    assert str(parsed) == text


WRONG_SHARD = (topics.shard_of("gw-1") + 1) % SHARDS


@pytest.mark.parametrize(
    "text",
    [
        "", "mt/1/a/b", "mt/2/a/b/status", "xx/1/a/b/status", "/mt/1/a/b/status", "mt/1/a/b/status/",
        "mt/1/a/b/status/c", "mt/1/a/b/nothing", "mt/1/a/b/Status", "mt/1/+/b/status", "mt/1/a/#/status",
        "mt/1/a//status", "mt/1/a/b/up", f"mt/1/a/gw-1/up/{WRONG_SHARD}", "mt/1/a/b/up/99",
        "mt/1/a/b/offer", "mt/1/a/b/offer/c/d", "mt/1/a/b/offer/+", "$share/g/mt/1/a/b/status",
        "mt/1/a/b/status\n", "mt/1/a/b\n/status",
    ],
)  # fmt: skip
def test_other_topics_are_refused(text: str) -> None:
    with pytest.raises(Rejected):
        topics.parse(text)


@pytest.mark.parametrize("name", ["a", "0", "gw-1", "a.b_c-d", "a" * 64])
def test_good_names_pass(name: str) -> None:
    assert topics.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".", "..", "a/b", "a b", "A", "é", "a\n", "a\0b", "+", "#", "$sys", "a" * 65]
)
def test_names_unsafe_in_topics_files_or_certificates_are_refused(name: str) -> None:
    with pytest.raises(Rejected):
        topics.check_name(name)
