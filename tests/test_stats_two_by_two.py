"""How two yes-or-no things of the same traces go together, on tables done by hand and in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from mechcot.stats import interval_of_sums
from mechcot.stats.two_by_two import gap, log_mantel_haenszel, log_odds_ratio, phi

LLAMA = np.array([[174.0, 187.0, 244.0, 345.0]])
"""Counts that the second paper's code gives for one student."""


def test_a_table_done_by_hand() -> None:
    assert gap(LLAMA)[0] == pytest.approx(174 / 361 - 244 / 589)
    assert phi(LLAMA)[0] ** 2 * 950 == pytest.approx(4.17, abs=0.01)  # its chi square
    assert log_odds_ratio(LLAMA)[0] == pytest.approx(np.log(174.5 * 345.5 / (187.5 * 244.5)))
    assert log_mantel_haenszel(LLAMA)[0] == pytest.approx(np.log(174 * 345 / (187 * 244)))


def test_a_tie_that_only_categories_make_is_gone_within_them() -> None:
    easy, hard = [64, 16, 16, 4], [4, 16, 16, 64]  # independent in each
    both = np.add(easy, hard)[None].astype(float)
    assert phi(both)[0] > 0.3
    assert log_mantel_haenszel(np.array([[*easy, *hard]], dtype=float))[0] == pytest.approx(0)


def test_a_flat_stratum_weighs_nothing_and_flat_tables_give_nothing() -> None:
    table = [30, 10, 12, 28]
    flat = [40, 0, 40, 0]
    alone = log_mantel_haenszel(np.array([table], dtype=float))
    assert log_mantel_haenszel(np.array([[*table, *flat]], dtype=float)) == pytest.approx(alone)
    for statistic in (phi, log_odds_ratio, log_mantel_haenszel):
        assert np.isnan(statistic(np.array([[40.0, 10.0, 0.0, 0.0]]))[0])


def test_a_one_sided_limit_is_passed_by_the_truth_as_often_as_it_says() -> None:
    """2,000 draws of 60 entities with 4 traces each and a true phi of 0: the limit lies below it in .05."""
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(2000):
        level = np.repeat(rng.beta(4, 4, size=(60, 2)), 4, axis=0).reshape(60, 4, 2)
        trace, answer = (rng.random((60, 4, 2)) < level).transpose(2, 0, 1)
        cells = np.stack([trace & answer, trace & ~answer, ~trace & answer, ~trace & ~answer], axis=-1).sum(
            axis=1
        )
        high = interval_of_sums(cells, phi, weight=cells.sum(axis=1), level=0.9).high
        assert high is not None
        below += high < 0
    assert 0.035 < below / 2000 < 0.065
