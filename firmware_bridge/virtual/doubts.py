"""Questions between the nodes of a simulated site: a silent neighbour is asked for a sign of life before it
is told lost. When to ask is decided in `counting`; this carries questions and answers over the links.

Both are single-hop and go on air as often as a probe. An answer is drawn only for neighbours to whom it makes
a difference: all others would forget it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firmware_bridge.access.link_monitor import MONITOR_REPORTS, Lost
from firmware_bridge.neighbours import Doubt, Loss
from firmware_bridge.virtual.counting import DETECTION
from firmware_bridge.virtual.flood import AIRTIME_S, SEND_DELAY_S
from firmware_bridge.virtual.node import VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

PUBLISH_INTERVAL_S: Final = 0.05
"""Between the transmissions of one publication."""

ANSWER_PAUSE_S: Final = 0.1
"""One answer is for all who ask within this time."""


class Doubts:
    """Schedules questions, answers and lost reports on the site's agenda, and counts the first two."""

    def __init__(self, site: VirtualSite) -> None:
        self._site = site
        self._answers_again: dict[int, float] = {}
        self.questions = 0
        self.answers = 0

    def suspect(self, receiver: VirtualNode, transmitter: int) -> None:
        """The grace of a probe that `receiver` missed is over."""
        if receiver.monitors and self._site.speaks(receiver.address):
            self._follow(receiver, receiver.counts.suspect(transmitter, self._site.now))

    def _unanswered(self, receiver: VirtualNode, transmitter: int) -> None:
        if receiver.monitors and self._site.speaks(receiver.address):
            self._follow(receiver, receiver.counts.unanswered(transmitter, self._site.now))

    def _follow(self, receiver: VirtualNode, found: Doubt | Loss | None) -> None:
        match found:
            case Doubt(transmitter):
                self._ask(receiver, transmitter)
                self._site.after(DETECTION.answer_s, self._unanswered, receiver, transmitter)
            case Loss(transmitter):
                self._tell(receiver, found)
                delay = self._site.random.uniform(*DETECTION.repeat_s)
                self._site.after(delay, self._repeat, receiver, transmitter)

    def _ask(self, receiver: VirtualNode, transmitter: int) -> None:
        """Put a question on air; it comes with the first of its transmissions that is received."""
        self.questions += 1
        site = self._site
        pdr, delay = site.links.pdr(receiver.address, transmitter), self._send_delay()
        for transmission in range(receiver.monitor.transmissions):
            if site.random.random() < pdr:
                later = delay + transmission * PUBLISH_INTERVAL_S
                site.after(later, self._asked, site.nodes[transmitter])
                return

    def _asked(self, node: VirtualNode) -> None:
        site, now = self._site, self._site.now
        silent = not node.monitors or not site.speaks(node.address)
        if silent or now < self._answers_again.get(node.address, 0.0):
            return
        self._answers_again[node.address] = now + ANSWER_PAUSE_S
        self.answers += 1
        site.after(self._send_delay(), self._answer, node, node.monitor.transmissions, node.deaths)

    def _answer(self, node: VirtualNode, transmissions: int, deaths: int) -> None:
        """One transmission of an answer, unless the node died before it."""
        site = self._site
        if node.deaths != deaths:
            return
        for address, pdr in site.links.out.get(node.address, {}).items():
            receiver = site.nodes[address]
            if receiver.monitors and receiver.counts.doubts(node.address) and site.random.random() < pdr:
                receiver.counts.alive(node.address)
        if transmissions > 1:
            site.after(PUBLISH_INTERVAL_S, self._answer, node, transmissions - 1, deaths)

    def _repeat(self, receiver: VirtualNode, transmitter: int) -> None:
        loss = receiver.counts.loss(transmitter)
        if loss is not None and receiver.monitors and self._site.speaks(receiver.address):
            self._tell(receiver, loss)

    def _tell(self, receiver: VirtualNode, loss: Loss) -> None:
        share = round(255 * loss.share_before)
        lost = Lost(loss.transmitter, min(loss.missed, 255), share)
        self._site.publish(receiver.address, MONITOR_REPORTS, lost)

    def _send_delay(self) -> float:
        return self._site.random.uniform(*SEND_DELAY_S) + AIRTIME_S
