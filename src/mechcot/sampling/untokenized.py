"""Given traces in a study without weights: there is no tokenizer, and a token is a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mechcot.core.errors import DataError
from mechcot.sampling.empty import refuse_empty
from mechcot.tasks import PromptFormat, Question, read_answer, reasoning_end
from mechcot.tasks.tokens import TURN_MARK, without_end

NO_ID = -1
"""The id of every token: no vocabulary holds it."""
_WORD = re.compile(r"\s*\S+")


def word_rows(
    given: pd.DataFrame, questions: Mapping[str, Question], form: PromptFormat, arm: str, source: str
) -> list[dict[str, Any]]:
    """Rows of the traces table (`records.TRACES`) whose tokens are words, each with the blanks before it.

    A chat template's mark at the end of a text is its end, and taken off.

    Args:
        given: as `load_given` returns it.
        questions: by id.
        form: how answers are read off.
        arm: its name.
        source: what messages call their origin.

    Raises:
        DataError: a mark of a turn with more text behind it.
        SamplingError: many of the traces say nothing.
    """
    rows: list[dict[str, Any]] = []
    for one in given.itertuples(index=False):
        text = without_end(str(one.text), TURN_MARK)
        if text is None:
            raise DataError(
                f"{source}, row {one.row} (question '{one.qid}', trace {one.cid}): holds a mark of a chat "
                "template, and more text follows. Keep what the model wrote in its own turn"
            )
        question, spans = questions[str(one.qid)], [match.span() for match in _WORD.finditer(text)]
        spans[-1:] = [(start, len(text)) for start, _ in spans[-1:]]  # blanks at the end are of the last word
        answer = read_answer(text, question, form, str(one.finish_reason))
        rows.append(
            {
                "qid": one.qid,
                "arm": arm,
                "cid": one.cid,
                "text": text,
                "prompt_ids": [],
                "token_ids": [NO_ID] * len(spans),
                "token_start": [start for start, _ in spans],
                "token_end": [end for _, end in spans],
                "finish_reason": one.finish_reason,
                "sum_logprob": None,
                "reasoning_end": reasoning_end(text, form, question),
                "answer": answer.option,
                "answer_rule": answer.rule,
                "answer_start": answer.start,
                "answer_end": answer.end,
            }
        )
    refuse_empty([(row["qid"], row["cid"]) for row in rows if not row["text"].strip()], len(rows), arm)
    return rows
