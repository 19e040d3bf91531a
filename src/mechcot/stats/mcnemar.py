"""McNemar's exact test, right where each question is one row right or wrong in each arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result


@dataclass(frozen=True)
class McNemar(Result):
    """Questions by right and wrong in two arms.

    Attributes:
        both: right in both arms.
        gained: wrong before, right after.
        lost: right before, wrong after.
        neither: wrong in both arms.
        p_value: two-sided exact binomial p of gained against lost; 1 where none changed.
    """

    both: int
    gained: int
    lost: int
    neither: int
    p_value: float


def mcnemar_exact(before: npt.ArrayLike, after: npt.ArrayLike) -> McNemar:
    """Test whether as many questions were gained as lost.

    Under the null the gained among the changed questions are binomial with p = 1/2 (McNemar
    1947, in the exact form). Not for steps: the steps of two arms do not match one to one.

    Args:
        before: right or not [questions].
        after: right or not [questions].

    Raises:
        AnalysisError: lengths differ.
    """
    from scipy.special import bdtr

    old, new = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if old.ndim != 1 or old.shape != new.shape:
        raise AnalysisError(f"the same questions are needed in both arms; got {old.shape} and {new.shape}")
    gained, lost = int((~old & new).sum()), int((old & ~new).sum())
    changed = gained + lost
    p_value = min(1.0, 2.0 * float(bdtr(min(gained, lost), changed, 0.5))) if changed else 1.0
    return McNemar(int((old & new).sum()), gained, lost, int((~old & ~new).sum()), p_value)
