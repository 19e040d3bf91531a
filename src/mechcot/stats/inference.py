"""What clustering costs, what a study of a given size can see, and tests over several controls.

The question is the cluster throughout; an outcome is a judged step, erroneous or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.results import UNSTORED, Result
from mechcot.stats.cluster import Floats, ratio_difference

ALPHA = 0.05
POWER = 0.8
_CELLS = 1 << 20  # signs held at a time
_FLAT = "no question contributes to it"


@dataclass(frozen=True)
class DesignEffect(Result):
    """How much clustering inflates the variance of an error rate.

    Attributes:
        rate: errors over judged steps; None without steps.
        icc: intraclass correlation of the steps of a question, ANOVA estimator; None where it is
            not defined. It can be negative.
        deff: variance with questions as clusters over the variance of independent steps; None
            where either is not defined.
        deff_from_icc: 1 + (m - 1) icc with m = sum(m_q^2) / sum(m_q), the size of the question
            that a random step belongs to.
        mean_size: judged steps per question.
        n_questions: questions with a judged step.
        n_steps: judged steps.
        reason: why a value is None.
    """

    rate: float | None
    icc: float | None
    deff: float | None
    deff_from_icc: float | None
    mean_size: float | None
    n_questions: int
    n_steps: int
    reason: str = field(default="", metadata=UNSTORED)


@dataclass(frozen=True)
class SignFlips(Result):
    """Sign-flip tests of several means of zero, on the same questions.

    Attributes:
        names: what each test is of.
        estimates: means of the contributions.
        statistics: mean over its standard error; None where a test has no spread.
        p_values: two-sided, each test alone.
        p_family: adjusted for all the tests by step-down max-T; never below `p_values`.
        n: questions.
        draws: sign vectors drawn; no p-value is below 1 / (draws + 1).
        seed: of the signs.
    """

    names: tuple[str, ...]
    estimates: tuple[float, ...]
    statistics: tuple[float | None, ...]
    p_values: tuple[float, ...]
    p_family: tuple[float, ...]
    n: int
    draws: int
    seed: int


def design_effect(errors: npt.ArrayLike, judged: npt.ArrayLike) -> DesignEffect:
    """Intraclass correlation and design effect of one arm's step errors.

    With K questions of m_q steps, N steps, rates p_q and p: MSB = sum m_q (p_q - p)^2 / (K - 1),
    MSW = sum m_q p_q (1 - p_q) / (N - K), n0 = (N - sum m_q^2 / N) / (K - 1), and
    icc = (MSB - MSW) / (MSB + (n0 - 1) MSW) (Donner 1986; for binary outcomes Ridout, Demetrio
    and Firth 1999). `deff` is K / (K - 1) sum (e_q - p m_q)^2 / (N p (1 - p)), the linearised
    cluster variance over the binomial one.

    Args:
        errors: erroneous steps [questions].
        judged: judged steps [questions]; questions without any are left out.

    Raises:
        AnalysisError: lengths differ, a value is not finite, or errors outside 0..judged.
    """
    e, m = _rates(errors, judged)
    e, m = e[m > 0], m[m > 0]
    k, n = len(m), float(m.sum())
    if k == 0:
        return DesignEffect(None, None, None, None, None, 0, 0, "no judged steps")
    rate, mean_size = float(e.sum() / n), n / k
    if k < 2 or rate in (0.0, 1.0):
        reason = "one question alone" if k < 2 else "all steps were judged alike"
        return DesignEffect(rate, None, None, None, mean_size, k, round(n), reason)
    deff = float(k / (k - 1) * ((e - rate * m) ** 2).sum() / (n * rate * (1 - rate)))
    if n == k:
        reason = "no question has two judged steps"
        return DesignEffect(rate, None, deff, None, mean_size, k, round(n), reason)
    between = float((m * (e / m - rate) ** 2).sum() / (k - 1))
    within = float((e * (1 - e / m)).sum() / (n - k))
    size = float((n - (m**2).sum() / n) / (k - 1))
    icc = (between - within) / (between + (size - 1) * within)
    from_icc = 1 + (float((m**2).sum()) / n - 1) * icc
    return DesignEffect(rate, icc, deff, from_icc, mean_size, k, round(n))


def difference_design_effect(
    num0: npt.ArrayLike, den0: npt.ArrayLike, num1: npt.ArrayLike, den1: npt.ArrayLike
) -> float | None:
    """Variance of the paired difference with questions as clusters over that of independent steps.

    Below 1 where the arms of a question rise and fall together by more than its steps cluster.

    Args:
        num0: errors before [questions].
        den0: judged steps before [questions].
        num1: errors after [questions].
        den1: judged steps after [questions].

    Returns:
        None without a standard error, or where all steps of both arms were judged alike.

    Raises:
        AnalysisError: as `ratio_difference`.
    """
    point = ratio_difference(num0, den0, num1, den1)
    if point.se is None or point.rate_before is None or point.rate_after is None:
        return None
    arms = ((point.rate_before, den0), (point.rate_after, den1))
    naive = sum(rate * (1 - rate) / float(np.asarray(den, dtype=np.float64).sum()) for rate, den in arms)
    return float(point.se**2 / naive) if naive > 0 else None


def detectable_difference(
    se: float, *, freedom: float | None = None, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest true difference that a two-sided test finds with the given power.

    (t_{1 - alpha/2} + t_{power}) times the standard error of the difference, quantiles of Student's t.

    Args:
        se: standard error of the difference, clustering included.
        freedom: degrees of freedom of the test; None: those of a normal one.
        alpha: level of the test.
        power: chance to find it.

    Raises:
        UsageError: a standard error or degrees of freedom not above 0, or alpha or power outside (0, 1). A
            difference without spread would be found however small it is: that is too little to say so.
    """
    from scipy.special import ndtri, stdtrit

    if not (se > 0 and (freedom is None or freedom > 0) and 0 < alpha < 1 and 0 < power < 1):
        raise UsageError(
            f"se and freedom above 0, alpha and power in (0, 1) are needed; got {se}, {freedom}, {alpha}, "
            f"{power}"
        )
    ends = (1 - alpha / 2, power)
    return float(se * sum(ndtri(end) if freedom is None else stdtrit(freedom, end) for end in ends))


def power_of_rates(
    rate_before: float, rate_after: float, steps: float, *, deff: float = 1.0, alpha: float = ALPHA
) -> float:
    """The chance that a two-sided test tells two error rates apart.

    Normal, unpooled variances, for planning: Phi(|d| / SE - z_{1 - alpha/2}) with
    SE^2 = deff (r0 (1 - r0) + r1 (1 - r1)) / steps. The other tail is left out.

    Args:
        rate_before: true error rate.
        rate_after: true error rate.
        steps: judged steps in each arm.
        deff: design effect of the clustering.
        alpha: level of the test.

    Raises:
        UsageError: a rate outside 0..1, steps or deff not above 0, alpha outside (0, 1).
    """
    from scipy.special import ndtr, ndtri

    if not (0 <= min(rate_before, rate_after) <= max(rate_before, rate_after) <= 1):
        raise UsageError(f"rates must lie in 0..1, not {rate_before}, {rate_after}")
    if not (steps > 0 and deff > 0 and 0 < alpha < 1):
        raise UsageError(f"steps and deff above 0, alpha in (0, 1) are needed; got {steps}, {deff}, {alpha}")
    variance = deff * sum(rate * (1 - rate) for rate in (rate_before, rate_after)) / steps
    gap = abs(rate_after - rate_before)
    if variance == 0:
        return 1.0 if gap else alpha / 2
    return float(ndtr(gap / np.sqrt(variance) - ndtri(1 - alpha / 2)))


def difference_contributions(
    num0: npt.ArrayLike, den0: npt.ArrayLike, num1: npt.ArrayLike, den1: npt.ArrayLike
) -> Floats:
    """Each question's linearised share in the step-weighted difference [questions].

    d + (e1 - r1 m1) / mean(m1) - (e0 - r0 m0) / mean(m0), with d = r1 - r0, so that the mean over
    questions is d exactly. A question without steps in either arm contributes 0 and the others
    carry d between them: the rows of several judges or controls stay aligned. For a control's
    difference minus the primary one, subtract the two arrays.

    Args:
        num0: errors before [questions].
        den0: judged steps before [questions].
        num1: errors after [questions].
        den1: judged steps after [questions].

    Raises:
        AnalysisError: as `ratio_difference`; also an arm without steps.
    """
    point = ratio_difference(num0, den0, num1, den1)
    if point.rate_before is None or point.rate_after is None or point.estimate is None:
        raise AnalysisError(f"the difference has no contributions: {point.reason}")
    e0, m0, e1, m1 = (np.asarray(column, dtype=np.float64) for column in (num0, den0, num1, den1))
    present = (m0 > 0) | (m1 > 0)
    moved = (e1 - point.rate_after * m1) / m1.mean() - (e0 - point.rate_before * m0) / m0.mean()
    return np.asarray(moved + present * (point.estimate / present.mean()), dtype=np.float64)


def sign_flips(
    contributions: npt.ArrayLike,
    *,
    draws: int = 10_000,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> SignFlips:
    """Test that means over questions are zero by flipping the signs of whole questions.

    One random sign per question and draw, the same for all tests, so their dependence is kept.
    The statistic is studentised under every flip: t = mean / (sd / sqrt(Q)). p counts
    |t*| >= |t| and adds one to both counts (Phipson and Smyth 2010); the family is adjusted by
    Westfall and Young's (1993) step-down maximum. Exact where a question's contribution is
    symmetrical about zero under the null; otherwise right for many questions, which the
    studentising is for.

    Args:
        contributions: [questions] or [questions, tests], for instance `difference_contributions`.
        draws: sign vectors.
        seed: of numpy's PCG64.
        names: of the tests; by default "0", "1", ...

    Raises:
        AnalysisError: fewer than two questions, a value that is not finite, a name too many or few.
        UsageError: draws below 1.
    """
    table = np.asarray(contributions, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) < 2 or not np.isfinite(table).all():
        raise AnalysisError(
            f"finite contributions of at least two questions are needed [questions, tests], not {table.shape}"
        )
    if draws < 1:
        raise UsageError(f"draws must be at least 1, not {draws}")
    labels = tuple(str(i) for i in range(table.shape[1])) if names is None else tuple(names)
    if len(labels) != table.shape[1]:
        raise AnalysisError(f"{table.shape[1]} tests need as many names, not {len(labels)}")
    n = len(table)
    squares = (table**2).sum(axis=0)  # the same under every flip
    observed = np.abs(_student(table.mean(axis=0, keepdims=True), squares, n))[0]
    order = np.argsort(-observed, kind="stable")
    alone, family = np.ones(len(labels)), np.ones(len(labels))
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    for start in range(0, draws, rows):
        signs = rng.integers(0, 2, size=(min(rows, draws - start), n), dtype=np.int8) * 2.0 - 1.0
        flipped = np.abs(_student(signs @ table / n, squares, n))
        # equal up to rounding counts as reached
        alone += (flipped >= observed * (1 - 1e-9)).sum(axis=0)
        largest = np.maximum.accumulate(flipped[:, order[::-1]], axis=1)[:, ::-1]
        family[order] += (largest >= observed[order] * (1 - 1e-9)).sum(axis=0)
    family[order] = np.maximum.accumulate(family[order])
    estimates = table.mean(axis=0)
    return SignFlips(
        names=labels,
        estimates=tuple(float(value) for value in estimates),
        statistics=tuple(
            float(np.copysign(t, mean)) if np.isfinite(t) and square > 0 else None
            for t, mean, square in zip(observed, estimates, squares, strict=True)
        ),
        p_values=tuple(float(p) for p in alone / (draws + 1)),
        p_family=tuple(float(p) for p in family / (draws + 1)),
        n=n,
        draws=draws,
        seed=seed,
    )


def _student(means: Floats, squares: Floats, n: int) -> Floats:
    """Mean over its standard error; 0 for a column of zeros, infinite for one without spread."""
    spread = np.maximum(squares / n - means**2, 0.0)
    spread[spread <= 1e-12 * squares / n] = 0.0
    error = np.sqrt(spread / (n - 1))
    never = np.where(means == 0, 0.0, np.copysign(np.inf, means))
    return np.divide(means, error, out=never, where=error > 0)


def _rates(errors: npt.ArrayLike, judged: npt.ArrayLike) -> tuple[Floats, Floats]:
    e, m = np.asarray(errors, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    if e.ndim != 1 or e.shape != m.shape:
        raise AnalysisError(f"one count per question is needed; the shapes are {e.shape} and {m.shape}")
    bad = np.flatnonzero(~np.isfinite(e) | ~np.isfinite(m) | (e < 0) | (e > m))
    if bad.size:
        raise AnalysisError(f"row {bad[0]}: {e[bad[0]]} errors of {m[bad[0]]} judged steps")
    return e, m


def t_test(estimate: float, se: float, freedom: float) -> float:
    """Two-sided p of an estimate of 0: Student's t, as its interval's.

    Raises:
        UsageError: a standard error or degrees of freedom that are not above 0.
    """
    from scipy.special import stdtr

    if not (se > 0 and freedom > 0):
        raise UsageError(f"se and freedom above 0 are needed; got {se}, {freedom}")
    return float(2 * stdtr(freedom, -abs(estimate) / se))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """p-values adjusted for all tests of a family, step down (Holm 1979).

    A test that could not be made (None) stays one of the family: it was planned, and counts as p = 1.

    Raises:
        UsageError: a p outside 0..1.
    """
    if any(p is not None and not 0 <= p <= 1 for p in p_values):
        raise UsageError(f"p-values lie in 0..1; got {list(p_values)}")
    known = np.array([1.0 if p is None else p for p in p_values], dtype=np.float64)
    order = np.argsort(known, kind="stable")
    steps = np.minimum(known[order] * np.arange(len(known), 0, -1), 1.0)
    adjusted = np.empty(len(known))
    adjusted[order] = np.maximum.accumulate(steps)
    return tuple(None if p is None else float(q) for p, q in zip(p_values, adjusted, strict=True))
