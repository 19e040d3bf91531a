"""A study too large for the memory, some questions at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from mechcot.core.row_groups import n_rows
from mechcot.study.folder import Study

ROWS = 2**18
"""Rows that the largest table of a part has, or about as many."""


def parts_of(study: Study, qids: Sequence[str], tables: Sequence[Path]) -> Iterator[Study]:
    """The study by questions in order of their ids, or itself where its tables are small.

    Args:
        study: the study.
        qids: questions; a small study has others too.
        tables: files of the study; the largest says how many parts there are.
    """
    n = max(map(n_rows, tables), default=0)
    if n <= ROWS:
        yield study
    else:
        for own in np.array_split(np.array(sorted(qids), dtype=object), min(-(-n // ROWS), len(qids))):
            yield of_questions(study, own.tolist())


def of_questions(study: Study, qids: Sequence[str]) -> Study:
    """The study as if its tables had rows of these questions alone."""
    part = copy(study)
    part.qids = tuple(qids)
    return part
