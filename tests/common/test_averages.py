"""Averages, held to the standard library's."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.averages import mean, median

numbers = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20)


@given(numbers)
def test_they_agree_with_the_standard_library(values: list[float]) -> None:
    assert mean(values) == pytest.approx(statistics.fmean(values))
    assert median(values) == pytest.approx(statistics.median(values))
