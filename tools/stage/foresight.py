"""The demo's learning chapters: a model is trained, released, loaded, and acts ahead of a decaying link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from common.errors import MeshtwinError, TimedOut, Unavailable
from common.mesh.addresses import show
from common.models.words import UNLESS_WORSE
from coordinator.cli.model_tables import learnt
from tools.stage import decay
from tools.stage.fleet import Fleet, command
from tools.stage.patient import until
from tools.stage.story import Story
from tools.stage.virtual import VirtualStage

NEED: Final = 0.9
"""The default of `policy.delivery_need`."""

LOAD_WITHIN_S: Final = 60.0
TRIAL_WITHIN_S: Final = 45.0
SETTLE_S: Final = 60.0
"""After which the step to what a decay begins with tells no more."""

NAME: Final = "link-forecast"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """How a decay went: seconds after its begin. `without_link` is what the flow then gets without the link
    that decays, `forecaster` whose forecast was in use."""

    changed_s: float
    hurts_s: float
    relays: tuple[int, ...]
    without_link: float
    forecaster: str

    @property
    def lead_s(self) -> float:
        """How far ahead the relay set changed."""
        return self.hurts_s - self.changed_s


async def teach(fleet: Fleet, story: Story) -> dict[str, Any]:
    """Train a model on what was collected, release it, and wait until every agent has loaded it."""
    state = ["--state", str(fleet.state)]
    begun = story.seconds
    made = json.loads(await command("coordinator", "models", "train", "--quick", "--json", *state))
    trained_s = story.seconds - begun
    story.tell(
        f"trained in {trained_s:.0f} s on {learnt(made['rows'])}; released with coordinator models release:"
    )
    story.plain(await _release(story, state))
    for agent in fleet.agents:
        await until(fleet, agent, _has_loaded, LOAD_WITHIN_S)
    states = {agent: _state(await fleet.ask_agent(agent, "status")) for agent in fleet.agents}
    loaded_s = story.seconds - begun - trained_s
    story.tell(
        f"{len(states)} agents fetched it, checked it and loaded it {loaded_s:.1f} s later; they use it "
        f"{UNLESS_WORSE}"
    )
    return {"trained_s": round(trained_s, 1), "rows": made["rows"], "loaded": sorted(states)}


async def _release(story: Story, state: list[str]) -> str:
    """Release the newest model. On a minute of observations it may look worse than naive: that is said, and
    overruled, because the agents decide for themselves."""
    try:
        return await command("coordinator", "models", "release", *state)
    except Unavailable as error:
        story.plain(str(error))
        story.tell("so it is released with --force; each agent still compares before it uses it:")
        return await command("coordinator", "models", "release", "--force", *state)


async def foresee(
    fleet: Fleet, story: Story, stage: VirtualStage, agent: str, plan: decay.Plan
) -> tuple[Foreseen, dict[str, Any]]:
    """Let the planned link decay, and see what the agent of that site does about it, and when.

    Raises TimedOut when it does not bypass the link, MeshtwinError when it is too late.
    """
    try:
        await until(fleet, agent, lambda status: status["forecaster"] == NAME, TRIAL_WITHIN_S)
    except TimedOut:
        story.tell(f"{agent} finds the model worse than the naive forecast here, and goes on with that")
    await story_of_models(fleet, story)
    before = await stage.relays()
    plan, hurts_s = await _still_hurts(stage, plan, before)
    a, b = (show(address) for address in plan.link)
    story.tell(
        f"{stage.name}: the link {a} - {b}, on the only path to {show(plan.flow[1])}, goes from a PDR of "
        f"{decay.FROM_PDR} to {decay.TO_PDR} within {decay.DECAY_S:.0f} s"
    )
    begun = await decay.begin(stage, plan)
    changed_s = await decay.bypassed_after(stage, before, plan, begun, decay.DECAY_S)
    forecaster = str((await fleet.ask_agent(agent, "status"))["forecaster"])
    relays = await stage.relays()
    if changed_s is None:
        new = _shown(sorted(relays - before)) or "none"
        raise TimedOut(
            f"no relay that bypasses {a} - {b} came on, only: {new}\n{fleet.agents[agent].last_lines()}"
        )
    without_link = decay.bypassed(await stage.graph(), relays, plan)
    seen = Foreseen(changed_s, hurts_s, tuple(sorted(relays - before)), without_link, forecaster)
    story.tell(
        f"{agent} acted on the forecast of {forecaster}: relay on at {_shown(seen.relays)} after "
        f"{changed_s:.1f} s; without it the flow would have fallen below {NEED} after {hurts_s:.1f} s"
    )
    story.tell(f"it bypasses the link: with {a} - {b} gone for good the flow would get {without_link:.2f}")
    if seen.lead_s <= 0:
        raise MeshtwinError(f"the relay set changed {-seen.lead_s:.1f} s too late")
    story.tell(f"that is {seen.lead_s:.1f} s ahead")
    return seen, {
        "changed_s": round(changed_s, 1),
        "hurts_s": round(hurts_s, 1),
        "lead_s": round(seen.lead_s, 1),
        "without_link": round(without_link, 2),
        "forecaster": forecaster,
    }


async def _still_hurts(
    stage: VirtualStage, plan: decay.Plan, relays: frozenset[int]
) -> tuple[decay.Plan, float]:
    """The plan, and when it hurts. Where this site was injured since, what mended it may have bypassed the
    link already: then another one is taken, and a while of quiet after its step.

    Raises MeshtwinError or NotSupported when there is none.
    """
    graph = await stage.graph()
    if (hurts_s := decay.hurts_after(graph, relays, plan, NEED)) is not None:
        return plan, hurts_s
    other = decay.choose(graph, relays, plan.flow[0])
    await decay.prepare(stage, other)
    await asyncio.sleep(SETTLE_S)
    hurts_s = decay.hurts_after(await stage.graph(), relays, other, NEED)
    if hurts_s is None:
        raise MeshtwinError("the decay would not hurt the flow: a fault of this stage")
    return other, hurts_s


async def story_of_models(fleet: Fleet, story: Story) -> None:
    """Show how the model fares on every site."""
    story.tell("how it fares (coordinator models list):")
    story.plain(await command("coordinator", "models", "list", "--state", str(fleet.state)))


def _has_loaded(status: dict[str, Any]) -> bool:
    return _state(status) in ("trial", "in-use", "worse-than-naive")


def _state(status: dict[str, Any]) -> str:
    return next((model["state"] for model in status["models"] if model["name"] == NAME), "")


def _shown(addresses: Collection[int]) -> str:
    return ", ".join(show(address) for address in addresses)
