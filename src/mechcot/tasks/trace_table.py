"""Verdicts on a table of traces, each by its own question's id: a row a trace, and whose trace it may be.

Pairing by row, or by what an answer looks like, gives a trace to a question that it does not answer. Here a
trace names its question, an id that is not there is refused, and traces that fit another question and not
their own are counted and named: ids that were shuffled show in that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.tasks.answers import same_items, same_value
from mechcot.tasks.base import Question, Value, Verifiable
from mechcot.tasks.verifiable import Checked, check_trace, leads_to

_NAMED = 5


@dataclass(frozen=True)
class TraceRow:
    """A trace with its verdicts."""

    qid: str
    cid: int
    entity: str
    category: str
    checked: Checked
    answer: str | None
    """The final answer; None: there is none."""
    right: bool
    fits: str
    """Another question whose trace it is word for word in what it says; "" for none, or where it is right."""

    @property
    def follows(self) -> bool | None:
        """Whether the final answer is the one that the trace leads to; None: one of both is missing."""
        if self.checked.implied is None or self.answer is None:
            return None
        return leads_to(self.checked.implied, self.answer)


@dataclass(frozen=True)
class Misplaced:
    """Traces that fit another question and not their own."""

    n: int
    n_fitting: int
    """Traces that fit some question, their own or another."""
    suspect: bool
    """More than a writer's errors bring about."""
    named: tuple[str, ...]

    def __str__(self) -> str:
        told = f"{self.n:,} of {self.n_fitting:,} traces that fit a question fit another than their own"
        return f"{told}: {'; '.join(self.named)}" if self.named else told


def check_rows(
    task: Verifiable, questions: Mapping[str, Question], rows: Iterable[tuple[str, int, str, str | None]]
) -> list[TraceRow]:
    """Every trace against its own question.

    Args:
        task: how traces are read.
        questions: by id.
        rows: question id, number, reasoning and final answer of each trace.

    Raises:
        DataError: a question cannot be taken apart.
    """
    owners = _owners(task, questions.values())
    found = []
    for qid, cid, reasoning, answer in rows:
        question = questions[qid]
        checked = check_trace(task, question, reasoning)
        own = checked.correct or (task.own_context and _of_its_context(checked, question))
        fits = "" if own else _other(owners, checked, qid)
        right = answer is not None and same_answer(answer, question.options[question.gold], question)
        entity, category = task.entity(question), task.category(question)
        found.append(TraceRow(qid, cid, entity, category, checked, answer, right, fits))
    return found


def same_answer(answer: str, other: str, question: Question) -> bool:
    """Whether two answers to a question are the same."""
    return (same_items if question.open else same_value)(answer, other)


def _owners(task: Verifiable, questions: Iterable[Question]) -> dict[tuple[frozenset[str], ...], list[str]]:
    """Questions by the right values of their sub-steps."""
    found: dict[tuple[frozenset[str], ...], list[str]] = defaultdict(list)
    for question in questions:
        found[tuple(frozenset(part.gold) for part in task.decompose(question))].append(question.qid)
    return found


def _of_its_context(checked: Checked, question: Question) -> bool:
    """Whether all that the last sub-step says stands in the question itself, which others may share."""
    last = list(checked.verdicts)[-1]
    return all(text in question.stem for text in checked.said.get(last, ()))


def _other(owners: Mapping[tuple[frozenset[str], ...], list[str]], checked: Checked, qid: str) -> str:
    said: list[Value] = [checked.said.get(name, ()) for name in checked.verdicts]
    return next((one for one in owners.get(tuple(map(frozenset, said)), ()) if one != qid), "")


def misplaced(task: Verifiable, rows: Sequence[TraceRow]) -> Misplaced:
    """How many traces are right for another question and wrong for their own.

    Where a question holds all that its trace may name, more than one in fifty is no error of a writer; a
    task whose wrong traces may be right elsewhere is suspect where fewer than half of the traces that fit
    any question fit their own.
    """
    other = [row for row in rows if row.fits]
    fitting = len(other) + sum(row.checked.correct for row in rows)
    suspect = bool(other) and len(other) > (0.02 if task.own_context else 0.5) * fitting
    told = tuple(f"trace {row.cid} of question '{row.qid}' fits '{row.fits}'" for row in other[:_NAMED])
    return Misplaced(len(other), fitting, suspect, told)


def read_rows(
    source: str,
    table: Any,
    questions: Mapping[str, Question],
    cut: Callable[[str, Question], tuple[str, str | None]],
) -> list[tuple[str, int, str, str | None]]:
    """Rows of a table that somebody else made: columns qid, text (or completion), and perhaps answer.

    Args:
        source: file name, for messages.
        table: as `records.read_any` gives it.
        questions: by id.
        cut: a text and its question to reasoning and final answer.

    Raises:
        DataError: with the row: a column is missing, a text is no text, an id is no question's, or stands
            twice with the same number.
    """
    column = next((name for name in ("text", "completion") if name in table.columns), None)
    if "qid" not in table.columns or column is None:
        raise DataError(f"{source}: the columns qid and text are needed; it has {list(table.columns)}")
    if table.empty:
        raise DataError(f"{source}: holds no traces")
    count: Counter[str] = Counter()
    seen: dict[tuple[str, int], int] = {}
    found = []
    for number, row in enumerate(table.to_dict("records"), 1):
        where, qid, text = f"{source}, row {number}", str(row["qid"]), row[column]
        if qid not in questions:
            raise DataError(f"{where}: there is no question '{qid}'. Give its question too")
        if not isinstance(text, str):
            raise DataError(f"{where}: expected a text in column '{column}', found {text!r}")
        cid = _number(where, row.get("cid"), count[qid])
        count[qid] += 1
        first = seen.setdefault((qid, cid), number)
        if first != number:
            raise DataError(f"{where}: trace {cid} of question '{qid}' is already that of row {first}")
        reasoning, answer = cut(text, questions[qid])
        given = row.get("answer")
        found.append((qid, cid, reasoning, answer if records.absent(given) else str(given)))
    return found


def _number(where: str, given: Any, counted: int) -> int:
    if records.absent(given):
        return counted
    try:
        return int(given)
    except (TypeError, ValueError):
        raise DataError(f"{where}: cid must be a whole number, found {given!r}") from None
