"""What a filled sheet says: of the judges, of the arms' error rates, and of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mechcot.core.results import Interval, Pair, Paired, Result, because, keyed
from mechcot.core.words import DIFFERENCE, Table, plain_signs, short
from mechcot.stats.agreement import NOTE, Agreement, PairAgreement
from mechcot.stats.correction import Corrected


@dataclass(frozen=True, repr=False)
class WithPeople(Result):
    """Agreement of a judge with people, for all steps of the study that the sheet stands for.

    Attributes:
        arm: whose steps; "both" for the two together.
        labels: "four" labels, or "two": steps that both called correct or erroneous.
        raw: share of steps with the same label.
        kappa: Cohen's.
        ac1: Gwet's.
        n_steps: steps on the sheet behind it.
    """

    arm: str
    labels: str
    raw: Interval
    kappa: Interval
    ac1: Interval
    n_steps: int


@dataclass(frozen=True, repr=False)
class JudgeOnSheet(Result):
    """One judge beside people.

    Attributes:
        instrument: its name.
        agreement: by arm and label set.
        counts: rows of the arm, the judge's label, the people's label, steps on the sheet (`n`) and the
            steps of the study that they stand for (`weight`).
        judged: its error rates as they stand.
        design: error rates corrected by the design-weighted P(error | label, arm).
        prediction: the same by prediction-powered inference.
        left_out: steps that the judge called correct or erroneous and people neither; the corrections do
            without them.
    """

    instrument: str
    agreement: tuple[WithPeople, ...]
    counts: pd.DataFrame
    judged: Pair[float]
    design: Corrected
    prediction: Corrected
    left_out: Pair[int]


@dataclass(frozen=True, repr=False)
class Blinding(Result):
    """Whether people could tell the arms: Bang's index (Bang, Ni and Davis 2004).

    (right - wrong) / (right + wrong + unsure): 0 is chance, 1 everybody knows, -1 everybody is misled.

    Attributes:
        before: on steps of the arm before.
        after: on steps of the arm after.
        both: mean of the two; one guess for every step gives 0.
        counts: rows of arm, guess and `n`.
    """

    before: Interval
    after: Interval
    both: Interval
    counts: pd.DataFrame


@dataclass(frozen=True, repr=False)
class SheetResult(Result):
    """A filled sheet against the judges.

    Attributes:
        sheet: its name.
        arms: before and after.
        domain: of its questions; None: all of them.
        n_items: items on the sheet, repeats included.
        n_answered: with a verdict.
        n_absent: whose row was missing.
        n_checked: different steps with a verdict.
        uncovered: steps of the study in cells of which no step was answered.
        people: errors over errors and correct steps, by people alone, each step with its weight; steps
            that the judge set aside and people did not are in it.
        judges: the instruments, the one that sorted the steps first.
        retest: first against second verdict of the repeats; None without answered ones.
        blinding: guesses of the arm.
        items: one row per item: its id, step key, weight, `label` of people, guess, comment, `first`,
            and each instrument's label.
        ignored_columns: columns of the file that were ignored.
        sources: file of the study to its digest: the questions, steps and verdicts it was read against.
    """

    sheet: str
    arms: Pair[str]
    domain: str | None
    n_items: int
    n_answered: int
    n_absent: int
    n_checked: Pair[int]
    uncovered: Pair[int]
    people: Paired
    judges: tuple[JudgeOnSheet, ...] = field(metadata=keyed("instrument"))
    retest: Agreement | None = field(metadata=because("no repeated step was judged twice"))
    blinding: Blinding
    items: pd.DataFrame
    ignored_columns: tuple[str, ...]
    sources: dict[str, str]

    note = NOTE
    derived = ("note",)
    table = "rates"

    @property
    def rates(self) -> list[dict[str, Any]]:
        """Error rates: one row per estimate, with both arms, the difference and its interval."""
        rows: list[dict[str, Any]] = []
        for judge in self.judges:
            judged = judge.judged._asdict() | {"difference": judge.design.naive}
            rows.append({"estimate": f"{judge.instrument}, as judged", **judged})
            for name, found in (("design-weighted", judge.design), ("prediction-powered", judge.prediction)):
                rows.append({"estimate": f"{judge.instrument}, {name}", **_rates(found)})
        rows.append({"estimate": "people alone", **_rates(self.people)})
        return rows

    def text(self) -> str:
        """The result as tables for a terminal."""
        before, after = self.arms
        lines = [
            f"{self.sheet}: {self.n_answered} of {self.n_items} items judged "
            f"({self.n_checked.before} steps of {before}, {self.n_checked.after} of {after})"
            + (f"; {self.n_absent} items have no row" if self.n_absent else ""),
        ]
        if self.ignored_columns:
            lines.append(f"Columns that were ignored: {', '.join(map(plain_signs, self.ignored_columns))}")
        if any(self.uncovered):
            lines.append(
                f"Nobody judged a step of cells that hold {self.uncovered.before} steps of {before} and "
                f"{self.uncovered.after} of {after}; they are left out"
            )
        for judge in self.judges:
            if any(judge.left_out):
                lines.append(
                    f"People called {judge.left_out.before} ({before}) and {judge.left_out.after} ({after}) "
                    f"steps neither correct nor erroneous that {judge.instrument} did; the corrections omit "
                    "them"
                )
        return "\n".join([*lines, "", self._rates_table().text(), "", *self._agreement_lines()])

    def _rates_table(self) -> Table:
        rows = []
        for row in self.to_frame().to_dict("records"):
            ends = "" if pd.isna(row["low"]) else f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
            gap = "-" if pd.isna(row["difference"]) else f"{100 * row['difference']:+.1f} points{ends}"
            rates = ("" if pd.isna(row[arm]) else f"{row[arm]:.1%}" for arm in ("before", "after"))
            rows.append((row["estimate"], *rates, gap))
        return Table("error rate", ("", *self.arms, DIFFERENCE), tuple(rows))

    def _agreement_lines(self) -> list[str]:
        rows = []
        for judge in self.judges:
            for part in judge.agreement:
                arm = "both arms" if part.arm == "both" else part.arm
                rows.append(_agreed(f"{judge.instrument}, {arm}, {part.labels} labels", part))
        if self.retest:
            rows.append(_agreed("people, the same step twice", self.retest.pairs[0]))
        head = ("", "steps", "raw", "kappa", "AC1")
        table = Table("agreement with people", head, tuple(rows), f"{NOTE[0].upper()}{NOTE[1:]}.")
        blind = self.blinding
        lines = [
            table.text(),
            "",
            f"Guess of the arm (0 chance, 1 always right): {self.arms.before} {short(blind.before)}, "
            f"{self.arms.after} {short(blind.after)}, both {short(blind.both)}",
        ]
        return [*lines, _FLAT] if any("*" in line for line in lines) else lines

    def __repr__(self) -> str:
        rates = "; ".join(f"{judge.instrument} corrected {judge.design.difference}" for judge in self.judges)
        return f"SheetResult({self.sheet}: {self.n_answered}/{self.n_items} judged; difference: {rates})"


_FLAT = (
    "* No interval: no question differs from the others there. It says that nothing else was "
    "seen, not that there is nothing else."
)


def _rates(found: Paired | Corrected) -> dict[str, float | None]:
    difference = found.difference
    rates = Pair(found.before.estimate, found.after.estimate)._asdict()
    return rates | {"difference": difference.estimate, "low": difference.low, "high": difference.high}


def _agreed(name: str, found: WithPeople | PairAgreement) -> tuple[str, ...]:
    return (name, str(found.n_steps), *map(short, (found.raw, found.kappa, found.ac1)))
