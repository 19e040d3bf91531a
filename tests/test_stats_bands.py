"""A band is the interval of every point, computed at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.stats import rate_interval
from mechcot.stats.bands import band
from mechcot.stats.jackknife import ratio_interval


@given(st.integers(0, 10_000), st.integers(2, 12), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=40)
def test_every_point_has_the_interval_that_it_has_alone(seed, questions, chance):
    rng = np.random.default_rng(seed)
    den = rng.integers(0, 4, size=(questions, 5)).astype(float)
    num = rng.binomial(den.astype(int), chance).astype(float)
    for rate, one in ((True, rate_interval), (False, ratio_interval)):
        found = band(num, den, rate=rate)
        for point in range(5):
            alone = one(num[:, point], den[:, point])
            for got, want in zip(
                [part[point] for part in found[:3]], (alone.estimate, alone.low, alone.high), strict=True
            ):
                assert np.isnan(got) if want is None else got == pytest.approx(want, abs=1e-12)
            assert found.n[point] == alone.n
