"""Equal question text is one question in every interval, whatever its ids are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from mechcot import Study
from mechcot.analyses.answers import analysis as answers
from mechcot.analyses.arms import Arms, on_questions, pair_of
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.audit.certainty import analyse as certainty
from mechcot.analyses.audit.scales import error_scales
from mechcot.analyses.gains import analysis as gains
from mechcot.core.results import Pair

OWN_WAYS = ("delta_ece_squared", "both_right_bounds", "gee")
"""Not a sum over questions: the first two count a repeated text as another question, the third weighs
questions with more steps less."""


def twice(table: pd.DataFrame) -> pd.DataFrame:
    """Every row once more, as if its question had been drawn under another id."""
    return pd.concat([table, table.assign(qid=table["qid"] + "-again")], ignore_index=True)


def intervals(result: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(result, dict):
        if "low" in result and "method" in result:
            yield path, result
        for name, value in result.items():
            yield from intervals(value, (*path, name))
    elif isinstance(result, list):
        for i, value in enumerate(result):
            yield from intervals(value, (*path, str(i)))


def arms_of(study: Study, copies: bool) -> Arms:
    arms = Arms.of(study)
    return Arms(*(twice(table) if copies else table for table in vars(arms).values()))


def results(study: Study, copies: bool) -> dict[str, Any]:
    questions = study.questions(study.settings.contrast.domain)
    own = {
        name: [on_questions(questions, getattr(study, name)(arm)) for arm in pair_of(study)]
        for name in ("traces", "verdicts")
    }
    if copies:
        questions, own = twice(questions), {name: [*map(twice, both)] for name, both in own.items()}
    arms = arms_of(study, copies)
    found = {
        "answers": answers.analyse(questions, *own["traces"]),
        "audit": audit.analyse(arms),
        "scales": error_scales(arms),
        "certainty": certainty(arms),
        "gains": gains.analyse(questions, Pair(*own["traces"]), Pair(*own["verdicts"]), null_draws=2),
    }
    return {name: result.to_json() for name, result in found.items()}


def test_every_question_asked_twice_makes_no_interval_narrower(study: Study) -> None:
    once, again = (dict(intervals(results(study, copies))) for copies in (False, True))
    assert once.keys() == again.keys()
    assert {path[0] for path in once} == {"answers", "audit", "scales", "certainty", "gains"}
    for path, own in once.items():
        if not set(path) & set(OWN_WAYS):
            for end in ("estimate", "low", "high"):
                if isinstance(own[end], float):
                    assert again[path][end] == pytest.approx(own[end], rel=1e-6, abs=1e-9), (path, end)
                else:
                    assert again[path][end] == own[end], (path, end)
            assert again[path]["n"] == own["n"], path
