"""Training as a job in a process of its own: real bundles, progress, cancelling, errors that cross over."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from common.errors import Corrupt, Rejected, RejectReason, Unavailable
from coordinator.training import bundle, chain, evaluation, physics
from coordinator.training.evaluation import Trial
from coordinator.training.fit import CHUNK, Effort
from coordinator.training.job import EvaluationRequest, Observed, TrainingRequest, evaluate, train
from coordinator.training.runtime import Model
from tests.training.fitted import weights
from tests.training.stored import observed, store

NOTHING = Observed(None, 0.0, 1.0)


@pytest.fixture
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        yield pool


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_QUICK", chain.Scale(Effort(2 * CHUNK, 64), 100, 20, 1000))


def test_a_quick_training_beats_the_naive_forecasts_where_links_decay(
    tmp_path: Path, executor: ProcessPoolExecutor
) -> None:
    store(tmp_path, physics.generate(links=30, windows=60, seed=9))
    progress_file = tmp_path / "progress.json"
    request = TrainingRequest(observed(tmp_path), 3, 1_700_000_000.0, quick=True, progress_file=progress_file)
    result = executor.submit(train, request).result()
    assert json.loads(progress_file.read_text())["phase"] == "done"
    assert set(result.rows) == {"synthetic", "site:office"}
    for precision, content in result.bundles.items():
        metadata, model = bundle.read(content)
        assert (metadata.precision, metadata.version) == (precision, 3)
        scored = result.evaluations[precision]
        assert scored.synthetic is not None
        assert scored.overall is not None
        assert scored.synthetic.error < 0.97 * scored.synthetic.naive_error
        assert abs(scored.synthetic.coverage - 0.8) < 0.05
        assert scored.sites["office"].windows == scored.overall.windows
        assert _falling(model)
    assert set(result.bundles) == {"float32", "int8"}


def _falling(model: Model) -> bool:
    """Whether three windows ahead of decaying links the model errs clearly less than any naive forecast."""
    tried = evaluation.trial(physics.decays(300, seed=7))
    during = (tried.rows.t >= 12.0) & (tried.rows.t <= 17.0)
    naive = {name: values[during] for name, values in tried.naive.items()}
    score = evaluation.score(model, Trial(tried.rows.where(during), naive))
    assert score is not None
    return score.ahead[2] < 0.95 * score.naive_ahead[2]


def test_a_bundle_is_evaluated_on_what_was_stored(tmp_path: Path) -> None:
    content = bundle.float32(weights(), bundle.Label("link-forecast", 1, 0.0))
    store(tmp_path, physics.generate(links=10, windows=20, seed=9))
    store(tmp_path, physics.generate(links=10, windows=20, seed=10), site="hall", gateway="gw-2")
    whole = evaluate(EvaluationRequest(observed(tmp_path), content))
    assert set(whole.sites) == {"hall", "office"}
    assert whole.overall is not None
    assert whole.overall.windows == sum(score.windows for score in whole.sites.values())
    only = evaluate(EvaluationRequest(observed(tmp_path, sites=("hall",)), content))
    assert only.sites == {"hall": whole.sites["hall"]}


def test_with_nothing_stored_synthetic_links_teach_alone(short: None) -> None:
    result = train(TrainingRequest(NOTHING, 1, 0.0, quick=True))
    assert set(result.rows) == {"synthetic"}
    assert result.evaluations["float32"].overall is None
    assert result.evaluations["float32"].sites == {}
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301  # our own, a moment old


def test_a_cancelled_training_ends_at_the_next_report(tmp_path: Path, short: None) -> None:
    cancel_file = tmp_path / "cancel"
    cancel_file.touch()
    request = TrainingRequest(NOTHING, 1, 0.0, quick=True, cancel_file=cancel_file)
    with pytest.raises(Unavailable, match="cancelled"):
        train(request)


def test_a_quantizer_that_fails_costs_only_its_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: bytes) -> bytes:
        raise Corrupt("the quantizer failed")

    monkeypatch.setattr(chain, "quantize", fail)
    bundles = chain.bundles(weights(), bundle.Label("link-forecast", 1, 0.0))
    assert set(bundles) == {"float32"}


def test_errors_cross_the_process_boundary(executor: ProcessPoolExecutor) -> None:
    with pytest.raises(Corrupt):
        executor.submit(evaluate, EvaluationRequest(NOTHING, b"no bundle")).result()


def test_a_refusal_is_told_in_a_form_that_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: TrainingRequest) -> None:
        raise Rejected(RejectReason.INVALID, "a value")

    monkeypatch.setattr(chain, "train", refuse)
    with pytest.raises(Corrupt, match="a value"):
        train(TrainingRequest(NOTHING, 1, 0.0))


def test_a_request_never_shows_its_password() -> None:
    request = TrainingRequest(Observed(SecretStr("postgresql://user:secret@host/x"), 0.0, 1.0), 1, 0.0)
    assert "secret" not in repr(request)
    assert np.isfinite(request.created)
