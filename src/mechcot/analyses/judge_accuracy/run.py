"""Having a judge judge labelled solutions, and the card that says what came of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mechcot.analyses.judge_accuracy.analysis import JudgeAccuracy, accuracy_of
from mechcot.analyses.judge_accuracy.card import card
from mechcot.analyses.judge_accuracy.labels import Labels, Solution, read_labels
from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger, Plan
from mechcot.core import files, records
from mechcot.judging.judge_file import Judge, judge_path, read_judge
from mechcot.judging.llm import judge_by_llm, plan
from mechcot.tasks import Question

CARD, RESULT, VERDICTS = "card.md", "accuracy.json", "verdicts.parquet"
_AUTHOR = "labelled"


def judge_labels(
    path: Path,
    judge_file: Path,
    out: Path,
    *,
    solutions: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    progress: bool = True,
) -> JudgeAccuracy:
    """Have a judge judge every step of labelled solutions; write `card.md`, `accuracy.json`, its verdicts.

    Replies are kept in `out/work`: the same call again asks for none of them.

    Args:
        path: a file of labels.
        judge_file: whom to ask. Where the file names no right answers, the judge is shown none.
        out: folder to write to.
        solutions: so many, drawn at random; None: all.
        seed: of the draw, and of the marks that fence what others wrote.
        budget: money that all calls may cost, earlier runs included.
        progress: whether to draw a bar.

    Raises:
        DataError: the labels cannot be used.
        ConfigError: the judge file cannot be used.
        JudgeError: too many steps got no verdict, or the budget is reached. Replies got are kept.
    """
    labels, judge, shown = _asked(path, judge_file, solutions, seed)
    session = Session(judge, out / "work", seed, ledger=Ledger(budget), progress=progress)
    found = judge_by_llm(
        steps_of(labels.solutions), _questions(labels), session, name=judge_path(judge_file).stem
    )
    verdicts = pd.DataFrame(found.rows, columns=records.VERDICTS.names)
    result = accuracy_of(labels, verdicts, found.about, shown)
    records.write_table(out / VERDICTS, verdicts, records.VERDICTS)
    files.write_json(out / RESULT, result.to_json())
    files.write_text(out / CARD, card(result))
    return result


def plan_labels(
    path: Path, judge_file: Path, out: Path, *, solutions: int | None = None, seed: int = 0
) -> Plan:
    """What `judge_labels` would send: calls, tokens, money. Sends and writes nothing."""
    labels, judge, _ = _asked(path, judge_file, solutions, seed)
    return plan(steps_of(labels.solutions), _questions(labels), judge, out / "work", seed=seed)


def _asked(path: Path, judge_file: Path, solutions: int | None, seed: int) -> tuple[Labels, Judge, bool]:
    """The labels that are judged, by whom, and whether it is shown the right answers."""
    labels, judge = read_labels(path), read_judge(judge_path(judge_file))
    if solutions is not None and solutions < len(labels.solutions):
        kept = sorted(random.Random(seed).sample(range(len(labels.solutions)), solutions))
        labels = replace(labels, solutions=tuple(labels.solutions[place] for place in kept))
    shown = judge.fields.gold and all(one.answer is not None for one in labels.solutions)
    fields = judge.fields.model_copy(update={"gold": shown, "options": False})  # there are none
    return labels, judge.model_copy(update={"fields": fields}), shown


def steps_of(solutions: Sequence[Solution]) -> pd.DataFrame:
    """The steps of solutions as a judge takes them: a solution is a question with one trace."""
    return pd.DataFrame(
        [
            {"qid": one.name, "arm": _AUTHOR, "cid": 0, "sid": place, "text": text, "complete": True}
            for one in solutions
            for place, text in enumerate(one.steps)
        ]
    )


def _questions(labels: Labels) -> dict[str, Question]:
    return {
        one.name: Question(one.name, "all", one.problem, (one.answer or "",), 0, one.name, open=True)
        for one in labels.solutions
    }
