"""Letters to peers never crowd out what heals, and never grow without bound."""

from __future__ import annotations

from edge_agent.share.post import ON_WAY, ON_WAY_BYTES, WAITING, WAITING_BYTES, Letter, Post

BIG = bytes(40 * 1024)


def test_letters_go_in_order_and_no_more_are_on_their_way_than_allowed() -> None:
    post = Post()
    for number in range(3):
        assert post.put(f"t/{number}", BIG)
    for mid in (1, 2):
        letter = post.next()
        assert letter is not None
        assert letter.topic == f"t/{mid - 1}"
        post.sent(mid, letter)
    assert post.next() is None
    post.acknowledged(1, None)
    assert post.next() == Letter("t/2", BIG)


def test_small_letters_leave_the_durable_stream_its_publications() -> None:
    post, sent = Post(), 0
    for _ in range(ON_WAY * 2):
        post.put("t", b"x")
    while (letter := post.next()) is not None:
        post.sent(sent, letter)
        sent += 1
    assert sent == ON_WAY


def test_a_full_post_refuses_the_newest_and_counts_it() -> None:
    post = Post()
    assert all(post.put("t", b"x") for _ in range(WAITING))
    assert not post.put("t", b"x")
    assert post.dropped == 1
    assert len(post) == WAITING


def test_its_bytes_are_bounded_too() -> None:
    post = Post()
    while post.put("t", BIG):
        pass
    assert len(post) * len(BIG) <= WAITING_BYTES


def test_a_lost_connection_frees_what_was_on_its_way_and_refusals_are_counted() -> None:
    post = Post()
    post.put("t", bytes(ON_WAY_BYTES))
    letter = post.next()
    assert letter is not None
    post.sent(7, letter)
    post.put("t", b"next")
    assert post.next() is None
    post.disconnected()
    assert post.next() == Letter("t", b"next")
    post.sent(8, Letter("t", b"next"))
    post.acknowledged(8, "Not authorized")
    post.acknowledged(99, None)
    assert post.refused == 1
