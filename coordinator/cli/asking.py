"""Many questions at once, as a command puts them: with a bar, and an end at once when Ctrl-C comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


def answers(
    questions: Sequence[Q], ask: Callable[[Q], A], at_once: int, tell: Callable[[float, str], None]
) -> list[A]:
    """The answers, in the order of the questions. Raises the first error that any of them ended with.

    `ask` is called in threads that nobody waits for: what an interrupted command had asked is left to end by
    itself, and nothing more is asked.
    """
    waiting: SimpleQueue[tuple[int, Q] | None] = SimpleQueue()
    told: SimpleQueue[tuple[int, A | BaseException, bool]] = SimpleQueue()

    def work() -> None:
        while (job := waiting.get()) is not None:
            number, question = job
            try:
                told.put((number, ask(question), True))
            except BaseException as error:
                told.put((number, error, False))

    threads = min(max(1, at_once), len(questions))
    for _ in range(threads):
        Thread(target=work, name="asking", daemon=True).start()
    found: dict[int, A] = {}
    try:
        todo = iter(enumerate(questions))
        for job in islice(todo, threads):
            waiting.put(job)
        while len(found) < len(questions):
            number, answer, went_well = told.get()
            if not went_well:
                assert isinstance(answer, BaseException)
                raise answer
            found[number] = answer  # type: ignore[assignment]
            tell(len(found) / len(questions), f"{len(found)} of {len(questions)}")
            for job in islice(todo, 1):
                waiting.put(job)
    finally:
        for _ in range(threads):
            waiting.put(None)
    return [found[number] for number in range(len(questions))]
