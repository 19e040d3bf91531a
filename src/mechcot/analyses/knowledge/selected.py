"""Selected on error: where the distilled model wrote a wrong claim, did either model have the truth in mind?

At the place where the distilled model wrote a claim's object, both models are asked for the next word.
A model *knows* there when a true object is its first choice. Over the errors that the distilled model
asserts this gives: knew (both know, and it wrote something else), forgot (only the base knows), learned
(only the distilled model, and it wrote something else) and never knew (neither) -- methods, amendment 26.
Claims that no reading or no verdict decides are counted apart. Secondary: wrong claims are chosen by what the
later model samples, in its own words; the fixed list (`facts.py`) is chosen by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval, Result, because
from mechcot.stats import rate_interval

if TYPE_CHECKING:
    from mechcot.study.folder import Study

CLASSES = ("knew", "forgot", "learned", "never_knew")
"""Base and distilled know; only the base; only the distilled; neither."""


@dataclass(frozen=True)
class KnowledgeShares(Result):
    """How a set of claims falls into classes of knowledge.

    Attributes:
        shares: class to share of the claims (they add to 1), questions resampled.
        n_claims: claims of the set.
        n_questions: questions that they come from.
        median_p_before: median probability of the truth under the base; None without claims.
        median_p_after: the same under the distilled model.
    """

    shares: dict[str, Interval]
    n_claims: int
    n_questions: int
    median_p_before: float | None = field(metadata=because("no claims"))
    median_p_after: float | None = field(metadata=because("no claims"))


@dataclass(frozen=True, eq=False)
class SelectedOnError(Result):
    """Knowledge at the claims of one author, under the weights before and after.

    Attributes:
        author: arm that wrote the claims.
        before: reader before distillation.
        after: reader after it.
        errors: over erroneous asserted claims, in `CLASSES`.
        claims: over all claims with a verdict correct or erroneous, in `CLASSES`.
        errors_by_relation: `errors` for each relation.
        claims_by_relation: `claims` for each relation.
        excluded: claims left out, by reason: unjudged (no verdict of the two), unread (a reader has
            no row for the claim).
    """

    author: str
    before: str
    after: str
    errors: KnowledgeShares
    claims: KnowledgeShares
    errors_by_relation: dict[str, KnowledgeShares]
    claims_by_relation: dict[str, KnowledgeShares]
    excluded: dict[str, int]

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per set, relation and class."""
        sets = [("errors", "", self.errors), ("claims", "", self.claims)]
        sets += [("errors", name, part) for name, part in self.errors_by_relation.items()]
        sets += [("claims", name, part) for name, part in self.claims_by_relation.items()]
        return [
            {"set": which, "relation": relation, "class": name, "share": share, "n_claims": part.n_claims}
            for which, relation, part in sets
            for name, share in part.shares.items()
        ]

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {interval}" for name, interval in self.errors.shares.items())
        return f"SelectedOnError({self.errors.n_claims} errors of {self.author}: {parts})"


def table(
    truth_before: pd.DataFrame,
    truth_after: pd.DataFrame,
    claims: pd.DataFrame,
    verdicts: pd.DataFrame,
) -> SelectedOnError:
    """Sort the distilled model's claims by what it and the base know there.

    Args:
        truth_before: rows of `records.TRUTH`: the distilled model's claims read by the base.
        truth_after: the same claims read by the distilled model itself.
        claims: rows of `records.CLAIMS`; other arms than the author are ignored.
        verdicts: rows of `records.VERDICTS` of one instrument.

    Raises:
        AnalysisError: readings of several authors or readers, or claims read or judged twice.
    """
    author, before = _one(truth_before, "before")
    also, after = _one(truth_after, "after")
    if author != also:
        raise AnalysisError(
            f"both readings must be of one author's claims; got {author} before and {also} after"
        )
    rows, excluded = _join(truth_before, truth_after, claims[claims["arm"] == author], verdicts)
    wrong = rows[(rows["label"] == "erroneous") & ~rows["hedged"].astype(bool)]
    relations = sorted(rows["relation"].unique())

    return SelectedOnError(
        author=author,
        before=before,
        after=after,
        errors=_shares(wrong),
        claims=_shares(rows),
        errors_by_relation={
            name: _shares(wrong[wrong["relation"] == name])
            for name in relations
            if (wrong["relation"] == name).any()
        },
        claims_by_relation={name: _shares(rows[rows["relation"] == name]) for name in relations},
        excluded=excluded,
    )


def _one(truth: pd.DataFrame, role: str) -> tuple[str, str]:
    """The one author and reader of a reading."""
    pairs = [(str(arm), str(reader)) for arm, reader in truth[["arm", "reader"]].drop_duplicates().to_numpy()]
    if len(pairs) != 1:
        raise AnalysisError(f"truth_{role}: expected one author and one reader, got {pairs or 'no rows'}")
    twice = truth[truth.duplicated(STEP_KEY)]
    if len(twice):
        key = twice.iloc[0][STEP_KEY].tolist()
        raise AnalysisError(f"truth_{role}: the claim (qid, arm, cid, sid) = {key} was read twice")
    return pairs[0]


def _join(
    truth_before: pd.DataFrame, truth_after: pd.DataFrame, claims: pd.DataFrame, verdicts: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Claims with verdict, both ranks and both probabilities, and what had to be left out."""
    if verdicts.duplicated(STEP_KEY).any():
        raise AnalysisError("a step has more than one verdict. Pass the verdicts of one instrument.")
    columns = [*STEP_KEY, "rank_truth", "p_truth"]
    rows = claims.merge(verdicts[[*STEP_KEY, "label"]], on=STEP_KEY, how="left")
    judged = rows["label"].isin(["correct", "erroneous"])
    rows = rows[judged].merge(truth_before[columns], on=STEP_KEY, how="left")
    rows = rows.merge(truth_after[columns], on=STEP_KEY, how="left", suffixes=("_before", "_after"))
    read = rows["rank_truth_before"].notna() & rows["rank_truth_after"].notna()
    excluded = {"unjudged": int((~judged).sum()), "unread": int((~read).sum())}
    rows = rows[read].reset_index(drop=True)
    knew, knows = rows["rank_truth_before"] == 1, rows["rank_truth_after"] == 1
    rows["class"] = np.select([knew & knows, knew, knows], CLASSES[:3], CLASSES[3])
    return rows, excluded


def _shares(rows: pd.DataFrame) -> KnowledgeShares:
    codes, questions = pd.factorize(rows["qid"], sort=True)
    den = np.bincount(codes, minlength=len(questions)).astype(np.float64)
    shares = {
        name: rate_interval(
            np.bincount(codes, (rows["class"] == name).to_numpy(np.float64), minlength=len(questions)), den
        )
        for name in CLASSES
    }
    return KnowledgeShares(
        shares,
        len(rows),
        len(questions),
        float(rows["p_truth_before"].median()) if len(rows) else None,
        float(rows["p_truth_after"].median()) if len(rows) else None,
    )


def selected_of(study: Study) -> SelectedOnError:
    """Whether the wrong claims of the arm after were known to the arm before.

    Raises:
        AnalysisError: the task cannot tell.
    """
    before, after = pair_of(study)
    if study.truth(after).empty:
        raise AnalysisError("the task does not know which objects would make a claim true")
    # a reading holds the contrast's questions: claims about others were not left out, they were never asked
    claims = on_questions(study.questions(study.settings.contrast.domain), study.claims(after))
    return table(
        study.truth(after, before),
        study.truth(after, after),
        claims[claims.cid < study.settings.reading.traces_per_question],
        study.verdicts(after),
    )
