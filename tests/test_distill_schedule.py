from __future__ import annotations

import numpy as np
import pytest

from mechcot.core.training_settings import TrainSettings
from mechcot.distill.schedule import n_steps, rate_factor, row_order


def test_every_epoch_shows_every_row_once_in_its_own_order() -> None:
    order = row_order(10, 2.0, seed=3)
    assert sorted(order[:10]) == list(range(10)) == sorted(order[10:])
    assert list(order[:10]) != list(order[10:])
    np.testing.assert_array_equal(order, row_order(10, 2.0, seed=3))
    assert list(order) != list(row_order(10, 2.0, seed=4))


def test_a_fraction_of_an_epoch_cuts_the_last_permutation() -> None:
    assert len(row_order(10, 1.5, 0)) == 15
    np.testing.assert_array_equal(row_order(10, 1.5, 0), row_order(10, 2.0, 0)[:15])
    assert len(row_order(10, 0.01, 0)) == 1


def test_steps_are_counted_with_the_incomplete_ones() -> None:
    assert n_steps(4000, TrainSettings(batch_size=16)) == 250
    assert n_steps(33, TrainSettings(batch_size=16)) == 3
    assert n_steps(33, TrainSettings(batch_size=16, accumulation=2)) == 2


def test_rate_rises_stays_and_falls() -> None:
    settings = TrainSettings(warmup_steps=10, decay_share=0.5, final_rate=0.02)
    rates = [rate_factor(i, 100, settings) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:51] == [1.0] * 42
    assert rates[75] == pytest.approx(0.02 + 0.98 * 0.5)
    assert rates[99] == pytest.approx(0.02 + 0.98 * 0.02)
    assert rate_factor(100, 100, settings) == pytest.approx(0.02)


def test_no_warm_up_and_no_decay_is_a_flat_rate() -> None:
    settings = TrainSettings(warmup_steps=0, decay_share=0.0)
    assert {rate_factor(i, 20, settings) for i in range(20)} == {1.0}
