"""Questions between the nodes of a simulated site: a silent neighbour is asked for a sign of life before it
is told lost. When to ask is decided in `counting`; this carries questions and answers over the links.

Both are single-hop and go on air as often as a probe.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from firmware_bridge.access.link_monitor import MONITOR_REPORTS, Lost, ProbeAnswer, ProbeRequest
from firmware_bridge.neighbours import Doubt, Loss, Telling
from firmware_bridge.virtual.air import Heard
from firmware_bridge.virtual.counting import DETECTION
from firmware_bridge.virtual.node import THINKING_S, VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

_MARGIN_S: Final = 0.05

ANSWER_PAUSE_S: Final = 0.1
"""One answer is for all who ask within this time."""


class Doubts:
    """Schedules questions, answers and lost reports on the site's agenda, and counts the first two."""

    def __init__(self, site: VirtualSite) -> None:
        self._site = site
        self._answers_again: dict[int, float] = {}
        self._open_until = 0.0
        self._telling = {address: Telling(DETECTION, site.now) for address in site.nodes}
        self.questions = 0
        self.untold = 0
        """Losses that were not told because their node had told too many; reports tell of them."""
        self.answered: Counter[int] = Counter()
        """Answers by node."""

    @property
    def answers(self) -> int:
        """Of all nodes."""
        return self.answered.total()

    @property
    def open(self) -> bool:
        """Whether a loss may be told soon."""
        return self._site.now < self._open_until

    def expect(self, delay_s: float) -> None:
        """Somebody will doubt in so many seconds."""
        self._open_until = max(self._open_until, self._site.now + delay_s + DETECTION.answer_s + _MARGIN_S)

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
        """Put a question on air."""
        self.questions += 1
        self.expect(0.0)
        asked = self._site.nodes[transmitter]
        question = ProbeRequest(transmitter)
        self._site.say(receiver, question, lambda _: self._asked(asked), to=transmitter)

    def _asked(self, node: VirtualNode) -> None:
        site, now = self._site, self._site.now
        silent = not node.monitors or not site.speaks(node.address)
        if silent or now < self._answers_again.get(node.address, 0.0):
            return
        self._answers_again[node.address] = now + ANSWER_PAUSE_S
        self.answered[node.address] += 1
        site.after(site.random.uniform(*THINKING_S), self._answer, node, node.deaths)

    def _answer(self, node: VirtualNode, deaths: int) -> None:
        """A sign of life to all who hear it, unless the node died before it."""
        if node.deaths != deaths:
            return

        def reassure(heard: Heard) -> None:
            receiver = self._site.nodes[heard.node]
            if receiver.monitors:
                receiver.counts.alive(node.address)

        settings = node.monitor
        answer = ProbeAnswer(node.sequence, settings.period_units, settings.transmissions)
        self._site.say(node, answer, reassure)

    def _repeat(self, receiver: VirtualNode, transmitter: int) -> None:
        loss = receiver.counts.loss(transmitter)
        if loss is not None and receiver.monitors and self._site.speaks(receiver.address):
            self._tell(receiver, loss)

    def _tell(self, receiver: VirtualNode, loss: Loss) -> None:
        if not self._telling[receiver.address].allows(self._site.now):
            self.untold += 1
            return
        share = round(255 * loss.share_before)
        lost = Lost(loss.transmitter, min(loss.missed, 255), share)
        self._site.publish(receiver.address, MONITOR_REPORTS, lost)
