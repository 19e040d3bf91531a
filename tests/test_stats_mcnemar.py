from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from mechcot.core.errors import AnalysisError
from mechcot.stats import mcnemar_exact


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_equals_statsmodels_and_the_binomial_test(rows):
    before, after = (np.array([row[i] for row in rows], dtype=bool) for i in (0, 1))
    result = mcnemar_exact(before, after)
    table = [[result.both, result.lost], [result.gained, result.neither]]
    assert sum(map(sum, table)) == len(rows)
    assert result.gained == sum(not b and a for b, a in rows)
    assert result.p_value == pytest.approx(
        mcnemar(table, exact=True).pvalue if result.gained + result.lost else 1
    )
    if result.gained + result.lost:
        assert result.p_value == pytest.approx(binomtest(result.gained, result.gained + result.lost).pvalue)
    assert result.p_value == mcnemar_exact(after, before).p_value


def test_a_published_size_of_change_is_far_from_chance():
    before = np.array([True] * 951 + [False] * 322)
    after = np.array([True] * 930 + [False] * 21 + [True] * 144 + [False] * 178)
    result = mcnemar_exact(before, after)
    assert (result.gained, result.lost) == (144, 21)
    assert result.p_value < 1e-20


def test_lengths_must_agree():
    with pytest.raises(AnalysisError, match="same questions"):
        mcnemar_exact([True], [True, False])
