"""Models as operator and gateways meet them: real commands, coordinator and broker."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common import topics
from common.messages import Desired, Event, ModelState, Status, decode, encode
from common.tls import client_context
from common.topics import Channel
from coordinator.enrolment import enrol
from coordinator.release.store import ModelStore
from coordinator.training.job import Evaluation
from tests.broker.client import Client
from tests.coordinator.conftest import ROOT, Serving, Site, command, site  # noqa: F401 - a fixture
from tests.coordinator.sender import envelope, wait_for
from tests.release.bundles import GOOD, trained
from tests.release.models import NAME, score

pytestmark = pytest.mark.broker

BAD = Evaluation(
    sites={"depot": score(0.02), "office": score(0.08)}, overall=score(0.03), synthetic=score(0.03)
)


class Gateway:
    """A gateway's connection, and the `desired` that it was told last."""

    def __init__(self, found: Site, name: str, where: str) -> None:
        identity = found.state / "gateways" / name
        context = client_context(identity / "ca.crt", identity / "gateway.crt", identity / "gateway.key")
        self.client = Client(found.broker.port, context, client_id=name)
        self.topic = topics.of(where, name, Channel.DESIRED)
        self.client.subscribe(self.topic)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def told(self) -> list[Desired]:
        return [decode(Desired, payload) for topic, payload in self.client.messages if topic == self.topic]

    def wait_for(self, *versions: int) -> Desired:
        """Return once the last message names just these versions."""
        wait_for(
            lambda: bool(self.told) and [m.version for m in self.told[-1].models] == [*versions],
            f"{versions} on {self.topic}",
        )
        return self.told[-1]


@contextmanager
def coordinator_with(found: Site, *evaluations: Evaluation) -> Iterator[Serving]:
    """A coordinator that has trained a version for each of `evaluations`."""
    store = ModelStore(found.state / "models")
    for number, evaluation in enumerate(evaluations, 1):
        store.add(trained(number, evaluation), time.time())
    with Serving(found.state) as serving:
        yield serving


def test_a_release_reaches_gateways_and_a_rollback_takes_it_back(site: Site) -> None:  # noqa: F811
    enrol(site.state, "depot", "gw-2")
    with (
        coordinator_with(site, GOOD, GOOD),
        Gateway(site, "gw-1", "office") as office,
        Gateway(site, "gw-2", "depot") as depot,
    ):
        office.wait_for()
        code, done, _ = command("models", "release", "1", "--json", state=site.state)
        assert (code, done["announced"]) == (0, True)
        assert [(m["gateway"], m["before"], m["after"]) for m in done["moved"]] == [
            ("gw-1", None, f"{NAME} 1 float32"),
            ("gw-2", None, f"{NAME} 1 float32"),
        ]
        (model,) = office.wait_for(1).models
        content = (site.state / "models" / f"{model.digest}.tflite").read_bytes()
        assert (model.name, model.size) == (NAME, len(content))
        depot.wait_for(1)

        _, text, _ = command("models", "release", "--site", "depot", state=site.state)
        assert "depot" in text
        assert "compared with the naive forecast on: overall" in text
        depot.wait_for(2)
        assert [m["state"] for m in command("models", "--json", state=site.state)[1]] == ["released"] * 2

        assert f"{NAME} 2 float32 at site depot back to" in command("models", "rollback", state=site.state)[1]
        depot.wait_for(1)
        assert command("models", "rollback", state=site.state)[0] == 0
        depot.wait_for()
        office.wait_for()
        code, _, errors = command("models", "rollback", state=site.state)
        assert (code, "nothing to roll back" in errors) == (1, True)
        _, changes, _ = command("models", "history", "--json", state=site.state)
        assert [c["what"] for c in changes] == ["rollback", "rollback", "release", "release"]


def test_gateways_are_told_without_a_coordinator_after_its_restart_and_when_new(site: Site) -> None:  # noqa: F811
    with coordinator_with(site, GOOD) as serving:
        assert command("models", "release", state=site.state)[0] == 0
        serving.end(signal.SIGKILL)
        with Gateway(site, "gw-1", "office") as office:
            office.wait_for(1)
            before = len(office.told)
            serving.start()
            wait_for(lambda: len(office.told) > before, "the announcement after a restart")
            office.wait_for(1)
        enrol(site.state, "depot", "gw-2")
        with Gateway(site, "gw-2", "depot") as newcomer:
            newcomer.wait_for(1)


def test_a_model_worse_than_naive_is_released_by_force_only(site: Site) -> None:  # noqa: F811
    enrol(site.state, "depot", "gw-2")
    with coordinator_with(site, BAD), Gateway(site, "gw-1", "office") as office:
        code, _, errors = command("models", "release", state=site.state)
        assert (code, len(errors.splitlines())) == (1, 2)
        assert "site office: its error 0.0800 is worse than the naive forecast's 0.0400" in errors
        assert "--force" in errors
        assert command("models", "list", "--json", state=site.state)[1][0]["state"] == "candidate"
        assert command("models", "release", "--site", "depot", state=site.state)[0] == 0
        code, text, errors = command("models", "release", "--force", state=site.state)
        assert (code, "(forced)" in text, "0.0800" in errors) == (0, True, True)
        office.wait_for(1)


def test_wrong_requests_are_refused_with_what_helps(site: Site) -> None:  # noqa: F811
    with coordinator_with(site):
        for words, told in (
            (["release"], "coordinator models train"),
            (["release", "--site", "nowhere"], "coordinator sites"),
            (["release", "--gateway", "nobody"], "coordinator gateways"),
            (["train", "--site", "nowhere"], "coordinator sites"),
            (["evaluate", "7"], "there is no link-forecast model yet"),
        ):
            code, _, errors = command("models", *words, state=site.state)
            assert (code, len(errors.splitlines()), told in errors) == (1, 1, True), errors
        assert "models train" in command("models", state=site.state)[1]
        assert "No training" in command("models", "cancel", state=site.state)[1]


def test_a_damaged_bundle_is_not_released(site: Site) -> None:  # noqa: F811
    with coordinator_with(site, GOOD):
        (path,) = (site.state / "models").glob("*.tflite")
        path.write_bytes(path.read_bytes()[:1000])
        code, _, errors = command("models", "release", "--force", state=site.state)
        assert (code, "is damaged" in errors) == (2, True)


def test_gateways_keep_their_model_when_the_registry_is_lost(site: Site) -> None:  # noqa: F811
    with coordinator_with(site, GOOD) as serving, Gateway(site, "gw-1", "office") as office:
        office.wait_for()
        assert command("models", "release", state=site.state)[0] == 0
        office.wait_for(1)
        serving.end(signal.SIGTERM)
        registry = site.state / "models" / "models.json"
        registry.write_bytes(registry.read_bytes()[:-100])
        serving.start()
        assert "model-registry-rebuilt" in serving.log.read_text()
        assert "unknown" in command("models", state=site.state)[1]
        _, done, _ = command("models", "rollback", "--json", state=site.state)
        assert (done["detail"], done["moved"][0]["before"]) == ("unknown back to none", "unknown")
        office.wait_for()
        named = [[model.version for model in told.models] for told in office.told]
        assert named == [[], [1], []]


def test_what_gateways_say_of_a_model_is_listed_logged_and_heeded(site: Site) -> None:  # noqa: F811
    with coordinator_with(site, GOOD) as serving, site.sender() as sender:
        _, done, _ = command("models", "release", "--site", "office", "--json", state=site.state)
        (found,) = command("models", "--json", state=site.state)[1]
        digest = found["bundles"][0]["digest"]
        assert done["announced"]
        told = ModelState(
            name=NAME, version=1, digest=digest, state="worse-than-naive", error=0.09, naive_error=0.03,
            windows=400, reason="live error",
        )  # fmt: skip
        sender.tell(Status(site="office", gateway="gw-1", time=time.time(), online=True, models=[told]))
        event = Event(name="model-worse-than-naive", fields={"name": NAME, "error": 0.09, "site": "x"})
        sender.send(envelope(1, "event", encode(event)))
        wait_for(lambda: "WARNING model-worse-than-naive" in serving.log.read_text(), "the warning")
        wait_for(lambda: bool(_live(site)), "the status")
        assert _live(site) == {"error": 0.09, "naive_error": 0.03, "windows": 400, "enough": False}

        _, text, _ = command("models", "list", state=site.state)
        assert "0.0900/0.0300 (400 few)" in text
        assert "found it worse than the naive forecast by more than chance" in " ".join(text.split())
        code, _, errors = command("models", "release", state=site.state)
        assert (code, "gw-1 of site office found it worse" in errors) == (1, True)


def test_a_verdict_outlives_the_status_that_told_it_and_the_coordinator(site: Site) -> None:  # noqa: F811
    with coordinator_with(site, GOOD, GOOD) as serving, site.sender() as sender:
        command("models", "release", "1", state=site.state)
        first, second = (
            m["bundles"][0]["digest"] for m in reversed(command("models", "--json", state=site.state)[1])
        )
        worse = ModelState(
            name=NAME, version=1, digest=first, state="worse-than-naive", error=0.09, naive_error=0.03
        )
        sender.tell(Status(site="office", gateway="gw-1", time=time.time(), online=True, models=[worse]))
        wait_for(lambda: bool(_states(site)), "the status")
        code, text, _ = command("models", "release", "2", state=site.state)
        assert code == 0
        sender.tell(Status(site="office", gateway="gw-1", time=time.time(), online=True, models=[]))
        wait_for(lambda: not _states(site), "the status without it")
        # An event tells it as well, and of what no status told.
        fields = {"model": NAME, "version": 2, "digest": second, "reason": "wrong-output: golden vector 0"}
        sender.send(envelope(1, "event", encode(Event(name="model-refused", fields=dict(fields)))))
        wait_for(lambda: _verdicts(site) == ["refused", "worse-than-naive"], "the verdict from the event")
        serving.end(signal.SIGKILL)
        serving.start()
        for version, told in (("1", "found it worse"), ("2", "refused it: wrong-output")):
            code, _, errors = command("models", "release", version, state=site.state)
            assert (code, told in errors) == (1, True), errors
        code, text, _ = command("models", "rollback", state=site.state)
        assert (code, f"{NAME} 2 float32 back to none" in text) == (0, True)
        assert f"note: passed over {NAME} 1 float32: gw-1 of site office found it worse" in text


def _states(found: Site) -> object:
    return [said for m in command("models", "--json", state=found.state)[1] for said in _sites(m, "gateways")]


def _verdicts(found: Site) -> object:
    models = command("models", "--json", state=found.state)[1]
    return [verdict["state"] for m in models for verdict in _sites(m, "verdict") if verdict]


def _sites(model: dict[str, Any], key: str) -> list[Any]:
    found = [where[key] for bundle in model["bundles"] for where in bundle["sites"]]
    return [one for one in found if one]


def _live(found: Site) -> object:
    (model,) = command("models", "--json", state=found.state)[1]
    return model["bundles"][0]["sites"][0]["live"]


def test_ctrl_c_ends_a_training_and_a_second_one_is_refused_meanwhile(site: Site) -> None:  # noqa: F811
    with coordinator_with(site) as serving:
        words = [sys.executable, "-m", "coordinator.cli", "models", "train", "--state", str(site.state)]
        first = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: bool(_progress(serving)), "the training's first progress")
            code, _, errors = command("models", "train", state=site.state)
            assert (code, f"train of {NAME} 1 runs already" in errors) == (1, True)
        finally:
            first.send_signal(signal.SIGINT)
            _, errors = first.communicate(timeout=30)
        assert (first.returncode, f"{NAME} 1: cancelled" in errors) == (130, True)
        assert [job["state"] for job in serving.get("jobs")] == ["cancelled"]
        assert command("models", "--json", state=site.state)[1] == []
        assert not any(Path(site.state, "models").glob("*.tflite"))


def _progress(serving: Serving) -> object:
    return [job["progress"] for job in serving.get("jobs") if job["progress"]]


def test_a_trained_model_is_scored_released_and_taken_back(site: Site) -> None:  # noqa: F811
    with coordinator_with(site) as serving, Gateway(site, "gw-1", "office") as office:
        # Ten seconds of computing, and more on a machine that has other things to do.
        words = ("models", "train", "--quick", "--json")
        code, made, errors = command(*words, state=site.state, seconds=150.0)
        assert code == 0, errors
        assert (made["version"], made["state"]) == (1, "candidate")
        assert [b["precision"] for b in made["bundles"]] == ["float32", "int8"]
        for bundle in made["bundles"]:
            assert bundle["synthetic"]["error"] < bundle["synthetic"]["naive_error"]

        _, done, _ = command("models", "release", "--json", state=site.state)
        chosen = next(b for b in made["bundles"] if b["default"])
        assert done["moved"][0]["after"] == f"{NAME} 1 {chosen['precision']}"
        (model,) = office.wait_for(1).models
        assert model.digest == chosen["digest"]

        code, scored, errors = command("models", "evaluate", "--hours", "1", "--json", state=site.state)
        assert (code, set(scored["bundles"][0]["evaluations"])) == (0, {"held_out", "observed"})
        assert "nothing was measured" in errors
        assert command("models", "rollback", state=site.state)[0] == 0
        office.wait_for()
        (kept,) = serving.get("models")
        assert kept["state"] == "retired"
