"""Commitment side by side: two authors, two readers, or one of each; in a table, on a page, in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mechcot.analyses.arms import pair_of
from mechcot.analyses.commitment.analysis import asked_otherwise, commitment_of, compare
from mechcot.analyses.commitment.locks import MATCHED
from mechcot.analyses.commitment.measures import LOCKS, MEASURES, Measure
from mechcot.analyses.commitment.result import CommitmentComparison, CommitmentResult
from mechcot.core.results import OPTIONAL, Interval, Result, remembered
from mechcot.core.words import FLAT, Table, counted, wrapped
from mechcot.study.readable import names_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True, eq=False)
class CommitmentContrast(Result):
    """One or two readings of traces, and the difference.

    Attributes:
        name: what was held fixed: "own" (each arm's traces by its own weights), "author-A", "reader-B",
            "A-by-B".
        results: one or two, by what they are called.
        difference: second minus first; left out with one alone.
        by: what its figure stands against: step, share or token.
        asked: `lead_ins`, `lead_in_differences`, `orders` and `depth`, each where it was read.
    """

    name: str
    results: dict[str, CommitmentResult]
    difference: CommitmentComparison | None = field(metadata=OPTIONAL)
    by: str
    asked: dict[str, Any]

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a measure: each value, its chance level where it has one, and the differences."""
        found = []
        for name, measure in MEASURES.items():
            row: dict[str, Any] = {"measure": name, "says": measure.says, "unit": measure.unit}
            for called, result in self.results.items():
                row[called] = result.shares[name].estimate
                row |= {f"{called}_{end}": getattr(result.shares[name], end) for end in ("low", "high", "n")}
                row[f"{called}_chance"] = result.chance[name].estimate if name in LOCKS else None
            if self.difference is not None:
                pairs = {
                    "difference": self.difference.differences[name],
                    "matched": self.difference.over_matched(name),
                    "equal_length": getattr(self.difference.equal_length.get(name), "difference", None),
                }
                for what, interval in pairs.items():
                    row[what] = getattr(interval, "estimate", None)
                    row |= {f"{what}_{end}": getattr(interval, end, None) for end in ("low", "high")}
            found.append(row)
        return found

    def __repr__(self) -> str:
        return f"CommitmentContrast({self.name}: {'; '.join(map(repr, self.results.values()))})"


def contrast(
    study: Study,
    author: str | None = None,
    reader: str | None = None,
    lead_in: int = 0,
    by: str = "step",
) -> CommitmentContrast:
    """What is not fixed varies over the contrast's arms.

    Neither fixed: each arm's traces under its own weights. The author fixed: its traces under both weights.
    The reader fixed: both arms' traces under its weights. Both: that one reading.

    Args:
        study: finished.
        author: whose traces.
        reader: whose weights.
        lead_in: index of the lead-in.
        by: what figures stand against: step, share or token.
    """
    arms = pair_of(study)
    if author is not None and reader is not None:
        name, pairs = f"{author}-by-{reader}", {f"{author} by {reader}": (author, reader)}
    elif author is not None:
        name, pairs = f"author-{author}", {f"read by {arm}": (author, arm) for arm in arms}
    elif reader is not None:
        name, pairs = f"reader-{reader}", {f"text of {arm}": (arm, reader) for arm in arms}
    else:
        name, pairs = "own", {arm: (arm, arm) for arm in arms}
    name += f"-lead-in-{lead_in}" if lead_in else ""
    results = {called: commitment_of(study, *pair, lead_in=lead_in, by=by) for called, pair in pairs.items()}
    both = list(results.values())
    found = CommitmentContrast(
        name, results, compare(*both) if len(both) == 2 else None, by, asked_otherwise(study, pairs)
    )
    return remembered(found, names_of(study))


def tables(found: CommitmentContrast, *, narrow: bool = False) -> tuple[Table, ...]:
    """Every measure with its interval and difference; then locks beside chance and at equal length.

    Args:
        found: one or two readings.
        narrow: whether measures have the short names of a terminal, where an indented one belongs to the one
            above it.
    """
    names, two = list(found.results), found.difference
    rows = []
    for name, measure in MEASURES.items():
        cells = [_said(result.shares[name], measure) for result in found.results.values()]
        rows.append(
            (
                measure.short if narrow else measure.says,
                *cells,
                *([_said(two.differences[name], measure)] if two else []),
            )
        )
    counts = "; ".join(
        f"{name}: {counted(r.n_traces, 'trace')} of {counted(r.n_questions, 'question')}"
        for name, r in found.results.items()
    )
    head = ("", *names, *(["difference"] if two else []))
    note = f"{counts}. Shares, probabilities, steps and tokens; 95 % intervals over questions."
    return (Table("Commitment", head, tuple(rows), note), _beside(found, narrow))


def _beside(found: CommitmentContrast, narrow: bool) -> Table:
    two = found.difference
    rows = []
    for name in LOCKS:
        levels = [result.chance[name].estimate for result in found.results.values()]
        chance = ", ".join("-" if level is None else f"{level:.2f}" for level in levels)
        matched = [two.over_matched(name), two.equal_length[name].difference] if two else []
        called = MEASURES[name].short if narrow else MEASURES[name].says
        rows.append((called, chance, *(_said(one, MEASURES[name]) for one in matched)))
    head = ("", "chance", *((f"over {MATCHED} prefixes", "equal length") if two else ()))
    note = "Chance: were a trace's answer drawn from all answers of its arm, whatever its question."
    if two:
        n = two.n_equal_length
        note += (
            f" Over {MATCHED} prefixes: the difference where of every trace the prompt (at the first claim: "
            "the prefix that ends it), the last prefix and one midway count."
            f" Equal length: the difference over traces with equally many prefixes ({n.before:,} and "
            f"{n.after:,} traces)."
        )
    return Table("Locks", head, tuple(rows), note)


def _said(value: Interval | None, measure: Measure) -> str:
    """A value with its interval: one digit of steps and tokens, two of what lies between 0 and 1."""
    digits = 1 if measure.unit in ("steps", "tokens") else 2
    if value is None or value.estimate is None:
        return "-"
    if value.low is None or value.high is None:
        return f"{value.estimate:.{digits}f}" + "*" * (FLAT in value.reason)
    return f"{value.estimate:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def terminal_text(found: CommitmentContrast) -> str:
    """The tables for a terminal, their notes in lines of its width."""
    return "\n\n".join(
        f"{replace(table, note='').text()}\n{wrapped(table.note)}" for table in tables(found, narrow=True)
    )


def result_text(result: CommitmentResult) -> str:
    """The tables of one reading for a terminal."""
    return terminal_text(CommitmentContrast("", {result.author: result}, None, result.by, {}))
