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
from mechcot.stats.frames import plain


def twice(table: pd.DataFrame) -> pd.DataFrame:
    """Every row once more, as if its question had been drawn under another id."""
    return pd.concat([table, table.assign(qid=table["qid"] + "-again")], ignore_index=True)


SAID = {"estimate", "low", "high", "interval_low", "interval_high", "p_value", "statistic", "ece_squared"}


def inference(result: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf that is an interval's or a test's."""
    if isinstance(result, dict):
        for name, value in result.items():
            if name in SAID and not isinstance(value, dict):
                yield (*path, name), value
            yield from inference(value, (*path, name))
    elif isinstance(result, list):
        for i, value in enumerate(result):
            yield from inference(value, (*path, str(i)))


def arms_of(study: Study, copies: bool) -> Arms:
    arms = Arms.of(study)
    return Arms(*(twice(plain(table)) if copies else table for table in vars(arms).values()))


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
    once, again = (dict(inference(results(study, copies))) for copies in (False, True))
    assert once.keys() == again.keys()
    assert {path[0] for path in once} == {"answers", "audit", "scales", "certainty", "gains"}
    assert {path[-1] for path in once} == SAID
    for path, own in once.items():
        if isinstance(own, float):
            assert again[path] == pytest.approx(own, rel=1e-6, abs=1e-9), path
        else:
            assert again[path] == own, path
