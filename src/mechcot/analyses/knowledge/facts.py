"""What each arm knows of a fixed list of facts, in two forms, against the arm before.

A fact is known in a form if a true object is the model's first choice there. A model may know a fact alone
and not reach it in its place (in a trace, or as a question): that gap is a number of its own. Intervals leave
out one group of facts at a time: all facts of a subject, and of what is met with it, stand and fall together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.knowledge.overlap import Known, Overlap, overlaps_of
from mechcot.core.errors import AnalysisError
from mechcot.core.fact_records import FORMS
from mechcot.core.no_weights import NO_WEIGHTS
from mechcot.core.results import OPTIONAL, Interval, Result, keyed
from mechcot.stats import rate_interval, ratio_difference_interval, ratio_interval

if TYPE_CHECKING:
    from mechcot.study.folder import Study

CLASSES = ("knew", "forgot", "learned", "never_knew", "undecided")
"""Of the arm before and the arm: both know; only the first; only the second; neither; not decidable."""
UNIT = "subjects"
ALL = "all"

States = npt.NDArray[np.int8]
"""Of each fact: 1 known, 0 unknown, -1 undecided, [facts]."""


@dataclass(frozen=True)
class Form(Result):
    """Facts asked in one form.

    Attributes:
        known: share of the decidable ones.
        n: decidable facts.
        n_undecided: the others.
        change: `known` minus that of the arm before, on facts decidable for both; not of the arm before.
        classes: shares of all facts against the arm before, in `CLASSES`; they add to 1. Likewise.
    """

    known: Interval
    n: int
    n_undecided: int
    change: Interval | None = field(default=None, metadata=OPTIONAL)
    classes: dict[str, Interval] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Cell(Result):
    """Some of the facts, as one arm knows them.

    Attributes:
        cell: which: `all`, `stratum: NAME` or `kind: NAME`.
        n_facts: facts.
        n_groups: groups of facts that are resampled.
        bare: each asked alone.
        placed: each in its place.
        gap: known alone minus known in place, on facts decidable in both.
        not_reached: of the facts known alone, the share that is not first in its place.
        change_gap: `gap` minus that of the arm before; not of the arm before.
        change_not_reached: `not_reached` likewise.
    """

    cell: str
    n_facts: int
    n_groups: int
    bare: Form
    placed: Form
    gap: Interval
    not_reached: Interval
    change_gap: Interval | None = field(default=None, metadata=OPTIONAL)
    change_not_reached: Interval | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class ArmFacts(Result):
    """What one arm knows.

    Attributes:
        arm: its name.
        cells: all facts, then by stratum, then by kind.
        overlap: whether its wrong objects are those of another arm.
    """

    arm: str
    cells: tuple[Cell, ...] = field(metadata=keyed("cell"))
    overlap: tuple[Overlap, ...] = field(metadata=keyed("other"))


@dataclass(frozen=True, repr=False)
class FactsResult(Result):
    """A fixed list of facts, asked of every arm with weights.

    Attributes:
        source: where the list comes from.
        placed_in: what its second form is.
        before: the arm that the others are compared with.
        n_listed: facts of the list.
        n_facts: those that were asked: their truth is checked.
        coverage: share that was asked.
        n_groups: groups of facts that are resampled.
        undecided: how many facts were not decidable for an arm, over arms, by form and reason.
        arms: each arm, the one before first.
    """

    source: str
    placed_in: str
    before: str
    n_listed: int
    n_facts: int
    coverage: float
    n_groups: int
    undecided: dict[str, int]
    arms: tuple[ArmFacts, ...] = field(metadata=keyed("arm"))

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row an arm, cell and form."""
        return [
            {"arm": own.arm, "cell": cell.cell, "form": form, "known": asked.known}
            | {"change": asked.change, "n_facts": asked.n, "n_undecided": asked.n_undecided}
            for own in self.arms
            for cell in own.cells
            for form, asked in (("bare", cell.bare), ("placed", cell.placed))
        ]

    def __repr__(self) -> str:
        told = "; ".join(f"{own.arm} {own.cells[0].bare.known}" for own in self.arms)
        return f"FactsResult({self.n_facts} facts asked alone: {told})"


def facts_of(study: Study) -> FactsResult:
    """What each arm knows of the study's list.

    Raises:
        AnalysisError: the study has no list or no weights, or it was not asked yet.
    """
    settings = study.settings
    if settings.given:
        raise AnalysisError(NO_WEIGHTS)
    arms = [name for name, arm in settings.arms.items() if arm.traces is None]
    before = settings.contrast.before
    if not (study.path / "facts.parquet").exists():
        raise AnalysisError(
            "there is no list of facts: the task has none of its own; name a file of pairs "
            "(knowledge.pairs) and run again"
        )
    facts = study.facts()
    tables = {arm: study.known(arm) for arm in (before, *(arm for arm in arms if arm != before))}
    return table(facts, tables, teachers=_teachers(study), pairs=settings.knowledge.pairs, seed=settings.seed)


def _teachers(study: Study) -> dict[str, pd.DataFrame]:
    """The wrong claims of arms that are given as traces: a teacher's, where there is one."""
    found = {}
    for name, arm in study.settings.arms.items():
        if arm.traces is not None:
            key = ["qid", "cid", "sid"]
            verdicts = study.verdicts(name)
            claims = study.claims(name).merge(verdicts[[*key, "label"]], on=key)
            found[name] = claims[claims.label == "erroneous"]
    return found


def table(
    facts: pd.DataFrame,
    known: dict[str, pd.DataFrame],
    *,
    teachers: dict[str, pd.DataFrame] | None = None,
    pairs: str | None = None,
    seed: int = 0,
) -> FactsResult:
    """Compare what some arms know of a list.

    Args:
        facts: rows of `fact_records.FACTS`.
        known: rows of `fact_records.KNOWN` by arm, the arm before first.
        teachers: wrong claims of arms without weights, rows of `records.CLAIMS`, by arm.
        pairs: the file that the list comes from; None: the task's own.
        seed: of the shuffles.

    Raises:
        AnalysisError: nothing of the list is checked; an arm was asked another list.
    """
    asked = facts[facts.checked].reset_index(drop=True)
    if asked.empty:
        raise AnalysisError(f"of {len(facts)} facts none is checked")
    answers = [_aligned(asked, rows, arm) for arm, rows in known.items()]
    undecided: dict[str, int] = {}
    for rows in known.values():
        for form, reason in rows.loc[rows.state == "undecided", ["form", "reason"]].itertuples(index=False):
            undecided[f"{form}: {reason}"] = undecided.get(f"{form}: {reason}", 0) + 1
    return FactsResult(
        source="pairs of a claim and its correction" if pairs else "every fact of the task's world",
        placed_in="question" if pairs else "trace",
        before=answers[0].arm,
        n_listed=len(facts),
        n_facts=len(asked),
        coverage=len(asked) / len(facts),
        n_groups=asked["group"].nunique(),
        undecided=dict(sorted(undecided.items())),
        arms=tuple(
            ArmFacts(
                own.arm,
                tuple(_cells(asked, own, None if number == 0 else answers[0])),
                overlaps_of(asked, own, answers[:1] if number else [], teachers or {}, seed),
            )
            for number, own in enumerate(answers)
        ),
    )


def _aligned(facts: pd.DataFrame, rows: pd.DataFrame, arm: str) -> Known:
    codes = rows.state.map({"known": 1, "unknown": 0, "undecided": -1})
    rows = rows.assign(code=codes)
    states, first = {}, {}
    for form in FORMS:
        own = rows[rows.form == form].set_index("fid")
        if own.index.has_duplicates or set(own.index) != set(facts.fid):
            raise AnalysisError(f"arm {arm} was not asked each fact of the list once in the form '{form}'")
        own = own.loc[facts.fid]
        states[form] = own.code.to_numpy(np.int8)
        first[form] = own["first"].to_numpy(object)
    return Known(arm, states, first)


def _cells(facts: pd.DataFrame, own: Known, before: Known | None) -> Iterator[Cell]:
    """All facts, each stratum, each kind; a single one of these is all facts again and left out."""
    parts = [(ALL, np.ones(len(facts), dtype=bool))]
    for column in ("stratum", "kind"):
        names = list(dict.fromkeys(facts[column]))
        if len(names) > 1:
            parts += [(f"{column}: {name}", (facts[column] == name).to_numpy()) for name in names]
    for name, rows in parts:
        was = None if before is None else _cut(before, rows)
        yield cell_of(name, facts.loc[rows, "group"], _cut(own, rows), was)


def _cut(known: Known, rows: npt.NDArray[np.bool_]) -> dict[str, States]:
    return {form: states[rows] for form, states in known.states.items()}


def cell_of(name: str, groups: pd.Series, own: dict[str, States], before: dict[str, States] | None) -> Cell:
    """One cell of an arm.

    Args:
        name: of the cell.
        groups: of each of its facts, [facts].
        own: the arm's states by form, [facts] each.
        before: those of the arm before; None: it is that arm.
    """
    codes, found = pd.factorize(groups)
    sums, both = _Sums(codes, len(found)), _both(own)
    decided = sums.of(both)
    cell = Cell(
        name,
        len(codes),
        len(found),
        bare=_form(sums, own["bare"], None if before is None else before["bare"]),
        placed=_form(sums, own["placed"], None if before is None else before["placed"]),
        gap=ratio_difference_interval(
            sums.of(own["placed"] == 1, both), decided, sums.of(own["bare"] == 1, both), decided, unit=UNIT
        ),
        not_reached=rate_interval(*sums.not_reached(own), unit=UNIT),
    )
    if before is None:
        return cell
    all_four = both & _both(before)
    return replace(
        cell,
        change_gap=ratio_interval(sums.of(_gap(own) - _gap(before), all_four), sums.of(all_four), unit=UNIT),
        change_not_reached=ratio_difference_interval(
            *sums.not_reached(before), *sums.not_reached(own), unit=UNIT
        ),
    )


def _both(states: dict[str, States]) -> npt.NDArray[np.bool_]:
    """Facts decidable in both forms."""
    return np.asarray((states["bare"] >= 0) & (states["placed"] >= 0))


def _gap(states: dict[str, States]) -> npt.NDArray[np.float64]:
    return states["bare"].astype(np.float64) - states["placed"]


@dataclass(frozen=True)
class _Sums:
    """Sums over the facts of each group, [groups]."""

    codes: npt.NDArray[np.intp]
    n: int

    def of(self, values: npt.ArrayLike, among: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
        """Of values [facts], among some facts [facts]."""
        own = np.asarray(values, dtype=np.float64)
        kept = own if among is None else np.where(among, own, 0.0)
        return np.bincount(self.codes, kept, minlength=self.n).astype(np.float64)

    def not_reached(
        self, states: dict[str, States]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Facts known alone that are not first in their place, and facts known alone."""
        known = _both(states) & (states["bare"] == 1)
        return self.of(states["placed"] == 0, known), self.of(known)


def _form(sums: _Sums, own: States, before: States | None) -> Form:
    decided = own >= 0
    known, n = sums.of(own == 1, decided), sums.of(decided)
    form = Form(rate_interval(known, n, unit=UNIT), int(decided.sum()), int((~decided).sum()))
    if before is None:
        return form
    both, every = decided & (before >= 0), sums.of(np.ones(len(own)))
    classes = _classes(own, before)
    return Form(
        form.known,
        form.n,
        form.n_undecided,
        change=ratio_interval(sums.of((own == 1) - 1.0 * (before == 1), both), sums.of(both), unit=UNIT),
        classes={name: rate_interval(sums.of(classes == name), every, unit=UNIT) for name in CLASSES},
    )


def _classes(own: States, before: States) -> npt.NDArray[np.str_]:
    """The class of each fact, [facts]."""
    undecided = (own < 0) | (before < 0)
    knew, knows = before == 1, own == 1
    return np.select([undecided, knew & knows, knew, knows], [CLASSES[4], *CLASSES[:3]], CLASSES[3])
