"""The main job, told in two minutes: a forecaster of links is trained and loaded; relays die, and the site
mends itself, with the coordinator, without it, and without the broker; a link fades, and is left in time."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from common import logs
from common.errors import MeshtwinError, TimedOut
from common.mesh.addresses import show
from tools.stage import corridors, decay, ending, foresight
from tools.stage.fleet import Fleet, command
from tools.stage.folder import demo_folder
from tools.stage.healing import Healed, measure
from tools.stage.lamps import LampStage
from tools.stage.patient import Patient, Victim, pinger, until, victims_of
from tools.stage.story import Story
from tools.stage.virtual import VirtualStage

LOSS: Final = 0.1
FAINT_LOSS: Final = 0.02
"""Lost besides on the simulated site where a link decays: what the decay begins with is below it."""

LEARN_WITHIN_S: Final = 120.0
CATCH_UP_WITHIN_S: Final = 60.0
RECORDED_WITHIN_S: Final = 30.0


@dataclass
class Demo:
    """The stage, and what has been seen on it."""

    fleet: Fleet
    story: Story
    sites: list[Patient] = field(default_factory=list)
    healed: dict[str, Healed] = field(default_factory=dict)
    simulated: VirtualStage | None = None
    plan: decay.Plan | None = None
    nodes: dict[str, int] = field(default_factory=dict)

    @property
    def patient(self) -> Patient:
        """The site that is injured."""
        return self.sites[0]


async def play(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Play the demo once in `folder`; its summary. Raises MeshtwinError when a step does not come about."""
    story = Story()
    async with AsyncExitStack() as stack:
        demo = Demo(await stack.enter_async_context(Fleet(folder)), story)
        await _set_up(demo, stack, options, folder)
        await _first_look(demo)
        learnt = await _learn(demo)
        await _injure(demo, "with_everything", "A relay dies", alone=False)
        await _without_coordinator(demo)
        await _without_broker(demo)
        summary = await _everything_returns(demo)
        summary |= {"model": learnt, "foresight": await _foresee(demo)}
        summary["seconds"] = round(story.seconds, 1)
        story.plain("")
        if not options.once:
            await _stay(demo)
    return summary


async def _set_up(demo: Demo, stack: AsyncExitStack, options: argparse.Namespace, folder: Path) -> None:
    story = demo.story
    story.chapter("Broker, coordinator, sites")
    await demo.fleet.start()
    story.tell("broker (mosquitto, mutual TLS) and coordinator run, each a process of its own")
    if options.virtual is None:
        lamps = await stack.enter_async_context(LampStage(folder / "lab", LOSS, options.seed))
        story.tell(
            f"site A: {lamps.plan.count} real bluetooth-meshd nodes, up, provisioned and configured in "
            f"{lamps.ready_s:.1f} s"
        )
        await lamps.add_agents(demo.fleet)
        demo.sites.append(Patient(lamps, {"gw-a1": lamps.address(0), "gw-a2": lamps.address(1)}))
        await _add_virtual(demo, folder, "site-b", "gw-b1", corridors.NODES, options.seed)
        story.tell(f"site B: {corridors.NODES} simulated nodes; three gateways' agents run")
    else:
        await _add_virtual(demo, folder, "site-a", "gw-a1", options.virtual, options.seed)
        story.tell(f"site A: {options.virtual} simulated nodes and one gateway's agent")
    story.tell("the agents listen to their meshes until they know them (half a minute or so)")
    for site in demo.sites:
        for agent in site.agents:
            await until(demo.fleet, agent, lambda status: bool(status["learned"]), LEARN_WITHIN_S)


async def _add_virtual(demo: Demo, folder: Path, site: str, gateway: str, nodes: int, seed: int) -> None:
    control = folder / f"{site}.sock"
    scenario = corridors.write(folder / f"{site}.json", seed, nodes, corridors.FAINT_DB)
    mesh = {"link": "virtual", "scenario": str(scenario), "loss": FAINT_LOSS, "control": str(control)}
    await demo.fleet.add_agent(site, gateway, corridors.GATEWAY, {"mesh": mesh})
    demo.simulated = VirtualStage(site, control)
    demo.sites.append(Patient(demo.simulated, {gateway: corridors.GATEWAY}))


async def _first_look(demo: Demo) -> None:
    await _caught_up(demo)
    demo.nodes = {site.stage.name: len((await site.stage.graph()).nodes) for site in demo.sites}
    demo.story.tell("what the coordinator shows (coordinator sites):")
    demo.story.plain(await command("coordinator", "sites", "--state", str(demo.fleet.state)))


async def _learn(demo: Demo) -> dict[str, Any]:
    """Train, release and load a model; and choose early what is to decay: the step to it tells, too."""
    assert demo.simulated is not None
    demo.plan = decay.choose(await demo.simulated.graph(), await demo.simulated.relays(), corridors.GATEWAY)
    await decay.prepare(demo.simulated, demo.plan)
    demo.story.chapter("A forecaster of links is trained, released, and loaded by every agent")
    return await foresight.teach(demo.fleet, demo.story)


async def _foresee(demo: Demo) -> dict[str, Any]:
    assert demo.simulated is not None
    assert demo.plan is not None
    demo.story.chapter("A link decays, and the relay set changes before anybody notices")
    agent = next(iter(demo.sites[-1].agents))
    try:
        _, told = await foresight.foresee(demo.fleet, demo.story, demo.simulated, agent, demo.plan)
    except MeshtwinError as error:
        # A forecast may fail, on a crowded channel above all; healing does not rest on it.
        demo.story.tell(f"not foreseen this time: {str(error).splitlines()[0]}")
        return {"lead_s": None}
    return told


async def _without_coordinator(demo: Demo) -> None:
    await demo.fleet.coordinator.kill()
    await _injure(demo, "no_coordinator", "The coordinator is gone (kill -9), and a second relay dies", False)


async def _without_broker(demo: Demo) -> None:
    await demo.fleet.broker.kill()
    for agent in demo.patient.agents:
        await until(demo.fleet, agent, lambda status: status["role"] == "alone", 30.0)
    title = "The broker is gone too: every gateway is alone with its home nodes, and a third dies"
    await _injure(demo, "no_broker", title, alone=True)


async def _injure(demo: Demo, name: str, title: str, alone: bool) -> None:
    """Kill the relay that most nodes need, and tell how long they were without service."""
    story = demo.story
    story.chapter(title)
    victim = await _victim(demo, alone)
    dead = show(victim.relay)
    story.tell(
        f"{demo.patient.stage.name}: killing relay {dead}, the only working path to "
        f"{len(victim.cut_off)} nodes"
    )
    before = await _relays(demo)
    healed = await measure(demo.patient.stage, victim.relay, victim.cut_off, pinger(demo.fleet, victim.agent))
    demo.healed[name] = healed
    if healed.seconds is None:
        raise TimedOut(f"nobody mended the death of {dead}:\n{demo.fleet.agents[victim.agent].last_lines()}")
    new = ", ".join(show(a) for a in sorted(await _relays(demo) - before)) or "none"
    story.tell(
        f"{victim.agent} acted: relay on at {new}; first answer after {healed.first_sign_s:.1f} s, each node "
        f"three in a row after {healed.seconds:.1f} s"
    )
    for agent in demo.patient.agents:
        await until(demo.fleet, agent, lambda status: not status["actions_pending"], RECORDED_WITHIN_S)


async def _victim(demo: Demo, alone: bool) -> Victim:
    victims = await victims_of(demo.fleet, demo.patient, alone)
    if not victims:
        raise TimedOut(f"{demo.patient.stage.name} has no needed relay left that could be replaced")
    return max(victims, key=lambda victim: (len(victim.cut_off), -victim.relay))


async def _relays(demo: Demo) -> frozenset[int]:
    return await demo.patient.stage.relays()


async def _everything_returns(demo: Demo) -> dict[str, Any]:
    story = demo.story
    story.chapter("Broker and coordinator return")
    queued = {name: await _queued(demo, name) for name in demo.fleet.agents}
    begun = story.seconds
    await demo.fleet.broker.start()
    await demo.fleet.coordinator.start()
    await _caught_up(demo)
    seconds = story.seconds - begun
    story.tell(
        f"{sum(queued.values())} messages that waited at the gateways are stored, {seconds:.1f} s after the "
        "broker's start"
    )
    actions = await _applied(demo)
    actors = [action["gateway"] for action in actions]
    story.tell(f"the coordinator knows all {len(actions)} changes (coordinator actions):")
    story.plain(
        await command("coordinator", "actions", demo.patient.stage.name, "--state", str(demo.fleet.state))
    )
    holes = await _holes(demo)
    faults = len(demo.healed)
    if len(actions) != faults or holes:
        raise MeshtwinError(f"{faults} deaths made {len(actions)} changes by {actors}; holes: {holes}")
    story.tell(
        f"{faults} deaths, {len(actions)} changes, each by exactly one gateway; nothing lost, {holes} holes"
    )
    return {
        "ok": True,
        "nodes": demo.nodes,
        "healed_s": {name: round(h.seconds or 0.0, 2) for name, h in demo.healed.items()},
        "cut_off": {name: len(h.cut_off) for name, h in demo.healed.items()},
        "changes": len(actions),
        "acted": actors,
        "waited": sum(queued.values()),
        "caught_up_s": round(seconds, 2),
        "holes": holes,
        "seconds": round(story.seconds, 1),
    }


async def _queued(demo: Demo, agent: str) -> int:
    status = await demo.fleet.ask_agent(agent, "status")
    return int(status["outbox"]["queued"])


async def _caught_up(demo: Demo) -> None:
    """Wait until the coordinator has stored what every gateway had to tell up to now."""
    for agent in demo.fleet.agents:
        outbox = (await demo.fleet.ask_agent(agent, "status"))["outbox"]
        head = outbox["acknowledged"] + outbox["queued"]
        await until(demo.fleet, agent, partial(_has_told, head), CATCH_UP_WITHIN_S)


def _has_told(head: int, status: dict[str, Any]) -> bool:
    return bool(status["outbox"]["acknowledged"] >= head)


async def _applied(demo: Demo) -> list[dict[str, Any]]:
    """The changes made at the injured site, oldest first."""
    actions = await demo.fleet.ask_coordinator("actions", site=demo.patient.stage.name)
    applied = [a for a in actions if any(step["state"] == "applying" for step in a["steps"])]
    return sorted(applied, key=lambda action: action["steps"][0]["t"])


async def _holes(demo: Demo) -> int:
    """Missing sequence numbers over all streams."""
    gateways = await demo.fleet.ask_coordinator("gateways")
    return sum(len(gateway["stream"]["holes"]) for gateway in gateways)


async def _stay(demo: Demo) -> None:
    """Leave everything running for a look around."""
    story = demo.story
    story.chapter("Everything keeps running until Ctrl-C. Have a look:")
    state = demo.fleet.state
    for line in (
        f".venv/bin/coordinator topology {demo.patient.stage.name} --state {state}",
        f".venv/bin/coordinator links {demo.patient.stage.name} --state {state}",
        f".venv/bin/coordinator gateways --state {state}",
        f".venv/bin/edge-agent status --watch --config {demo.fleet.config_of(demo.patient.first)}",
    ):
        story.plain(f"     {line}")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        story.plain("\n   stopping")


def main() -> int:
    """`tools/demo`."""
    options = _parser().parse_args()
    logs.configure(level="error")
    try:
        # The folder outlives the loop: threads that still write into it end with that.
        with demo_folder() as folder:
            print(json.dumps(ending.run(play(options, folder))), flush=True)
    except MeshtwinError as error:
        print(json.dumps({"ok": False, "error": str(error).splitlines()[0]}))
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return ending.leave()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/demo",
        description="A forecaster of links is trained, released, and loaded by every gateway. Relays of a "
        "mesh site die, and its gateways mend it: with the coordinator, without it, and without the broker. "
        "A link fades, and the relays change before anybody notices. Takes about two minutes.",
        epilog="examples: tools/demo --once; tools/demo --virtual 60; "
        "tools/demo --once | tail -n 1 | python3 -m json.tool",
    )
    parser.add_argument("--once", action="store_true", help="end after the story; the last line is JSON")
    parser.add_argument("--virtual", type=_nodes, metavar="N", help="N simulated nodes only: 25, 30 … 300")
    parser.add_argument("--seed", type=int, default=1, help="seed of losses and simulation (default 1)")
    return parser


def _nodes(text: str) -> int:
    nodes = int(text) if text.isdecimal() else 0
    if not 25 <= nodes <= 300 or nodes % corridors.ROWS:
        raise argparse.ArgumentTypeError(f"{text}: a multiple of {corridors.ROWS} from 25 to 300")
    return nodes


if __name__ == "__main__":
    sys.exit(main())
