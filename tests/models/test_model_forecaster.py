"""A model's forecasts, from reports to what decisions see."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from common.errors import Rejected, RejectReason
from common.mesh.graph import heard_once
from common.models import link_forecast
from common.models.link_forecast import LinkWindow, Outlook
from edge_agent.infer.expectation import expectation
from edge_agent.infer.forecasting import Forecasting
from edge_agent.infer.model_forecaster import ModelForecaster, load, prepare
from edge_agent.infer.score import TRIAL_WINDOWS, State
from edge_agent.observe.links import LinkBook
from tests.models import bundles
from tests.models.bundles import Bundle
from tests.models.executors import AtOnce, Later
from tests.models.links import EXPECTED, count, report


def forecaster(bundle: Bundle, worker: Executor | None = None) -> ModelForecaster:
    return ModelForecaster(prepare(bundle.content), worker or AtOnce())


def test_the_next_window_and_the_best_case_ahead_come_from_the_models_outputs() -> None:
    book = LinkBook()
    count(book, 1, {2: 7, 3: 10}, 10.0)
    expected = forecaster(bundles.persistence()).forecast(book)
    assert set(expected) == {(2, 1), (3, 1)}
    newest = LinkWindow(10.0, 7, EXPECTED).pdr
    assert expected[2, 1].next_pdr == pytest.approx(newest, abs=1e-5)
    assert expected[2, 1].ahead.pdr == pytest.approx(newest, abs=1e-5)
    logit = link_forecast.logit(newest)
    outlook = Outlook((logit,) * link_forecast.AHEAD, (bundles.SPREAD,) * link_forecast.AHEAD)
    assert expected[2, 1].ahead.upper == pytest.approx(expectation(outlook).ahead.upper, abs=1e-5)


def test_only_links_with_new_windows_are_forecast_again() -> None:
    book, worker = LinkBook(), Later()
    model = forecaster(bundles.persistence(), worker)
    count(book, 1, {2: 7, 3: 10}, 10.0)
    assert model.forecast(book) == {}
    worker.work()
    assert len(model.forecast(book)) == 2
    assert worker.waiting == []
    count(book, 1, {3: 4}, 20.0)
    model.forecast(book)
    ((_, _, (packed, _)),) = worker.waiting
    assert [key for key, _ in packed] == [(3, 1)]


def test_a_busy_worker_is_not_given_more_and_misses_nothing() -> None:
    book, worker = LinkBook(), Later()
    model = forecaster(bundles.persistence(), worker)
    count(book, 1, {2: 10}, 10.0)
    model.forecast(book)
    count(book, 1, {3: 10}, 11.0)
    count(book, 4, {3: 10}, 12.0)
    model.forecast(book)
    assert len(worker.waiting) == 1
    worker.work()
    model.forecast(book)
    worker.work()
    assert set(model.forecast(book)) == {(2, 1), (3, 1), (3, 4)}


def test_inference_never_runs_on_the_callers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    book = LinkBook()
    count(book, 1, {2: 7}, 10.0)
    seen: list[str] = []
    with ThreadPoolExecutor(1, thread_name_prefix="model") as worker:
        model = forecaster(bundles.persistence(), worker)
        work = model._work

        def spied(*args: Any) -> Any:
            seen.append(threading.current_thread().name)
            return work(*args)

        monkeypatch.setattr(model, "_work", spied)
        model.forecast(book)
    assert model.forecast(book)
    assert [name.startswith("model") for name in seen] == [True]


def test_forgotten_links_are_forgotten_by_the_model_too() -> None:
    book = LinkBook()
    model = forecaster(bundles.persistence())
    count(book, 1, {2: 7}, 0.0)
    model.forecast(book)
    for number in range(100):
        count(book, 1, {3: 7}, 1000.0 + number)
        model.forecast(book)
    book.forget(1200.0)
    for number in range(100):
        count(book, 1, {3: 7}, 1200.0 + number)
        model.forecast(book)
    assert set(model.forecast(book)) == {(3, 1)}


def test_outputs_that_are_no_numbers_are_left_to_the_naive_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    book = LinkBook()
    model = forecaster(bundles.persistence())
    count(book, 1, {2: 7, 3: 10}, 10.0)
    assert len(model.forecast(book)) == 2
    run = model._interpreter.run
    monkeypatch.setattr(
        model._interpreter, "run", lambda rows: [[float("nan")] * len(row) for row in run(rows)]
    )
    count(book, 1, {2: 7}, 20.0)
    assert set(model.forecast(book)) == {(3, 1)}
    assert (model.nonsense, model.failure) == (1, None)


def test_a_model_that_fails_speaks_of_no_link_and_is_not_asked_again() -> None:
    book = LinkBook()
    model = forecaster(bundles.persistence())
    count(book, 1, {2: 7}, 10.0)
    assert model.forecast(book)
    model._interpreter.inputs = 3
    count(book, 1, {2: 7}, 20.0)
    assert model.forecast(book) == {}
    assert isinstance(model.failure, Rejected)
    count(book, 1, {2: 7}, 30.0)
    assert model.forecast(book) == {}


async def test_loading_runs_the_golden_vectors_in_the_worker() -> None:
    off = bundles.bundle(
        bundles.linear(*_zeros()), np.ones_like(_zeros()[0]), np.zeros(link_forecast.OUTPUTS, np.float32), 1
    )
    with ThreadPoolExecutor(1) as worker:
        assert (await load(bundles.persistence().content, worker)).metadata.version == 1
        with pytest.raises(Rejected) as raised:
            await load(off.content, worker)
    assert raised.value.reason is RejectReason.WRONG_OUTPUT


def _zeros() -> tuple[bundles.Matrix, bundles.Matrix]:
    weights = np.zeros((link_forecast.INPUTS, link_forecast.OUTPUTS), np.float32)
    return weights, np.zeros(link_forecast.OUTPUTS, np.float32)


def test_a_model_of_the_right_shape_that_knows_nothing_is_found_worse_and_not_used() -> None:
    book = LinkBook()
    forecasting = Forecasting(book)
    forecasting.add(forecaster(bundles.wrong()))
    _play(forecasting, book, 2 * TRIAL_WINDOWS)
    standing = forecasting.standing(link_forecast.NAME)
    assert standing is not None
    assert standing.state is State.WORSE
    assert standing.error > standing.naive_error
    assert forecasting.best == "naive"


def _play(forecasting: Forecasting, book: LinkBook, windows: int) -> None:
    """Four links of PDR 0.9, report after report."""
    draw = np.random.default_rng(5)
    for number in range(windows // 4):
        heard = {sender: int(draw.binomial(EXPECTED, heard_once(0.9, 1))) for sender in (2, 3, 4, 5)}
        forecasting.score(report(1, heard, 10.0 * number))
        count(book, 1, heard, 10.0 * number)
        forecasting.refresh()
