"""How each arm's traces were cut into steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.arms import on_questions
from mechcot.core.columns import Head, told
from mechcot.core.results import leaf
from mechcot.steps import segment_report
from mechcot.steps.of_study import questions_by_id, task_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study


def segments_of(study: Study) -> pd.DataFrame:
    """How each arm's traces of the headline's questions were cut into steps, a row an arm."""
    settings = study.settings.steps
    questions = study.questions(study.settings.contrast.domain)
    by_id = questions_by_id(study)
    reports = [
        segment_report(
            on_questions(questions, study.traces(arm)),
            on_questions(questions, study.steps(arm)),
            by_id,
            task_of(study, arm),
            settings.window,
        )
        for arm in study.settings.arms
    ]
    return pd.concat(reports, ignore_index=True)


def segments_json(study: Study) -> dict[str, Any]:
    """`segments_of` as JSON values, by arm, with the segmenter."""
    settings = study.settings.steps
    table = segments_of(study).set_index("arm")
    own = {
        str(arm): {
            str(name): int(value) if str(name).startswith("n_") else leaf(float(value), "there is no step")
            for name, value in row.items()
        }
        for arm, row in table.iterrows()
    }
    window = {"window": settings.window} if settings.segmenter == "words" else {}
    return {"segmenter": settings.segmenter, **window, "arms": own}


def terminal_text(study: Study) -> str:
    """How each arm's traces of the headline's questions were cut into steps."""
    return told(segments_of(study), _HEADS, {})


_BY = ("heading", "numbered", "bullet", "table", "code", "paragraph", "sentence", "line", "window")
_HEADS = {
    "coverage": Head("of the text", "share"),
    "share_cut": Head("cut by the token limit", "share"),
    **{f"share_{name}": Head(f"steps cut by {name}", "share") for name in _BY},
}
