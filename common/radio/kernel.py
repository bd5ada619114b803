"""The event loop, compiled by numba. Every compiled function of the simulator is in this module: numba's disk
cache looks at the file of the function that is called, and would serve stale code for changes elsewhere.

One advertising event is one entry of the heap and is worked out at its start, for all three channels: who
begins to receive what, and who is disturbed. Its receptions are judged after it has ended, when all that
could disturb them is known. All events are judged the longest event's time after their start, so that the
judgements come in the order of the starts and need no heap; no node acts on a packet sooner, because
advertising takes longer to begin.

A node's neighbours are sorted by the phase of their scanning. Those that listen on a channel at a moment are
therefore neighbours in memory too, and nobody else is visited.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numba import njit

from common.radio.tables import FAR_MS, FAR_SHARE, SIGNALS, World

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

NEGLIGIBLE = 0.003
"""Signals from far that are this weak on average, against the noise, are none."""

BYTE_MS = 0.008
BITS_PER_MS = 1000.0

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
            end = world.air[status.air_first & (world.air.size - 1)].end
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
                _fail(world, (-1 - what) >> 1, (-1 - what) & 1 == 1)
    return overflow


@_inlined
def _too_small(world: World, source: int) -> int:
    """Which table might not take what comes of a timer (0), a judgement (1), or the agenda (2)."""
    status, air, room = world.status[0], world.air, 2 * world.ears.size + 8
    oldest = air[status.air_first & (air.size - 1)].first_reception
    on_air = status.air_next - status.air_first
    too_small = 0
    if status.timers + room > world.timers.size:
        too_small = TIMERS_FULL
    elif source == 0 and (
        on_air >= air.size - 1 or (on_air > 0 and status.receptions - oldest + room > world.receptions.size)
    ):
        too_small = AIR_FULL
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
    place = world.status[0].timers
    world.status[0].timers = place + 1
    while place > 0:
        parent = (place - 1) >> 1
        if timers[parent].time <= time:
            break
        timers[place].time, timers[place].what = timers[parent].time, timers[parent].what
        place = parent
    timers[place].time, timers[place].what = time, what


@_inlined
def _replace_first(world: World, time: float, what: int) -> None:
    timers, size = world.timers, world.status[0].timers
    place, child = 0, 1
    while child < size:
        if child + 1 < size and timers[child + 1].time < timers[child].time:
            child += 1
        if timers[child].time >= time:
            break
        timers[place].time, timers[place].what = timers[child].time, timers[child].what
        place = child
        child = 2 * place + 1
    timers[place].time, timers[place].what = time, what


@_inlined
def _drop_first(world: World) -> None:
    last = world.status[0].timers - 1
    world.status[0].timers = last
    if last > 0:
        _replace_first(world, world.timers[last].time, world.timers[last].what)


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
    node = number // world.site[0].sets
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
            world.queues[queue].first = (place + 1) % world.waiting.shape[1]
            world.queues[queue].length -= 1
            serial, ttl = world.waiting[queue, place].serial, world.waiting[queue, place].ttl
            due = _load(world, number, relayed, serial, ttl, world.waiting[queue, place].hops, until)
            _replace_first(world, due, number << 3)


@_inlined
def _load(world: World, number: int, relayed: int, serial: int, ttl: int, hops: int, now: float) -> float:
    """Put a packet into a set; when its first advertising event is due."""
    sets, site = world.sets, world.site[0]
    # Never before what has happened already, however short the wait is.
    due = max(now + site.wait + site.delay * _uniform(world), world.status[0].clock)
    sets[number].serial, sets[number].ttl, sets[number].hops = serial, ttl, hops
    if relayed:
        node = number // site.sets
        sets[number].left, sets[number].interval = (
            world.nodes[node].relay_count,
            world.nodes[node].relay_interval,
        )
    else:
        packet = world.packets[serial & (world.packets.size - 1)]
        sets[number].left, sets[number].interval = packet.count, packet.interval
    sets[number].due = due
    return float(due)


@_compiled
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
    place = (world.queues[queue].first + world.queues[queue].length) % room
    world.queues[queue].length += 1
    waiting = world.waiting[queue, place]
    waiting.serial, waiting.ttl, waiting.hops = serial, ttl, hops


@_compiled
def _fail(world: World, node: int, up: bool) -> None:
    """A node dies, or comes back with nothing in mind."""
    world.nodes[node].alive = up
    for number in range(node * world.site[0].sets, (node + 1) * world.site[0].sets):
        world.sets[number].left = 0
        world.sets[number].due = -1.0
    world.queues[2 * node].length = 0
    world.queues[2 * node + 1].length = 0
    ear = world.nodes[node].ear
    if ear >= 0:
        world.receptions[world.ears[ear].lock].lost = True
        _leave(world, ear)
        world.ears[ear].busy = 0.0 if up else math.inf
        for place in range(world.cache.shape[1]):
            _forget(world, ear, place)


# ---- the air


@_inlined
def _transmit(world: World, node: int, number: int, now: float) -> float:
    """An advertising event on three channels; when it ends."""
    status, site = world.status[0], world.site[0]
    serial = world.sets[number].serial
    slot = serial & (world.packets.size - 1)
    airtime = BYTE_MS * world.packets[slot].size
    until = now + 3.0 * airtime + 2.0 * site.gap
    _deafen(world, node, now, until)
    place = status.air_next & (world.air.size - 1)
    world.air[place].end, world.air[place].serial = now + site.end_after, serial
    world.air[place].ttl, world.air[place].hops = world.sets[number].ttl, world.sets[number].hops
    world.air[place].first_reception = status.receptions
    status.air_next += 1
    world.air[place].node = node
    status.transmissions += 1
    status.on_air += airtime
    if site.far:
        status.far_faded = math.exp((status.far_time - now) / FAR_MS)
    _sound(world, node, serial, now, airtime)
    if site.far:
        _murmur(world, node, now)
    return float(until)


@_inlined
def _deafen(world: World, node: int, now: float, until: float) -> None:
    """A node that sends does not hear: what it is receiving is lost."""
    ear = world.nodes[node].ear
    world.nodes[node].sending_until = until
    if ear >= 0:
        if world.ears[ear].busy > now:
            world.receptions[world.ears[ear].lock].lost = True
        _leave(world, ear)
        world.ears[ear].busy = until


@_inlined
def _leave(world: World, ear: int) -> None:
    """Note in a reception how good its chances are, as the receiver turns to something else."""
    ears, receptions = world.ears, world.receptions
    receptions[ears[ear].lock].chance = ears[ear].chance
    ears[ear].lock = receptions.size - 1


@_inlined
def _sound(world: World, node: int, serial: int, now: float, airtime: float) -> None:
    """Visit who listens on each channel as its packet begins."""
    first, last = world.nodes[node].first_link, world.nodes[node + 1].first_link
    interval, window = world.site[0].scan_interval, world.site[0].scan_window
    rotation = 3.0 * interval
    place = now - rotation * math.floor(now / rotation)
    link = first
    # Two passes a channel, as the phases go round.
    for part in range(6 if last > first else 0):
        channel = part >> 1
        later = channel * (airtime + world.site[0].gap)
        low = channel * interval - place - later
        low += rotation if low < 0.0 else 0.0
        high = low + window
        if part & 1:
            high -= rotation
            if high <= 0.0:
                continue
            link = first
        elif part == 0:
            link = _from_phase(world, first, last, low)
        else:
            # Where the last channel's listeners end, this one's begin, or nearly.
            while link > first and world.links[link - 1].phase >= low:
                link -= 1
            while link < last and world.links[link].phase < low:
                link += 1
        link = _arrive(world, link, last, high, serial, now + later, now + later + airtime)


@_inlined
def _from_phase(world: World, low: int, high: int, phase: float) -> int:
    """The first link in [low, high) whose receiver's phase is not below."""
    while low < high:
        middle = (low + high) >> 1
        if world.links[middle].phase < phase:
            low = middle + 1
        else:
            high = middle
    return low


@_inlined
def _arrive(world: World, link: int, last: int, phase: float, serial: int, start: float, stop: float) -> int:
    """A packet's start at the receivers below a phase: each begins to receive it, or is disturbed by it.

    Half of the decisions could go either way, which costs a processor more than a needless sum: what can be
    is worked out without branches, and one decision is left.
    """
    links, ears, site = world.links, world.ears, world.site[0]
    lock, ratio = site.receiver_lock, site.sync_ratio
    nobody = world.receptions.size - 1
    row = (serial & (world.packets.size - 1)) * ears.size
    while link < last and links[link].phase < phase:
        ear, power = links[link].ear, links[link].power
        link += 1
        noise = ears[ear].powers[0] * np.float32(ears[ear].ends[0] > start)
        noise += ears[ear].powers[1] * np.float32(ears[ear].ends[1] > start)
        noise += ears[ear].powers[2] * np.float32(ears[ear].ends[2] > start)
        left = ears[ear].busy - start
        free = left <= 0.0
        if not lock and not free:
            free = _taken_over(world, ear, power, left)
            noise += world.receptions[ears[ear].lock].power * np.float32(free)
        if free & (power >= ratio * (ears[ear].floor + noise)):
            if lock and world.seen[row + ear] == serial:
                # It listens to the end and learns nothing: nothing needs to be judged.
                _leave(world, ear)
                ears[ear].busy = stop
            else:
                _lock(world, ear, power, noise, start, stop)
        else:
            if left > 0.0 and ears[ear].lock != nobody:
                _spoil(world, ear, power, left)
            _disturb(ears, ear, power, stop)
    return link


@_inlined
def _lock(world: World, ear: int, power: float, noise: float, start: float, stop: float) -> None:
    """Receive, unless somebody far is on air whom the packet does not surpass."""
    ears, receptions, site = world.ears, world.receptions, world.site[0]
    floor = ears[ear].floor
    before, during, each = 0, 0, 0.0
    if site.far:
        before, during, each = _far_signals(world, ear)
    _leave(world, ear)
    if power < site.sync_ratio * (floor + noise + before * each):
        _disturb(ears, ear, power, stop)
    else:
        chance = (stop - start) * _right(power, floor)
        # Who was on air before stops before. The latest is the last to stop: the others come on top of it.
        level, mean, place = floor, 0.0, ears[ear].oldest
        for _ in range(SIGNALS):
            place = place - 1 if place > 0 else SIGNALS - 1
            left = ears[ear].ends[place] - start
            if left > 0.0:
                other = ears[ear].powers[place]
                chance += left * (_right(power, level + other) - _right(power, level))
                level += other
                mean += other * left / (stop - start)
        if before + during > 0:
            # Each of these overlaps a half on average.
            left = 0.5 * (before + during)
            chance += (
                left * (stop - start) * (_right(power, floor + mean + each) - _right(power, floor + mean))
            )
            mean += left * each
        reception = world.status[0].receptions & (receptions.size - 2)
        world.status[0].receptions += 1
        ears[ear].busy, ears[ear].lock = stop, reception
        ears[ear].noise, ears[ear].chance = mean, chance
        receptions[reception].start, receptions[reception].end = start, stop
        receptions[reception].power = power
        receptions[reception].ear, receptions[reception].lost = ear, False


@_inlined
def _spoil(world: World, ear: int, power: float, left: float) -> None:
    """A packet begins while another is received: it adds to what disturbs that, until the end."""
    ears = world.ears
    received = world.receptions[ears[ear].lock].power
    before = ears[ear].floor + ears[ear].noise
    ears[ear].chance += left * (_right(received, before + power) - _right(received, before))
    ears[ear].noise += power


@_inlined
def _right(power: float, noise: float) -> float:
    """Log of the chance that all bits of a millisecond are right."""
    log_chance = 0.0
    if power < CERTAIN * noise:
        log_chance = BITS_PER_MS * math.log1p(-0.5 * math.exp(-0.5 * power / noise))
    return log_chance


@_inlined
def _far_signals(world: World, ear: int) -> tuple[int, int, float]:
    """How many signals of far transmitters are on air as a packet begins, how many come during it, and their
    power: drawn from the mean of what was lately sent."""
    mean = world.far_now[ear] * world.status[0].far_faded
    before, during, each = 0, 0, 0.0
    if mean > NEGLIGIBLE * world.site[0].noise:
        each = world.far_squared[ear] / world.far_now[ear]
        share = mean / each
        before = _poisson(world, share)
        during = _poisson(world, share)
    return before, during, each


@_inlined
def _poisson(world: World, mean: float) -> int:
    """Knuth's way: fit for small means."""
    limit, number = math.exp(-mean), 0
    product = _uniform(world)
    while product > limit and number < 1000:
        number += 1
        product *= _uniform(world)
    return number


@_inlined
def _taken_over(world: World, ear: int, power: float, left: float) -> bool:
    """Whether a packet is so strong that the receiver leaves the one that it is at."""
    locked, nobody = world.ears[ear].lock, world.receptions.size - 1
    taken = False
    if locked != nobody and power >= world.site[0].capture_ratio * world.receptions[locked].power:
        taken = True
        world.receptions[locked].lost = True
        world.status[0].collisions += 1
        _disturb(world.ears, ear, world.receptions[locked].power, world.ears[ear].busy)
    return taken


@_inlined
def _disturb(ears: Any, ear: int, power: float, stop: float) -> None:
    """Remember a signal that is not received, in place of the oldest."""
    place = ears[ear].oldest
    ears[ear].oldest = place + 1 if place + 1 < SIGNALS else 0
    ears[ear].ends[place] = stop
    ears[ear].powers[place] = power


@_inlined
def _murmur(world: World, node: int, now: float) -> None:
    """Note whom this transmitter disturbs from far; what was before fades."""
    faded = np.float32(world.status[0].far_faded)
    world.status[0].far_time = now
    far, far_now, far_squared = world.far[node], world.far_now, world.far_squared
    once = np.float32(1.0 / FAR_SHARE)
    for ear in range(far_now.size):
        power = far[ear]
        far_now[ear] = far_now[ear] * faded + power
        far_squared[ear] = far_squared[ear] * faded + power * power * once


@_inlined
def _judge(world: World) -> None:
    """Judge the receptions of the advertising event that ended first."""
    status, air, receptions = world.status[0], world.air, world.receptions
    mask = air.size - 1
    place = status.air_first & mask
    status.air_first += 1
    first = air[place].first_reception
    last = status.receptions
    if status.air_first < status.air_next:
        last = air[(place + 1) & mask].first_reception
    serial = air[place].serial
    slot = serial & (world.packets.size - 1)
    if world.packets[slot].serial == serial:
        for index in range(first, last):
            reception = index & (receptions.size - 2)
            ear = receptions[reception].ear
            if world.ears[ear].lock == reception:
                _leave(world, ear)
            if receptions[reception].lost or world.seen[slot * world.ears.size + ear] == serial:
                continue
            if _decoded(world, reception) and not _faded(world, air[place].node, ear):
                _receive(world, ear, slot, reception, air[place].ttl, air[place].hops)


@_inlined
def _decoded(world: World, reception: int) -> bool:
    """Whether every bit was right."""
    site, receptions = world.site[0], world.receptions
    decoded, chance = True, receptions[reception].chance
    if site.burst_loss > 0.0 and _uniform(world) < site.burst_loss:
        decoded = False
    elif chance < 0.0:
        draw = _uniform(world)
        decoded = draw < math.exp(chance)
        if not decoded:
            length = receptions[reception].end - receptions[reception].start
            clear = length * _right(receptions[reception].power, world.ears[receptions[reception].ear].floor)
            world.status[0].collisions += 1 if draw < math.exp(clear) else 0
    return decoded


@_inlined
def _faded(world: World, node: int, ear: int) -> bool:
    """Whether a packet is one of those that a link loses whatever its mean signal."""
    return bool(world.site[0].fading and _uniform(world) < world.fades[node, ear])


# ---- the network layer


@_compiled
def _receive(world: World, ear: int, slot: int, reception: int, ttl: int, hops: int) -> None:
    """A packet that this node has not in its cache: remember it, take it, and pass it on."""
    serial, destination = world.packets[slot].serial, world.packets[slot].destination
    audience, now = world.packets[slot].audience, world.receptions[reception].end
    node = world.owners[ear]
    place = world.nodes[node].cache_next
    _forget(world, ear, place)
    world.cache[ear, place] = serial
    world.nodes[node].cache_next = (place + 1) % world.cache.shape[1]
    taken_before = world.seen[slot * world.ears.size + ear] == -serial
    world.seen[slot * world.ears.size + ear] = serial
    if not taken_before and (
        destination == node or (audience >= 0 and world.members[audience, node].belongs)
    ):
        _take(world, node, slot, reception, hops, now)
    if destination == node:
        return  # Relays do not pass on what is for them alone (Mesh Protocol 1.1, 3.4.6.3).
    if ttl >= 2 and world.nodes[node].relay:
        _enqueue(world, node, 1, serial, ttl - 1, hops + 1, now)


@_inlined
def _forget(world: World, ear: int, place: int) -> None:
    serial = world.cache[ear, place]
    entry = (serial & (world.packets.size - 1)) * world.ears.size + ear
    if serial > 0 and world.seen[entry] == serial:
        # It was here: it may be passed on once more, but it is not taken again.
        world.seen[entry] = -serial
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
    if world.nodes[node].ear >= 0:
        world.seen[slot * world.ears.size + world.nodes[node].ear] = serial
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
def _take(world: World, node: int, slot: int, reception: int, hops: int, now: float) -> None:
    """A packet has come to where it was to go."""
    kind, row, destination = (
        world.packets[slot].kind,
        world.packets[slot].row,
        world.packets[slot].destination,
    )
    if row < 0:
        _log(world, -1 - row, node, reception, hops)
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
            _log(world, world.messages[taken.message].number, node, reception, hops)
        if flow.acknowledged:
            pause = flow.response_delay
            if destination < 0:
                spread = world.site[0].group_response_to - world.site[0].group_response_from
                pause += world.site[0].group_response_from + spread * _uniform(world)
            _push(world, now + pause, _what(RESPOND, row, 0, 0))


@_inlined
def _log(world: World, message: int, node: int, reception: int, hops: int) -> None:
    delivery = world.deliveries[world.status[0].deliveries]
    world.status[0].deliveries += 1
    delivery.time, delivery.power = world.receptions[reception].end, world.receptions[reception].power
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
