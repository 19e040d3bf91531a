"""Training questions that stand among the test questions too, whole or in a long run of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.text import comparable

WORDS = 13
"""Words of a run that two texts share; as in Brown et al. 2020, appendix C. A shorter text is one run."""
STANDING = 10
"""A run that stands in more training questions than these is a standing phrase and tells nothing."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Leak:
    """A training question that is too close to a test question.

    Attributes:
        qid: of the training question.
        test_qid: of the test question, the first that is found.
        how: `text`: the same words and options; `words`: a run of words.
        shared: what they share, as it is compared.
    """

    qid: str
    test_qid: str
    how: str
    shared: str


def leaks(train: pd.DataFrame, test: pd.DataFrame) -> list[Leak]:
    """Training questions that leak into the test, in their order.

    Texts are compared as `core.text.comparable` puts them, without marks. The same text is the same words
    with the same options in any order; a shared run is one of `WORDS` words of the question's text.

    Args:
        train: columns qid, stem, options (`records.QUESTIONS`).
        test: likewise.
    """
    whole: dict[Hashable, str] = {}
    runs: dict[str, str] = {}
    for row in records.rows(test):
        whole.setdefault(_whole(row), row.qid)
        for run in _runs(row.stem):
            runs.setdefault(run, row.qid)
    met = {row.qid: [run for run in _runs(row.stem) if run in runs] for row in records.rows(train)}
    standing = Counter(run for own in met.values() for run in own)
    found = []
    for row in records.rows(train):
        told = [run for run in met[row.qid] if standing[run] <= STANDING]
        if _whole(row) in whole:
            found.append(Leak(row.qid, whole[_whole(row)], "text", " ".join(_words(row.stem))))
        elif told:
            found.append(Leak(row.qid, runs[told[0]], "words", told[0]))
    return found


def _words(text: str) -> list[str]:
    return _WORD.findall(comparable(text))


def _whole(row: Any) -> Hashable:
    """What makes two questions the same; the options of an open one are its answer, and no part of it."""
    options = () if getattr(row, "open", False) else row.options
    return tuple(_words(row.stem)), frozenset(tuple(_words(option)) for option in options)


def _runs(text: str) -> list[str]:
    """The distinct runs of a text in order, words parted by single blanks."""
    words = _words(text)
    found = (" ".join(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1)))
    return list(dict.fromkeys(found)) if words else []
