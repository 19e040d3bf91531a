from __future__ import annotations

import json

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.stats import Calibration, corrected_difference, ratio_difference, rogan_gladen

TRUE = (0.25, 0.40)
SENSITIVITY = (0.90, 0.80)
FALSE_POSITIVE = (0.10, 0.30)  # the judge dislikes the style of the arm after


def study(rng, n=200, icc=0.2):
    """New questions, their steps in both arms, the truth and a judge whose error differs by arm."""
    spread = 1 / icc - 1
    shared = rng.random(n)  # the arms of a question are hard together
    parts = []
    for arm, rate in enumerate(TRUE):
        own = rng.beta(rate * spread, (1 - rate) * spread, (n, 40))
        own.sort(axis=1)
        risk = own[np.arange(n), (shared * 40).astype(int)]
        m = rng.integers(3, 9, n)
        owner = np.repeat(np.arange(n), m)
        truth = rng.random(len(owner)) < risk[owner]
        called = rng.random(len(owner)) < np.where(truth, SENSITIVITY[arm], FALSE_POSITIVE[arm])
        parts.append(np.stack([owner, np.full(len(owner), arm), called, truth]).astype(float))
    return np.concatenate(parts, axis=1)


def draw(rng, after, called, per_cell=50):
    """Equally many steps of each label in each arm, and one over the chance of each."""
    checked, weight = np.zeros(len(after), dtype=bool), np.ones(len(after))
    for arm in (0, 1):
        for label in (0, 1):
            cell = np.flatnonzero((after == arm) & (called == label))
            checked[rng.choice(cell, min(per_cell, len(cell)), replace=False)] = True
            weight[cell] = len(cell) / min(per_cell, len(cell))
    return checked, weight


def test_everything_checked_gives_the_true_rates_whatever_the_judge():
    owner, after, called, truth = study(np.random.default_rng(0))
    for method in ("design", "prediction"):
        got = corrected_difference(owner, after, called, truth, method=method)
        assert got.before.estimate == pytest.approx(truth[after == 0].mean())
        assert got.after.estimate == pytest.approx(truth[after == 1].mean())
        assert got.naive == pytest.approx(called[after == 1].mean() - called[after == 0].mean())
        assert got.n_checked == ((after == 0).sum(), (after == 1).sum())
        sums = [
            np.bincount(owner[after == a].astype(int), w, 200)
            for a in (0, 1)
            for w in (truth[after == a], None)
        ]
        known = ratio_difference(*sums)
        assert got.difference.estimate == pytest.approx(known.estimate)
        width = (got.difference.high - got.difference.low) / 2
        assert width == pytest.approx(1.972 * known.se, rel=0.002)  # Student, 199 degrees


def test_design_weighting_by_hand():
    # before: 4 called (2 checked: 1 wrong), 6 passed (2 checked, weights 1 and 3: the second wrong)
    called = np.array([1] * 4 + [0] * 6 + [1, 1, 0, 0])
    after = np.array([0] * 10 + [1] * 4)
    truth = np.full(14, np.nan)
    truth[[0, 1, 4, 5]] = [1, 0, 0, 1]
    truth[10:] = [1, 0, 0, 1]
    weight = np.ones(14)
    weight[5] = 3
    got = corrected_difference(np.arange(14), after, called, truth, weight)
    assert got.before.estimate == pytest.approx(0.4 * 0.5 + 0.6 * 0.75)
    assert got.after.estimate == pytest.approx(0.5)
    assert got.naive == pytest.approx(0.5 - 0.4)
    json.dumps(got.to_json(), allow_nan=False)


def test_a_perfect_judge_is_used_whole_and_a_blind_one_not_at_all():
    rng = np.random.default_rng(2)
    owner, after, _, truth = study(rng)
    known = np.where(rng.random(len(truth)) < 0.2, truth, np.nan)
    perfect = corrected_difference(owner, after, truth, known, method="prediction")
    assert perfect.weight_on_judge == pytest.approx((1, 1), abs=0.1)
    assert perfect.difference.estimate == pytest.approx(perfect.naive, abs=0.01)
    blind = corrected_difference(owner, after, rng.random(len(truth)) < 0.5, known, method="prediction")
    assert max(blind.weight_on_judge) < 0.25
    few = corrected_difference(owner, after, np.zeros(len(truth)), known, method="prediction")
    assert few.weight_on_judge == (0, 0)
    assert few.before.estimate == pytest.approx(np.nanmean(known[after == 0]))


def test_seed_free_and_indifferent_to_the_order_of_steps():
    rng = np.random.default_rng(3)
    owner, after, called, truth = study(rng, n=40)
    checked, weight = draw(rng, after, called, 20)
    known = np.where(checked, truth, np.nan)
    order = rng.permutation(len(owner))
    for method in ("design", "prediction"):
        one = corrected_difference(owner, after, called, known, weight, method=method)
        columns = (column[order] for column in (owner, after, called, known, weight))
        two = corrected_difference(*columns, method=method)
        assert two.difference.low == pytest.approx(one.difference.low)
        assert two.difference.estimate == pytest.approx(one.difference.estimate)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["design", "prediction"])
def test_corrections_cover_the_population_difference_and_the_judge_does_not(method):
    # truth: the difference of error rates over all questions of the kind; questions, steps,
    # verdicts and the checked draw are new in each of 2,000 runs
    rng, runs, hits, naive, widths = np.random.default_rng(6), 2000, 0, [], []
    truth_difference = TRUE[1] - TRUE[0]
    for _ in range(runs):
        owner, after, called, truth = study(rng, n=120)
        checked, weight = draw(rng, after, called)
        got = corrected_difference(
            owner, after, called, np.where(checked, truth, np.nan), weight, method=method
        )
        hits += got.difference.low <= truth_difference <= got.difference.high
        naive.append(got.naive)
        widths.append(got.difference.high - got.difference.low)
    assert 0.93 <= hits / runs <= 0.97
    assert np.mean(naive) == pytest.approx(0.80 * 0.4 + 0.3 * 0.6 - 0.9 * 0.25 - 0.1 * 0.75, abs=0.01)
    assert np.mean(naive) > truth_difference + 0.04


@pytest.mark.slow
@pytest.mark.parametrize(("size", "most"), [(50, 0.98), (200, 0.97)])
def test_rogan_gladen_covers_and_is_wider_than_checking_steps_of_the_study(size, most):
    # a calibration of 50 errors and 50 correct steps per arm covers a little too often (.973)
    rng, runs, hits, widths, own = np.random.default_rng(7), 2000, 0, [], []
    for run in range(runs):
        owner, after, called, truth = study(rng, n=120)
        sums = [
            np.bincount(owner[after == arm].astype(int), weights, 120)
            for arm in (0, 1)
            for weights in (called[after == arm], None)
        ]
        found = rng.binomial(size, [SENSITIVITY, 1 - np.array(FALSE_POSITIVE)])
        known = [Calibration(int(found[0, arm]), size, int(found[1, arm]), size) for arm in (0, 1)]
        got = rogan_gladen(*sums, *known)
        hits += got.difference.low <= TRUE[1] - TRUE[0] <= got.difference.high
        widths.append(got.difference.high - got.difference.low)
        if run < 100:
            checked, weight = draw(rng, after, called, size)
            design = corrected_difference(owner, after, called, np.where(checked, truth, np.nan), weight)
            own.append(design.difference.high - design.difference.low)
    assert 0.93 <= hits / runs <= most
    assert np.mean(own) < 0.6 * np.mean(widths)


def test_rogan_gladen_inverts_the_judge():
    before, after = Calibration(90, 100, 80, 100), Calibration(60, 100, 95, 100)
    truth = (0.2, 0.5)
    rates = (0.9 * 0.2 + 0.2 * 0.8, 0.6 * 0.5 + 0.05 * 0.5)
    judged = np.full(50, 1000)
    got = rogan_gladen(judged * rates[0], judged, judged * rates[1], judged, before, after)
    assert (got.before.estimate, got.after.estimate) == pytest.approx(truth)
    # no spread over questions: the calibration alone is what is uncertain
    se, sp = 0.9 * 0.1 / 100, 0.8 * 0.2 / 100
    error = np.sqrt(0.2**2 * se + 0.8**2 * sp) / 0.7
    assert got.before.high - got.before.estimate == pytest.approx(2.0096 * error, rel=1e-4)
    assert got.n_checked == (200, 200)


def test_what_cannot_be_corrected_says_why():
    judged, errors = [4, 4], [1, 2]
    good, useless = Calibration(9, 10, 9, 10), Calibration(5, 10, 5, 10)
    got = rogan_gladen(errors, judged, errors, judged, good, useless)
    assert got.before.estimate is not None
    reason = "sensitivity + specificity is 1.000 after: the judge does not tell errors apart"
    assert got.after.reason == reason
    assert got.difference.estimate is None
    assert (
        "no errors"
        in rogan_gladen(errors, judged, errors, judged, Calibration(0, 0, 9, 10), good).before.reason
    )
    assert "no judged steps" in rogan_gladen(errors, judged, [0, 0], [0, 0], good, good).difference.reason
    nan = float("nan")
    columns = ([0, 1, 2, 3], [0, 0, 1, 1], [1, 0, 1, 0])
    for method, words in (
        ("design", "only 1 of an arm's steps called correct"),
        ("prediction", "only 1 of an arm's steps were checked"),
    ):
        got = corrected_difference(*columns, [1, 1, nan, 0], method=method)
        assert got.difference.estimate is None
        assert words in (got.before.reason + got.after.reason)
        json.dumps(got.to_json(), allow_nan=False)
    one_arm = corrected_difference([0, 1], [0, 0], [1, 1], [1, 0])
    assert one_arm.before.estimate == 0.5
    assert one_arm.after.estimate is None
    assert one_arm.naive is None


def test_a_label_whose_checked_steps_all_agree_is_not_known_exactly():
    rng = np.random.default_rng(0)
    owner, after, called, truth = study(rng, n=60)
    known = np.where(rng.random(len(truth)) < 0.1, called, np.nan)  # the check agrees every time
    got = corrected_difference(owner, after, called, known)
    plain = corrected_difference(owner, after, called, called)
    assert got.difference.estimate == pytest.approx(plain.difference.estimate)
    assert got.difference.high - got.difference.low > 1.1 * (plain.difference.high - plain.difference.low)


@pytest.mark.parametrize(
    ("columns", "more", "error", "words"),
    [
        (([0, 1], [0, 1], [0], [0, 1]), {}, AnalysisError, r"called \(1,\)"),
        (([0, None], [0, 1], [0, 1], [0, 1]), {}, AnalysisError, "row 1 has no question"),
        (([0, 1], [0, 2], [0, 1], [0, 1]), {}, AnalysisError, "row 1 has an arm"),
        (([0, 1], [0, 1], [0, 0.5], [0, 1]), {}, AnalysisError, "row 1 has a label"),
        (([0, 1], [0, 1], [0, 1], [2, 1]), {}, AnalysisError, "row 0 has a truth"),
        (([0, 1], [0, 1], [0, 1], [0, 1], [0, 1]), {}, AnalysisError, "row 0 was checked and has no weight"),
        (([0, 1], [0, 1], [0, 1], [0, 1]), {"method": "magic"}, UsageError, "magic"),
        (([0, 1], [0, 1], [0, 1], [0, 1]), {"level": 1}, UsageError, "level"),
    ],
)
def test_bad_input_is_named(columns, more, error, words):
    with pytest.raises(error, match=words):
        corrected_difference(*columns, **more)


def test_impossible_calibration_is_an_error():
    with pytest.raises(AnalysisError, match="more hits than steps"):
        rogan_gladen([1, 1], [2, 2], [1, 1], [2, 2], Calibration(3, 2, 1, 1), Calibration(1, 1, 1, 1))
