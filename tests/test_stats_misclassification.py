"""The split of a difference where kinds are mistaken: planted mistakes are undone."""

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.stats.decomposition import split_by_kind
from mechcot.stats.misclassification import within_corrected

MIX = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
RATES = np.array([[0.1, 0.3, 0.6], [0.1, 0.3, 0.6]])
"""Kinds err as often in both arms: all of the change is mix."""
CHANCES = np.array(
    [
        [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]],
        [[0.95, 0.0, 0.05], [0.0, 0.7, 0.3], [0.3, 0.0, 0.7]],
    ]
)
"""Mistakes that differ between the arms, true kind by kind as found."""


def sampled(rng, questions=150, steps=12, rates=RATES, chances=CHANCES):
    """Wrong and judged steps of both arms by kind as found, [questions, 4, kinds]."""
    found = np.zeros((questions, 4, 3))
    for arm in (0, 1):
        true = rng.choice(3, (questions, steps), p=MIX[arm])
        wrong = rng.random((questions, steps)) < rates[arm][true]
        cut = chances[arm].cumsum(axis=1)[true]
        seen = (rng.random((questions, steps, 1)) > cut[..., :2]).sum(axis=2)
        for kind in range(3):
            found[:, 2 * arm, kind] = ((seen == kind) & wrong).sum(axis=1)
            found[:, 2 * arm + 1, kind] = (seen == kind).sum(axis=1)
    return found


def test_exact_counts_give_the_true_within_term():
    rates = np.array([[0.1, 0.3, 0.6], [0.2, 0.35, 0.65]])
    judged = 1000 * MIX
    found = np.stack(
        [column @ CHANCES[arm] for arm in (0, 1) for column in (judged[arm] * rates[arm], judged[arm])]
    )
    share = MIX.mean(axis=0)
    truth = float(share @ (rates[1] - rates[0]))
    tables = np.repeat(found[None], 8, axis=0)
    assert within_corrected(tables, 1e6 * CHANCES).estimate == pytest.approx(truth, abs=1e-9)
    assert abs(within_corrected(tables).estimate - truth) > 0.01


@pytest.mark.parametrize("questions", [0, 3])
def test_without_a_judged_step_there_is_a_reason_and_no_number(questions):
    found = within_corrected(np.zeros((questions, 4, 3)), 1e6 * CHANCES)
    assert (found.estimate, found.n, found.reason) == (None, 0, "no step has a verdict")


def test_without_mistakes_it_is_the_within_term_of_the_split():
    tables = sampled(np.random.default_rng(0))
    e0, m0, e1, m1 = tables.transpose(1, 0, 2)
    own = split_by_kind(e0, m0, e1, m1, ("a", "b", "c")).common_within
    found = within_corrected(tables)
    assert (found.estimate, found.low, found.high) == pytest.approx((own.estimate, own.low, own.high))


def test_mistakes_that_differ_make_a_change_inside_kinds_and_undoing_them_takes_it_away():
    """Nothing changes inside kinds: as found the interval misses 0 in most worlds, undone it holds it."""
    rng, naive, undone = np.random.default_rng(1), [], []
    for _ in range(60):
        tables = sampled(rng)
        labelled = np.array([[rng.multinomial(100, row) for row in arm] for arm in CHANCES])
        for held, interval in (
            (naive, within_corrected(tables)),
            (undone, within_corrected(tables, labelled)),
        ):
            held.append(interval.low <= 0 <= interval.high)
    assert np.mean(naive) < 0.5
    assert np.mean(undone) > 0.9


def test_labelled_steps_widen_the_interval():
    tables = sampled(np.random.default_rng(2))
    few, many = (within_corrected(tables, n * CHANCES) for n in (20, 20_000))
    assert few.high - few.low > 1.2 * (many.high - many.low)
    assert few == within_corrected(tables, 20 * CHANCES)  # same seed, same numbers
    assert few.estimate == many.estimate


def test_what_labelled_steps_add_is_how_far_matrices_like_theirs_move_the_estimate():
    tables, rng = sampled(np.random.default_rng(2)), np.random.default_rng(5)
    few, sure = (within_corrected(tables, n * CHANCES) for n in (20, 1e9))
    drawn = rng.standard_gamma(np.broadcast_to(20 * CHANCES + 0.5, (150, *CHANCES.shape)))
    moved = [within_corrected(tables, 1e9 * one / one.sum(axis=-1, keepdims=True)).estimate for one in drawn]
    own = np.subtract(*np.quantile(moved, [0.975, 0.025])) / 2
    assert few.high - few.estimate == pytest.approx(np.hypot(sure.high - sure.estimate, own), rel=0.2)


def test_what_cannot_be_undone_says_why():
    tables = sampled(np.random.default_rng(3))
    blank = 50 * CHANCES
    blank[1, 2] = 0
    assert "no labelled step" in within_corrected(tables, blank).reason
    nowhere = np.zeros((len(tables), 4, 4)), np.zeros((2, 4, 4))
    nowhere[0][..., :3], nowhere[1][:, :3, :3] = tables, 50 * CHANCES
    assert within_corrected(*nowhere) == within_corrected(tables, 50 * CHANCES)
    same = np.ones((2, 3, 3)) + np.eye(3) * 1e-3
    assert "too often" in within_corrected(tables, same).reason
    with pytest.raises(AnalysisError, match="are needed"):
        within_corrected(tables, np.ones((2, 2, 2)))
    empty = tables.copy()
    empty[:, :2] = 0
    assert within_corrected(empty, 50 * CHANCES).estimate is None
