"""McNemar's tests: of one answer a question, exactly, and of several samples a question.

Of the clustered tests this is Obuchowski's (1998). Sample 1 of one arm and sample 1 of the other go together
by nothing but their question: hers takes the sums of each question alone, where those of Eliasziw and Donner
(1991) want the discordant pairs inside a question, which here would be an accident of the order. With equally
many samples in every question hers is Durkalski's (2003) times (questions - 1) / questions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result, because
from mechcot.stats.cluster import Ints, columns_of
from mechcot.stats.jackknife import by_text


@dataclass(frozen=True)
class McNemar(Result):
    """Questions by right and wrong in two arms.

    Attributes:
        both: right in both arms.
        gained: wrong before, right after.
        lost: right before, wrong after.
        neither: wrong in both arms.
        p_value: two-sided exact p of gained against lost, equal texts as one question; 1 where none changed.
    """

    both: int
    gained: int
    lost: int
    neither: int
    p_value: float


def mcnemar_exact(before: npt.ArrayLike, after: npt.ArrayLike, text: npt.ArrayLike | None = None) -> McNemar:
    """Test whether as many questions were gained as lost.

    Under the null each text's questions gained less lost would as likely have been the other way round: the
    p-value is the share of all such signs that leave a sum as far from 0. Where no two texts are equal that
    is the binomial with p = 1/2 (McNemar 1947, in the exact form). Not for steps: the steps of two arms do
    not match one to one.

    Args:
        before: right or not [questions].
        after: right or not [questions].
        text: the number of each question's text [questions]; None: no two are equal.

    Raises:
        AnalysisError: lengths differ.
    """
    old, new = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if old.ndim != 1 or old.shape != new.shape:
        raise AnalysisError(f"the same questions are needed in both arms; got {old.shape} and {new.shape}")
    gained, lost = int((~old & new).sum()), int((old & ~new).sum())
    changes = by_text(new.astype(float) - old, text)
    p_value = _share_as_far(np.abs(changes).astype(np.int64), abs(gained - lost))
    return McNemar(int((old & new).sum()), gained, lost, int((~old & ~new).sum()), p_value)


def _share_as_far(sizes: Ints, reached: int) -> float:
    """P(|sum of sizes under random signs| >= reached), from the binomial of each size."""
    from scipy.special import bdtr, gammaln

    sums = np.ones(1)  # probabilities of -total, -total + 2, ..., total
    for size, n in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        if (sizes[sizes > 0] == size).all():
            return min(1.0, 2.0 * float(bdtr((n - reached // size) // 2, n, 0.5)))
        up = np.arange(n + 1)
        own = np.zeros(int(n * size) + 1)
        own[:: int(size)] = np.exp(gammaln(n + 1) - gammaln(up + 1) - gammaln(n - up + 1) - n * np.log(2))
        sums = np.convolve(sums, own)
    total = len(sums) - 1
    far = np.abs(2 * np.arange(total + 1) - total) >= reached
    return min(1.0, float(sums[far].sum()))


@dataclass(frozen=True)
class ClusteredMcNemar(Result):
    """Samples of questions by right and wrong in two arms; a pair is a sample of each arm of one question.

    Attributes:
        both: share of pairs that are right in both arms; every question weighs by its samples.
        gained: share wrong before and right after.
        lost: share right before and wrong after; gained - lost is the change of accuracy where both arms have
            as many samples of a question.
        neither: share wrong in both.
        statistic: (change / its standard error under the null)^2; None where no question changed.
        p_value: two-sided, of chi-squared with one degree of freedom; 1 where no question changed, None where
            there is only one.
        n_questions: clusters.
    """

    both: float
    gained: float
    lost: float
    neither: float
    statistic: float | None = field(metadata=because("no question changed, or there is only one"))
    p_value: float | None = field(metadata=because("one question alone has no spread"))
    n_questions: int


def mcnemar_clustered(
    right0: npt.ArrayLike, samples0: npt.ArrayLike, right1: npt.ArrayLike, samples1: npt.ArrayLike
) -> ClusteredMcNemar:
    """Test whether samples are right as often in both arms, samples of a question being alike.

    With x_tq right of n_tq samples, p the mean of the two arms' shares and z_tq = (x_tq - p n_tq) / sum(n_t),
    chi^2 = (sum(z_1q) - sum(z_0q))^2 / (Q / (Q - 1) sum((z_1q - z_0q)^2)): Obuchowski (1998), with both arms'
    samples counted apart. For few questions it is rather too strict: `scripts/coverage_intervals.py mcnemar`.

    Args:
        right0: right samples before [questions].
        samples0: samples before [questions], 0 where a question has none.
        right1: right samples after [questions].
        samples1: samples after [questions].

    Raises:
        AnalysisError: lengths differ, a value is not finite, a count is negative, more right than samples, no
            question has samples in both arms.
    """
    from scipy.special import chdtrc

    table = columns_of(right0, samples0, right1, samples1)
    odd = np.argwhere((table[:, ::2] < 0) | (table[:, ::2] > table[:, 1::2]))
    if len(odd):
        row, arm = (int(i) for i in odd[0])
        right, of = table[row, 2 * arm : 2 * arm + 2]
        raise AnalysisError(
            f"question at row {row}: {right:g} right of {of:g} samples {('before', 'after')[arm]}"
        )
    table = table[(table[:, 1] > 0) & (table[:, 3] > 0)]
    n = len(table)
    if n == 0:
        raise AnalysisError("no question has samples in both arms")
    x0, n0, x1, n1 = table.T
    p0, p1, weight = x0 / n0, x1 / n1, (n0 / n0.sum() + n1 / n1.sum()) / 2
    cells = [(p0 * p1), (1 - p0) * p1, p0 * (1 - p1), (1 - p0) * (1 - p1)]
    share = (x0.sum() / n0.sum() + x1.sum() / n1.sum()) / 2
    z = (x1 - share * n1) / n1.sum() - (x0 - share * n0) / n0.sum()
    both, gained, lost, neither = (float(weight @ cell) for cell in cells)
    if n == 1:
        return ClusteredMcNemar(both, gained, lost, neither, None, None, n)
    spread = n / (n - 1) * float((z**2).sum())
    statistic = float(z.sum() ** 2 / spread) if spread > 0 else None
    p_value = 1.0 if statistic is None else float(chdtrc(1, statistic))
    return ClusteredMcNemar(both, gained, lost, neither, statistic, p_value, n)
