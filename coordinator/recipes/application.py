"""The application of a plan as it stands: how far it came, what is under way, what happened. Kept on disk.

A file a plan, replaced as a whole before every order, so that a coordinator that was killed goes on with the
very command that was under way: its id follows from what is written here. Nothing is sent from here.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from re import DOTALL, compile
from typing import Annotated, Final, Literal

from pydantic import Field

from common.errors import Corrupt, Misconfigured, Rejected, RejectReason
from common.files import make_folder, write_file
from common.logs import get_logger
from coordinator.recipes.judgement import Count, Key
from coordinator.recipes.plan import MAX_STEPS, Plan, PlanStep
from coordinator.section import Section

KEPT: Final = 50
"""Ended applications that can still be looked at."""
MAX_HAPPENINGS: Final = 5000
MAX_BYTES: Final = 64 << 20

State = Literal["applying", "undoing", "applied", "undone", "stuck"]
OPEN: Final = frozenset({"applying", "undoing"})

log = get_logger(__name__)


class Happening(Section):
    """One line of an application's story, at Unix time `t`."""

    t: float
    text: str = Field(max_length=1000)


class Counted(Section):
    """Round trips or messages counted: a node's address, or a flow's ends."""

    key: int | tuple[int, int]
    asked: Annotated[int, Field(ge=0)]
    answered: Annotated[int, Field(ge=0)]


class Application(Section):
    """A plan that is, or was, applied.

    applying: `taken` steps are done and the next is under way · undoing: `taken` are still to be put back ·
    applied: all are done, nothing got worse · undone: all was put back · stuck: some of it could not be put
    back, see the story. `attempt` counts orders of the present step. `baseline` was counted before.
    """

    v: Literal[1] = 1
    id: str = Field(max_length=32, pattern="^[a-z0-9-]+$")
    plan: Plan
    began: float
    state: State = "applying"
    taken: int = Field(0, ge=0, le=MAX_STEPS)
    attempt: int = Field(0, ge=0, le=1000)
    gateway: str = Field("", max_length=64)
    """Who was given the order that is under way."""
    baseline: tuple[Counted, ...] = ()
    unwanted: bool = False
    """Whether the operator wants it put back. Once said, it stays so."""
    reason: str = Field("", max_length=1000)
    """Why it is put back."""
    story: tuple[Happening, ...] = Field((), max_length=MAX_HAPPENINGS)

    @property
    def is_open(self) -> bool:
        """Whether it is still under way."""
        return self.state in OPEN

    @property
    def step(self) -> PlanStep | None:
        """What is to be done, or put back, next; None at the end."""
        if self.state == "undoing":
            return self.plan.steps[self.taken - 1] if self.taken else None
        return self.plan.steps[self.taken] if self.taken < len(self.plan.steps) else None

    @property
    def command_id(self) -> str:
        """The id of the order that is under way: the same after a restart, and no other's."""
        way = "u" if self.state == "undoing" else "s"
        return f"{self.id}.{way}{self.taken}.{self.attempt}"

    def counts(self) -> dict[Key, Count]:
        """The baseline."""
        return {counted.key: Count(counted.asked, counted.answered) for counted in self.baseline}

    def then(self, t: float, text: str, **changed: object) -> Application:
        """This, after something happened."""
        story = (*self.story, Happening(t=t, text=text[:1000]))[-MAX_HAPPENINGS:]
        return self.model_copy(update={**changed, "story": story})


class Book:
    """The folder of applications. One owner: the running coordinator."""

    def __init__(self, folder: Path) -> None:
        """Open the folder. A damaged file is set aside and said: what it held has to be looked at by hand.
        Raises Misconfigured."""
        self._folder = make_folder(folder)
        self._held: dict[str, Application] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                held = _read(path)
            except Corrupt as error:
                log.error("application-unreadable", file=path.name, reason=error)
                _set_aside(path)
            else:
                self._held[held.id] = held

    def all(self) -> list[Application]:
        """The newest first."""
        return sorted(self._held.values(), key=lambda held: -held.began)

    def get(self, application_id: str) -> Application:
        """Raises Rejected(INVALID) for one unknown or forgotten."""
        if (found := self._held.get(application_id)) is None:
            raise Rejected(RejectReason.INVALID, f"application {application_id[:40]!r} is not known")
        return found

    def begin(self, plan: Plan, now: float) -> Application:
        """A new application of `plan`. Raises Rejected(INVALID) while one is under way at its site."""
        for held in self._held.values():
            if held.is_open and held.plan.site == plan.site:
                raise Rejected(
                    RejectReason.INVALID, f"{held.id} is under way at {plan.site}: one at a time and site"
                )
        number = 1 + sum(held.plan.id == plan.id for held in self._held.values())
        application = Application(id=f"{plan.id}-{number}", plan=plan, began=now)
        self.keep(application)
        return application

    def keep(self, application: Application) -> None:
        """Write down how an application stands; that it is unwanted stays, whoever did not hear of it. Raises
        Misconfigured when the disk refuses; then it stands as before."""
        if (held := self._held.get(application.id)) is not None and held.unwanted:
            application = application.model_copy(update={"unwanted": True})
        body = application.model_dump_json().encode()
        content = b'{"sha256": "%s",\n"application": %s}\n' % (sha256(body).hexdigest().encode(), body)
        write_file(self._folder / f"{application.id}.json", content)
        self._held[application.id] = application
        if not application.is_open:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        ended = [held for held in self.all() if not held.is_open]
        for held in ended[KEPT:]:
            del self._held[held.id]
            try:
                (self._folder / f"{held.id}.json").unlink(missing_ok=True)
            except OSError as error:
                log.warning("application-not-removed", id=held.id, reason=error)


_CONTENT: Final = compile(rb'\{"sha256": "([0-9a-f]{64})",\n"application": (.*)\}\n', DOTALL)


def _read(path: Path) -> Application:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", "mend its owner and mode") from error
    found = _CONTENT.fullmatch(content)
    if found is None or sha256(found[2]).hexdigest().encode() != found[1]:
        raise Corrupt("its checksum is wrong")
    try:
        return Application.model_validate_json(found[2])
    except ValueError as error:
        raise Corrupt("it was written by another version") from error


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be moved: {error.strerror}", "mend its owner and mode") from error
