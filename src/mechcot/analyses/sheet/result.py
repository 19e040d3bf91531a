"""What a filled sheet says: of the judges, of the arms' error rates, and of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mechcot.core.results import Interval, Result, leaf
from mechcot.core.words import aligned, short
from mechcot.stats.agreement import NOTE, Agreement
from mechcot.stats.correction import Corrected


@dataclass(frozen=True)
class WithPeople:
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

    def to_json(self) -> dict[str, Any]:
        """The coefficients with their intervals as JSON values."""
        three = {name: getattr(self, name).to_json() for name in ("raw", "kappa", "ac1")}
        return {"arm": self.arm, "labels": self.labels, **three, "n_steps": self.n_steps}


@dataclass(frozen=True)
class JudgeOnSheet:
    """One judge beside people.

    Attributes:
        instrument: its name.
        agreement: by arm and label set.
        table: rows of the arm, the judge's label, the people's label, steps on the sheet (`n`) and the
            steps of the study that they stand for (`weight`).
        judged: its error rates as they stand, before and after.
        design: error rates corrected by the design-weighted P(error | label, arm).
        prediction: the same by prediction-powered inference.
        left_out: steps that the judge called correct or erroneous and people neither, before and
            after; the corrections do without them.
    """

    instrument: str
    agreement: tuple[WithPeople, ...]
    table: pd.DataFrame
    judged: tuple[float, float]
    design: Corrected
    prediction: Corrected
    left_out: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "agreement": [part.to_json() for part in self.agreement],
            "table": self.table.to_dict("records"),
            "judged": dict(zip(("before", "after"), self.judged, strict=True)),
            "design": self.design.to_json(),
            "prediction": self.prediction.to_json(),
            "left_out": dict(zip(("before", "after"), self.left_out, strict=True)),
        }


@dataclass(frozen=True)
class Blinding:
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

    def to_json(self) -> dict[str, Any]:
        """The indices and counts as JSON values."""
        three = {name: getattr(self, name).to_json() for name in ("before", "after", "both")}
        return {**three, "counts": self.counts.to_dict("records")}


@dataclass(frozen=True)
class SheetResult(Result):
    """A filled sheet against the judges.

    Attributes:
        sheet: its name.
        arms: before and after.
        domain: of its questions; None: all of them.
        n_items: items on the sheet, repeats included.
        n_answered: with a verdict.
        n_absent: whose row was missing.
        n_checked: different steps with a verdict, before and after.
        uncovered: steps of the study in cells of which no step was answered, before and after.
        people_before: errors over errors and correct steps, by people alone, each step with its weight;
            steps that the judge set aside and people did not are in it.
        people_after: the same after.
        people_difference: after - before.
        judges: the instruments, the one that sorted the steps first.
        retest: first against second verdict of the repeats; None without answered ones.
        blinding: guesses of the arm.
        items: one row per item: its id, step key, weight, `label` of people, guess, comment, `first`,
            and each instrument's label.
        ignored: columns of the file that were ignored.
        sources: file of the study to its digest: the questions, steps and verdicts it was read against.
        draws: bootstrap replicates.
        seed: of the resampling.
    """

    sheet: str
    arms: tuple[str, str]
    domain: str | None
    n_items: int
    n_answered: int
    n_absent: int
    n_checked: tuple[int, int]
    uncovered: tuple[int, int]
    people_before: Interval
    people_after: Interval
    people_difference: Interval
    judges: tuple[JudgeOnSheet, ...]
    retest: Agreement | None
    blinding: Blinding
    items: pd.DataFrame
    ignored: tuple[str, ...]
    sources: dict[str, str]
    draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        both = ("before", "after")
        return {
            "sheet": self.sheet,
            "arms": dict(zip(both, self.arms, strict=True)),
            "domain": self.domain,
            "n_items": self.n_items,
            "n_answered": self.n_answered,
            "n_absent": self.n_absent,
            "n_checked": dict(zip(both, self.n_checked, strict=True)),
            "uncovered": dict(zip(both, self.uncovered, strict=True)),
            "people": {
                "before": self.people_before.to_json(),
                "after": self.people_after.to_json(),
                "difference": self.people_difference.to_json(),
            },
            "judges": {judge.instrument: judge.to_json() for judge in self.judges},
            "retest": self.retest.to_json()
            if self.retest
            else leaf(None, "no repeated step was judged twice"),
            "blinding": self.blinding.to_json(),
            "items": self.items.to_dict("records"),
            "ignored_columns": list(self.ignored),
            "sources": dict(self.sources),
            "draws": self.draws,
            "seed": self.seed,
            "note": NOTE,
        }

    def to_frame(self) -> pd.DataFrame:
        """Error rates: one row per estimate, with both arms, the difference and its interval."""
        rows: list[dict[str, Any]] = []
        for judge in self.judges:
            judged = {"before": judge.judged[0], "after": judge.judged[1], "difference": judge.design.naive}
            rows.append({"estimate": f"{judge.instrument}, as judged", **judged})
            for name, found in (("design-weighted", judge.design), ("prediction-powered", judge.prediction)):
                three = (found.before, found.after, found.difference)
                rows.append(_rates(f"{judge.instrument}, {name}", three))
        three = (self.people_before, self.people_after, self.people_difference)
        rows.append(_rates("people alone", three))
        return pd.DataFrame(rows, columns=["estimate", "before", "after", "difference", "low", "high"])

    def text(self) -> str:
        """The result as tables for a terminal."""
        before, after = self.arms
        lines = [
            f"{self.sheet}: {self.n_answered} of {self.n_items} items judged "
            f"({self.n_checked[0]} steps of {before}, {self.n_checked[1]} of {after})"
            + (f"; {self.n_absent} items have no row" if self.n_absent else ""),
        ]
        if self.ignored:
            lines.append(f"Columns that were ignored: {', '.join(map(_plain, self.ignored))}")
        if any(self.uncovered):
            lines.append(
                f"Nobody judged a step of cells that hold {self.uncovered[0]} steps of {before} and "
                f"{self.uncovered[1]} of {after}; they are left out"
            )
        for judge in self.judges:
            if any(judge.left_out):
                lines.append(
                    f"People called {judge.left_out[0]} ({before}) and {judge.left_out[1]} ({after}) steps "
                    f"neither correct nor erroneous that {judge.instrument} did; the corrections omit them"
                )
        return "\n".join([*lines, "", *self._rate_lines(), "", *self._agreement_lines()])

    def _rate_lines(self) -> list[str]:
        rows: list[tuple[str, ...]] = [("error rate", *self.arms, "difference [95 % interval]")]
        for row in self.to_frame().to_dict("records"):
            ends = "" if pd.isna(row["low"]) else f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
            gap = "-" if pd.isna(row["difference"]) else f"{100 * row['difference']:+.1f} points{ends}"
            rates = ("" if pd.isna(row[arm]) else f"{row[arm]:.1%}" for arm in ("before", "after"))
            rows.append((row["estimate"], *rates, gap))
        return aligned(rows)

    def _agreement_lines(self) -> list[str]:
        rows: list[tuple[str, ...]] = [("agreement with people", "steps", "raw", "kappa", "AC1")]
        for judge in self.judges:
            for part in judge.agreement:
                arm = "both arms" if part.arm == "both" else part.arm
                name = f"{judge.instrument}, {arm}, {part.labels} labels"
                rows.append((name, str(part.n_steps), *map(short, (part.raw, part.kappa, part.ac1))))
        if self.retest:
            pair = self.retest.pairs[0]
            again = map(short, (pair.raw, pair.kappa, pair.ac1))
            rows.append(("people, the same step twice", str(pair.n_steps), *again))
        blind = self.blinding
        lines = [
            *aligned(rows),
            NOTE[0].upper() + NOTE[1:] + ".",
            "",
            f"Guess of the arm (0 chance, 1 always right): {self.arms[0]} {short(blind.before)}, "
            f"{self.arms[1]} {short(blind.after)}, both {short(blind.both)}",
        ]
        return [*lines, _FLAT] if any("]*" in line for line in lines) else lines

    def __repr__(self) -> str:
        rates = "; ".join(f"{judge.instrument} corrected {judge.design.difference}" for judge in self.judges)
        return f"SheetResult({self.sheet}: {self.n_answered}/{self.n_items} judged; difference: {rates})"


_FLAT = (
    "* An interval of no width: no question differs from the others there. It says that nothing else was "
    "seen, not that there is nothing else."
)


def _rates(name: str, three: tuple[Interval, Interval, Interval]) -> dict[str, Any]:
    before, after, difference = three
    return {
        "estimate": name,
        "before": before.estimate,
        "after": after.estimate,
        "difference": difference.estimate,
        "low": difference.low,
        "high": difference.high,
    }


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
