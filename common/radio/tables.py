"""The kernel's tables: a record for each link, node, packet and so on. Times in ms, powers in mW.

Nodes are indices into `scenario.nodes`. A packet is known by its serial number, and kept in the slot that the
serial's low bits name: old packets are forgotten when their slot is wanted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NEAR = 128
"""How many signals before a packet, and how many during it, are looked at: more of them drown it anyhow."""

LINE = 64
"""Bytes of a line of the processor's cache."""

SENT = 3
"""How many of its own advertising events a node remembers: those that can matter when others' are judged."""


def _record(**fields: Any) -> np.dtype[np.void]:
    return np.dtype(list(fields.items()), align=True)


SITE = _record(
    floor=np.float64,  # thermal and steady noise, as in EAR: the least that any ear has
    sync_ratio=np.float64,
    capture_ratio=np.float64,
    burst_loss=np.float64,
    scan_interval=np.float64,
    scan_window=np.float64,
    rotations=np.float64,  # over the three channels, in a millisecond
    gap=np.float64,
    wait=np.float64,
    delay=np.float64,
    shortest=np.float64,  # air time of a packet
    longest=np.float64,
    end_after=np.float64,  # from the start of an advertising event until its receptions are judged
    segment_interval=np.float64,
    acknowledge_after=np.float64,  # segments
    group_response_from=np.float64,
    group_response_to=np.float64,
    nodes=np.int64,
    sets=np.int64,  # advertising sets of a node: the first for its own messages, the others to relay
    segment_retries=np.int64,
    full_bytes=np.int64,
    acknowledgement_bytes=np.int64,
    receiver_lock=np.bool_,
    live=np.bool_,  # deliveries are logged
    fading=np.bool_,  # some of `World.fades` are above 0
)

NODE = _record(
    sending_until=np.float64,
    own_interval=np.float32,
    relay_interval=np.float32,
    own_count=np.int8,
    relay_count=np.int8,
    cache_next=np.int32,
    ear=np.int32,  # or -1: nothing that it hears can matter
    column=np.int32,  # where its powers are: those that relay lie together, for the processor's caches
    relay=np.bool_,
    alive=np.bool_,
)

EAR = _record(
    held=np.float64,  # until then it is at a packet that it has noticed
    up=np.float64,  # since when; never, if it is dead
    deaf_from=(np.float64, (SENT,)),  # its own advertising events, the latest last
    deaf_for=(np.float32, (SENT,)),
    phase=np.float32,  # where its scanning is at the beginning
    floor=np.float32,  # noise, as much worse as the detector is than an ideal one
    node=np.int32,
)
"""A receiver whose reception can matter: 64 bytes, a line of the processor's cache."""

PICKED = _record(
    start=np.float64,
    turned=np.float64,  # to the channel
    power=np.float64,
    luck=np.float64,
    channel=np.float64,
    ear=np.int64,
)
"""A receiver that may get a packet, unless something disturbs it."""

ADVERTISING_SET = _record(
    due=np.float64,
    serial=np.int64,
    interval=np.float32,
    left=np.int32,
    ttl=np.int16,
    hops=np.int16,
    node=np.int32,
)

QUEUE = _record(first=np.int32, length=np.int32)
"""Two a node: its own messages, and those to relay."""

WAITING = _record(serial=np.int64, ttl=np.int16, hops=np.int16)

PACKET = _record(
    serial=np.int64,
    row=np.int64,  # below 0: -1 - number of a message that is delivered to the log alone
    mask=np.int64,  # of a segment acknowledgement
    made=np.float64,
    destination=np.int32,  # a node, or -1 - group
    audience=np.int32,  # the group of those who take it, or -1: the destination alone
    interval=np.float32,
    size=np.int32,  # bytes on air
    count=np.int16,  # advertising events at its source
    kind=np.int16,
    segment=np.int16,
)

ON_AIR = _record(
    start=np.float64, serial=np.int64, airtime=np.float64, node=np.uint32, ttl=np.int16, hops=np.int16
)
"""An advertising event, from its start until nothing depends on it any more."""

AROUND = _record(start=np.float64, airtime=np.float64, node=np.uint32)
"""An advertising event that overlaps the one that is judged."""

SIGNAL = _record(start=np.float64, stop=np.float64, power=np.float64)

TIMER = _record(time=np.float64, what=np.int64)

MEMBER = _record(belongs=np.bool_, place=np.int32)
"""By group, then node: whether it belongs, and which row of a message is its."""

FLOW = _record(
    response_delay=np.float64,
    source=np.int32,
    destination=np.int32,
    segments=(np.int32, (2,)),  # of the request and of the response
    last_size=(np.int32, (2,)),  # bytes on air of the last segment
    audience=np.int32,  # as in PACKET
    ttl=np.int32,
    retry=(np.float32, (2,)),  # from the last segment until missing ones are sent again
    interval=np.float32,
    count=np.int32,  # advertising events of each packet at the source; 0: as the node is configured
    nobody=np.bool_,  # has no recipient but the source itself
    acknowledged=np.bool_,
)

MESSAGE = _record(time=np.float64, number=np.int64, first_row=np.int64, flow=np.int32, sent=np.bool_)
"""By time, and one after the last. In a live play: by slot; `first_row` -1: told to the log alone."""

ROW = _record(one_way=np.float64, round_trip=np.float64, message=np.int64, node=np.int32, hops=np.int32)
"""One for each recipient of a message; NaN where nothing came."""

TRANSFER = _record(got=np.int64, acknowledged=np.int64, tries=np.int32, timed=np.bool_)
"""Two a row, there and back: segments received, segments known to be, and the state of the timers."""

AGENDA = _record(time=np.float64, what=np.int64)
"""What is to happen, by time: a message, or -1 - 2 * node - (1 if it comes up): a failure."""

DELIVERY = _record(time=np.float64, message=np.int64, power=np.float32, node=np.int32, hops=np.int32)
"""The log of a live play: first receptions by those who take a message, as they are judged."""

STATUS = _record(
    random=np.uint64,
    clock=np.float64,
    events=np.int64,
    transmissions=np.int64,
    collisions=np.int64,
    dropped=np.int64,
    on_air=np.float64,  # sum of the air times of all advertising events, on one channel
    serial=np.int64,
    timers=np.int64,
    air_first=np.int64,
    air_next=np.int64,
    agenda=np.int64,  # what is next of it
    agenda_end=np.int64,
    deliveries=np.int64,
    before=np.int64,  # those of `World.around` that began before what is judged; -1: not collected yet
    around=np.int64,  # all of them; the same
    crowded=np.bool_,  # a packet's slot was wanted that may still be needed
)


def aligned(size: int, record: np.dtype[np.void]) -> NDArray[np.void]:
    """A table of zeros whose entries do not straddle more lines of the processor's cache than they must."""
    space = np.zeros(size * record.itemsize + LINE, np.uint8)
    first = -space.ctypes.data % LINE
    return space[first : first + size * record.itemsize].view(record)


def aligned_copy(table: NDArray[np.void]) -> NDArray[np.void]:
    """The same entries, so placed."""
    copy = aligned(len(table), table.dtype)
    copy[:] = table
    return copy


class World(NamedTuple):
    """All that a play reads and writes."""

    site: NDArray[np.void]
    status: NDArray[np.void]
    nodes: NDArray[np.void]
    ears: NDArray[np.void]
    power: NDArray[np.float32]  # transmitter, ear; 0: nothing. An ear for each bit of the words, and more
    turns: NDArray[np.float32]  # ear: how long before time 0 it last turned to a channel; as many
    lanes: NDArray[np.float32]  # to sum what disturbs a word of ears
    audible: NDArray[np.uint64]  # ear, word: a bit for each transmitter of any power there
    hearers: NDArray[np.uint64]  # transmitter, word: a bit for each ear that can notice it
    sets: NDArray[np.void]
    queues: NDArray[np.void]
    waiting: NDArray[np.void]  # queue, place
    packets: NDArray[np.void]
    fades: NDArray[np.float32]  # transmitter, ear: share of packets that never come, however strong
    seen: NDArray[np.uint64]  # packet slot, word: a bit for each ear whose node has it in its cache
    taken: NDArray[np.uint64]  # the same: it was delivered there
    cache: NDArray[np.int64]  # ear, place: serials, the oldest overwritten first
    air: NDArray[np.void]
    picked: NDArray[np.void]
    around: NDArray[np.void]  # to judge one advertising event
    near: NDArray[np.void]  # to judge one packet
    earlier: NDArray[np.void]  # to find what its receiver was at when it began
    timers: NDArray[np.void]
    members: NDArray[np.void]  # group, node
    flows: NDArray[np.void]
    messages: NDArray[np.void]
    rows: NDArray[np.void]
    transfers: NDArray[np.void]  # row, direction
    agenda: NDArray[np.void]
    deliveries: NDArray[np.void]
