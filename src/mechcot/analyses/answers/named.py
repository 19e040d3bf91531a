"""The vote where both arms name an option: how much of a gain is naming one at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mechcot.core.results import Interval, Pair, Result, because
from mechcot.stats.calibration import ece
from mechcot.stats.cluster import Floats, Ints
from mechcot.stats.jackknife import by_text, interval_of_sums, mean_interval
from mechcot.stats.votes import shared_tie_score, vote_confidence

_NONE = "no question has a trace of each arm that names an option"


@dataclass(frozen=True)
class BothNamed(Result):
    """The vote of the traces that name an option, on questions where both arms have one.

    Attributes:
        n_questions: such questions.
        sc: mean plurality score of that vote, both arms.
        ece: its expected calibration error, 10 bins of equal width, both arms.
        delta_sc: after - before.
        naming: share of the gain over *all* questions and traces that this vote does not hold,
            1 - (sum of its gains) / (sum of all gains): naming an option at all. None where the gain over
            all is not clearly above 0.
    """

    n_questions: int
    sc: Pair[float | None] = field(metadata=because(_NONE))
    ece: Pair[float | None] = field(metadata=because(_NONE))
    delta_sc: Interval
    naming: Interval


def both_named(tables: Pair[Ints], gold: Ints, text: Ints, gain: Interval) -> BothNamed:
    """Compare the votes of traces that name an option, where both arms have such traces.

    Args:
        tables: votes of each arm, [questions, options + 1] each; the last column is "no answer".
        gold: right option of each question [questions].
        text: the number of each question's text [questions]; equal texts are one question.
        gain: of the vote of all traces on all questions.
    """
    named = [table.copy() for table in tables]
    for table in named:
        table[:, -1] = 0
    rows = (named[0].sum(axis=1) > 0) & (named[1].sum(axis=1) > 0)
    scores = [shared_tie_score(table[rows], gold[rows]) for table in named]
    shares = [vote_confidence(table[rows]) for table in named]
    some = bool(rows.any())
    errors = [ece(share, score) if some else None for share, score in zip(shares, scores, strict=True)]
    means = [float(score.mean()) if some else None for score in scores]
    there = np.zeros(len(gold))
    there[rows] = scores[1] - scores[0]
    everywhere = shared_tie_score(tables.after, gold) - shared_tie_score(tables.before, gold)
    return BothNamed(
        n_questions=int(rows.sum()),
        sc=Pair(means[0], means[1]),
        ece=Pair(errors[0], errors[1]),
        delta_sc=mean_interval(scores[1] - scores[0], text[rows]),
        naming=_naming(by_text(there, text), by_text(everywhere, text), gain),
    )


def _naming(there: Floats, everywhere: Floats, gain: Interval) -> Interval:
    clear = gain.low is not None and gain.low > 0

    def share(sums: Floats) -> Floats:
        missing = np.full(len(sums), np.nan)
        return np.asarray(1 - np.divide(sums[:, 0], sums[:, 1], out=missing, where=clear & (sums[:, 1] > 0)))

    reason = "" if clear else "the gain over all questions is not clearly above 0"
    return interval_of_sums(np.column_stack([there, everywhere]), share, reason=reason)
