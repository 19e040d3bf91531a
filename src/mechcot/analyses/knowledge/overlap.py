"""Are an arm's wrong objects those of another arm? Above what a shuffle of subjects gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.results import Interval, Result, because
from mechcot.stats import rate_interval
from mechcot.tasks.pairs import PAIR

SHUFFLES = 1000


@dataclass(frozen=True)
class Known:
    """An arm's answers in the order of the list.

    Attributes:
        arm: its name.
        states: by form, 1 known, 0 unknown, -1 undecided, [facts] each.
        first: by form, what came first, [facts] each.
    """

    arm: str
    states: dict[str, npt.NDArray[np.int8]]
    first: dict[str, npt.NDArray[np.object_]]


@dataclass(frozen=True)
class Overlap(Result):
    """Facts that two arms get wrong, and whether they say the same wrong thing.

    Attributes:
        other: the other arm: its weights asked the same facts alone, or, without weights, what its traces
            wrongly claim of the same subject and relation.
        shared: share of the facts wrong in both with the same object.
        shuffled: the mean of that share where the other arm's subjects change places, among subjects with the
            same relations and stratum.
        p: share of such shuffles with at least as much in common, itself counted.
        n_facts: facts wrong in both.
    """

    other: str
    shared: Interval
    shuffled: float | None = field(metadata=because("too few facts are wrong in both"))
    p: float | None = field(metadata=because("too few facts are wrong in both"))
    n_facts: int


def overlaps_of(
    facts: pd.DataFrame,
    own: Known,
    others: Sequence[Known],
    teachers: Mapping[str, pd.DataFrame],
    seed: int,
) -> tuple[Overlap, ...]:
    """An arm's wrong objects beside those of other arms; facts are asked alone.

    Args:
        facts: the list.
        own: the arm's answers.
        others: of arms with weights.
        teachers: wrong claims of arms without, rows of `records.CLAIMS`.
        seed: of the shuffles.
    """
    if (facts.kind == PAIR).all():
        return ()  # of a pair there is one wrong statement
    said = {one.arm: _wrong(one) for one in others}
    said |= {arm: _claimed(facts, claims) for arm, claims in teachers.items()}
    return tuple(_overlap(facts, _wrong(own), theirs, arm, seed) for arm, theirs in said.items())


def _wrong(answers: Known) -> npt.NDArray[np.object_]:
    """The wrong object of each fact, "" where it is right or undecided, [facts]."""
    return np.where(answers.states["bare"] == 0, answers.first["bare"], "")


def _claimed(facts: pd.DataFrame, claims: pd.DataFrame) -> npt.NDArray[np.object_]:
    """What traces most often wrongly claim of each fact, "" where they do not, [facts]."""
    often = claims.groupby(["subject", "relation"]).object.agg(lambda own: own.value_counts().index[0])
    found = [
        often.get((subject, relation), "")
        for subject, relation in zip(facts.subject, facts.relation, strict=True)
    ]
    return np.array(found, dtype=object)


def _overlap(
    facts: pd.DataFrame,
    own: npt.NDArray[np.object_],
    theirs: npt.NDArray[np.object_],
    other: str,
    seed: int,
) -> Overlap:
    both = (own != "") & (theirs != "")
    groups, names = pd.factorize(facts["group"])
    num, den = (
        np.bincount(groups, 1.0 * rows, minlength=len(names)) for rows in (both & (own == theirs), both)
    )
    shared = rate_interval(num, den, unit="subjects")
    drawn = _shuffled(facts, own, theirs, np.random.default_rng([seed, 32]))
    if shared.estimate is None or not len(drawn):
        return Overlap(other, shared, None, None, int(both.sum()))
    above = float((1 + (drawn >= shared.estimate - 1e-12).sum()) / (1 + len(drawn)))
    return Overlap(other, shared, float(drawn.mean()), above, int(both.sum()))


def _shuffled(
    facts: pd.DataFrame,
    own: npt.NDArray[np.object_],
    theirs: npt.NDArray[np.object_],
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """The share in common under shuffles of the other arm's subjects, [shuffles that leave something].

    A subject keeps its wrong objects together. One that would be the truth at its new place says nothing
    there: an arm could not have been wrong by it.
    """
    subjects, names = pd.factorize(facts.subject)
    relations, verbs = pd.factorize(facts.relation)
    objects, _ = pd.factorize(np.concatenate([[""], own, theirs]))
    a, b = objects[1 : 1 + len(own)], objects[1 + len(own) :]
    mine, other = (np.zeros((len(names), len(verbs)), dtype=np.int64) for _ in range(2))
    mine[subjects, relations], other[subjects, relations] = a, b
    code = dict(zip([*own, *theirs], [*a, *b], strict=True))
    true = [{code.get(text, -1) for text in truth} for truth in facts.truth]
    widest = max(map(len, true))
    truth = np.full((len(names), len(verbs), widest), -1)
    for at, found in enumerate(true):
        truth[subjects[at], relations[at], : len(found)] = list(found)
    alike: dict[tuple[object, ...], list[int]] = {}
    for subject, own_facts in facts.groupby(subjects):
        alike.setdefault((own_facts.stratum.iloc[0], *sorted(own_facts.relation)), []).append(
            int(str(subject))
        )
    pools = [np.array(members) for members in alike.values()]
    shares = []
    for _ in range(SHUFFLES):
        order = np.arange(len(names))
        for pool in pools:
            order[pool] = rng.permutation(pool)
        dealt = other[order]
        there = (mine > 0) & (dealt > 0) & ~(dealt[..., None] == truth).any(-1)
        if there.any():
            shares.append(((mine == dealt) & there).sum() / there.sum())
    return np.array(shares)
