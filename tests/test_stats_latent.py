"""Error rates behind judges that err independently: closed forms, planted truths, what cannot be had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.stats import latent_difference

QUALITY = ((0.9, 0.8), (0.75, 0.95), (0.8, 0.85))


def _arm(seed, rate, n=6000, quality=QUALITY, gaps=0.0):
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    columns = {
        f"j{i}": np.where(wrong, rng.random(n) < hit, rng.random(n) < 1 - clear).astype(float)
        for i, (hit, clear) in enumerate(quality)
    }
    labels = pd.DataFrame(columns)
    return labels.mask(rng.random(labels.shape) < gaps), np.arange(n) // 20


def _three(labels):
    """Error rate of three judges that beat chance in closed form: moments of calls of +1 and -1."""
    calls = 2 * labels.to_numpy() - 1
    around = calls - calls.mean(axis=0)
    second = {(i, j): (around[:, i] * around[:, j]).mean() for i in range(3) for j in range(i)}
    third = (around[:, 0] * around[:, 1] * around[:, 2]).mean()
    product = np.sqrt(second[1, 0] * second[2, 0] * second[2, 1])
    skew = third / product  # (1 - 2 pi) / sqrt(pi (1 - pi))
    return (1 - skew / np.sqrt(4 + skew**2)) / 2


def test_three_judges_are_just_identified_and_the_closed_form_is_met():
    before, q = _arm(0, 0.15)
    after, _ = _arm(1, 0.4)
    found = latent_difference(before, q, after, q)
    assert found.spare == 0
    assert found.before == pytest.approx(_three(before), abs=1e-5)
    assert found.after == pytest.approx(_three(after), abs=1e-5)
    assert found.difference.estimate == pytest.approx(0.25, abs=0.04)
    assert found.difference.low < 0.25 < found.difference.high
    for judge, (hit, clear) in zip(found.judges, QUALITY, strict=True):
        assert judge.sensitivity.after == pytest.approx(hit, abs=0.06)
        assert judge.specificity.before == pytest.approx(clear, abs=0.06)


def test_wrong_and_right_are_named_by_judges_that_beat_chance():
    before, q = _arm(2, 0.7)  # most steps are wrong
    after, _ = _arm(3, 0.9)
    found = latent_difference(before, q, after, q)
    assert (found.before, found.after) == pytest.approx((0.7, 0.9), abs=0.06)


def test_a_fourth_judge_leaves_something_to_spare_and_gaps_move_little():
    quality = (*QUALITY, (0.85, 0.9))
    before, q = _arm(4, 0.2, quality=quality, gaps=0.2)
    after, _ = _arm(5, 0.5, quality=quality, gaps=0.2)
    found = latent_difference(before, q, after, q)
    assert found.spare > 0
    assert (found.before, found.after) == pytest.approx((0.2, 0.5), abs=0.04)
    assert found.n_steps.before < 6000  # steps that one judge alone rated


def test_judges_who_share_their_mistakes_are_taken_for_the_truth():
    """Why this is for comparison alone: two judges of one taste and one honest one."""
    before, q = _arm(6, 0.2)
    shared = np.where(np.random.default_rng(7).random(len(before)) < 0.3, 1.0, before["j0"])
    alike = before.assign(j0=shared, j1=shared)
    found = latent_difference(alike, q, alike, q)
    assert found.before == pytest.approx(shared.mean(), abs=0.02)
    assert found.before > 0.2 + 0.15


def test_what_is_not_identified_says_so_and_bad_input_is_named():
    before, q = _arm(8, 0.2, n=200)
    two = latent_difference(before[["j0", "j1"]], q, before[["j0", "j1"]], q)
    assert two.before is None
    assert "at least three" in two.to_json()["difference"]["estimate"]["reason"]
    lonely = before.copy()
    lonely.iloc[:, 1:] = np.nan
    assert "by two of the judges" in latent_difference(lonely, q, before, q).difference.reason
    with pytest.raises(AnalysisError, match=r"row 3, judge j1: 2\.0 is neither"):
        latent_difference(before.assign(j1=[0.0] * 3 + [2.0] * 197), q, before, q)
    with pytest.raises(AnalysisError, match="same judges"):
        latent_difference(before, q, before[["j0", "j1"]], q)
