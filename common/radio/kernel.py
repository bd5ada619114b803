"""The event loop, compiled by numba. Every compiled function of the simulator is in this module: numba's disk
cache looks at the file of the function that is called, and would serve stale code for changes elsewhere.

One advertising event is one entry of the heap. At its start it is noted as being on air, and nothing else is
done: most of those who hear it know the packet already, and learn nothing. All events are judged the longest
event's time after their start, when all that could disturb them is known, so that the judgements come in the
order of the starts and need no heap; no node acts on a packet sooner, because advertising takes longer to
begin. To judge is to look who could notice the packet and does not know it, and to reconstruct for each of
these what its receiver was at when the packet began, and what disturbed it, from what was on air about then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numba import njit

from common.radio.tables import NEAR, SENT, World

ADVERTISE, SEGMENT, RETRY, RESPOND, ACKNOWLEDGE = 0, 1, 2, 3, 4
"""Kinds of timers."""

REQUEST, RESPONSE, REQUEST_ACK, RESPONSE_ACK = 0, 1, 2, 3
"""What a packet carries. The acknowledgements come in the order of what they acknowledge."""

TIMERS_FULL, AIR_FULL, DELIVERIES_FULL = 1, 2, 3
"""Why a play paused: which table has no room for what may come next."""

KEPT_MS = 30_000.0
"""So long after it was made may a packet still be under way."""

CERTAIN = 60.0
"""Above this ratio of signal to noise no bit of a packet is ever wrong: exp(-30)/2 is 5e-14."""

LOOK_BACK_MS = 10.0
"""A receiver is taken as idle so long before a packet, if it can have been busy without a pause since."""

ROUNDING, ENOUGH = 1e-6, 0.9999
"""What sums in single precision may be off, by far: of a scanning interval, and as a factor."""

CROWD = 4
"""So many receivers of one word, and they are judged together at first."""

BYTE_MS = 0.008
BITS_PER_MS = 1000.0

STEPS = 16.0
RIGHT = BITS_PER_MS * np.log1p(-0.5 * np.exp(-0.5 * np.arange(CERTAIN * STEPS + 2) / STEPS))
"""Log of the chance that all bits of a millisecond are right, by the ratio of signal to noise: bits are wrong
as noncoherent detection of frequencies has it. Straight lines between the steps are a part in 8,000 off."""

DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
BIT = np.zeros(64, np.uint64)
"""Which bit alone is set in a word: at its product with DE_BRUIJN, the upper six bits of it."""
BIT[[((0x03F79D71B4CB0A89 << bit) & (2**64 - 1)) >> 58 for bit in range(64)]] = np.arange(64)

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Nothing is allocated here, so references to arrays need not be counted: that was nine tenths of the time.
_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def _compiled(function: _Function, **more: Any) -> _Function:
    try:
        compiled: _Function = njit(**_OPTIONS, **more)(function)
    except RuntimeError:
        # A service whose file system is read-only has nowhere to keep it: it compiles at every start.
        compiled = njit(**(_OPTIONS | {"cache": False}), **more)(function)
    return compiled


def _inlined(function: _Function) -> _Function:
    # What happens for every transmission becomes part of its caller: to hand the tables on costs too much.
    return _compiled(function, forceinline=True)


@_compiled
def play(world: World, until: float) -> int:
    """Play what happens until then; 0, or which table is too small: go on when it is bigger, or empty."""
    status = world.status[0]
    overflow = 0
    while True:
        soonest, source = math.inf, -1
        if status.timers > 0:
            soonest, source = world.timers[0].time, 0
        if status.air_first != status.air_next:
            end = world.air[status.air_first & (world.air.size - 1)].start + world.site[0].end_after
            if end <= soonest:
                soonest, source = end, 1
        if status.agenda < status.agenda_end and world.agenda[status.agenda].time <= soonest:
            soonest, source = world.agenda[status.agenda].time, 2
        if source < 0 or soonest > until:
            break
        overflow = _too_small(world, source)
        if overflow > 0:
            break
        status.events += 1
        status.clock = max(status.clock, soonest)
        if source == 0:
            what = world.timers[0].what
            if what & 7 == ADVERTISE:
                _advertise(world, what >> 3, soonest)
            else:
                _elapse(world, what, soonest)
        elif source == 1:
            _judge(world)
        else:
            what = world.agenda[status.agenda].what
            status.agenda += 1
            if what >= 0:
                _originate(world, what, soonest)
            else:
                _fail(world, (-1 - what) >> 1, (-1 - what) & 1 == 1, soonest)
    return overflow


@_inlined
def _too_small(world: World, source: int) -> int:
    """Which table might not take what comes of a timer (0), a judgement (1), or the agenda (2)."""
    status, room = world.status[0], 2 * world.ears.size + 8
    too_small = 0
    if status.timers + room >= world.timers.size:
        too_small = TIMERS_FULL
    elif source == 0 and 2 * (status.air_next - status.air_first) >= world.air.size:
        too_small = AIR_FULL  # Half of it remembers what has been judged.
    elif source == 1 and status.deliveries + room > world.deliveries.size:
        too_small = DELIVERIES_FULL
    return too_small


@_inlined
def _uniform(world: World) -> float:
    """In [0, 1): SplitMix64 (Steele, Lea and Flood, 2014)."""
    state = world.status[0].random + np.uint64(0x9E3779B97F4A7C15)
    world.status[0].random = state
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return np.float64(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)


# ---- timers: a binary heap, the earliest first


@_inlined
def _push(world: World, time: float, what: int) -> None:
    timers = world.timers
    place = np.uint64(world.status[0].timers)
    world.status[0].timers += 1
    timers[place + np.uint64(1)].time = math.inf
    while place > 0:
        parent = (place - np.uint64(1)) >> np.uint64(1)
        if timers[parent].time <= time:
            break
        timers[place].time, timers[place].what = timers[parent].time, timers[parent].what
        place = parent
    timers[place].time, timers[place].what = time, what


@_inlined
def _replace_first(world: World, time: float, what: int) -> None:
    timers, size = world.timers, np.uint64(world.status[0].timers)
    place, child = np.uint64(0), np.uint64(1)
    while child < size:
        # Behind the last one there is always one at no time.
        child += np.uint64(timers[child + np.uint64(1)].time < timers[child].time)
        if timers[child].time >= time:
            break
        timers[place].time, timers[place].what = timers[child].time, timers[child].what
        place = child
        child = np.uint64(2) * place + np.uint64(1)
    timers[place].time, timers[place].what = time, what


@_inlined
def _drop_first(world: World) -> None:
    last = world.status[0].timers - 1
    time, what = world.timers[last].time, world.timers[last].what
    world.status[0].timers, world.timers[last].time = last, math.inf
    if last > 0:
        _replace_first(world, time, what)


@_compiled
def _elapse(world: World, what: int, now: float) -> None:
    """A timer of the transport layer."""
    kind, direction, segment, row = what & 7, (what >> 3) & 1, (what >> 4) & 63, what >> 10
    _drop_first(world)
    if kind == SEGMENT:
        _send_segment(world, row, direction, segment, now)
    elif kind == RETRY:
        _retry(world, row, direction, now)
    elif kind == RESPOND:
        _respond(world, row, now)
    else:
        _acknowledge(world, row, direction, now)


@_inlined
def _what(kind: int, row: int, direction: int, segment: int) -> int:
    return ((row * 64 + segment) * 2 + direction) * 8 + kind


# ---- nodes: advertising sets, queues, failures


@_inlined
def _advertise(world: World, number: int, now: float) -> None:
    """A set's advertising event is due: now, or when this node's other one has ended."""
    sets = world.sets
    node = sets[number].node
    relayed = 1 if number != node * world.site[0].sets else 0
    if sets[number].due != now or sets[number].left == 0:
        _drop_first(world)  # The node has failed since.
    elif world.nodes[node].sending_until > now:
        sets[number].due = world.nodes[node].sending_until
        _replace_first(world, sets[number].due, number << 3)
    else:
        until = _transmit(world, node, number, now)
        sets[number].left -= 1
        queue = 2 * node + relayed
        if sets[number].left > 0:
            interval = sets[number].interval
            due = max(now + interval + world.site[0].delay * _uniform(world), until)
            sets[number].due = due
            _replace_first(world, due, number << 3)
        elif world.queues[queue].length == 0:
            _drop_first(world)
        else:
            place = world.queues[queue].first
            world.queues[queue].first = _after(place, world.waiting.shape[1])
            world.queues[queue].length -= 1
            serial, ttl = world.waiting[queue, place].serial, world.waiting[queue, place].ttl
            due = _load(world, number, relayed, serial, ttl, world.waiting[queue, place].hops, until)
            _replace_first(world, due, number << 3)


@_inlined
def _after(place: int, size: int) -> int:
    """The next place of a ring."""
    return place + 1 if place + 1 < size else 0


@_inlined
def _load(world: World, number: int, relayed: int, serial: int, ttl: int, hops: int, now: float) -> float:
    """Put a packet into a set; when its first advertising event is due."""
    sets, site = world.sets, world.site[0]
    # Never before what has happened already, however short the wait is.
    due = max(now + site.wait + site.delay * _uniform(world), world.status[0].clock)
    sets[number].serial, sets[number].ttl, sets[number].hops = serial, ttl, hops
    if relayed:
        node = sets[number].node
        sets[number].left, sets[number].interval = (
            world.nodes[node].relay_count,
            world.nodes[node].relay_interval,
        )
    else:
        packet = world.packets[serial & (world.packets.size - 1)]
        sets[number].left, sets[number].interval = packet.count, packet.interval
    sets[number].due = due
    return float(due)


@_inlined
def _enqueue(world: World, node: int, relayed: int, serial: int, ttl: int, hops: int, now: float) -> None:
    """Give a packet to a free advertising set, or to the queue before them."""
    first = node * world.site[0].sets
    begin = first + relayed
    end = first + world.site[0].sets if relayed else first + 1
    for number in range(begin, end):
        if world.sets[number].left == 0:
            due = _load(world, number, relayed, serial, ttl, hops, now)
            _push(world, due, number << 3)
            return
    queue, room = 2 * node + relayed, world.waiting.shape[1]
    if world.queues[queue].length == room:
        world.status[0].dropped += 1
        return
    place = world.queues[queue].first + world.queues[queue].length
    place -= room if place >= room else 0
    world.queues[queue].length += 1
    waiting = world.waiting[queue, place]
    waiting.serial, waiting.ttl, waiting.hops = serial, ttl, hops


@_compiled
def _fail(world: World, node: int, up: bool, now: float) -> None:
    """A node dies, or comes back with nothing in mind."""
    world.nodes[node].alive = up
    for number in range(node * world.site[0].sets, (node + 1) * world.site[0].sets):
        world.sets[number].left = 0
        world.sets[number].due = -1.0
    world.queues[2 * node].length = 0
    world.queues[2 * node + 1].length = 0
    ear = world.nodes[node].ear
    if ear >= 0:
        world.ears[ear].up = now if up else math.inf
        for place in range(world.cache.shape[1]):
            _forget(world, ear, place)


# ---- the air


@_inlined
def _transmit(world: World, node: int, number: int, now: float) -> float:
    """An advertising event on three channels; when it ends."""
    status, site = world.status[0], world.site[0]
    serial = world.sets[number].serial
    airtime = BYTE_MS * world.packets[serial & (world.packets.size - 1)].size
    until = now + 3.0 * airtime + 2.0 * site.gap
    world.nodes[node].sending_until = until
    ear = world.nodes[node].ear
    if ear >= 0:
        for place in range(SENT - 1):
            world.ears[ear].deaf_from[place] = world.ears[ear].deaf_from[place + 1]
            world.ears[ear].deaf_for[place] = world.ears[ear].deaf_for[place + 1]
        world.ears[ear].deaf_from[SENT - 1], world.ears[ear].deaf_for[SENT - 1] = now, until - now
    event = world.air[status.air_next & (world.air.size - 1)]
    event.start, event.airtime, event.serial = now, airtime, serial
    event.node = world.nodes[node].column
    event.ttl, event.hops = world.sets[number].ttl, world.sets[number].hops
    status.air_next += 1
    status.transmissions += 1
    status.on_air += airtime
    return float(until)


@_inlined
def _judge(world: World) -> None:
    """Judge the advertising event that began first, at all who could notice it and do not know its packet."""
    number = world.status[0].air_first
    world.status[0].air_first += 1
    event = world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    slot = np.uint64(event.serial) & np.uint64(world.packets.size - 1)
    if world.packets[slot].serial == event.serial:
        world.status[0].before = world.status[0].around = -1
        for word in range(np.uint64(world.hearers.shape[1])):
            left = world.hearers[event.node, word] & ~world.seen[slot, word]
            if _is_crowd(left):
                left &= _not_drowned(world, number, word, left)
            picked = 0
            while left != 0:
                lowest = left & (~left + np.uint64(1))
                left ^= lowest
                ear = (word << np.uint64(6)) + BIT[(lowest * DE_BRUIJN) >> np.uint64(58)]
                picked = _pick(world, number, ear, picked)
            for place in range(picked):
                _listen(world, number, int(slot), place)


@_inlined
def _is_crowd(ears: np.uint64) -> bool:
    """Whether there are so many of them that it pays to judge the word as a whole."""
    for _ in range(CROWD - 1):
        ears &= ears - np.uint64(1)
    return bool(ears != 0)


@_inlined
def _not_drowned(world: World, number: int, word: Any, left: np.uint64) -> np.uint64:
    """Which ears of a word may notice an advertising event, all 64 at a time, by sums that are surely too
    small. Who turns to another channel meanwhile is left to a closer look."""
    site, lanes, first = world.site[0], world.lanes, word << np.uint64(6)
    earliest = _sum_lanes(world, number, word, left)
    if earliest == math.inf:
        return ~np.uint64(0)
    event = world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    rounding = ROUNDING * site.scan_interval
    last = event.start + 2.0 * (event.airtime + site.gap) + rounding
    recently = np.float32(last - earliest + rounding)
    now = np.float32(last - site.scan_interval * math.floor(last * 3.0 * site.rotations))
    interval, ratio = np.float32(site.scan_interval), np.float32(ENOUGH * site.sync_ratio)
    kept = np.uint64(0)
    for lane in range(np.uint64(64)):
        since = now + world.turns[first + lane]
        since -= interval if since >= interval else np.float32(0.0)
        may = (since < recently) | (world.power[event.node, first + lane] >= ratio * lanes[lane])
        kept |= np.uint64(may) << lane
    return kept


@_inlined
def _sum_lanes(world: World, number: int, word: Any, left: np.uint64) -> float:
    """Into `lanes`: the noise of each ear of a word, and what is on air there as an advertising event begins,
    whatever channel the ear is on; of those only that one of `left` can notice. Since when, or never."""
    if world.status[0].before < 0:
        _gather_before(world, number)
    event = world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    floor, earliest = np.float32(world.site[0].floor), math.inf
    for lane in range(np.uint64(64)):
        world.lanes[lane] = floor
    for entry in range(np.uint64(world.status[0].before)):
        other = world.around[entry]
        left_over = other.start - event.start + other.airtime
        sure = (left_over > 0.0) & (left_over + 2.0 * (other.airtime - event.airtime) > 0.0)
        if sure & (world.hearers[other.node, word] & left != 0):
            earliest = other.start
            _add(world.lanes, world.power, other.node, word << np.uint64(6))
    return earliest


@_compiled
def _add(lanes: Any, power: Any, node: int, first: Any) -> None:
    # Not inlined: the compiler sees only where there is nothing else that it can add sixteen at a time.
    for lane in range(np.uint64(64)):
        lanes[lane] += power[node, first + lane]


@_inlined
def _pick(world: World, number: int, ear: int, picked: int) -> int:
    """Note a receiver if it may get a packet of an advertising event; how many are noted by now.

    It must not send, nor be at another packet that it is known to have noticed. What chance decides is drawn
    beforehand: most weak packets are lost whatever disturbs them. Decisions that nobody can foresee cost a
    processor more than needless sums, so all that can be is worked out without.
    """
    site, event = world.site[0], world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    step = event.airtime + site.gap
    turned = event.start + world.ears[ear].phase
    turned -= 3.0 * site.scan_interval * math.floor(turned * site.rotations)
    channel = math.floor(turned * 3.0 * site.rotations)
    since = turned - channel * site.scan_interval
    if since + 2.0 * step >= site.scan_interval or since + channel * step >= site.scan_window:
        return int(_pick_turning(world, number, ear, turned, picked))
    start = event.start + channel * step
    return _note(world, number, ear, channel, start, event.start - since, picked)


@_compiled
def _pick_turning(world: World, number: int, ear: int, turned: float, picked: int) -> int:
    """The same for a receiver that turns from channel to channel, or to rest, meanwhile."""
    site, event = world.site[0], world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    rotation, step = 3.0 * site.scan_interval, event.airtime + site.gap
    for channel in range(3):
        since = turned + channel * step
        since -= (rotation if since >= rotation else 0.0) + channel * site.scan_interval
        if 0.0 <= since < site.scan_window:
            start = event.start + channel * step
            picked = _note(world, number, ear, float(channel), start, start - since, picked)
    return picked


@_inlined
def _note(
    world: World, number: int, ear: int, channel: float, start: float, turned: float, picked: int
) -> int:
    event, listener = world.air[np.uint64(number) & np.uint64(world.air.size - 1)], world.ears[ear]
    power, stop = np.float64(world.power[event.node, ear]), start + event.airtime
    place = min(power / listener.floor, CERTAIN) * STEPS
    luck = math.inf if _is_faded(world, ear, event.node) else _luck(world)
    # No chance is above 1 / (1 - its logarithm).
    possible = luck * (1.0 - event.airtime * RIGHT[np.uint64(place)]) < 1.0
    possible &= (listener.held <= start) & (listener.up <= start)
    for sent in range(SENT):
        began = listener.deaf_from[sent]
        possible &= (began >= stop) | (began + np.float64(listener.deaf_for[sent]) <= start)
    noted = world.picked[np.uint64(picked)]
    noted.start, noted.turned, noted.power, noted.luck = start, turned, power, luck
    noted.channel, noted.ear = channel, ear
    return picked + (1 if possible else 0)


@_compiled
def _listen(world: World, number: int, slot: int, place: int) -> None:
    """A packet at a receiver that may get it."""
    noted, event = world.picked[place], world.air[np.uint64(number) & np.uint64(world.air.size - 1)]
    ear, start, power = noted.ear, noted.start, noted.power
    floor, stop = np.float64(world.ears[ear].floor), start + event.airtime
    if world.status[0].before < 0:
        _gather_before(world, number)
    count, noise, loudest = _present(world, ear, noted.channel, power, start, noted.turned)
    if count < 0:
        return
    if loudest >= world.site[0].sync_ratio * floor:
        # Otherwise it was idle: nothing on air could have been noticed.
        earlier = _came_before(world, number, ear, noted.channel, power, start, noted.turned)
        if earlier < 0 or (earlier > 0 and not _is_noticed(world, ear, earlier, power, start)):
            return
    if world.site[0].receiver_lock:
        world.ears[ear].held = stop
    if world.status[0].around < 0:
        _gather_later(world, number)
    count, noise = _joined_by(world, ear, noted.channel, count, noise, stop)
    chance = 0.0
    if power < CERTAIN * noise:
        # All that disturbs, all the time: worse than it is.
        chance = event.airtime * _right(power, noise)
        if noted.luck >= 1.0 + chance:
            chance = _chance(world, count, power, floor, start, stop, noted.luck)
    if _is_below(noted.luck, chance) and (
        world.site[0].receiver_lock or not _is_captured(world, count, power, start)
    ):
        if (world.seen[slot, ear >> 6] >> np.uint64(ear & 63)) & np.uint64(1) == 0:
            _receive(world, ear, slot, event.node, event.ttl, event.hops, stop)
    elif _is_below(noted.luck, event.airtime * _right(power, floor)):
        world.status[0].collisions += 1


@_compiled
def _gather_before(world: World, number: int) -> None:
    """Collect, latest first, the events that began before one and overlap it on some channel."""
    air, around, site = world.air, world.around, world.site[0]
    mask = np.uint64(air.size - 1)
    event = air[np.uint64(number) & mask]
    start, airtime, count = event.start, event.airtime, 0
    earliest = start - 3.0 * site.longest + 2.0 * airtime
    for back in range(1, min(number, air.size // 2)):
        other = air[np.uint64(number - back) & mask]
        if other.start <= earliest or count == NEAR:
            break
        kept = around[np.uint64(count)]
        kept.start, kept.airtime, kept.node = other.start, other.airtime, other.node
        count += _overlap(other.start - start, other.airtime, airtime)
    world.status[0].before = count


@_compiled
def _gather_later(world: World, number: int) -> None:
    """Add those that began later."""
    air, around, site = world.air, world.around, world.site[0]
    mask = np.uint64(air.size - 1)
    event = air[np.uint64(number) & mask]
    start, airtime, count = event.start, event.airtime, world.status[0].before
    latest = start + 3.0 * airtime - 2.0 * site.shortest
    for later in range(number + 1, world.status[0].air_next):
        other = air[np.uint64(later) & mask]
        if other.start >= latest or count == 2 * NEAR - 1:
            break
        kept = around[np.uint64(count)]
        kept.start, kept.airtime, kept.node = other.start, other.airtime, other.node
        count += _overlap(other.start - start, other.airtime, airtime)
    world.status[0].around = count


@_inlined
def _overlap(later: float, other: float, airtime: float) -> int:
    """1 if an event that begins later (ms) than one may meet it on some channel, by their air times."""
    last = later + 2.0 * (other - airtime)
    return 1 if (min(later, last) < airtime) & (max(later, last) > -other) else 0


@_inlined
def _present(
    world: World, ear: int, channel: float, power: float, start: float, turned: float
) -> tuple[int, float, float]:
    """The signals that are on air as a packet begins: how many, what they come to with the noise, and the
    loudest. They are in `near`. How many is -1 if they drown the packet."""
    near, gap, ratio = world.near, world.site[0].gap, world.site[0].sync_ratio
    noise: float = np.float64(world.ears[ear].floor)
    loudest, count = 0.0, 0
    for entry in range(np.uint64(world.status[0].before)):
        other = world.around[entry]
        if not _is_heard(world, ear, other.node):
            continue
        strength: float = np.float64(world.power[other.node, ear])
        began = other.start + channel * (other.airtime + gap)
        ended = began + other.airtime
        present = (began >= turned) & (ended > start)
        signal = near[np.uint64(count)]
        signal.start, signal.stop, signal.power = began, ended, strength
        count += 1 if present else 0
        strength = strength if present else 0.0
        noise += strength
        loudest = max(loudest, strength)
        if power < ratio * noise:
            count = -1
            break
    return count, noise, loudest


@_inlined
def _joined_by(
    world: World, ear: int, channel: float, count: int, noise: float, stop: float
) -> tuple[int, float]:
    """Add the signals that begin during a packet: how many there are now, and what all come to together."""
    near, gap, status = world.near, world.site[0].gap, world.status[0]
    for entry in range(np.uint64(status.before), np.uint64(status.around)):
        other = world.around[entry]
        if not _is_heard(world, ear, other.node):
            continue
        strength = np.float64(world.power[other.node, ear])
        began = other.start + channel * (other.airtime + gap)
        present = began < stop
        signal = near[np.uint64(count)]
        signal.start, signal.stop, signal.power = began, began + other.airtime, strength
        count += 1 if present else 0
        noise += strength if present else 0.0
    return count, noise


@_inlined
def _luck(world: World) -> float:
    """A packet arrives if this is below its chance."""
    luck = _uniform(world)
    if world.site[0].burst_loss > 0.0 and _uniform(world) < world.site[0].burst_loss:
        luck = math.inf
    return luck


@_inlined
def _is_faded(world: World, ear: int, node: int) -> bool:
    """Whether a packet is one of those that a link loses whatever its mean signal."""
    return bool(world.site[0].fading and _uniform(world) < world.fades[node, ear])


@_inlined
def _is_below(luck: float, log_chance: float) -> bool:
    """Whether it is below the chance of which this is the log: mostly plain without the exponential."""
    below = luck < 1.0 + log_chance
    if not below and luck * (1.0 - log_chance) < 1.0:
        below = luck < math.exp(log_chance)
    return below


@_inlined
def _is_captured(world: World, count: int, power: float, start: float) -> bool:
    """Whether a later packet is so strong that the receiver turns to it."""
    captured = False
    for place in range(np.uint64(count)):
        signal = world.near[place]
        captured |= (signal.start > start) & (signal.power >= world.site[0].capture_ratio * power)
    return captured


@_inlined
def _is_deaf(world: World, ear: int, start: float, stop: float) -> bool:
    """Whether the receiver's own node sends at some time between."""
    deaf = False
    for sent in range(SENT):
        began = world.ears[ear].deaf_from[sent]
        deaf |= (began < stop) & (began + np.float64(world.ears[ear].deaf_for[sent]) > start)
    return deaf


@_inlined
def _came_before(
    world: World, number: int, ear: int, channel: int, power: float, start: float, turned: float
) -> int:
    """Collect, latest first, the signals that began before, until there is a moment when nothing that can be
    received was on air: the receiver was idle then. How many there are; -1: they drown the packet."""
    air, earlier, gap = world.air, world.earlier, world.site[0].gap
    ratio, noise = world.site[0].sync_ratio, np.float64(world.ears[ear].floor)
    least, needed, count = ratio * noise, start, 0
    reach = channel * (world.site[0].longest + gap) + world.site[0].longest
    limit = start - LOOK_BACK_MS
    mask = np.uint64(air.size - 1)
    for back in range(1, min(number, air.size // 2)):
        event = air[np.uint64(number - back) & mask]
        if event.start + reach <= needed or event.start < limit:
            break
        if not _is_heard(world, ear, event.node):
            continue
        began = event.start + channel * (event.airtime + gap)
        ended = began + event.airtime
        if began >= turned and ended > needed and count < NEAR:
            other = np.float64(world.power[event.node, ear])
            signal = earlier[np.uint64(count)]
            signal.start, signal.stop, signal.power = began, ended, other
            count += 1
            if ended > start:
                noise += other
                if power < ratio * noise:
                    count = -1
                    break
            if other >= least and began < needed:
                needed = began
    return count


@_inlined
def _is_heard(world: World, ear: int, node: int) -> bool:
    """Whether anything of a node comes here; fewer bytes than the powers themselves."""
    return bool(world.audible[ear, node >> np.uint32(6)] >> np.uint64(node & np.uint32(63)) & np.uint64(1))


@_inlined
def _is_noticed(world: World, ear: int, before: int, power: float, start: float) -> bool:
    """Whether the receiver is free as a packet begins, and the packet surpasses what else is on air.

    Goes once more through what was receivable before: a receiver that is free takes what it can notice.
    """
    site, near = world.site[0], world.earlier
    floor = world.ears[ear].floor
    busy, held = -math.inf, 0.0
    for place in range(before - 1, -2, -1):
        # The last of them is the packet in question.
        now = near[place].start if place >= 0 else start
        strength = near[place].power if place >= 0 else power
        if strength < site.sync_ratio * floor:
            continue
        free = busy <= now or (not site.receiver_lock and strength >= site.capture_ratio * held)
        if not free or (place >= 0 and _is_deaf(world, ear, now, near[place].stop)):
            if place < 0:
                return False
            continue
        noise = floor
        for other in range(before):
            if other != place and near[other].start <= now < near[other].stop:
                noise += near[other].power
        if strength >= site.sync_ratio * noise:
            busy, held = near[place].stop if place >= 0 else start, strength
        elif place < 0:
            return False
    return True


@_inlined
def _chance(
    world: World, count: int, power: float, floor: float, start: float, stop: float, luck: float
) -> float:
    """Log of the chance that all bits are right: stretch by stretch between the changes of what disturbs, as
    long as it can still matter."""
    near = world.near
    chance, now = 0.0, start
    while now < stop and luck * (1.0 - chance) < 1.0:
        level, until = floor, stop
        for place in range(np.uint64(count)):
            began, ended = near[place].start, near[place].stop
            present = began <= now < ended
            level += near[place].power if present else 0.0
            change = ended if present else began
            until = change if now < change < until else until
        chance += (until - now) * _right(power, level)
        now = until
    return chance


@_inlined
def _right(power: float, noise: float) -> float:
    """Log of the chance that all bits of a millisecond are right: from a table, between its entries."""
    log_chance = 0.0
    if power < CERTAIN * noise:
        place = power / noise * STEPS
        entry = np.uint64(place)
        part = place - np.float64(entry)
        log_chance = RIGHT[entry] * (1.0 - part) + RIGHT[entry + np.uint64(1)] * part
    return log_chance


# ---- the network layer


@_compiled
def _receive(world: World, ear: int, slot: int, sender: int, ttl: int, hops: int, now: float) -> None:
    """A packet that this node has not in its cache: remember it, take it, and pass it on."""
    serial, destination = world.packets[slot].serial, world.packets[slot].destination
    audience, node = world.packets[slot].audience, world.ears[ear].node
    place = world.nodes[node].cache_next
    _forget(world, ear, place)
    world.cache[ear, place] = serial
    world.nodes[node].cache_next = _after(place, world.cache.shape[1])
    bit = np.uint64(1) << np.uint64(ear & 63)
    taken_before = world.taken[slot, ear >> 6] & bit != 0
    world.seen[slot, ear >> 6] |= bit
    if not taken_before and (
        destination == node or (audience >= 0 and world.members[audience, node].belongs)
    ):
        world.taken[slot, ear >> 6] |= bit
        _take(world, node, slot, world.power[sender, ear], hops, now)
    if destination == node:
        return  # Relays do not pass on what is for them alone (Mesh Protocol 1.1, 3.4.6.3).
    if ttl >= 2 and world.nodes[node].relay:
        _enqueue(world, node, 1, serial, ttl - 1, hops + 1, now)


@_inlined
def _forget(world: World, ear: int, place: int) -> None:
    """What a node has forgotten it may pass on once more, but it is not taken again."""
    serial = world.cache[ear, place]
    # Serials are given in turn, so that this says whether the slot is still the packet's.
    if serial > 0 and world.status[0].serial - serial < world.packets.size:
        slot = serial & (world.packets.size - 1)
        world.seen[slot, ear >> 6] &= ~(np.uint64(1) << np.uint64(ear & 63))
    world.cache[ear, place] = 0


@_compiled
def _new_packet(
    world: World,
    node: int,
    flow: Any,
    kind: int,
    row: int,
    segment: int,
    destination: int,
    size: int,
    now: float,
) -> int:
    """Number a packet and hand it to its node's own advertising set; its slot."""
    world.status[0].serial += 1
    serial = world.status[0].serial
    slot = serial & (world.packets.size - 1)
    packet = world.packets[slot]
    if packet.serial > 0 and now < packet.made + KEPT_MS:
        world.status[0].crowded = True
    packet.made, packet.audience = now, flow.audience if kind == REQUEST else -1
    packet.count, packet.interval = world.nodes[node].own_count, world.nodes[node].own_interval
    if kind == REQUEST and flow.count > 0:
        packet.count, packet.interval = flow.count, flow.interval
    packet.serial, packet.kind, packet.row, packet.segment = serial, kind, row, segment
    packet.destination, packet.size = destination, size
    for word in range(world.seen.shape[1]):
        world.seen[slot, word] = world.taken[slot, word] = 0
    ear = world.nodes[node].ear
    if ear >= 0:
        world.seen[slot, ear >> 6] = np.uint64(1) << np.uint64(ear & 63)
    _enqueue(world, node, 0, serial, flow.ttl, 1, now)
    return int(slot)


# ---- messages: whole or in segments, acknowledged or not


@_compiled
def _originate(world: World, message: int, now: float) -> None:
    flow = world.flows[world.messages[message].flow]
    row = world.messages[message].first_row
    if row < 0:
        row = -1 - world.messages[message].number
    if not world.nodes[flow.source].alive:
        return
    world.messages[message].sent = True
    if flow.nobody:
        return
    if flow.segments[0] == 1:
        _new_packet(world, flow.source, flow, REQUEST, row, 0, flow.destination, flow.last_size[0], now)
    else:
        _send_segment(world, row, 0, 0, now)


@_compiled
def _respond(world: World, row: int, now: float) -> None:
    flow = world.flows[world.messages[world.rows[row].message].flow]
    node = world.rows[row].node
    if not world.nodes[node].alive:
        return
    if flow.segments[1] == 1:
        _new_packet(world, node, flow, RESPONSE, row, 0, flow.source, flow.last_size[1], now)
    else:
        _send_segment(world, row, 1, 0, now)


@_compiled
def _send_segment(world: World, row: int, direction: int, segment: int, now: float) -> None:
    """Send the first segment from this one on that is not acknowledged; then go on, or wait for an answer."""
    flow = world.flows[world.messages[world.rows[row].message].flow]
    node = world.rows[row].node if direction else flow.source
    destination = flow.source if direction else flow.destination
    if not world.nodes[node].alive:
        return
    last = flow.segments[direction] - 1
    segment = _unacknowledged(world, row, direction, segment, last)
    if segment <= last:
        size = flow.last_size[direction] if segment == last else world.site[0].full_bytes
        kind = RESPONSE if direction else REQUEST
        _new_packet(world, node, flow, kind, row, segment, destination, size, now)
        segment = _unacknowledged(world, row, direction, segment + 1, last)
    if segment <= last:
        _push(world, now + world.site[0].segment_interval, _what(SEGMENT, row, direction, segment))
    else:
        _push(world, now + flow.retry[direction], _what(RETRY, row, direction, 0))


@_compiled
def _unacknowledged(world: World, row: int, direction: int, segment: int, last: int) -> int:
    while segment <= last and (world.transfers[row, direction].acknowledged >> segment) & 1:
        segment += 1
    return segment


@_compiled
def _retry(world: World, row: int, direction: int, now: float) -> None:
    """Not everything was acknowledged in time. Groups never acknowledge: they get it all again."""
    flow = world.flows[world.messages[world.rows[row].message].flow]
    transfer = world.transfers[row, direction]
    whole = (1 << flow.segments[direction]) - 1
    if transfer.acknowledged != whole and transfer.tries < world.site[0].segment_retries:
        transfer.tries += 1
        _send_segment(world, row, direction, 0, now)


@_compiled
def _acknowledge(world: World, row: int, direction: int, now: float) -> None:
    """Tell the sender which segments have come."""
    flow = world.flows[world.messages[world.rows[row].message].flow]
    node = world.rows[row].node
    receiver, sender = (flow.source, node) if direction else (node, flow.source)
    world.transfers[row, direction].timed = False
    if not world.nodes[receiver].alive:
        return
    kind = RESPONSE_ACK if direction else REQUEST_ACK
    size = world.site[0].acknowledgement_bytes
    slot = _new_packet(world, receiver, flow, kind, row, 0, sender, size, now)
    world.packets[slot].mask = world.transfers[row, direction].got


@_compiled
def _take(world: World, node: int, slot: int, power: float, hops: int, now: float) -> None:
    """A packet has come to where it was to go."""
    kind, row, destination = (
        world.packets[slot].kind,
        world.packets[slot].row,
        world.packets[slot].destination,
    )
    if row < 0:
        _log(world, -1 - row, node, power, hops, now)
        return
    sent = world.messages[world.rows[row].message].time
    if world.packets[slot].made < sent:
        return  # It comes so late that its row is another message's by now.
    if kind >= REQUEST_ACK:
        world.transfers[row, kind - REQUEST_ACK].acknowledged |= world.packets[slot].mask
        return
    if destination < 0:
        row += world.members[world.packets[slot].audience, node].place
    flow = world.flows[world.messages[world.rows[row].message].flow]
    taken = world.rows[row]
    if flow.segments[kind] > 1 and not _assembled(
        world, row, kind, world.packets[slot].segment, destination >= 0, now
    ):
        return
    if kind == RESPONSE:
        if math.isnan(taken.round_trip):
            taken.round_trip = now - sent
    elif math.isnan(taken.one_way):
        taken.one_way, taken.hops = now - sent, hops
        if world.site[0].live:
            _log(world, world.messages[taken.message].number, node, power, hops, now)
        if flow.acknowledged:
            pause = flow.response_delay
            if destination < 0:
                spread = world.site[0].group_response_to - world.site[0].group_response_from
                pause += world.site[0].group_response_from + spread * _uniform(world)
            _push(world, now + pause, _what(RESPOND, row, 0, 0))


@_inlined
def _log(world: World, message: int, node: int, power: float, hops: int, now: float) -> None:
    delivery = world.deliveries[world.status[0].deliveries]
    world.status[0].deliveries += 1
    delivery.time, delivery.power = now, power
    delivery.message, delivery.node, delivery.hops = message, node, hops


@_compiled
def _assembled(world: World, row: int, direction: int, segment: int, unicast: bool, now: float) -> bool:
    """Add a segment; whether that completes the message. A unicast one is acknowledged: soon, or then."""
    count = world.flows[world.messages[world.rows[row].message].flow].segments[direction]
    transfer = world.transfers[row, direction]
    transfer.got |= 1 << segment
    complete = transfer.got == (1 << count) - 1
    if unicast and complete:
        _acknowledge(world, row, direction, now)
    elif unicast and not transfer.timed:
        transfer.timed = True
        pause = min(count - 0.5, world.site[0].acknowledge_after) * world.site[0].segment_interval
        _push(world, now + pause, _what(ACKNOWLEDGE, row, direction, 0))
    return bool(complete)
