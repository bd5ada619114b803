"""Features: cleaned windows in plain numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from common.features import CLAMP_DEVIATIONS, EWMA_WEIGHT, Window


def filled(*values: float, **options: float) -> Window:
    window = Window(**options)  # type: ignore[arg-type]
    for t, value in enumerate(values):
        window.add(float(t), value)
    return window


def test_an_empty_window_says_that_it_knows_nothing() -> None:
    features = Window().features(5.0)
    assert (features.count, features.age) == (0, math.inf)
    assert math.isnan(features.mean)


def test_a_line_has_its_slope() -> None:
    features = filled(1.0, 3.0, 5.0, 7.0).features(now=4.5)
    assert (features.slope, features.mean, features.minimum, features.maximum) == (2.0, 4.0, 1.0, 7.0)
    assert (features.age, features.last, features.count) == (1.5, 7.0, 4)


def test_a_single_sample_has_no_slope_and_no_deviation() -> None:
    features = filled(3.0).features(0.0)
    assert (features.slope, features.deviation, features.ewma) == (0.0, 0.0, 3.0)


def test_the_moving_average_weighs_the_newest_by_a_fifth() -> None:
    assert filled(0.0, 1.0).features(1.0).ewma == EWMA_WEIGHT


def test_old_and_surplus_samples_leave() -> None:
    assert filled(*range(10), size=4).values() == [6.0, 7.0, 8.0, 9.0]
    assert filled(*range(10), span=2.5).values() == [7.0, 8.0, 9.0]


def test_what_is_no_measurement_is_refused() -> None:
    window = filled(1.0)
    assert not window.add(1.0, math.nan)
    assert not window.add(1.0, math.inf)
    assert not window.add(math.nan, 1.0)
    assert not window.add(0.0, 1.0)
    assert (window.refused, window.values()) == (4, [1.0])


def test_an_outlier_is_pulled_to_the_edge() -> None:
    window = filled(*([10.0, 10.5, 9.5] * 4), 1000.0)
    assert window.clamped == 1
    assert 10.0 < window.values()[-1] < 10.0 + CLAMP_DEVIATIONS


def test_a_constant_series_takes_a_step_unless_a_floor_is_given() -> None:
    assert filled(*[1.0] * 10, 5.0).values()[-1] == 5.0
    assert filled(*[1.0] * 10, 5.0, floor=0.1).values()[-1] == 1.0 + CLAMP_DEVIATIONS * 0.1


def test_a_lasting_step_gets_through() -> None:
    window = filled(*([10.0, 10.5, 9.5] * 4), *([50.0] * 30), size=16)
    assert window.values()[-1] == 50.0


@given(st.lists(st.floats(), max_size=100), st.integers(1, 20))
def test_no_input_breaks_it(values: list[float], size: int) -> None:
    window = Window(size=size)
    for t, value in enumerate(v for v in values if not abs(v) > 1e100):
        window.add(float(t), value)
    features = window.features(1000.0)
    assert features.count == len(window) <= size
    if features.count:
        assert math.isfinite(features.ewma)
        assert math.isfinite(features.slope)
        assert features.minimum <= features.maximum
