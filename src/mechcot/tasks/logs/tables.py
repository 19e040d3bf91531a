"""A log as the two tables that a study takes in: its questions, and its traces."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from mechcot.core.errors import DataError
from mechcot.tasks.logs.form import STATED, Log, Sample

_NUMBERED = re.compile(r"(.+?)[-_.:/#](\d+)")
"""An id that ends with the number of a sample."""


def questions_in(log: Log, columns: Collection[str] = ()) -> pd.DataFrame:
    """The questions of a log, under the names of columns that `questions.columns` has by default.

    Args:
        log: read.
        columns: of the log's own rows, to stand beside qid, question, options (where the log has any) and
            answer: a setting such as `questions.columns.stem=doc.text` names one.

    Raises:
        DataError: a question without words or without a right answer, or with other words in another sample.
    """
    first: dict[str, Sample] = {}
    for sample in log.samples:
        before = first.setdefault(sample.qid, sample)
        if before.stem != sample.stem:
            raise DataError(
                f"{sample.where}: question '{sample.qid}' has other words here than in "
                f"{before.where.removeprefix(f'{log.path}, ')}. Name one run's file"
            )
    with_options = any(sample.options is not None for sample in first.values())
    rows = []
    for sample in first.values():
        own = {"qid": sample.qid, "question": sample.stem, "answer": sample.gold}
        more = {name: sample.source[name] for name in columns if name in sample.source}
        rows.append({**more, **own, **({"options": sample.options} if with_options else {})})
    return pd.DataFrame(rows, dtype=object)


def traces_in(log: Log, qids: Sequence[str] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The samples of a log as rows of a file of traces (`sampling.given`), each with where it stands.

    Args:
        log: read.
        qids: the study's questions. An id that is none of them, and ends with a number behind a mark,
        belongs to
            the question of what stands before that: its samples are numbered in the order of these numbers.
    """
    known = set(qids)
    parted = [_parted(sample.qid, known) for sample in log.samples]
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for index, ((qid, number), sample) in enumerate(zip(parted, log.samples, strict=True)):
        groups.setdefault(qid, []).append((number, sample.cid, index))
    place = {index: cid for own in groups.values() for cid, (_, _, index) in enumerate(sorted(own))}
    rows = []
    for index, ((qid, _), sample) in enumerate(zip(parted, log.samples, strict=True)):
        row = {"qid": qid, "cid": place[index], "text": sample.text, "finish_reason": sample.finish_reason}
        row |= {name: sample.stated[name] for name in STATED if name in sample.stated}
        row |= {"prompt": sample.prompt} if sample.prompt is not None else {}
        rows.append((sample.where, row | {"problem": sample.problem}))
    return rows


def _parted(name: str, known: set[str]) -> tuple[str, int]:
    """A question's id, and the number of a sample behind it; 0 where there is none."""
    match = None if name in known else _NUMBERED.fullmatch(name)
    return (match[1], int(match[2])) if match and match[1] in known else (name, 0)
